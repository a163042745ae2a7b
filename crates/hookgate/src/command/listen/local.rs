//! The server that events are passed on to.

use std::fmt;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hookgate_core::mask::visible;
use http::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderMap, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION,
    TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderName, HeaderValue};
use reqwest::{Method, Url};
use serde_json::Value;

use crate::cli::listen::Listen;
use crate::client::{self, Api};
use crate::exit::Usage;

/// Names the event.
const EVENT_ID: HeaderName = HeaderName::from_static("x-hookgate-event-id");

/// Its place in the order of all.
const SEQ: HeaderName = HeaderName::from_static("x-hookgate-seq");

/// What is of the provider's connection to the gateway and not of this one (RFC 9110 §7.6.1).
const OF_THE_CONNECTION: [HeaderName; 12] = [
    CONNECTION,
    CONTENT_LENGTH,
    EXPECT,
    HOST,
    HeaderName::from_static("keep-alive"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    HeaderName::from_static("proxy-connection"),
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// So much of an answer is read, in bytes, so that its connection can be used again.
const ANSWER_BYTES_MAX: usize = 256 * 1024;

/// How long a gateway that is away is left alone.
const GATEWAY_PAUSE: Duration = Duration::from_secs(1);

/// The server.
pub(super) struct Local {
    url: Url,
    keeps_path: bool,
    timeout: Duration,
    client: reqwest::Client,
    /// Whether it was said that hashed headers are not passed on.
    has_told: bool,
}

/// An event as it is sent.
#[derive(Debug)]
pub(super) struct Request {
    method: Method,
    url: Url,
    headers: HeaderMap,
    body: Vec<u8>,
}

/// Why an event is not sent.
#[derive(Debug)]
pub(super) enum Unsendable {
    /// It cannot be, now or later.
    Event(&'static str),
    /// The gateway refuses to give it.
    Gateway(anyhow::Error),
}

/// What the server answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: Option<u16>,
    took: Option<Duration>,
    /// Why there is no status.
    pub(super) error: Option<&'static str>,
}

impl Answer {
    /// None, for this reason.
    pub(super) fn none(why: &'static str) -> Self {
        Self { status: None, took: None, error: Some(why) }
    }

    pub(super) fn is_success(&self) -> bool {
        self.status.is_some_and(|it| (200..300).contains(&it))
    }

    pub(super) fn micros(&self) -> Option<u64> {
        self.took.and_then(|it| u64::try_from(it.as_micros()).ok())
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.status, self.error) {
            (Some(status), _) => write!(out, "{status}")?,
            (None, error) => out.write_str(error.unwrap_or("no answer"))?,
        }
        match self.took {
            Some(took) => write!(out, " in {} ms", took.as_millis()),
            None => Ok(()),
        }
    }
}

impl Local {
    /// The server that the flags name.
    pub(super) fn new(flags: &Listen) -> anyhow::Result<Self> {
        let mut url = client::parse_url(&flags.forward)?;
        if !flags.anywhere && !client::is_local(&url) {
            let host = visible(url.host_str().unwrap_or_default());
            return Err(Usage::new(format!(
                "--forward leads to {host}, which is not this machine: events hold what callers said. \
                 If it is meant, add --anywhere"
            ))
            .into());
        }
        url.set_fragment(None);
        let timeout = Duration::from_secs(flags.timeout);
        let client = client::http(&url, timeout)?;
        Ok(Self { url, keeps_path: flags.keep_path, timeout, client, has_told: false })
    }

    /// Where it is, as it may be shown.
    pub(super) fn shown(&self) -> String {
        let mut url = self.url.clone();
        // A password may stand in it, and a token in its query. A URL with a host takes both.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        url.set_query(None);
        visible(url.as_str())
    }

    /// The event as it came: its method, its headers, its exact bytes.
    pub(super) async fn request(&self, event: &Value, api: &Api) -> Result<Request, Unsendable> {
        let odd = || Unsendable::Event("left out: the gateway told it in an odd way");
        let text = |name: &str| event.get(name).and_then(Value::as_str);
        let method = text("method").and_then(|it| it.parse().ok()).ok_or_else(odd)?;
        let mut headers = headers(event).ok_or_else(odd)?;
        let id = text("id").ok_or_else(odd)?;
        headers.insert(EVENT_ID, HeaderValue::try_from(id).map_err(|_| odd())?);
        let seq = event.get("seq").and_then(Value::as_u64).ok_or_else(odd)?;
        headers.insert(SEQ, HeaderValue::from(seq));
        let body = match text("body_base64") {
            Some(body) => STANDARD.decode(body).map_err(|_| odd())?,
            None => large(id, api).await?,
        };
        let url = self.target(text("target").unwrap_or_default());
        Ok(Request { method, url, headers, body })
    }

    /// The URL, with the provider's path and query behind it if that is wished. The host
    /// stays what it is, whatever stands in a path.
    fn target(&self, target: &str) -> Url {
        let mut url = self.url.clone();
        if self.keeps_path {
            let (path, query) = match target.split_once('?') {
                Some((path, query)) => (path, Some(query)),
                None => (target, None),
            };
            let base = url.path().trim_end_matches('/').to_owned();
            url.set_path(&format!("{base}/{}", path.trim_start_matches('/')));
            if query.is_some() {
                url.set_query(query);
            }
        }
        url
    }

    /// Sends an event.
    ///
    /// # Errors
    ///
    /// Says why nobody got it. A server that got it and does not answer in time is an
    /// answer: it would get it twice.
    pub(super) async fn send(&self, request: &Request) -> Result<Answer, &'static str> {
        let began = Instant::now();
        let mut sending = self
            .client
            .request(request.method.clone(), request.url.clone())
            .headers(request.headers.clone());
        if !request.body.is_empty() || request.method != Method::GET {
            sending = sending.body(request.body.clone());
        }
        let mut response = match sending.send().await {
            Ok(response) => response,
            Err(error) if error.is_connect() => return Err("it cannot be reached"),
            Err(error) if error.is_timeout() => {
                let took = Some(self.timeout);
                return Ok(Answer { status: None, took, error: Some("no answer") });
            }
            Err(_) => return Err("it hung up"),
        };
        let took = Some(began.elapsed());
        let mut bytes = 0_usize;
        while bytes <= ANSWER_BYTES_MAX
            && let Ok(Some(chunk)) = response.chunk().await
        {
            bytes = bytes.saturating_add(chunk.len());
        }
        Ok(Answer { status: Some(response.status().as_u16()), took, error: None })
    }

    /// The name of a header of this event that cannot be passed on, if it was not said yet
    /// that there are such.
    pub(super) fn first_hashed(&mut self, event: &Value) -> Option<String> {
        let mut all = entries(event).filter(|(_, value)| value.is_null()).map(|(name, _)| name);
        let first = all.next().filter(|_| !self.has_told)?;
        self.has_told = true;
        Some(visible(first))
    }
}

