//! Speaks with a running gateway.

use std::fmt::{self, Write as _};
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use hookgate_core::mask::visible;
use reqwest::{Method, StatusCode, Url};
use serde_json::Value;

use crate::config::{self, Flags, RawConfig};
use crate::environment::{self, Environment};
use crate::exit::Usage;
use crate::stored;

/// The file in the store's folder with the operator's token.
pub(crate) const TOKEN_FILE: &str = "admin.token";

/// How long one answer of the API may take. A batch of retries waits for the disk.
const WAIT: Duration = Duration::from_mins(1);

/// How long we wait for a connection.
const CONNECT_WAIT: Duration = Duration::from_secs(5);

/// How long an answer may take that goes on: for ever. Who reads it has a clock of its own.
const ENDLESS: Duration = Duration::from_hours(24 * 365 * 10);

/// How much of an unexpected answer is repeated, in characters.
const ANSWER_CHARS_MAX: usize = 300;

/// What one request for a list brings: as much as the API gives.
const PAGE: usize = 1000;

/// How the keys of tenants begin.
const TENANT_KEY: &str = "hgk_";

/// How the types of the API's problems begin.
const PROBLEM: &str = "urn:hookgate:problem:";

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
    if is_local(to) {
        builder = builder.no_proxy();
    }
    builder.build().context("cannot make an HTTP client")
}

