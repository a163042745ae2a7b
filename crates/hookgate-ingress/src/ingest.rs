//! The way of an event: the function to read first is [`ingest`].

use std::borrow::Cow;
use std::io::BufReader;
use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use hookgate_core::attribution::{
    Cause, Conflict, Consulted, Quarantined, Readable, Told, read, read_from,
};
use hookgate_core::digest::hmac_sha256;
use hookgate_core::event::{Asks, Kind};
use hookgate_core::headers::Headers;
use hookgate_core::provider::Provider;
use hookgate_core::received::{Blob, Body, Received, Unproven, Verified};
use hookgate_core::source::Verification;
use hookgate_core::tenant::TenantId;
use hookgate_core::verify::{Envelope, Examination};
use hookgate_store::{BlobWriter, Receipt, Settled, Unavailable};
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, HeaderMap, HeaderValue};
use http::request::Parts;
use http::{Request, Response, StatusCode};
use hyper::body::{Body as _, Incoming};
use tokio::task::JoinHandle;

use crate::answer::{ECHO, Payload, Refusal, Reply, acknowledge, handshake};
use crate::body::{Content, Reading};
use crate::caught::caught;
use crate::correlation::is_token;
use crate::gate::{Door, Gate, Way};
use crate::inspect::Inspection;
use crate::limits::WHOLE_BODY_BYTES_MAX;
use crate::metrics::Outcome;
use crate::peer::{Peer, Seat};
use crate::quota::Place;

/// What a handshake's word may measure.
const ECHO_BYTES_MAX: usize = 128;

/// What is read at once of a large body's file.
const BLOB_READ_BYTES: usize = 256 * 1024;

/// The key of the digest that is made of a request to nobody.
const DECOY_KEY: &[u8] = b"a source that does not exist takes as long as one that does";

/// One request at the front door.
pub(crate) struct Visit<'a> {
    pub(crate) gate: &'a Arc<Gate>,
    pub(crate) seat: &'a Seat,
    pub(crate) peer: Peer,
    pub(crate) id: String,
}

/// What must be known of a request to settle it, once its body is complete. The body of
/// a large one is finished by a task of its own, so this owns what it has.
struct Case {
    gate: Arc<Gate>,
    door: Arc<Door>,
    echo: Option<HeaderValue>,
    began: Instant,
    /// The public URL, for the operator's eyes.
    url: String,
}

/// Answers a request at the front door, whatever happens.
pub(crate) async fn receive(
    visit: Visit<'_>,
    way: Option<Way>,
    request: Request<Incoming>,
) -> Response<Payload> {
    let (mut head, mut body) = request.into_parts();
    let answering = async {
        match &way {
            Some(way) => ingest(&visit, way, &mut head, &mut body).await,
            None => Err(turn_away(&visit, &mut body).await),
        }
    };
    let outcome = caught(pin!(answering)).await.unwrap_or_else(|_| {
        visit.gate.metrics.panics.inc();
        tracing::error!(correlation_id = visit.id, "a request ended in a panic");
        Err(Refusal::Internal)
    });
    let reply = match outcome {
        Ok(reply) => reply,
        Err(refusal) => {
            note(&visit, way.as_ref(), refusal);
            refusal.reply()
        }
    };
    visit.gate.metrics.answered(reply.status());
    match way.as_ref() {
        Some(way) => way.door.metrics.answered(reply.status(), reply.outcome),
        None => drop(visit.gate.metrics.unknown.inc()),
    }
    let mut headers = head.headers;
    headers.clear();
    reply.closing(!body.is_end_stream()).into_response(headers, &visit.id)
}

