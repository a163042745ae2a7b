//! What tenants' agents may do.

use axum::http::Method;
use serde_json::{Value, json};

use crate::bench::Bench;

const PATH: &str = "/api/v1/tenants/acme/tools";

async fn put(bench: &Bench, settings: &Value) -> crate::bench::Answer {
    bench.ask(Method::PUT, PATH, &settings.to_string()).await
}

#[tokio::test]
async fn settings_are_put_shown_and_removed() {
    let bench = Bench::new();
    bench.tenant("acme").await;
    let none = json!({ "bookings_list": "caller", "bookings_change": "anyone" });
    assert_eq!(bench.get(PATH).await.json(), none, "what holds without any");
    let settings = json!({
        "allow": ["bookings_*", "crm_lookup"],
        "bookings_list": "anyone",
        "bookings_change": "caller",
        "http": [{
            "name": "crm_lookup",
            "about": "Looks a customer up.",
            "url": "https://crm.example/customers?phone={{arguments.phone}}",
            "method": "GET",
            "headers": { "authorization": "Bearer {{credential.crm}}" },
            "parameters": { "type": "object" },
            "personal": ["phone"],
            "writes": false,
            "repeatable": false,
            "timeout_ms": 2000,
        }],
    });
    let answer = put(&bench, &settings).await;
    assert_eq!((answer.status.as_u16(), answer.body.len()), (204, 0));
    assert_eq!(bench.get(PATH).await.json(), settings);
    assert_eq!(put(&bench, &json!({})).await.status, 204);
    assert_eq!(bench.get(PATH).await.json(), none, "put is in the place of what was there");
    for _ in 0..2 {
        put(&bench, &settings).await;
        assert_eq!(bench.ask(Method::DELETE, PATH, "").await.status, 204);
        assert_eq!(bench.get(PATH).await.json(), none);
    }
}

#[tokio::test]
async fn what_is_wrong_with_settings_is_said_and_nothing_is_kept() {
    let bench = Bench::new();
    bench.tenant("acme").await;
    let tool = |member: &str, value: Value| {
        let mut tool = json!({ "name": "crm", "url": "https://crm.example/" });
        tool[member] = value;
        json!({ "http": [tool] })
    };
    for (settings, said) in [
        (json!({ "alow": [] }), "unknown field `alow`"),
        (json!({ "http": [{ "name": "crm" }] }), "missing field `url`"),
        (json!({ "allow": "canary-a" }), "`allow` (texts)"),
        (json!({ "bookings_list": "canary-b" }), "`caller` or `anyone`"),
        (json!([]), "The body is a JSON object"),
        (tool("name", json!("CRM")), "`CRM` is no name of a tool"),
        (tool("name", json!("bookings_create")), "There is a tool"),
        (tool("url", json!("crm.example")), "URL"),
        (tool("method", json!("BREW")), "`BREW` is no method"),
        (tool("headers", json!({ "host": "x" })), "header"),
        (tool("headers", json!("canary-c")), "The body is a JSON object"),
        (tool("timeout_ms", json!(1)), "ms at most"),
    ] {
        let answer = put(&bench, &settings).await;
        assert_eq!(answer.status, 400, "{settings}");
        let detail = answer.problem(400);
        assert!(detail.contains(said), "{settings}: {detail}");
        assert!(!detail.contains("canary"), "{detail}");
    }
    bench.ask(Method::PUT, PATH, "{").await.problem(400);
    let long = json!({ "allow": ["x".repeat(70_000)] });
    put(&bench, &long).await.problem(413);
    assert!(bench.get(PATH).await.json().get("http").is_none());
    for method in [Method::GET, Method::PUT, Method::DELETE] {
        let body = if method == Method::PUT { "{}" } else { "" };
        bench.ask(method, "/api/v1/tenants/nobody/tools", body).await.problem(404);
    }
}
