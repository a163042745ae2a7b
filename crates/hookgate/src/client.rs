//! Speaks with a running gateway.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use hookgate_core::mask::visible;
use reqwest::{Method, StatusCode, Url};
use serde_json::Value;

use crate::config::{self, Flags, RawConfig};
use crate::environment::{self, Environment};
use crate::exit::Usage;

/// The file in the store's folder with the operator's token.
pub(crate) const TOKEN_FILE: &str = "admin.token";

/// How long one answer of the API may take. A batch of retries waits for the disk.
const WAIT: Duration = Duration::from_mins(1);

/// How long we wait for a connection.
const CONNECT_WAIT: Duration = Duration::from_secs(5);

/// How much of an unexpected answer is repeated, in characters.
const ANSWER_CHARS_MAX: usize = 300;

/// Runs a command that waits for the network, on this thread.
pub(crate) fn block_on<T>(future: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("cannot start the runtime")?.block_on(future)
}

/// A client that follows no redirect, and reaches this machine without a proxy.
pub(crate) fn http(to: &Url, wait: Duration) -> anyhow::Result<reqwest::Client> {
    let mut builder = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT_WAIT)
        .timeout(wait);
    let is_local = match to.host_str().unwrap_or_default().trim_matches(['[', ']']) {
        "localhost" => true,
        host => host.parse::<std::net::IpAddr>().is_ok_and(|it| it.is_loopback()),
    };
    if is_local {
        builder = builder.no_proxy();
    }
    builder.build().context("cannot make an HTTP client")
}

/// An http or https URL.
pub(crate) fn parse_url(text: &str) -> anyhow::Result<Url> {
    let wrong = || Usage::new(format!("{text} is not a URL: write it as http://127.0.0.1:8080"));
    let url = Url::parse(text).map_err(|_| wrong())?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(wrong().into());
    }
    Ok(url)
}

/// Where the gateway is: `HOOKGATE_URL`, else where `serve` would listen on this machine.
pub(crate) fn base_url(environment: &Environment) -> anyhow::Result<String> {
    if let Some(url) = environment.value("HOOKGATE_URL")? {
        return Ok(url);
    }
    let (raw, _) = RawConfig::read(None)?;
    let listen = config::listen(&Flags::default(), environment, &raw.server)?;
    Ok(config::local_url(listen, raw.tls.certificate.is_some()))
}

/// The operator's API.
pub(crate) struct Api {
    base: Url,
    token: Option<String>,
    client: reqwest::Client,
}

impl Api {
    /// The API of the gateway at [`base_url`]; the token from `HOOKGATE_ADMIN_TOKEN`, else
    /// from the store's folder.
    pub(crate) fn new(environment: &Environment, store: &Path) -> anyhow::Result<Self> {
        let base = parse_url(&base_url(environment)?)?;
        let token = match environment.value("HOOKGATE_ADMIN_TOKEN")? {
            Some(token) => Some(token),
            None => environment::read_value(&store.join(TOKEN_FILE)).ok(),
        };
        let client = http(&base, WAIT)?;
        Ok(Self { base, token, client })
    }

    /// Where it is.
    pub(crate) fn base(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// Whether a gateway answers there.
    pub(crate) async fn is_there(&self) -> bool {
        let Ok(url) = self.base.join("/healthz") else { return false };
        self.client.get(url).send().await.is_ok()
    }

    /// Reads `path`.
    pub(crate) async fn get(&self, path: &str, query: &[(&str, String)]) -> anyhow::Result<Value> {
        let response = self.send(Method::GET, path, query, None).await?;
        response.json().await.with_context(|| format!("{path} did not answer with JSON"))
    }

    /// Reads `path`, or nothing if there is nothing.
    pub(crate) async fn find(&self, path: &str) -> anyhow::Result<Option<Value>> {
        match self.get(path, &[]).await {
            Err(error) if is_status(&error, StatusCode::NOT_FOUND) => Ok(None),
            found => found.map(Some),
        }
    }

    /// Reads the exact bytes at `path`, or nothing if they were erased.
    pub(crate) async fn bytes(&self, path: &str) -> anyhow::Result<Option<Vec<u8>>> {
        let response = match self.send(Method::GET, path, &[], None).await {
            Err(error) if is_status(&error, StatusCode::GONE) => return Ok(None),
            response => response?,
        };
        Ok(Some(response.bytes().await.with_context(|| format!("{path} broke off"))?.to_vec()))
    }

    /// Posts JSON to `path`.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let response = self.send(Method::POST, path, &[], Some(body)).await?;
        response.json().await.with_context(|| format!("{path} did not answer with JSON"))
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, String)],
        body: Option<&Value>,
    ) -> anyhow::Result<reqwest::Response> {
        let mut url = self.base.join(path).with_context(|| format!("{path} is not a path"))?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let mut request = self.client.request(method, url);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let sent = request.send().await.map_err(reqwest::Error::without_url);
        let response = sent.with_context(|| {
            format!(
                "cannot reach the gateway at {}: is `hookgate serve` running there? HOOKGATE_URL says \
                 where it is",
                self.base()
            )
        })?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        if status == StatusCode::UNAUTHORIZED {
            anyhow::bail!(
                "the gateway at {} does not take the operator's token: set HOOKGATE_ADMIN_TOKEN to its \
                 own, or run this where its store folder is",
                self.base()
            );
        }
        Err(Refusal { status, detail: detail(response).await }.into())
    }
}

/// The API said no.
#[derive(Debug)]
struct Refusal {
    status: StatusCode,
    detail: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "the gateway answered {}: {}", self.status, self.detail)
    }
}

impl std::error::Error for Refusal {}

fn is_status(error: &anyhow::Error, status: StatusCode) -> bool {
    error.downcast_ref::<Refusal>().is_some_and(|it| it.status == status)
}

/// What the answer says to people.
async fn detail(response: reqwest::Response) -> String {
    let text = response.text().await.unwrap_or_default();
    let problem: Value = serde_json::from_str(&text).unwrap_or_default();
    let detail = problem.get("detail").and_then(Value::as_str).unwrap_or(&text);
    visible(detail).chars().take(ANSWER_CHARS_MAX).collect()
}
