//! Sends one request, under the rules.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hookgate_core::address::Policy;
use http::{HeaderMap, HeaderName, Method, header};
use reqwest::{Client, Response, Url};
use rustls::ClientConfig;
use tokio::time::Instant;

use crate::call::{Answer, Call, Incoming, Reach};
use crate::error::{EgressError, Unusable};
use crate::names::{Filter, Names};
use crate::roots;

/// How long connecting may take, name and TLS included. Shorter than most deadlines, so
/// that a host that is not there is told apart from one that is slow.
const CONNECT_WAIT: Duration = Duration::from_secs(10);

/// How long an idle connection is kept. Servers close theirs after 60 s or more; one that
/// closes under a request costs a doubtful delivery.
const IDLE: Duration = Duration::from_secs(50);

/// Idle connections to one host: four destinations that each take as many as they may. One that
/// is closed too early costs the next request a handshake.
const IDLE_MAX: usize = 256;

/// The longest wait for the name of a URL that is only checked.
const CHECK_WAIT: Duration = Duration::from_secs(5);

/// The most that is set aside for an answer before it comes.
const ROOM_BYTES_MAX: usize = 16 * 1024;

/// Headers that frame a request. Set by a caller they would make two servers read it in two
/// ways, or reach another site at the same address.
const FRAMING: [HeaderName; 9] = [
    header::HOST,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::CONNECTION,
    header::TE,
    header::TRAILER,
    header::UPGRADE,
    header::EXPECT,
    header::PROXY_AUTHORIZATION,
];

/// What the operator decides about the way out.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// What tenants may make the gateway reach.
    pub policy: Policy,
    /// Certificate authorities that are believed besides the system's, as PEM.
    pub authorities: Vec<u8>,
}

/// The one way out. Clones share their connections.
#[derive(Clone)]
pub struct Egress(Arc<Clients>);

/// One client for each rule: a connection that was made under one is not used under another.
struct Clients {
    anywhere: Door,
    admitted: Door,
    listed: Door,
}

struct Door {
    client: Client,
    names: Names,
}

impl Egress {
    /// A way out under these settings.
    ///
    /// # Errors
    ///
    /// An authority cannot be read, or the HTTP client cannot be made.
    pub fn new(settings: Settings) -> Result<Self, Unusable> {
        let tls = roots::tls(&settings.authorities)?;
        let policy = Arc::new(settings.policy);
        let lookups = Names::lookups();
        let door = |filter| Door::new(Names::new(filter, &lookups), tls.clone());
        Ok(Self(Arc::new(Clients {
            anywhere: door(Filter::Nothing)?,
            admitted: door(Filter::Admitted(Arc::clone(&policy)))?,
            listed: door(Filter::Listed(policy))?,
        })))
    }

    /// Whether a request to `url` could be sent, as far as the URL itself tells. For a name
    /// that is its scheme alone; see [`Egress::admits`].
    ///
    /// # Errors
    ///
    /// The rule that is broken.
    pub fn check(&self, url: &Url, reach: Reach) -> Result<(), EgressError> {
        self.door(url, reach).map(drop)
    }

    /// Whether a request to `url` could be sent as its name resolves now. For those who save
    /// a URL and should hear of a mistake at once; what counts is asked again at each
    /// connection.
    ///
    /// # Errors
    ///
    /// The rule that is broken.
    pub async fn admits(&self, url: &Url, reach: Reach) -> Result<(), EgressError> {
        let door = self.door(url, reach)?;
        let Some(name) = name_of(url) else { return Ok(()) };
        let asked = door.names.clone().look_up(name.to_owned());
        let answer = tokio::time::timeout(CHECK_WAIT, asked).await;
        answer.unwrap_or(Err(EgressError::Unresolved)).map(drop)
    }

    /// Sends one request and reads its answer.
    ///
    /// # Errors
    ///
    /// Why there is no answer; [`EgressError::is_unsent`] says whether the request may have
    /// arrived.
    pub async fn send(&self, call: Call) -> Result<Answer, EgressError> {
        let door = self.door(&call.url, call.reach)?;
        let deadline = call.deadline;
        let exchanged = tokio::time::timeout(deadline, exchange(&door.client, call)).await;
        exchanged.unwrap_or(Err(EgressError::TimedOut))
    }

