//! An installation with two tenants that have something of everything.

use hookgate_core::headers::Headers;
use serde_json::{Value, json};

use crate::bench::{Bench, SECRET};

/// What a tenant has.
pub(crate) struct Belongings {
    pub(crate) id: &'static str,
    pub(crate) key: String,
    pub(crate) key_id: String,
    pub(crate) event: String,
    pub(crate) agent: String,
    pub(crate) call: String,
    pub(crate) source: String,
    pub(crate) token_id: String,
    pub(crate) erasure: String,
    pub(crate) tool_call: String,
    pub(crate) destination: String,
    pub(crate) delivery: String,
    pub(crate) recording: String,
}

/// Two tenants, and what is the operator's alone.
pub(crate) struct World {
    pub(crate) bench: Bench,
    pub(crate) acme: Belongings,
    pub(crate) other: Belongings,
    /// An event that names both: it stands in quarantine.
    pub(crate) contradiction: String,
    pub(crate) rejection: String,
}

impl World {
    pub(crate) async fn new() -> Self {
        let mut bench = Bench::new();
        let acme = belongings(&mut bench, "acme").await;
        let other = belongings(&mut bench, "other").await;
        let contradiction = bench.call(&other.call, &acme.agent).await.to_string();
        let refused = bench.received("tawk", Headers::new(), b"{}");
        let rejection = bench.refuse(refused).await;
        Self { bench, acme, other, contradiction, rejection }
    }

    /// The path of an operation (`GET /api/v1/events/{id}`) with ids in the places of names:
    /// of what is `of`'s.
    pub(crate) fn path(&self, operation: &str, of: &Belongings) -> String {
        let (_, template) = operation.split_once(' ').unwrap();
        let name = |template: &str| -> String {
            match template {
                "/api/v1/tenants/{id}" => of.id,
                "/api/v1/tenants/{id}/keys/{key_id}" => &of.key_id,
                "/api/v1/tenants/{id}/credentials/{name}" => "crm",
                "/api/v1/conversations/{provider}" => "retell",
                "/api/v1/conversations/{provider}/{external_id}" => &of.call,
                "/api/v1/sources/{name}" => &of.source,
                "/api/v1/sources/{name}/tokens/{id}" => &of.token_id,
                "/api/v1/events/{id}" => &of.event,
                "/api/v1/rejections/{id}" => &self.rejection,
                "/api/v1/erasures/{id}" => &of.erasure,
                "/api/v1/tool-calls/{id}" => &of.tool_call,
                "/api/v1/destinations/{id}" => &of.destination,
                "/api/v1/deliveries/{id}" => &of.delivery,
                "/api/v1/recordings/{id}" => &of.recording,
                new => panic!("say here what {new} is tried with"),
            }
            .to_owned()
        };
        let (mut path, mut walked) = (String::new(), String::new());
        for segment in template.split('/').skip(1) {
            walked = format!("{walked}/{segment}");
            let is_name = segment.starts_with('{');
            let segment = if is_name { name(&walked) } else { segment.to_owned() };
            path = format!("{path}/{segment}");
        }
        match operation {
            // From the beginning, so that there is something to see.
            "GET /api/v1/events/stream" => format!("{path}?since=start"),
            "DELETE /api/v1/bindings" => {
                format!("{path}?provider=retell&kind=agent&external_id={}", of.agent)
            }
            _ => path,
        }
    }
}