/// One life of an event: in order, and nothing skipped.
async fn ingest(
    visit: &Visit<'_>,
    way: &Way,
    head: &mut Parts,
    body: &mut Incoming,
) -> Result<Reply, Refusal> {
    let began = Instant::now();
    let (gate, door, source) = (visit.gate, &way.door, &way.door.source);
    let limits = &gate.limits;
    let _peer_slot = visit.seat.enter(limits.peer_in_flight_max).ok_or(Refusal::Busy)?;
    let _source_slot = door.enter(limits.source_in_flight_max).ok_or(Refusal::Busy)?;

    let echo = echo(source.provider, &head.headers);
    check_transport(visit)?;
    if !door.admits(visit.peer.addr) {
        log_uninvited(visit, door);
        read_and_forget(gate, body).await;
        return Err(Refusal::Unproven(door.refusal()));
    }
    if !way.takes(&head.method) {
        return echo.as_ref().map(handshake).ok_or(Refusal::Method);
    }
    check_encoding(&head.headers)?;

    let headers = headers(&head.headers);
    let target = head.uri.path_and_query().map_or("/", |it| it.as_str());
    let url = gate.url(door, target);
    let envelope =
        Envelope { method: head.method.as_str(), url: &url, headers: &headers, mask_key: None };
    let (policy, secrets) = source.proving(way.tool.as_deref());
    let mut examination = Examination::open(policy, secrets, envelope, (gate.clock)());

    let bytes_max = door.body_bytes_max(&examination);
    let announced = announced(&head.headers);
    if announced.is_some_and(|bytes| bytes > bytes_max) {
        return Err(Refusal::TooLarge);
    }
    gate.store.admit(announced.unwrap_or(source.body_bytes_max))?;
    let reading = Reading { store: &gate.store, memory: &gate.memory, limits, bytes_max };
    let content = reading.read(body, |chunk| examination.update(chunk)).await?;

    let mut received = Received {
        source: Arc::clone(source),
        method: head.method.as_str().to_owned(),
        target: masked(target, way),
        tool: way.tool.clone(),
        token: way.token.clone(),
        headers,
        body: Body::Whole(Bytes::new()),
        peer: visit.peer.addr,
        at: (gate.clock)(),
        late: false,
        correlation_id: visit.id.clone(),
    };
    // Where a token stands in the URL, nobody reads it again.
    let url = if way.token.is_some() { String::new() } else { url };
    let case = Case { gate: Arc::clone(gate), door: Arc::clone(door), echo, began, url };
    match content {
        Content::Whole(bytes, _share) => {
            door.metrics.body_bytes.inc_by(bytes.len() as u64);
            received.body = Body::Whole(bytes);
            case.settle(received, examination).await
        }
        Content::Blob(file) => {
            case.finish(file, received, examination).await.unwrap_or_else(|_| {
                gate.metrics.panics.inc();
                tracing::error!(correlation_id = visit.id, "a request ended in a panic");
                Err(Refusal::Internal)
            })
        }
    }
}

impl Case {
    /// Finishes a large body and settles it, in a task of its own: the sync of a large
    /// file takes a while, and the sender may hang up meanwhile.
    fn finish(
        self,
        file: BlobWriter,
        mut received: Received,
        examination: Examination,
    ) -> JoinHandle<Result<Reply, Refusal>> {
        tokio::spawn(async move {
            let blob = file.finish().await?;
            self.door.metrics.body_bytes.inc_by(blob.bytes);
            received.body = Body::Blob(blob);
            self.settle(received, examination).await
        })
    }

    /// `Received → judge → read → attribute → store → answer`. Mostly there is nothing to
    /// wait for up to the store, so an event whose body is complete is on its way to the
    /// disk before anything can stop it; where the registry has to be asked, that is done
    /// in a task of its own.
    async fn settle(self, received: Received, examination: Examination) -> Result<Reply, Refusal> {
        let judged = received.judge(examination);
        let inspection = self.inspection(&judged);
        let case = Arc::new(self);
        let settled = match judged {
            Ok(verified) => case.keep(verified).await,
            Err(unproven) => case.unproven(unproven).await,
        };
        case.inspected(inspection, &settled);
        settled
    }

    fn inspected(&self, inspection: Option<Inspection>, settled: &Result<Reply, Refusal>) {
        if let (Some(inspect), Some(mut inspection)) = (&self.gate.inspect, inspection) {
            inspection.conclude(settled);
            inspect(&inspection);
        }
    }

    /// Reads a proven event and keeps it.
    async fn keep(self: &Arc<Self>, verified: Verified) -> Result<Reply, Refusal> {
        if self.echo.is_some() && verified.received().body.is_empty() {
            // A check of the URL that carries the secret as well.
            return self.echo.as_ref().map(handshake).ok_or(Refusal::Internal);
        }
        let readable = match verified.received().body {
            Body::Whole(_) => read(verified),
            Body::Blob(blob) => Box::pin(self.read_blob(verified, blob)).await?,
        };
        let readable = match readable {
            Ok(readable) => readable,
            Err(quarantined) => return self.quarantine(&quarantined).await,
        };
        let known = self.gate.store.known(&readable);
        if known.is_some() && !readable.wants_more() {
            return self.attribute(readable, known).await;
        }
        // Somebody has to be asked, or something is going to be done: that comes to its end
        // also when the sender hangs up.
        let case = Arc::clone(self);
        let asking = tokio::spawn(async move { case.attribute(readable, known).await });
        asking.await.unwrap_or_else(|_| {
            self.gate.metrics.panics.inc();
            Err(Refusal::Internal)
        })
    }