/// A body that does not stand in the message. While the gateway is away, it is waited for.
async fn large(id: &str, api: &Api) -> Result<Vec<u8>, Unsendable> {
    let path = client::path(&["events", id, "raw"]).map_err(Unsendable::Gateway)?;
    loop {
        return match api.bytes(&path).await {
            Ok(Some(bytes)) => Ok(bytes),
            Ok(None) => Err(Unsendable::Event("left out: its bytes were erased")),
            Err(error) if client::is_problem(&error, "unmaskable") => Err(Unsendable::Event(
                "left out: a tenant's key does not get what cannot be masked",
            )),
            Err(error) if client::is_passing(&error) => {
                tokio::time::sleep(GATEWAY_PAUSE).await;
                continue;
            }
            Err(error) => {
                Err(Unsendable::Gateway(error.context("cannot read the bytes of an event")))
            }
        };
    }
}

/// The headers as the gateway tells them.
fn entries(event: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let headers = event.get("headers").and_then(Value::as_array).into_iter().flatten();
    headers.filter_map(|it| Some((it.get(0)?.as_str()?, it.get(1)?)))
}

/// Those that are passed on, in order; nothing if one cannot be understood.
fn headers(event: &Value) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    let named: Vec<String> = entries(event)
        .filter(|(name, _)| *name == CONNECTION.as_str())
        .filter_map(|(_, value)| value.as_str())
        .flat_map(|value| value.split(','))
        .map(|it| it.trim().to_ascii_lowercase())
        .collect();
    for (name, value) in entries(event) {
        let name = HeaderName::try_from(name).ok()?;
        let is_ours = [EVENT_ID, SEQ].contains(&name);
        let is_left_out = OF_THE_CONNECTION.contains(&name)
            || is_ours
            || named.iter().any(|it| it == name.as_str());
        if is_left_out {
            continue;
        }
        let value = match value {
            Value::Null => continue,
            Value::String(text) => HeaderValue::from_bytes(text.as_bytes()),
            other => {
                let bytes = STANDARD.decode(other.get("base64")?.as_str()?).ok()?;
                HeaderValue::from_bytes(&bytes)
            }
        };
        headers.append(name, value.ok()?);
    }
    Some(headers)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn local(forward: &str, keeps_path: bool) -> Local {
        let url = Url::parse(forward).unwrap();
        let timeout = Duration::from_secs(1);
        let client = reqwest::Client::new();
        Local { url, keeps_path, timeout, client, has_told: false }
    }

    #[test]
    fn a_path_never_leads_to_another_host() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let check = |forward: &str, target: &str, expected: &str| {
            assert_eq!(local(forward, true).target(target).as_str(), expected, "{target}");
        };
        check("http://localhost:1/", "/in/x?a=1", "http://localhost:1/in/x?a=1");
        check("http://localhost:1/base/", "/in/x", "http://localhost:1/base/in/x");
        check("http://localhost:1/?k=v", "/in/x", "http://localhost:1/in/x?k=v");
        check("http://localhost:1", "//evil.example/x", "http://localhost:1/evil.example/x");
        check("http://localhost:1", "@evil.example/x", "http://localhost:1/@evil.example/x");
        check("http://localhost:1", "http://evil/", "http://localhost:1/http://evil/");
        let plain = local("http://localhost:1/hook?k=v", false).target("/in/x?a=1");
        assert_eq!(plain.as_str(), "http://localhost:1/hook?k=v");
    }

    #[test]
    fn what_is_of_the_connection_and_what_is_hashed_stays_here() {
        let event = json!({ "headers": [
            ["host", "hooks.example"], ["content-length", "7"], ["connection", "close, X-Odd"],
            ["x-odd", "1"], ["transfer-encoding", "chunked"], ["authorization", null],
            ["x-twice", "a"], ["x-latin", {"base64": "Y2Fm6Q=="}], ["x-twice", "b"],
            ["x-hookgate-seq", "9"], ["content-type", "application/json"],
        ]});
        let headers = headers(&event).unwrap();
        let all: Vec<(&str, &[u8])> =
            headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        let mut sorted = all.clone();
        sorted.sort_unstable();
        assert_eq!(
            sorted,
            [
                ("content-type", &b"application/json"[..]),
                ("x-latin", b"caf\xe9"),
                ("x-twice", b"a"),
                ("x-twice", b"b"),
            ]
        );
    }

    #[test]
    fn a_password_in_the_url_is_not_shown() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let local = local("http://me:canary@localhost:1/hook?token=canary", false);
        assert_eq!(local.shown(), "http://localhost:1/hook");
    }
}