    /// Sends one request and gives its answer as soon as the head of it is there: the body is
    /// read piece by piece, within the same deadline. [`Call::answer_bytes_max`] is the
    /// reader's to keep to.
    ///
    /// # Errors
    ///
    /// As [`Egress::send`].
    pub async fn begin(&self, call: Call) -> Result<Incoming, EgressError> {
        let door = self.door(&call.url, call.reach)?;
        let until = Instant::now().checked_add(call.deadline).unwrap_or_else(Instant::now);
        let head = tokio::time::timeout_at(until, request(&door.client, call)).await;
        Ok(Incoming::new(head.unwrap_or(Err(EgressError::TimedOut))?, until))
    }

    /// Which client may go to `url`.
    fn door(&self, url: &Url, reach: Reach) -> Result<&Door, EgressError> {
        let door = match (reach, url.scheme()) {
            (Reach::Anywhere, "http" | "https") => &self.0.anywhere,
            (Reach::Public, "https") => &self.0.admitted,
            (Reach::Public, "http") => &self.0.listed,
            _ => return Err(EgressError::Scheme),
        };
        if !url.has_host() {
            return Err(EgressError::Host);
        }
        // A literal address is never resolved, so no resolver would judge it.
        if let Some(address) = literal(url) {
            door.names.filter().judge(address)?;
        }
        Ok(door)
    }
}

impl fmt::Debug for Egress {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Egress").field("filter", self.0.admitted.names.filter()).finish()
    }
}

impl Door {
    fn new(names: Names, tls: ClientConfig) -> Result<Self, Unusable> {
        let client = Client::builder()
            .tls_backend_preconfigured(tls)
            .http1_only()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .referer(false)
            // Whether something may be sent twice is for those to say who know what it does.
            .retry(reqwest::retry::never())
            .dns_resolver(names.clone())
            .connect_timeout(CONNECT_WAIT)
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(IDLE_MAX)
            .user_agent(concat!("Hookgate/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| Unusable::Client(error.into()))?;
        Ok(Self { client, names })
    }
}

/// The address that a URL names by itself. The URL's parser has already turned other ways
/// of writing one (`2130706433`, `0x7f.1`, `0177.0.0.1`) into it.
fn literal(url: &Url) -> Option<std::net::IpAddr> {
    let host = url.host_str()?;
    let bare = host.strip_prefix('[').and_then(|it| it.strip_suffix(']')).unwrap_or(host);
    bare.parse().ok()
}

fn name_of(url: &Url) -> Option<&str> {
    if literal(url).is_some() { None } else { url.host_str() }
}

async fn exchange(client: &Client, call: Call) -> Result<Answer, EgressError> {
    let answer_bytes_max = call.answer_bytes_max;
    let mut response = request(client, call).await?;
    let status = response.status();
    let headers: HeaderMap = std::mem::take(response.headers_mut());
    let (body, is_cut) = read(response, answer_bytes_max).await?;
    Ok(Answer { status, headers, body, is_cut })
}

/// Sends a request; gives the head of its answer.
async fn request(client: &Client, call: Call) -> Result<Response, EgressError> {
    let Call { method, url, headers, body, .. } = call;
    if let Some(name) = FRAMING.into_iter().find(|it| headers.contains_key(it)) {
        return Err(EgressError::Header(name));
    }
    // An empty body says so (`Content-Length: 0`) where a body is expected.
    let is_bare = body.is_empty() && matches!(method, Method::GET | Method::HEAD);
    let request = client.request(method, url).headers(headers);
    let request = if is_bare { request } else { request.body(body) };
    request.send().await.map_err(|error| EgressError::of(&error))
}

/// The body up to `bytes_max`, and whether it goes on.
async fn read(mut response: Response, bytes_max: usize) -> Result<(Bytes, bool), EgressError> {
    let announced = response.content_length().and_then(|it| usize::try_from(it).ok());
    let room = announced.unwrap_or(0).min(bytes_max).min(ROOM_BYTES_MAX);
    let mut body = BytesMut::with_capacity(room);
    loop {
        let chunk = response.chunk().await.map_err(|error| EgressError::of(&error))?;
        let Some(chunk) = chunk else { return Ok((body.freeze(), false)) };
        let left = bytes_max.saturating_sub(body.len());
        body.extend_from_slice(chunk.get(..left).unwrap_or(&chunk));
        if chunk.len() > left {
            return Ok((body.freeze(), true));
        }
    }
}