    /// Finds out whose the event is, stores it, and answers as its provider wants it.
    async fn attribute(
        &self,
        readable: Readable,
        known: Option<Consulted>,
    ) -> Result<Reply, Refusal> {
        let store = &self.gate.store;
        let (attributed, adopting) = match store.attribute_or_defer(readable, known).await? {
            Settled::Admitted(attributed, adopting) => (attributed, adopting),
            Settled::Quarantined(quarantined) => return self.quarantine(&quarantined).await,
            Settled::Deferred(readable, receipt) => return Ok(self.deferred(&readable, &receipt)),
        };
        let (received, facts) = (attributed.received(), attributed.facts());
        let tenant = attributed.decision().tenant();
        let _share = match tenant {
            Some(tenant) => Some(self.share(tenant, received.body.len())?),
            None => None,
        };
        let receipt = store.append(&attributed, adopting).await?;
        self.acknowledged();
        tracing::debug!(
            source.id = received.source.name,
            tenant.id = tenant.map(TenantId::as_str),
            event.id = %receipt.id(),
            event.seq = receipt.seq(),
            event.r#type = %hookgate_core::mask::visible(&facts.event_type),
            duplicate = receipt.is_duplicate(),
            status = facts.answer.status,
            elapsed_micros = u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX),
            peer = %received.peer,
            correlation_id = received.correlation_id,
            "event stored"
        );
        let outcome = if receipt.is_duplicate() { Outcome::Duplicate } else { Outcome::Accepted };
        let answer = match facts.asks {
            Asks::Nothing => Cow::Borrowed(&facts.answer),
            Asks::Tools | Asks::Guidance => {
                Cow::Owned(self.gate.tools.answer(&attributed, &receipt, self.began).await)
            }
        };
        Ok(acknowledge(&receipt, &answer, outcome).with_echo(self.echo.as_ref()))
    }

    /// What the sender of an event is told that is stored, and whose owner is found out when
    /// the database is back.
    fn deferred(&self, readable: &Readable, receipt: &Receipt) -> Reply {
        self.acknowledged();
        let (received, facts) = (readable.received(), readable.facts());
        tracing::debug!(
            source.id = received.source.name,
            event.id = %receipt.id(),
            peer = %received.peer,
            correlation_id = received.correlation_id,
            "event stored, its owner to be found out"
        );
        // Of a tool nobody is told that it did anything.
        let is_tool = facts.kind == Kind::ToolCalled;
        let answer = facts.refusal.as_ref().filter(|_| is_tool).unwrap_or(&facts.answer);
        acknowledge(receipt, answer, Outcome::Accepted).with_echo(self.echo.as_ref())
    }

    /// A place among the tenant's requests, unless it has had its share.
    fn share(&self, tenant: &TenantId, bytes: u64) -> Result<Place, Refusal> {
        let registered = self.gate.store.registry().tenant(tenant.as_str());
        let quota = registered.as_ref().map(|it| it.quota).unwrap_or_default();
        self.gate.quotas.take(tenant, &quota, bytes).ok_or(Refusal::OverQuota)
    }

    /// Reads a large body off the disk, away from the threads that serve others.
    async fn read_blob(
        &self,
        verified: Verified,
        blob: Blob,
    ) -> Result<Result<Readable, Box<Quarantined>>, Refusal> {
        let store = self.gate.store.clone();
        let work = move || {
            let file = store.open_blob(&blob).inspect_err(|_| store.discard_blob(&blob))?;
            let file = BufReader::with_capacity(BLOB_READ_BYTES, file);
            Ok::<_, std::io::Error>(read_from(verified, file))
        };
        match tokio::task::spawn_blocking(work).await {
            Ok(Ok(readable)) => Ok(readable),
            Ok(Err(cause)) => {
                tracing::error!(error = %cause, "a large body cannot be read back");
                Err(Refusal::Unavailable(Unavailable::Failed))
            }
            Err(_) => Err(Refusal::Internal),
        }
    }

    /// Keeps what cannot be acted on, and says what the sender is told of it.
    async fn quarantine(&self, event: &Quarantined) -> Result<Reply, Refusal> {
        let receipt = self.gate.store.quarantine(event).await?;
        self.acknowledged();
        let received = event.received();
        match event.cause() {
            Cause::Contradiction(conflict) => self.log_violation(event, conflict, &receipt),
            cause => tracing::info!(
                source.id = received.source.name,
                event.id = %receipt.id(),
                event.seq = receipt.seq(),
                cause = %cause,
                peer = %received.peer,
                correlation_id = received.correlation_id,
                "proven event put into quarantine"
            ),
        }
        self.tell(event, &receipt, Outcome::Quarantined)
    }

    /// What the sender of a quarantined event is told, which is durable.
    fn tell(
        &self,
        event: &Quarantined,
        receipt: &Receipt,
        outcome: Outcome,
    ) -> Result<Reply, Refusal> {
        match event.told() {
            Told::Success(answer) => {
                Ok(acknowledge(receipt, &answer, outcome).with_echo(self.echo.as_ref()))
            }
            Told::Refused(refusal) => Err(Refusal::Quarantined(refusal)),
        }
    }

    /// A proven request that contradicts ownership. The texts are those that operators
    /// watch their logs for.
    fn log_violation(&self, event: &Quarantined, conflict: Conflict, receipt: &Receipt) {
        let received = event.received();
        self.door.metrics.violations.inc();
        let Some(left_out) = self.door.violations.pass(received.at) else { return };
        tracing::error!(
            source.id = received.source.name,
            event.id = %receipt.id(),
            event.seq = receipt.seq(),
            reason = conflict.name(),
            peer = %received.peer,
            correlation_id = received.correlation_id,
            left_out,
            "{}",
            conflict.text()
        );
    }

    /// Refuses a request without proof, or keeps it apart where its source accepts that.
    async fn unproven(&self, unproven: Unproven) -> Result<Reply, Refusal> {
        let door = &self.door;
        if let Some(echo) = &self.echo {
            // A check of the URL, which no proof comes with. Should it be an event after
            // all, its bytes are kept.
            if !unproven.received().body.is_empty() {
                self.gate.store.reject(&unproven, StatusCode::OK.as_u16());
            }
            return Ok(handshake(echo));
        }
        if !door.source.verification.accepts_unproven() {
            let refusal = door.refusal();
            self.log_invalid(&unproven, "Invalid webhook signature");
            self.gate.store.reject(&unproven, refusal.status);
            return Err(Refusal::Unproven(refusal));
        }
        if unproven.received().body.len() > WHOLE_BODY_BYTES_MAX {
            self.discard(unproven.received());
            return Err(Refusal::TooLarge);
        }
        self.log_accepted(&unproven);
        let quarantined = Quarantined::unproven(unproven);
        let receipt = self.gate.store.quarantine(&quarantined).await;
        // The store has room, so this peer has had its share of it.
        let receipt = receipt.map_err(|cause| match cause {
            Unavailable::Behind => Refusal::Busy,
            cause => Refusal::Unavailable(cause),
        })?;
        self.acknowledged();
        self.tell(&quarantined, &receipt, Outcome::Unproven)
    }

    /// Forgets a large body that becomes part of nothing.
    fn discard(&self, received: &Received) {
        if let Body::Blob(blob) = &received.body {
            self.gate.store.discard_blob(blob);
        }
    }

    fn acknowledged(&self) {
        self.door.metrics.acknowledgement.observe(self.began.elapsed().as_secs_f64());
    }

    fn inspection(&self, judged: &Result<Verified, Unproven>) -> Option<Inspection> {
        self.gate.inspect.as_ref()?;
        Some(match judged {
            Ok(verified) => {
                let scheme = Some(verified.proof().scheme);
                Inspection::of(verified.received(), &self.url, scheme, None)
            }
            Err(unproven) => {
                let reason = unproven.reason().to_string();
                Inspection::of(unproven.received(), &self.url, unproven.scheme(), Some(reason))
            }
        })
    }

    /// A wrong or missing proof, refused or not; `text` says which.
    fn log_invalid(&self, unproven: &Unproven, text: &'static str) {
        let received = unproven.received();
        let Some(left_out) = self.door.refusals.pass(received.at) else { return };
        tracing::warn!(
            source.id = received.source.name,
            verification.verdict = unproven.verdict().name(),
            verification.scheme = unproven.scheme(),
            verification.reason = %unproven.reason(),
            peer = %received.peer,
            correlation_id = received.correlation_id,
            left_out,
            "{text}"
        );
    }

    fn log_accepted(&self, unproven: &Unproven) {
        let received = unproven.received();
        match self.door.source.verification {
            Verification::Open => {
                if self.door.open_warning.pass(received.at).is_none() {
                    return;
                }
                tracing::warn!(
                    source.id = received.source.name,
                    peer = %received.peer,
                    correlation_id = received.correlation_id,
                    "⚠️ WARNING: {} not set",
                    self.door.secret_variable()
                );
            }
            Verification::Record | Verification::Enforce => self.log_invalid(
                unproven,
                "Invalid webhook signature; the request is kept in quarantine, because its source is set to record",
            ),
        }
    }
}

