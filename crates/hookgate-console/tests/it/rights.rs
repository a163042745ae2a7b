//! Who may do what: every operation of the OpenAPI document, tried by everybody.

use axum::body::Body;
use axum::http::{Method, Request};
use serde_json::Value;

use crate::bench::{Answer, Bench, TOKEN};
use crate::schema;
use crate::world::{Belongings, World, body};

/// An operation of the document.
struct Operation {
    /// As in `GET /api/v1/events`.
    name: String,
    method: Method,
    template: String,
    /// The tokens that open it: `operator`, `tenant`.
    opened_by: Vec<String>,
    responses: Value,
}

impl Operation {
    fn is_for(&self, who: &str) -> bool {
        self.opened_by.iter().any(|it| it == who)
    }

    /// Whether it is about one thing, which is somebody's.
    fn names_something(&self) -> bool {
        self.template.contains('{')
    }
}

async fn document(bench: &Bench) -> Value {
    let answer = bench.get("/api/v1/openapi.json").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), "application/json");
    answer.json()
}

fn operations(document: &Value) -> Vec<Operation> {
    let mut all = Vec::new();
    for (template, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let method: Method = method.to_uppercase().parse().unwrap();
            let schemes = operation["security"].as_array().unwrap().iter();
            let schemes = schemes.flat_map(|it| it.as_object().unwrap().keys().cloned());
            all.push(Operation {
                name: format!("{method} {template}"),
                method,
                template: template.clone(),
                opened_by: schemes.collect(),
                responses: operation["responses"].clone(),
            });
        }
    }
    assert!(all.len() > 30, "the document is whole");
    all
}

/// Asks with a token, or with none.
async fn ask(world: &World, operation: &Operation, of: &Belongings, token: Option<&str>) -> Answer {
    let mut request =
        Request::builder().method(operation.method.clone()).uri(world.path(&operation.name, of));
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let wish = body(&operation.name, of);
    world.bench.send(request.body(Body::from(wish)).unwrap()).await
}

/// That the document says of this answer what it is.
#[track_caller]
fn is_documented(document: &Value, operation: &Operation, answer: &Answer) {
    let status = answer.status.as_str();
    let found = operation.responses.get(status).or_else(|| operation.responses.get("default"));
    let mut response = found.unwrap_or_else(|| panic!("{}: no {status}", operation.name));
    if let Some(reference) = response.get("$ref") {
        response = schema::resolve(document, reference.as_str().unwrap());
    }
    let Some(content) = response.get("content") else {
        assert_eq!(answer.body.len(), 0, "{}: {answer:?}", operation.name);
        return;
    };
    let media_type = answer.header("content-type").split(';').next().unwrap().to_owned();
    let schema = &content[&media_type]["schema"];
    assert!(schema.is_object(), "{}: {media_type} is not in {content}", operation.name);
    if media_type.ends_with("json") {
        let faults = schema::faults(document, schema, &answer.json());
        assert!(faults.is_empty(), "{} {status}: {faults:#?}", operation.name);
    }
}

#[tokio::test]
async fn without_a_token_nothing_is_said_and_nothing_done() {
    let world = World::new().await;
    let document = document(&world.bench).await;
    for operation in operations(&document) {
        for token in [None, Some(""), Some("hgk_nobody"), Some("hgk_")] {
            let answer = ask(&world, &operation, &world.acme, token).await;
            if operation.opened_by.is_empty() && operation.template != "/metrics" {
                assert_eq!(answer.status, 200, "{}", operation.name);
            } else {
                answer.problem(401);
                assert_eq!(answer.header("www-authenticate"), "Bearer");
                is_documented(&document, &operation, &answer);
            }
        }
    }
    // Nothing was done: what would be gone is there.
    let tenant = world.bench.get("/api/v1/tenants/acme").await.json();
    assert_eq!((&tenant["erasing"], &tenant["retention_days"]), (&false.into(), &Value::Null));
}