/// Gives a tenant something of everything.
async fn belongings(bench: &mut Bench, id: &'static str) -> Belongings {
    let key = bench.tenant(id).await;
    let keys = bench.get(&format!("/api/v1/tenants/{id}/keys")).await;
    let key_id = keys.column("id")[0].as_str().unwrap().to_owned();
    let (agent, call, source) =
        (format!("agent_{id}"), format!("call_{id}"), format!("source-{id}"));
    bench.bind(id, "agent", &agent).await;
    let event = bench.call(&call, &agent).await;
    let tool_call = bench.tool_call(id, event, &call).await.to_string();
    let recording = bench.recording(id, event, b"ID3 sound").await;
    let event = event.to_string();
    let credential = format!("/api/v1/tenants/{id}/credentials/crm");
    let put = bench.ask(axum::http::Method::PUT, &credential, "\"value-canary-6\"").await;
    assert_eq!(put.status, 204);
    let made = json!({ "name": source, "provider": "tawk", "tenant": id, "secret": SECRET });
    bench.made("/api/v1/sources", made).await;
    let tokens = bench.get(&format!("/api/v1/sources/{source}/tokens")).await;
    let token_id = tokens.column("id")[0].as_str().unwrap().to_owned();

    // A conversation that is forgotten again, for an erasure.
    let gone = format!("gone_{id}");
    let conversation = json!({ "tenant": id, "provider": "retell", "external_id": gone });
    bench.made("/api/v1/conversations", conversation).await;
    let path = format!("/api/v1/conversations/retell/{gone}");
    let erasure = bench.ask(axum::http::Method::DELETE, &path, "").await;
    assert_eq!(erasure.status, 202, "{erasure:?}");
    let erasure = erasure.json()["id"].as_str().unwrap().to_owned();
    let made = json!({ "tenant": id, "kind": "http", "url": format!("https://{id}.example/in") });
    let destination = bench.made("/api/v1/destinations", made).await;
    let destination = destination["id"].as_str().unwrap().to_owned();
    bench.made(&format!("/api/v1/events/{event}/replay"), json!({})).await;
    let deliveries = bench.get(&format!("/api/v1/deliveries?destination={destination}")).await;
    let delivery = deliveries.column("id")[0].as_str().unwrap().to_owned();
    Belongings {
        id,
        key,
        key_id,
        event,
        agent,
        call,
        source,
        token_id,
        erasure,
        tool_call,
        destination,
        delivery,
        recording,
    }
}

/// A body that the operation takes, about what is `of`'s.
pub(crate) fn body(operation: &str, of: &Belongings) -> String {
    let body = match operation {
        "POST /api/v1/tenants" => json!({ "id": "third", "name": "Third" }),
        "PATCH /api/v1/tenants/{id}" => json!({ "retention_days": 30 }),
        "PUT /api/v1/tenants/{id}/tools" => json!({ "allow": ["bookings_*"] }),
        "PUT /api/v1/tenants/{id}/credentials/{name}" => {
            json!({ "access_token": "value-canary-6" })
        }
        "POST /api/v1/bindings" => json!({
            "tenant": of.id, "provider": "retell", "kind": "phone_number", "external_id": "+1",
        }),
        "POST /api/v1/conversations" => json!({
            "tenant": of.id, "provider": "retell", "external_id": "call_new",
        }),
        "POST /api/v1/sources" => {
            json!({ "name": "third", "provider": "tawk", "secret": "value-canary-7" })
        }
        "POST /api/v1/sources/{name}/tokens/{id}/rotate" => json!({ "grace_seconds": 60 }),
        "POST /api/v1/sources/{name}/tokens" | "POST /api/v1/events/{id}/release" => {
            json!({ "tenant": of.id })
        }
        "POST /api/v1/destinations" => {
            json!({ "kind": "slack", "url": "https://hooks.slack.com/services/value-canary-8" })
        }
        "PATCH /api/v1/destinations/{id}" => json!({ "events": ["call.*"], "name": null }),
        "POST /api/v1/destinations/{id}/rotate" => json!({ "overlap_seconds": 60 }),
        "POST /api/v1/events/replay" => json!({ "provider": "retell", "run": "one" }),
        "POST /api/v1/deliveries/retry"
        | "POST /api/v1/tenants/{id}/keys"
        | "POST /api/v1/events/reattribute"
        | "POST /api/v1/rejections/retry" => json!({}),
        _ => Value::Null,
    };
    if body.is_null() { String::new() } else { body.to_string() }
}
