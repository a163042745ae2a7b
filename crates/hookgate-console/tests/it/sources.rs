//! Sources and their URL tokens.

use axum::http::Method;
use hookgate_core::time::Timestamp;
use serde_json::{Value, json};

use crate::bench::{Bench, NOW, log};

const SOURCES: &str = "/api/v1/sources";

#[tokio::test]
async fn sources_are_shown_without_what_proves_their_requests() {
    let bench = Bench::new();
    let answer = bench.get(SOURCES).await;
    let names = answer.column("name");
    assert_eq!(names, ["elevenlabs", "retell", "vapi", "mightycall", "tawk"]);
    let tawk = &answer.json()["data"][4];
    assert_eq!(
        *tawk,
        json!({
            "name": "tawk",
            "provider": "tawk",
            "paths": ["/in/tawk", "/tawk-webhook"],
            "urls": ["https://hooks.example/in/tawk", "https://hooks.example/tawk-webhook"],
            "verification": "enforce",
            "schemes": ["tawk.hmac_sha1"],
            "secrets": 1,
            "account_keys": 1,
            "body_bytes_max": 1_048_576,
            "large_body_bytes_max": 1_048_576,
            "ownership": "auto",
            "adopt": true,
            "tenant": null,
            "configured": true,
            "tokens": 0,
            "placeholder": false,
            "policy": {
                "takes": "first",
                "schemes": [{
                    "name": "tawk.hmac_sha1",
                    "proof": "mac",
                    "header": "x-tawk-signature",
                    "digest": "hmac_sha1",
                    "timestamp": null,
                    "age_max_seconds": null,
                }],
            },
            "assistant_match": "same_tenant",
            "trust_body_org": true,
            "flat_agent_id": true,
        })
    );
    bench.get("/api/v1/sources?x=1").await.problem(400);
    let page = bench.get("/api/v1/sources?limit=3").await;
    let cursor = page.json()["next_cursor"].as_str().unwrap().to_owned();
    let rest = bench.get(&format!("/api/v1/sources?limit=3&cursor={cursor}")).await;
    assert_eq!(rest.column("name"), ["mightycall", "tawk"]);
    assert_eq!(rest.json()["next_cursor"], Value::Null);
}

#[tokio::test]
async fn a_source_is_made_and_in_force_when_it_is_answered() {
    let bench = Bench::new();
    bench.tenant("acme").await;
    let wish = json!({
        "name": "acme-retell", "provider": "retell", "tenant": "acme", "adopt": false,
        "secret": "one-canary-10 two-canary-10", "ownership": "enforce",
    });
    let answer = bench.post(SOURCES, &wish.to_string()).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let made = answer.json();
    assert!(bench.sources.get().named("acme-retell").is_some(), "it is in force");
    let token = made["token"].as_str().unwrap();
    assert_eq!(token.len(), 43);
    assert_eq!(made["url"], format!("https://hooks.example/in/acme-retell/{token}"));
    assert_eq!((&made["tenant"], &made["adopt"]), (&"acme".into(), &false.into()));
    assert_eq!((&made["configured"], &made["tokens"]), (&false.into(), &1.into()));
    let found = bench.store.registry().token("acme-retell", token.as_bytes(), now());
    assert_eq!(found.unwrap().tenant.as_ref().unwrap().as_str(), "acme");

    let again = bench.post(SOURCES, &wish.to_string()).await;
    again.problem(409);
    let list = bench.get(SOURCES).await;
    assert_eq!(list.column("name").len(), 6);
    let text = String::from_utf8_lossy(&list.body).into_owned();
    for secret in [token, "canary-10"] {
        assert!(
            !text.contains(secret) && !log().contains(secret) && !bench.files().contains(secret)
        );
    }

    assert_eq!(bench.ask(Method::DELETE, "/api/v1/sources/acme-retell", "").await.status, 204);
    assert!(bench.sources.get().named("acme-retell").is_none(), "it is not in force");
    assert!(bench.store.registry().token("acme-retell", token.as_bytes(), now()).is_none());
    bench.ask(Method::DELETE, "/api/v1/sources/acme-retell", "").await.problem(404);
}

