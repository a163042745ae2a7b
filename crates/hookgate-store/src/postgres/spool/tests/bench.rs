//! What a test of the spool stands on: a folder, and requests of Vapi's.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hookgate_core::attribution::{Attributed, Consulted, Conversation, Origin, Readable, read};
use hookgate_core::headers::Headers;
use hookgate_core::named;
use hookgate_core::provider;
use hookgate_core::received::{Body, Received, Unproven, Verified};
use hookgate_core::secret::{MaskKey, Secrets};
use hookgate_core::source::{Source, Verification};
use hookgate_core::tenant::TenantId;
use hookgate_core::time::Timestamp;
use hookgate_core::verify::{Envelope, Examination};
use tempfile::TempDir;
use uuid::Uuid;

use super::super::*;
use crate::options::SPOOL_BYTES_MAX;

pub(super) const SECRET: &str = "canary-3f9c1d7e5b";

pub(super) const NOON: i64 = 1_800_000_000_000;

pub(super) fn mask_key() -> MaskKey {
    MaskKey::new([7; 32])
}

pub(super) fn options(bytes_max: u64) -> SpoolOptions {
    SpoolOptions {
        bytes_max,
        gather: Duration::ZERO,
        refuse_volatile: false,
        wake: hookgate_journal::wake_inline(),
    }
}

pub(super) fn open(folder: &Path) -> (Spool, Found) {
    Spool::open(folder, options(SPOOL_BYTES_MAX)).unwrap()
}

/// A spool in a folder of its own.
pub(super) fn spool() -> (Spool, TempDir) {
    let folder = TempDir::new().unwrap();
    let (spool, found) = open(&folder.path().join("spool"));
    assert_eq!(found.entries, 0);
    (spool, folder)
}

pub(super) fn id(number: u64) -> Uuid {
    Uuid::from_u64_pair(0x0198_0000_0000_7000, 0x8000_0000_0000_0000 | number)
}

fn examined(body: Body, bytes: &[u8], secret: &str) -> (Received, Examination) {
    let policy = named::policy("vapi.auto", &serde_json::json!({})).unwrap();
    let secrets = Secrets::from_text(SECRET, "");
    let vapi = provider::named("vapi").unwrap();
    let source = Arc::new(Source::new("vapi", vapi, policy, secrets, Verification::Enforce));
    let mut headers = Headers::new();
    headers.push_plain(http::header::AUTHORIZATION, format!("Bearer {secret}"));
    headers.push_plain(http::header::CONTENT_TYPE, "application/json");
    let at = Timestamp::from_millis(NOON);
    let url = "http://localhost/webhook/vapi?a=b";
    let envelope = Envelope { method: "POST", url, headers: &headers, mask_key: None };
    let mut examination = Examination::open(&source.policy, &source.secrets, envelope, at);
    examination.update(bytes);
    let received = Received {
        source,
        method: "POST".to_owned(),
        target: "/webhook/vapi?a=b".to_owned(),
        tool: None,
        token: None,
        headers,
        body,
        peer: [203, 0, 113, 7].into(),
        at,
        late: false,
        correlation_id: "correlation".to_owned(),
    };
    (received, examination)
}

/// A status update of a call that names an assistant.
pub(super) fn status(call: &str, number: u64) -> Bytes {
    let text = format!(
        r#"{{"message":{{"type":"status-update","call":{{"id":"{call}","assistantId":"asst-1"}},"n":{number}}}}}"#
    );
    text.into()
}

pub(super) fn verified(bytes: &Bytes) -> Verified {
    let (received, examination) = examined(Body::Whole(bytes.clone()), bytes, SECRET);
    received.judge(examination).unwrap()
}

pub(super) fn readable(bytes: &Bytes) -> Readable {
    read(verified(bytes)).unwrap()
}

pub(super) fn readable_large(blob: hookgate_core::received::Blob, bytes: &Bytes) -> Readable {
    let (received, examination) = examined(Body::Blob(blob), bytes, SECRET);
    hookgate_core::attribution::read_from(received.judge(examination).unwrap(), &**bytes).unwrap()
}

pub(super) fn unproven(bytes: &Bytes) -> Unproven {
    let (received, examination) = examined(Body::Whole(bytes.clone()), bytes, "wrong");
    received.judge(examination).unwrap_err()
}

pub(super) fn accepted(bytes: &Bytes, consulted: &Consulted) -> Attributed {
    readable(bytes).decide(consulted).conclude().unwrap()
}

pub(super) fn tenant(name: &str) -> TenantId {
    TenantId::parse(name).unwrap()
}

/// A registry that knows the conversation as this tenant's.
pub(super) fn known_as(name: &str, claims: usize) -> Consulted {
    Consulted {
        tenants_exist: true,
        owners: vec![Some(tenant(name)); claims],
        conversation: Some(Conversation {
            tenant: tenant(name),
            agent_id: Some("asst-1".to_owned()),
            phone_number_id: None,
            origin: Origin::Registered,
        }),
    }
}

/// A deferred entry.
pub(super) fn deferred(number: u64) -> (NewEntry, Bytes) {
    let body = status("call-1", number);
    (NewEntry::deferred(&readable(&body), id(number), &mask_key()), body)
}

/// Appends one, and waits until it is on disk.
pub(super) fn put(spool: &Spool, number: u64) {
    let (entry, body) = deferred(number);
    let room = spool.admit(body.len() as u64).unwrap();
    spool.append(room, &entry, NewBody::Whole(&body)).unwrap().wait().unwrap();
}

/// The numbers of what is left, the oldest first.
pub(super) fn numbers(spool: &Spool) -> Vec<u64> {
    let entries = spool.oldest(10_000, u64::MAX).unwrap();
    entries.iter().map(|(_, it)| it.id.as_u64_pair().1 & 0xffff_ffff).collect()
}

/// Copies a folder as it is at this moment: what a crash leaves.
pub(super) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), &target).unwrap();
        }
    }
}