#[tokio::test]
async fn a_tenants_key_finds_nothing_of_anybody_elses() {
    let world = World::new().await;
    let document = document(&world.bench).await;
    for operation in operations(&document) {
        let answer = ask(&world, &operation, &world.other, Some(&world.acme.key)).await;
        if operation.is_for("operator") && !operation.is_for("tenant") {
            // The operator's alone: there is nothing here, whoever's it is.
            answer.problem(404);
            let own = ask(&world, &operation, &world.acme, Some(&world.acme.key)).await;
            assert_eq!(own.body, answer.body, "{}", operation.name);
            own.problem(404);
        } else if operation.names_something() {
            answer.problem(404);
            is_documented(&document, &operation, &answer);
        } else if operation.template == "/metrics" {
            answer.problem(404);
        } else {
            // Lists show its own alone, and what it changes is its own: nothing of the other's
            // stands anywhere in them.
            assert!(answer.status.is_success(), "{}: {answer:?}", operation.name);
            let text = String::from_utf8_lossy(&answer.body).into_owned();
            let other = &world.other;
            let other = [
                &other.event,
                &other.agent,
                &other.call,
                &other.source,
                &other.token_id,
                &other.tool_call,
                &other.destination,
                &other.delivery,
            ];
            assert!(
                !other.iter().any(|it| text.contains(it.as_str())),
                "{}: {text}",
                operation.name
            );
        }
    }
    let other = world.bench.get("/api/v1/tenants/other").await.json();
    assert_eq!((&other["erasing"], &other["retention_days"]), (&false.into(), &Value::Null));
    for (path, count) in [("tenants", 2), ("sources", 7), ("bindings", 2), ("erasures", 2)] {
        let list = world.bench.get(&format!("/api/v1/{path}")).await;
        assert_eq!(list.json()["data"].as_array().unwrap().len(), count, "{path}");
    }
}

#[tokio::test]
async fn a_tenants_key_does_what_it_may_with_what_is_its_own() {
    let unchanged = World::new().await;
    let document = document(&unchanged.bench).await;
    let (mut read, mut changed) = (0, 0);
    for operation in operations(&document).iter().filter(|it| it.is_for("tenant")) {
        let fresh;
        let world = if operation.method == Method::GET {
            read += 1;
            &unchanged
        } else {
            changed += 1;
            fresh = World::new().await;
            &fresh
        };
        let is_about_deliveries = ["destinations", "deliveries", "replay"];
        let may_change = is_about_deliveries.iter().any(|it| operation.template.contains(it));
        assert!(operation.method == Method::GET || may_change, "{}", operation.name);
        let answer = ask(world, operation, &world.acme, Some(&world.acme.key)).await;
        assert!(answer.status.is_success(), "{}: {answer:?}", operation.name);
        is_documented(&document, operation, &answer);
        if let Some(list) = answer.json_list() {
            assert!(!list.is_empty(), "{} has something of its own", operation.name);
        }
    }
    assert_eq!((read, changed), (18, 11));
}

#[tokio::test]
async fn the_operator_may_do_everything_and_is_told_what_the_document_says() {
    // Who reads leaves things as they are: one world is enough for that.
    let unchanged = World::new().await;
    let document = document(&unchanged.bench).await;
    for operation in operations(&document) {
        let fresh;
        let world = if operation.method == Method::GET {
            &unchanged
        } else {
            fresh = World::new().await;
            &fresh
        };
        let of = &world.acme;
        let answer = match operation.name.as_str() {
            "POST /api/v1/events/{id}/release" => {
                let path = format!("/api/v1/events/{}/release", world.contradiction);
                world.bench.post(&path, &body(&operation.name, of)).await
            }
            _ => ask(world, &operation, of, Some(TOKEN)).await,
        };
        assert!(answer.status.is_success(), "{}: {answer:?}", operation.name);
        let documented = operation.responses.get(answer.status.as_str());
        assert!(documented.is_some(), "{}: {} is not documented", operation.name, answer.status);
        is_documented(&document, &operation, &answer);

        // The same about what is not there, and with a parameter that is not.
        let uri = world.path(&operation.name, of);
        let sign = if uri.contains('?') { '&' } else { '?' };
        let wish = body(&operation.name, of);
        let method = operation.method.clone();
        if operation.template.starts_with("/api/") {
            let odd = world.bench.ask(method, &format!("{uri}{sign}odd=1"), &wish).await;
            assert!(odd.problem(400).starts_with("`odd` is unknown"), "{}", operation.name);
            is_documented(&document, &operation, &odd);
        }
    }
}

#[tokio::test]
async fn a_removed_key_opens_nothing() {
    let world = World::new().await;
    let acme = &world.acme;
    assert_eq!(world.bench.get_as(&acme.key, "/api/v1/events").await.status, 200);
    let path = format!("/api/v1/tenants/acme/keys/{}", acme.key_id);
    world
        .bench
        .ask(Method::DELETE, &format!("/api/v1/tenants/other/keys/{}", acme.key_id), "")
        .await
        .problem(404);
    assert_eq!(world.bench.ask(Method::DELETE, &path, "").await.status, 204);
    world.bench.get_as(&acme.key, "/api/v1/events").await.problem(401);
    world.bench.ask(Method::DELETE, &path, "").await.problem(404);
    assert_eq!(world.bench.get_as(&world.other.key, "/api/v1/events").await.status, 200);
}

#[tokio::test]
async fn the_keys_of_an_erased_tenant_open_nothing() {
    let world = World::new().await;
    assert_eq!(world.bench.ask(Method::DELETE, "/api/v1/tenants/acme", "").await.status, 202);
    world.bench.get_as(&world.acme.key, "/api/v1/events").await.problem(401);
}
