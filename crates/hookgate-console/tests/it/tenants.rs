//! Tenants, their keys and their credentials.

use axum::http::Method;
use serde_json::{Value, json};

use crate::bench::{Bench, log};

const TENANTS: &str = "/api/v1/tenants";

#[tokio::test]
async fn a_tenant_is_made_once() {
    let bench = Bench::new();
    let wish = json!({ "id": "acme", "name": "Acme Ltd" }).to_string();
    let made = bench.post(TENANTS, &wish).await;
    assert_eq!(made.status, 201);
    assert_eq!(
        made.json(),
        json!({
            "id": "acme",
            "name": "Acme Ltd",
            "created_at": "2026-11-22T08:00:00.000Z",
            "retention_days": null,
            "quota": { "events_per_second": null, "bytes_per_second": null, "in_flight": null },
            "erasing": false,
        })
    );
    let renamed = json!({ "id": "acme", "name": "Another" }).to_string();
    let again = bench.post(TENANTS, &renamed).await;
    assert_eq!((again.status.as_u16(), again.json()), (200, made.json()));
    assert_eq!(bench.get("/api/v1/tenants/acme").await.json(), made.json());
    bench.get("/api/v1/tenants/nobody").await.problem(404);
}

#[tokio::test]
async fn an_id_is_made_where_none_is_given() {
    let bench = Bench::new();
    let mut ids = Vec::new();
    for _ in 0..2 {
        let made = bench.made(TENANTS, json!({ "name": "same" })).await;
        let id = made["id"].as_str().unwrap().to_owned();
        let letters = id.strip_prefix("t_").unwrap();
        assert_eq!(letters.len(), 10);
        assert!(letters.bytes().all(|it| it.is_ascii_digit() || it.is_ascii_lowercase()), "{id}");
        ids.push(Value::from(id));
    }
    assert_ne!(ids[0], ids[1]);
    ids.reverse();
    assert_eq!(bench.get(TENANTS).await.column("id"), ids, "the newest first");
}

#[tokio::test]
async fn what_cannot_be_a_tenant_is_told_why() {
    let bench = Bench::new();
    let id = "`id` must be a tenant's id: 1 to 64 letters, digits, `.`, `_` and `-`, the first a \
              letter or a digit.";
    let name = "A name is a visible text of 1 to 200 bytes, without control characters.";
    let shape = "The body is a JSON object with `name` (a text), and `id` (a text).";
    for (body, sentence) in [
        (json!({ "id": "a/b", "name": "x" }), id),
        (json!({ "id": "", "name": "x" }), id),
        (json!({ "id": "-a", "name": "x" }), id),
        (json!({ "name": "" }), name),
        (json!({ "name": "a\u{1b}[31m" }), name),
        (json!({ "name": "x".repeat(201) }), name),
        (json!({ "id": "a" }), shape),
        (json!({ "id": 1, "name": "x" }), shape),
        (json!({ "name": "x", "plan": "gold" }), shape),
        (json!([]), shape),
    ] {
        let answer = bench.post(TENANTS, &body.to_string()).await;
        assert_eq!(answer.problem(400), sentence, "{body}");
    }
    for body in ["", "{", r#"{"name":"a","name":"b"}"#] {
        assert_eq!(bench.post(TENANTS, body).await.problem(400), shape);
    }
    assert_eq!(bench.get(TENANTS).await.column("id").len(), 0);
}

#[tokio::test]
async fn only_what_is_named_changes() {
    let bench = Bench::new();
    bench.tenant("acme").await;
    let path = "/api/v1/tenants/acme";
    let change = async |body: Value| bench.ask(Method::PATCH, path, &body.to_string()).await;
    let after = change(json!({ "retention_days": 30, "quota": { "in_flight": 5 } })).await.json();
    assert_eq!(after["retention_days"], 30);
    let quota = json!({ "events_per_second": null, "bytes_per_second": null, "in_flight": 5 });
    assert_eq!(after["quota"], quota);
    let after = change(json!({ "quota": { "events_per_second": 7 } })).await.json();
    assert_eq!((&after["retention_days"], &after["quota"]["in_flight"]), (&30.into(), &5.into()));
    let nothing = change(json!({})).await.json();
    assert_eq!(nothing, after);
    let after =
        change(json!({ "retention_days": null, "quota": { "in_flight": null } })).await.json();
    let quota = json!({ "events_per_second": 7, "bytes_per_second": null, "in_flight": null });
    assert_eq!((&after["retention_days"], &after["quota"]), (&Value::Null, &quota));
    assert_eq!(bench.get(path).await.json(), after);

    for wrong in [
        json!({ "retention_days": 0 }),
        json!({ "retention_days": 36_501 }),
        json!({ "retention_days": -1 }),
        json!({ "quota": { "in_flight": 0 } }),
        json!({ "quota": { "inflight": 1 } }),
        json!({ "quota": null, "name": "x" }),
    ] {
        change(wrong).await.problem(400);
    }
    assert_eq!(bench.get(path).await.json(), after);
    bench.ask(Method::PATCH, "/api/v1/tenants/nobody", "{}").await.problem(404);
}

