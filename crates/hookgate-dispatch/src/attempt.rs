//! One attempt at one delivery: look the event up, make the message, sign it, send it, and
//! say how that ended. [`run`] is its life; the dispatcher settles it with others.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hookgate_core::alert::AlertKind;
use hookgate_core::delivery::{ALERT_SOURCE, AttemptOutcome, DestinationKind, TEST};
use hookgate_core::headers::Headers;
use hookgate_core::secret::Secret;
use hookgate_core::standard_webhooks;
use hookgate_core::tenant::{Scope, TenantId};
use hookgate_core::time::Timestamp;
use hookgate_secrets::SecretsError;
use hookgate_store::{DestinationId, Event, Leased, ReadError, Settling, Status};
use http::HeaderValue;
use serde_json::Value;
use tokio::task::JoinSet;

use crate::dispatcher::{LEASE, Shared, failed};
use crate::document::{self, canonical, needs_body};
use crate::metrics::word;
use crate::render::{Subject, render};
use crate::send::{Sent, send};

/// What of a lease is left for settling.
const SETTLING: Duration = Duration::from_secs(2);

/// How long an attempt may wait for room for its body. With the longest deadline it is
/// shorter than a lease.
const ROOM_WAIT: Duration = Duration::from_secs(3);

/// The body of a test.
const TEST_BODY: &[u8] = br#"{"message":"This is a test of Hookgate's."}"#;

/// An attempt that has ended, and is to be settled.
pub(crate) struct Ended {
    pub(crate) destination: DestinationId,
    /// Whose the destination is.
    pub(crate) tenant: Option<TenantId>,
    pub(crate) settling: Settling,
}

/// Makes the attempt.
pub(crate) async fn run(shared: Arc<Shared>, leased: Leased) -> Ended {
    let settings = &shared.settings;
    let (began_at, began) = (shared.now(), Instant::now());
    // A task of its own: a panic is an outcome too, and ends with the attempt.
    let mut making = JoinSet::new();
    making.spawn(make(Arc::clone(&shared), leased.clone(), began));
    let sent = if let Some(Ok(sent)) = making.join_next().await {
        sent
    } else {
        settings.metrics.panics.inc();
        ours("panic", true)
    };
    let took = began.elapsed();
    settings.metrics.attempted(&sent.outcome, took);
    tell(&leased, &sent.outcome, took);
    let is_last = leased.kind == TEST;
    let settling = Settling {
        delivery: leased.delivery,
        token: leased.token,
        outcome: sent.outcome,
        began_at,
        now: shared.now(),
        took,
        response: sent.excerpt,
        schedule: if is_last { Arc::default() } else { Arc::clone(&settings.schedule) },
        random: (settings.chance)(),
    };
    Ended { destination: leased.destination, tenant: leased.destination_tenant, settling }
}

fn tell(leased: &Leased, outcome: &AttemptOutcome, took: Duration) {
    let (status, reason) = match outcome {
        AttemptOutcome::Delivered { status } | AttemptOutcome::Refused { status, .. } => {
            (Some(*status), None)
        }
        AttemptOutcome::Gone => (None, None),
        AttemptOutcome::Broken { reason } | AttemptOutcome::Ours { reason, .. } => {
            (None, Some(*reason))
        }
    };
    tracing::debug!(
        delivery.id = %leased.delivery,
        destination.id = %leased.destination,
        event.id = %leased.event,
        event.seq = leased.seq,
        attempt = leased.attempts.saturating_add(1),
        outcome = word(outcome),
        status,
        reason,
        elapsed_micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
        "attempt ended"
    );
}

/// It failed here.
fn ours(reason: &'static str, may_pass: bool) -> Sent {
    Sent::not(AttemptOutcome::Ours { reason, may_pass })
}

/// Everything up to the endpoint's answer.
async fn make(shared: Arc<Shared>, leased: Leased, began: Instant) -> Sent {
    let settings = &shared.settings;
    // What is another tenant's is not there, whatever the row says.
    let scope = match &leased.destination_tenant {
        Some(tenant) => Scope::Tenant(tenant.clone()),
        None => Scope::Operator,
    };
    let told = match told(&shared, &leased, &scope).await {
        Ok(told) => told,
        Err(sent) => return sent,
    };
    let event = &told.event;
    if event.is_erased {
        return ours("event_erased", false);
    }
    if event.status != Status::Accepted {
        return ours("event_not_accepted", false);
    }
    let wanted = &leased.settings;
    let held = if told.own_body.is_some() || !needs_body(wanted, event) {
        None
    } else {
        let reading = shared.bodies.read(&settings.store, &scope, event);
        match tokio::time::timeout(ROOM_WAIT, reading).await {
            Ok(Ok(Some(held))) => Some(held),
            Ok(Ok(None)) => return ours("event_erased", false),
            Ok(Err(error)) => return unreadable(&error),
            Err(_) => return ours("no_room", true),
        }
    };
    let body = match &held {
        Some(held) => held.bytes.clone(),
        None => told.own_body.unwrap_or_default(),
    };
    let id = leased.webhook_id();
    let document =
        told.document.unwrap_or_else(|| canonical(event, held.as_ref().map(|it| &*it.bytes)));
    let subject = Subject {
        event,
        body: &body,
        canonical: &document,
        id: &id,
        replay: leased.replay,
        scope: &scope,
        public_url: settings.public_url.as_deref(),
    };
    let Ok(mut rendered) = render(&subject, wanted) else { return ours("not_renderable", false) };
    let now = shared.now();
    if wanted.kind == DestinationKind::Http {
        let secrets = match open(&shared, &leased, now).await {
            Ok(secrets) => secrets,
            Err(sent) => return sent,
        };
        let signed = standard_webhooks::sign(&secrets, &id, &rendered.body, now);
        let Some(signed) = signed else { return ours("secret_unusable", false) };
        for (name, value) in signed {
            let Ok(value) = HeaderValue::try_from(value) else {
                return ours("secret_unusable", false);
            };
            rendered.headers.insert(name, value);
        }
    }
    let left = LEASE.saturating_sub(SETTLING).saturating_sub(began.elapsed());
    let deadline = Duration::from_millis(wanted.timeout_ms().into()).min(left);
    send(&settings.egress, wanted.kind, rendered, deadline, now).await
}