/// Whether a URL leads to this machine.
pub(crate) fn is_local(url: &Url) -> bool {
    match url.host_str().unwrap_or_default().trim_matches(['[', ']']) {
        "localhost" => true,
        host => host.parse::<std::net::IpAddr>().is_ok_and(|it| it.to_canonical().is_loopback()),
    }
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

    /// The same for commands that take no configuration file and no folder.
    pub(crate) fn here(environment: &Environment) -> anyhow::Result<Self> {
        Self::new(environment, &stored::node_folder(environment)?)
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
        self.read(response).await
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

    /// Opens the bytes at `path`, which are read as they come, however long that takes.
    pub(crate) async fn stream(&self, path: &str) -> anyhow::Result<reqwest::Response> {
        let url = self.base.join(path).with_context(|| format!("{path} is not a path"))?;
        self.send_on(self.client.get(url).timeout(ENDLESS)).await
    }

    /// Reads a list from its newest record on, at most `limit` records, page by page.
    pub(crate) async fn list(
        &self,
        path: &str,
        query: &[(&'static str, String)],
        limit: usize,
    ) -> anyhow::Result<Rows> {
        let mut rows = Rows { data: Vec::new(), more: false };
        let mut cursor = None;
        loop {
            let wanted = limit.saturating_sub(rows.data.len()).min(PAGE);
            let mut query = query.to_vec();
            query.push(("limit", wanted.to_string()));
            query.extend(cursor.map(|it| ("cursor", it)));
            let mut page = self.get(path, &query).await?;
            let Some(Value::Array(data)) = page.get_mut("data").map(Value::take) else {
                return Err(self.is_another());
            };
            let is_last = data.is_empty();
            rows.data.extend(data);
            cursor = page.get("next_cursor").and_then(Value::as_str).map(str::to_owned);
            if is_last || cursor.is_none() {
                return Ok(rows);
            }
            if rows.data.len() >= limit {
                rows.more = true;
                return Ok(rows);
            }
        }
    }

    /// Posts JSON to `path`.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let response = self.send(Method::POST, path, &[], Some(body)).await?;
        self.read(response).await
    }

    /// Posts JSON to `path`, where it makes something unless that is there already.
    pub(crate) async fn create(&self, path: &str, body: &Value) -> anyhow::Result<Made> {
        let response = self.send(Method::POST, path, &[], Some(body)).await?;
        let is_new = response.status() == StatusCode::CREATED;
        let record = self.read(response).await?;
        Ok(Made { is_new, record })
    }

    /// Puts JSON to `path`, which answers with nothing.
    pub(crate) async fn put(&self, path: &str, body: &Value) -> anyhow::Result<()> {
        self.send(Method::PUT, path, &[], Some(body)).await.map(drop)
    }

    /// Changes what is at `path`.
    pub(crate) async fn patch(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let response = self.send(Method::PATCH, path, &[], Some(body)).await?;
        self.read(response).await
    }

    /// Removes what is at `path`; gives what the answer says about it, null for nothing.
    pub(crate) async fn delete(
        &self,
        path: &str,
        query: &[(&str, String)],
    ) -> anyhow::Result<Value> {
        let response = self.send(Method::DELETE, path, query, None).await?;
        if response.status() == StatusCode::NO_CONTENT {
            return Ok(Value::Null);
        }
        self.read(response).await
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
        if let Some(body) = body {
            request = request.json(body);
        }
        self.send_on(request).await
    }

    /// Sends a request, with the token; what is no success is an error.
    async fn send_on(&self, request: reqwest::RequestBuilder) -> anyhow::Result<reqwest::Response> {
        let request = match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        let sent = request.send().await.map_err(reqwest::Error::without_url);
        let response = sent.with_context(|| {
            format!(
                "cannot reach the gateway at {}: is `hookgate serve` running there? HOOKGATE_URL says \
                 where it is",
                self.base()
            )
        })?;
        if response.status().is_success() {
            Ok(response)
        } else {
            Err(self.refused(response).await)
        }
    }

    /// Opens an answer that goes on, behind the place `last`.
    pub(crate) async fn open(
        &self,
        path: &str,
        query: &[(&str, String)],
        last: Option<&str>,
    ) -> Result<reqwest::Response, Unopened> {
        let never = |error: anyhow::Error| Unopened::Never(error);
        let mut url = self.base.join(path).context("no path").map_err(never)?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let mut request = self.client.get(url).timeout(ENDLESS);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let Ok(response) = request.send().await else {
            return Err(Unopened::Unreachable("it cannot be reached"));
        };
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            let Refusal { detail, .. } = Refusal::read(Asker::Operator, status, response).await;
            let detail = detail.trim_end_matches('.');
            return Err(Unopened::Answered(format!("it answers {status}: {detail}")));
        }
        Err(never(self.refused(response).await))
    }

    /// Whether the token is a tenant's key.
    pub(crate) fn is_of_tenant(&self) -> bool {
        self.token.as_ref().is_some_and(|it| it.starts_with(TENANT_KEY))
    }

    /// The JSON that a gateway answers with.
    async fn read(&self, response: reqwest::Response) -> anyhow::Result<Value> {
        response.json().await.with_context(|| self.is_another())
    }

    /// What is said of an answer that no gateway gives.
    fn is_another(&self) -> anyhow::Error {
        anyhow::anyhow!(
            "what answers at {} is no gateway of Hookgate: HOOKGATE_URL says where yours is",
            self.base()
        )
    }

    async fn refused(&self, response: reqwest::Response) -> anyhow::Error {
        let status = response.status();
        if status == StatusCode::UNAUTHORIZED {
            return anyhow::anyhow!(
                "the gateway at {} does not take this token: set HOOKGATE_ADMIN_TOKEN to the operator's \
                 (or, to read, to a tenant's key), or run this where its store folder is",
                self.base()
            );
        }
        let who = if self.is_of_tenant() { Asker::Tenant } else { Asker::Operator };
        Refusal::read(who, status, response).await.into()
    }
}

/// Why an answer that goes on was not opened.
#[derive(Debug)]
pub(crate) enum Unopened {
    /// Nothing answers; it may later. Says what is in the way.
    Unreachable(&'static str),
    /// It may work later, by what the gateway says is in the way.
    Answered(String),
    /// It would be refused again.
    Never(anyhow::Error),
}

/// Records of a list.
pub(crate) struct Rows {
    /// Newest first.
    pub(crate) data: Vec<Value>,
    /// Whether there are more than were asked for.
    pub(crate) more: bool,
}

/// What a POST made.
pub(crate) struct Made {
    /// Whether it was not there before.
    pub(crate) is_new: bool,
    /// The record.
    pub(crate) record: Value,
}

/// The API's path of these segments, whatever characters an id has.
pub(crate) fn path(segments: &[&str]) -> anyhow::Result<String> {
    let mut path = "/api/v1".to_owned();
    for segment in segments {
        // A URL cannot name these: they would name what stands above.
        if matches!(*segment, "" | "." | "..") {
            return Err(Usage::new(format!("`{segment}` is no id")).into());
        }
        path.push('/');
        for byte in segment.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                path.push(char::from(byte));
            } else {
                let _ = write!(path, "%{byte:02X}");
            }
        }
    }
    Ok(path)
}