/// Turns a request away whose path leads to no source, as slowly as one whose proof is
/// wrong.
async fn turn_away(visit: &Visit<'_>, body: &mut Incoming) -> Refusal {
    let Some(_slot) = visit.seat.enter(visit.gate.limits.peer_in_flight_max) else {
        return Refusal::Busy;
    };
    if let Err(refusal) = check_transport(visit) {
        return refusal;
    }
    read_and_forget(visit.gate, body).await;
    Refusal::UnknownSource
}

/// Reads a body as if it counted, and makes a digest of it.
async fn read_and_forget(gate: &Gate, body: &mut Incoming) {
    let bytes_max = WHOLE_BODY_BYTES_MAX;
    let (store, memory, limits) = (&gate.store, &gate.memory, &gate.limits);
    if body.size_hint().lower() > bytes_max {
        return;
    }
    let reading = Reading { store, memory, limits, bytes_max };
    if let Ok(Content::Whole(bytes, _share)) = reading.read(body, |_| {}).await {
        std::hint::black_box(hmac_sha256(DECOY_KEY, &bytes));
    }
}

fn log_uninvited(visit: &Visit<'_>, door: &Door) {
    let Some(left_out) = door.refusals.pass((visit.gate.clock)()) else { return };
    tracing::info!(
        source.id = door.source.name,
        peer = %visit.peer.addr,
        correlation_id = visit.id,
        left_out,
        "request refused: its peer is not in the source's `allow_from`"
    );
}