#[tokio::test]
async fn what_cannot_be_a_source_is_told_why() {
    let bench = Bench::new();
    for (wish, status, sentence) in [
        (
            json!({ "name": "retell", "provider": "retell" }),
            409,
            "The configuration of the gateway has this source: change it there.",
        ),
        (json!({ "name": "a", "provider": "x" }), 400, "There is no such provider."),
        (
            json!({ "name": "a", "provider": "tawk", "schemes": [] }),
            400,
            "The default schemes will do for a test.",
        ),
        (
            json!({ "name": "A", "provider": "tawk" }),
            400,
            "A source's name has 1 to 64 lower-case letters, digits, `-` and `_`.",
        ),
        (
            json!({ "name": "a", "provider": "tawk", "tenant": "nobody" }),
            404,
            "There is no tenant with this id.",
        ),
    ] {
        let answer = bench.post(SOURCES, &wish.to_string()).await;
        assert_eq!(answer.problem(status), sentence, "{wish}");
    }
    // What is wrong in a body is not repeated: it may be the secret.
    let wrong = json!({ "name": "a", "provider": "tawk", "secret": ["canary-11"] });
    let sentence = bench.post(SOURCES, &wrong.to_string()).await.problem(400);
    assert!(sentence.starts_with("The body is a JSON object") && !sentence.contains("canary"));
    assert_eq!(bench.get(SOURCES).await.column("name").len(), 5);
    let reserved = bench.ask(Method::DELETE, "/api/v1/sources/retell", "").await;
    reserved.problem(409);
    assert_eq!(reserved.json()["type"], "urn:hookgate:problem:reserved");
    bench.ask(Method::DELETE, "/api/v1/sources/nobody", "").await.problem(404);
}

#[tokio::test]
async fn a_token_works_at_once_and_not_when_it_is_removed() {
    let bench = Bench::new();
    bench.tenant("acme").await;
    let tokens = "/api/v1/sources/tawk/tokens";
    let works = |token: &Value| {
        let token = token.as_str().unwrap();
        bench.store.registry().token("tawk", token.as_bytes(), now()).is_some()
    };
    let plain = bench.post(tokens, "").await;
    assert_eq!(plain.status, 201);
    let plain = plain.json();
    assert_eq!((&plain["tenant"], &plain["expires_at"]), (&Value::Null, &Value::Null));
    let of_tenant = bench.made(tokens, json!({ "tenant": "acme" })).await;
    assert_eq!((&of_tenant["tenant"], &of_tenant["source"]), (&"acme".into(), &"tawk".into()));
    assert!(works(&plain["token"]) && works(&of_tenant["token"]));
    let list = bench.get(tokens).await;
    assert_eq!(list.column("id"), [of_tenant["id"].clone(), plain["id"].clone()]);
    assert_eq!(list.column("token"), [Value::Null, Value::Null], "it is shown once");
    assert!(!String::from_utf8_lossy(&list.body).contains(plain["token"].as_str().unwrap()));

    let path = format!("{tokens}/{}", plain["id"].as_str().unwrap());
    // By the name of another source it is not found.
    let astray = path.replace("/tawk/", "/retell/");
    bench.ask(Method::DELETE, &astray, "").await.problem(404);
    bench.post(&format!("{astray}/rotate"), "").await.problem(404);
    assert_eq!(bench.ask(Method::DELETE, &path, "").await.status, 204);
    assert!(!works(&plain["token"]) && works(&of_tenant["token"]));
    bench.ask(Method::DELETE, &path, "").await.problem(404);
    bench.post("/api/v1/sources/nobody/tokens", "").await.problem(404);
    bench.post(tokens, r#"{"tenant":"nobody"}"#).await.problem(404);
}

#[tokio::test]
async fn a_rotated_token_works_until_its_grace_is_over() {
    let bench = Bench::new();
    let tokens = "/api/v1/sources/tawk/tokens";
    let works = |token: &Value, seconds: i64| {
        let at = Timestamp::from_millis(NOW + seconds * 1000);
        let token = token.as_str().unwrap();
        bench.store.registry().token("tawk", token.as_bytes(), at).is_some()
    };
    let old = bench.made(tokens, json!({})).await;
    let rotate = format!("{tokens}/{}/rotate", old["id"].as_str().unwrap());
    for wrong in [json!({ "grace_seconds": 2_592_001 }), json!({ "grace_seconds": -1 })] {
        bench.post(&rotate, &wrong.to_string()).await.problem(400);
    }
    let new = bench.post(&rotate, "").await;
    assert_eq!(new.status, 201, "{new:?}");
    let new = new.json();
    assert_ne!(new["token"], old["token"]);
    assert!(works(&old["token"], 0) && works(&new["token"], 0));
    assert!(works(&old["token"], 86_399) && !works(&old["token"], 86_401));
    assert!(works(&new["token"], 86_401));
    let list = bench.get(tokens).await;
    assert_eq!(list.column("expires_at"), [Value::Null, "2026-11-23T08:00:00.000Z".into()]);

    let rotate = format!("{tokens}/{}/rotate", new["id"].as_str().unwrap());
    let newest = bench.made(&rotate, json!({ "grace_seconds": 0 })).await;
    assert!(!works(&new["token"], 0) && works(&newest["token"], 0));
}

fn now() -> Timestamp {
    Timestamp::from_millis(NOW)
}