/// The API said no.
#[derive(Debug)]
struct Refusal {
    status: StatusCode,
    /// The last word of the problem's type, if it is one of ours.
    problem: Option<String>,
    detail: String,
    asker: Asker,
}

/// Whose token was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asker {
    Operator,
    Tenant,
}

impl Asker {
    /// What may be why nothing was found.
    fn hint(self) -> &'static str {
        match self {
            Self::Operator => "",
            Self::Tenant => {
                " (HOOKGATE_ADMIN_TOKEN is a tenant's key, which sees what is its tenant's alone: this \
                 may want the operator's token)"
            }
        }
    }
}

impl Refusal {
    async fn read(asker: Asker, status: StatusCode, response: reqwest::Response) -> Self {
        let text = response.text().await.unwrap_or_default();
        let answer: Value = serde_json::from_str(&text).unwrap_or_default();
        let field = |name: &str| answer.get(name).and_then(Value::as_str);
        let detail = field("detail").unwrap_or(&text);
        Self {
            status,
            problem: field("type").and_then(|it| it.strip_prefix(PROBLEM)).map(str::to_owned),
            detail: visible(detail).chars().take(ANSWER_CHARS_MAX).collect(),
            asker,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "the gateway answered {}: {}", self.status, self.detail)?;
        let is_missing = self.status == StatusCode::NOT_FOUND;
        out.write_str(if is_missing { self.asker.hint() } else { "" })
    }
}

impl std::error::Error for Refusal {}

/// Whether the API answered with this status.
pub(crate) fn is_status(error: &anyhow::Error, status: StatusCode) -> bool {
    error.downcast_ref::<Refusal>().is_some_and(|it| it.status == status)
}

/// Whether the API said no for this reason.
pub(crate) fn is_problem(error: &anyhow::Error, problem: &str) -> bool {
    error.downcast_ref::<Refusal>().is_some_and(|it| it.problem.as_deref() == Some(problem))
}

/// Whether the API said that something in the request cannot be.
pub(crate) fn is_invalid(error: &anyhow::Error) -> bool {
    is_status(error, StatusCode::BAD_REQUEST)
}

/// Whether the same may work a little later: the gateway is away or busy.
pub(crate) fn is_passing(error: &anyhow::Error) -> bool {
    match error.downcast_ref::<Refusal>() {
        Some(Refusal { status, .. }) => {
            status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS
        }
        None => error.chain().any(<dyn std::error::Error>::is::<reqwest::Error>),
    }
}

/// Says `what` is missing where the API found nothing. What belongs to somebody else is
/// not found either.
pub(crate) fn or_missing<T>(result: anyhow::Result<T>, what: &str) -> anyhow::Result<T> {
    result.map_err(|error| match error.downcast_ref::<Refusal>() {
        Some(refusal) if refusal.status == StatusCode::NOT_FOUND => {
            anyhow::anyhow!("{what}{}", refusal.asker.hint())
        }
        _ => error,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_of_any_characters_stays_one_segment() {
        assert_eq!(path(&["tenants", "acme"]).unwrap(), "/api/v1/tenants/acme");
        let odd = path(&["conversations", "vapi", "a/b ?#%é..", "x"]).unwrap();
        assert_eq!(odd, "/api/v1/conversations/vapi/a%2Fb%20%3F%23%25%C3%A9../x");
        for bad in ["", ".", ".."] {
            assert!(path(&["tenants", bad]).is_err(), "{bad:?}");
        }
    }
}