fn check_transport(visit: &Visit<'_>) -> Result<(), Refusal> {
    if visit.gate.require_https && !visit.peer.is_https { Err(Refusal::Plaintext) } else { Ok(()) }
}

/// A body is taken as it is: only `identity` is no encoding.
fn check_encoding(headers: &HeaderMap) -> Result<(), Refusal> {
    let mut words = headers
        .get_all(CONTENT_ENCODING)
        .iter()
        .flat_map(|line| line.as_bytes().split(|it| *it == b',').map(<[u8]>::trim_ascii));
    let is_identity = |word: &[u8]| word.is_empty() || word.eq_ignore_ascii_case(b"identity");
    if words.all(is_identity) { Ok(()) } else { Err(Refusal::ContentEncoding) }
}

/// Path and query as they may be stored: without the URL token, whose id stands for it.
fn masked(target: &str, way: &Way) -> String {
    let Some(token) = &way.token else { return target.to_owned() };
    let query = target.find('?').and_then(|at| target.get(at..)).unwrap_or_default();
    let tool = way.tool.as_ref().map(|it| format!("/tools/{it}")).unwrap_or_default();
    format!("/in/{}/{}{tool}{query}", way.door.source.name, token.id)
}

/// The length that a request announces. hyper refused one that is none.
fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The word of a handshake, where the provider has one and the request carries one.
fn echo(provider: &Provider, headers: &HeaderMap) -> Option<HeaderValue> {
    if !provider.echoes {
        return None;
    }
    let mut values = headers.get_all(ECHO).iter();
    let (value, more) = (values.next()?, values.next());
    (more.is_none() && is_token(value.as_bytes(), ECHO_BYTES_MAX)).then(|| value.clone())
}

/// The headers in order, their values side by side in one piece of memory.
fn headers(map: &HeaderMap) -> Headers {
    let room = map.values().map(HeaderValue::len).sum();
    let mut values = BytesMut::with_capacity(room);
    map.values().for_each(|value| values.extend_from_slice(value.as_bytes()));
    let mut values = values.freeze();
    let mut headers = Headers::with_capacity(map.len());
    for (name, value) in map {
        headers.push_plain(name.clone(), values.split_to(value.len()));
    }
    headers
}

/// A line for the log, unless the refusal was logged with its reason already.
fn note(visit: &Visit<'_>, way: Option<&Way>, refusal: Refusal) {
    let source = way.map_or("", |way| way.door.source.name.as_str());
    match refusal {
        Refusal::Unproven(_) | Refusal::Quarantined(_) | Refusal::Internal => {}
        Refusal::UnknownSource | Refusal::Method => {
            tracing::debug!(
                source.id = source,
                peer = %visit.peer.addr,
                correlation_id = visit.id,
                cause = refusal.name(),
                "request refused"
            );
        }
        _ => {
            let now = (visit.gate.clock)();
            let pass = way.map_or(Some(0), |way| way.door.refusals.pass(now));
            let Some(left_out) = pass else { return };
            tracing::info!(
                source.id = source,
                peer = %visit.peer.addr,
                correlation_id = visit.id,
                cause = refusal.name(),
                left_out,
                "request refused"
            );
        }
    }
}
