//! The OpenAPI document: it is whole, and it says what the router does.

use std::collections::BTreeSet;

use axum::http::Method;
use serde_json::Value;

use crate::bench::Bench;
use crate::schema;

async fn document(bench: &Bench) -> Value {
    bench.get("/api/v1/openapi.json").await.json()
}

/// Every operation: path, method, and what the document says of it.
fn operations(document: &Value) -> Vec<(&str, Method, &Value)> {
    let items = document["paths"].as_object().unwrap().iter();
    let operations = items.flat_map(|(path, item)| {
        let of_item = item.as_object().unwrap().iter();
        of_item.map(move |(method, it)| (path.as_str(), method.to_uppercase().parse().unwrap(), it))
    });
    operations.collect()
}

/// Calls `visit` with every object inside `value`.
fn objects(value: &Value, visit: &mut impl FnMut(&serde_json::Map<String, Value>)) {
    match value {
        Value::Object(fields) => {
            visit(fields);
            fields.values().for_each(|it| objects(it, visit));
        }
        Value::Array(items) => items.iter().for_each(|it| objects(it, visit)),
        _ => {}
    }
}

#[tokio::test]
async fn it_is_an_openapi_document_in_which_every_reference_leads_somewhere() {
    let document = document(&Bench::new()).await;
    assert_eq!(document["openapi"], "3.1.0");
    for member in ["title", "version", "description"] {
        assert!(document["info"][member].is_string(), "{member}");
    }
    assert_eq!(document["info"]["license"]["identifier"], "Apache-2.0");
    let mut references = 0;
    objects(&document, &mut |fields| {
        if let Some(reference) = fields.get("$ref") {
            schema::resolve(&document, reference.as_str().unwrap());
            references += 1;
        }
    });
    assert!(references > 50, "{references}");
    // What is described is used.
    let text = document.to_string();
    for name in document["components"]["schemas"].as_object().unwrap().keys() {
        assert!(text.contains(&format!("#/components/schemas/{name}\"")), "{name} is not used");
    }
}

#[tokio::test]
async fn every_operation_says_who_may_ask_and_what_it_answers() {
    let document = document(&Bench::new()).await;
    let mut ids = BTreeSet::new();
    for (path, method, operation) in operations(&document) {
        let name = format!("{method} {path}");
        let id = operation["operationId"].as_str().unwrap_or_else(|| panic!("{name} has no id"));
        assert!(ids.insert(id), "{id} stands twice");
        assert!(operation["summary"].as_str().is_some_and(|it| it.ends_with('.')), "{name}");
        assert_eq!(operation["tags"].as_array().unwrap().len(), 1, "{name}");
        let responses = operation["responses"].as_object().unwrap();
        assert!(responses.keys().any(|it| it.starts_with('2')), "{name} has no success");
        assert_eq!(responses["default"]["$ref"], "#/components/responses/Problem", "{name}");
        assert_eq!(responses.contains_key("401"), path.starts_with("/api/"), "{name}");
        for security in operation["security"].as_array().unwrap() {
            for scheme in security.as_object().unwrap().keys() {
                let scheme = &document["components"]["securitySchemes"][scheme];
                assert_eq!(
                    (&scheme["type"], &scheme["scheme"]),
                    (&"http".into(), &"bearer".into())
                );
            }
        }
        let of_path: BTreeSet<&str> =
            path.split('/').filter_map(|it| it.strip_prefix('{')?.strip_suffix('}')).collect();
        let parameters = operation["parameters"].as_array();
        let parameters: Vec<&Value> = parameters.into_iter().flatten().collect();
        let in_path = parameters.iter().filter(|it| it["in"] == "path");
        let in_path: BTreeSet<&str> = in_path.map(|it| it["name"].as_str().unwrap()).collect();
        assert_eq!(in_path, of_path, "{name}");
        let takes_key = parameters.iter().any(|it| it["name"] == "Idempotency-Key");
        assert_eq!(takes_key, method == Method::POST, "{name}");
        let takes_body = operation.get("requestBody").is_some();
        assert!(!takes_body || method != Method::GET && method != Method::DELETE, "{name}");
    }
}

#[tokio::test]
async fn it_lists_the_paths_and_methods_of_the_router_and_no_others() {
    let bench = Bench::new();
    let document = document(&bench).await;
    // The router prints its paths, in quotes.
    let printed = format!("{:?}", bench.router);
    let routed: BTreeSet<&str> = printed
        .split('"')
        .filter(|it| it.starts_with('/') && !it.contains('*'))
        // What answers where no path of the API leads.
        .filter(|it| !["/", "/api", "/api/"].contains(it))
        .collect();
    let listed: BTreeSet<&str> =
        document["paths"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(routed, listed);

    for path in listed {
        let answer = bench.ask(Method::TRACE, path, "").await;
        answer.problem(405);
        let mut allowed: BTreeSet<&str> = answer.header("allow").split(',').collect();
        assert_eq!(allowed.remove("HEAD"), allowed.contains("GET"), "{path}");
        let of_path = operations(&document).into_iter().filter(|it| it.0 == path);
        let methods: Vec<Method> = of_path.map(|it| it.1).collect();
        let methods: BTreeSet<&str> = methods.iter().map(Method::as_str).collect();
        assert_eq!(allowed, methods, "{path}");
    }
}

#[tokio::test]
async fn it_lists_the_parameters_that_a_path_knows() {
    let bench = Bench::new();
    let document = document(&bench).await;
    for (path, method, operation) in operations(&document) {
        if !path.starts_with("/api/") {
            continue;
        }
        let parameters = operation["parameters"].as_array();
        let in_query = parameters.into_iter().flatten().filter(|it| it["in"] == "query");
        let listed: Vec<&str> = in_query.map(|it| it["name"].as_str().unwrap()).collect();
        let answer = bench.ask(method.clone(), &format!("{path}?odd=1"), "").await;
        let expected = if listed.is_empty() {
            "`odd` is unknown: there are no parameters here.".to_owned()
        } else {
            format!("`odd` is unknown; there are: {}.", listed.join(", "))
        };
        assert_eq!(answer.problem(400), expected, "{method} {path}");
    }
}

#[tokio::test]
async fn an_unknown_member_is_refused_wherever_a_body_is_taken() {
    let bench = Bench::new();
    let document = document(&bench).await;
    let mut tried = 0;
    for (path, method, operation) in operations(&document) {
        let Some(schema) = operation.pointer("/requestBody/content/application~1json/schema")
        else {
            continue;
        };
        if path.ends_with("/credentials/{name}") {
            continue; // any object is a credential
        }
        let answer = bench.ask(method.clone(), path, r#"{"odd":1}"#).await;
        let detail = answer.problem(400);
        assert!(detail.starts_with("The body is"), "{method} {path}: {detail}");
        assert!(schema.is_object());
        tried += 1;
    }
    assert_eq!(tried, 18);
}