fn unreadable(error: &ReadError) -> Sent {
    failed(error, "an event that is to be delivered cannot be read");
    // What is damaged stays so.
    ours("event_unreadable", !matches!(error, ReadError::Damaged))
}

/// The secrets in force, the newest first.
async fn open(shared: &Shared, leased: &Leased, now: Timestamp) -> Result<Vec<Secret>, Sent> {
    let label = leased.destination.secret_label();
    let mut secrets = Vec::new();
    for sealed in leased.secrets.at(now) {
        let opened = shared.settings.secrets.open_for_installation(&label, sealed).await;
        match opened {
            Ok(value) => secrets.push(Secret::new(value.expose())),
            Err(error) => {
                tracing::error!(
                    destination.id = %leased.destination,
                    error = &error as &dyn std::error::Error,
                    "the secret of a destination cannot be opened"
                );
                let may_pass = matches!(error, SecretsError::Registry(_));
                return Err(ours("secret_closed", may_pass));
            }
        }
    }
    Ok(secrets)
}

/// What a delivery tells of.
struct Told {
    event: Event,
    /// The body of what is no stored event.
    own_body: Option<Bytes>,
    /// What is said, where that is not made of the event.
    document: Option<Value>,
}

/// The event of a delivery; of a test or an alert one that never was.
async fn told(shared: &Shared, leased: &Leased, scope: &Scope) -> Result<Told, Sent> {
    let store = &shared.settings.store;
    if leased.kind == TEST {
        let event = made_up(leased, TEST, shared.now(), TEST_BODY);
        return Ok(Told { event, own_body: Some(Bytes::from_static(TEST_BODY)), document: None });
    }
    if AlertKind::named(&leased.kind).is_some() {
        let alert = match store.registry().alert(scope, leased.event).await {
            Ok(Some(alert)) => alert,
            Ok(None) => return Err(ours("alert_gone", false)),
            Err(error) => {
                failed(&error, "an alert that is to be delivered cannot be read");
                return Err(ours("alert_unreadable", true));
            }
        };
        let document = document::alert(&alert);
        let body = Bytes::from(document.to_string());
        let event = made_up(leased, ALERT_SOURCE, alert.raised_at, &body);
        return Ok(Told { event, own_body: Some(body), document: Some(document) });
    }
    match store.event(scope, leased.event).await {
        Ok(Some(event)) => Ok(Told { event, own_body: None, document: None }),
        Ok(None) => Err(ours("event_gone", false)),
        Err(error) => Err(unreadable(&error)),
    }
}

/// An event that never was: to see whether a message arrives, or to tell of an alert.
fn made_up(leased: &Leased, event_type: &str, at: Timestamp, body: &[u8]) -> Event {
    let mut headers = Headers::new();
    headers.push_plain(http::header::CONTENT_TYPE, "application/json");
    Event {
        id: leased.event,
        seq: 0,
        source: ALERT_SOURCE.to_owned(),
        provider: ALERT_SOURCE.to_owned(),
        event_type: event_type.to_owned(),
        kind: leased.kind.clone(),
        external_id: None,
        tenant: leased.tenant.as_ref().map(|it| it.as_str().to_owned()),
        conversation_id: None,
        status: Status::Accepted,
        cause: None,
        duplicates: 0,
        duplicate_of: None,
        late: false,
        received_at: at,
        correlation_id: String::new(),
        peer: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        method: "POST".to_owned(),
        target: String::new(),
        verdict: "verified".to_owned(),
        scheme: None,
        reason: None,
        signature_headers: Vec::new(),
        ownership: "owned".to_owned(),
        conflict: None,
        standing: None,
        rule: 0,
        is_enforced: false,
        url_token: None,
        claims: Vec::new(),
        decision: None,
        is_erased: false,
        headers,
        size: u64::try_from(body.len()).unwrap_or(0),
        sha256: hookgate_core::digest::sha256(body),
    }
}
