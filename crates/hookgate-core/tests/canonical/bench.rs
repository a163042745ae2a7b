//! Makes canonical events of bodies as the gateway does: what the strict walk reads comes
//! first.

use std::path::{Path, PathBuf};

use hookgate_core::canonical::{About, CanonicalEvent, canonical};
use hookgate_core::headers::Headers;
use hookgate_core::provider::{self, Hint};
use hookgate_core::time::Timestamp;
use hookgate_core::{event::Facts, json};
use serde_json::Value;

/// When every event of the tests was received.
pub(crate) const RECEIVED: Timestamp = Timestamp::from_millis(1_790_000_000_000);

/// What the walk reads of a body on the path of `tool`, or of none.
pub(crate) fn facts(provider_name: &str, tool: Option<&str>, body: &[u8]) -> Facts {
    let row = provider::named(provider_name).unwrap();
    let fields = json::extract(body, row.fields).unwrap();
    let mut headers = Headers::new();
    headers.push_plain("x-hook-event-id".parse().unwrap(), "hook-1");
    (row.read)(&fields, &Hint { tool, query: "", headers: &headers, flat_claims: true })
}

/// The canonical event of a body.
pub(crate) fn event_of(provider_name: &str, tool: Option<&str>, body: &[u8]) -> CanonicalEvent {
    let facts = facts(provider_name, tool, body);
    let row = provider::named(provider_name).unwrap();
    canonical(row, provider_name, Some(body), &about(&facts))
}

/// What is known of an event with these facts.
pub(crate) fn about(facts: &Facts) -> About<'_> {
    About {
        event_id: Some("evt_1"),
        event_type: &facts.event_type,
        kind: facts.kind,
        external_id: facts.external_id.as_deref(),
        conversation_id: facts.conversation_id.as_deref(),
        received_at: RECEIVED,
    }
}

/// The same as JSON.
pub(crate) fn json_of(provider_name: &str, tool: Option<&str>, body: &Value) -> Value {
    let event = event_of(provider_name, tool, body.to_string().as_bytes());
    serde_json::to_value(event).unwrap()
}

/// A sample, by its provider and its name there.
pub(crate) struct Sample {
    pub(crate) provider: String,
    pub(crate) name: String,
    pub(crate) body: Vec<u8>,
}

impl Sample {
    /// The tool whose path it comes on.
    pub(crate) fn tool(&self) -> Option<&'static str> {
        match self.name.as_str() {
            "custom_function.args_only" => Some("bookings_cancel"),
            "initiation_webhook.request" => Some("conversation_initiation"),
            _ => None,
        }
    }

    pub(crate) fn event(&self) -> CanonicalEvent {
        event_of(&self.provider, self.tool(), &self.body)
    }

    pub(crate) fn body(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// The folder of this crate.
pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// Every sample there is, in order.
pub(crate) fn samples() -> Vec<Sample> {
    let mut found = Vec::new();
    for row in provider::ALL {
        let folder = folder().join("samples").join(row.name);
        let files = std::fs::read_dir(folder).unwrap();
        let mut files: Vec<PathBuf> = files.map(|it| it.unwrap().path()).collect();
        files.sort();
        found.extend(files.iter().map(|file| Sample {
            provider: row.name.to_owned(),
            name: file.file_stem().unwrap().to_str().unwrap().to_owned(),
            body: std::fs::read(file).unwrap(),
        }));
    }
    found
}