#[tokio::test]
async fn a_list_of_tenants_has_pages() {
    let bench = Bench::new();
    let ids = ["a", "b", "c", "d", "e"];
    for id in ids {
        bench.made(TENANTS, json!({ "id": id, "name": id })).await;
    }
    let mut seen = Vec::new();
    let mut from = String::new();
    loop {
        let page = bench.get(&format!("{TENANTS}?limit=2{from}")).await;
        seen.extend(page.column("id"));
        let next = page.json()["next_cursor"].clone();
        let Some(cursor) = next.as_str() else { break };
        from = format!("&cursor={cursor}");
    }
    assert_eq!(seen, ["e", "d", "c", "b", "a"]);
    let page = bench.get(&format!("{TENANTS}?limit=2")).await.json();
    let cursor = page["next_cursor"].as_str().unwrap();
    bench.get(&format!("/api/v1/bindings?cursor={cursor}")).await.problem(400);
    bench.get(&format!("{TENANTS}?order=asc")).await.problem(400);
}

#[tokio::test]
async fn a_key_is_shown_once() {
    let bench = Bench::new();
    let key = bench.tenant("acme").await;
    assert_eq!((key.len(), &key[..4]), (47, "hgk_"));
    let made = bench.post("/api/v1/tenants/acme/keys", "").await;
    assert_eq!(made.status, 201);
    let second = made.json();
    assert!(second["key"].as_str().unwrap().ends_with(second["hint"].as_str().unwrap()));
    assert_eq!(second["tenant"], "acme");

    let list = bench.get("/api/v1/tenants/acme/keys").await;
    assert_eq!(list.column("id").len(), 2);
    assert_eq!(list.column("id")[0], second["id"], "the newest first");
    let text = String::from_utf8_lossy(&list.body).into_owned();
    assert!(!text.contains("hgk_"), "{text}");
    let first = bench.get("/api/v1/tenants/acme/keys?limit=1").await;
    let cursor = first.json()["next_cursor"].as_str().unwrap().to_owned();
    let rest = bench.get(&format!("/api/v1/tenants/acme/keys?limit=1&cursor={cursor}")).await;
    assert_eq!((rest.column("id").len(), &rest.json()["next_cursor"]), (1, &Value::Null));
    assert_ne!(rest.column("id"), first.column("id"));
    // The log knows that there are keys, and not which.
    assert!(log().contains("the operator made a key"));
    assert!(!log().contains(&key));
    bench.post("/api/v1/tenants/nobody/keys", "").await.problem(404);
    bench.get("/api/v1/tenants/nobody/keys").await.problem(404);
}

#[tokio::test]
async fn there_are_only_so_many_keys() {
    let bench = Bench::new();
    bench.tenant("acme").await;
    let mut answer = bench.post("/api/v1/tenants/acme/keys", "").await;
    for _ in 2..=hookgate_store::KEYS_PER_TENANT_MAX {
        assert_eq!(answer.status, 201);
        answer = bench.post("/api/v1/tenants/acme/keys", "").await;
    }
    assert_eq!(answer.problem(409), "There may be 32 keys of a tenant.");
    assert_eq!(answer.json()["type"], "urn:hookgate:problem:too-many");
}

#[tokio::test]
async fn a_credential_goes_in_and_never_comes_out() {
    let bench = Bench::new();
    bench.tenant("acme").await;
    bench.tenant("other").await;
    let path = "/api/v1/tenants/acme/credentials/crm";
    let value = json!({ "access_token": "credential-canary-8", "environment": "sandbox" });
    for value in [value, json!("credential-canary-8")] {
        let put = bench.ask(Method::PUT, path, &value.to_string()).await;
        assert_eq!((put.status.as_u16(), put.body.len()), (204, 0));
    }
    let shown = json!({ "name": "crm", "updated_at": "2026-11-22T08:00:00.000Z" });
    assert_eq!(bench.get(path).await.json(), shown);
    let list = bench.get("/api/v1/tenants/acme/credentials").await.json();
    assert_eq!(list, json!({ "data": [shown], "next_cursor": null }));
    let others = bench.get("/api/v1/tenants/other/credentials").await.json();
    assert_eq!(others["data"], json!([]));
    assert!(!log().contains("credential-canary-8"));
    assert!(!bench.files().contains("credential-canary-8"));

    for wrong in ["", "1", "null", "[]", "{", "\"a\" \"b\""] {
        let answer = bench.ask(Method::PUT, path, wrong).await;
        assert_eq!(answer.problem(400), "The body is a JSON object, or a JSON text.");
    }
    for name in ["Square", "-a", "a%20b", &"a".repeat(65)] {
        let path = format!("/api/v1/tenants/acme/credentials/{name}");
        let sentence = bench.ask(Method::PUT, &path, "\"x\"").await.problem(400);
        assert!(sentence.starts_with("A credential's name has"), "{sentence}");
    }
    let large = json!("x".repeat(64 * 1024)).to_string();
    bench.ask(Method::PUT, path, &large).await.problem(413);
    assert_eq!(bench.ask(Method::DELETE, path, "").await.status, 204);
    bench.ask(Method::DELETE, path, "").await.problem(404);
    bench.get(path).await.problem(404);
    bench.ask(Method::PUT, "/api/v1/tenants/nobody/credentials/a", "\"x\"").await.problem(404);
}
