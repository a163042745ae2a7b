//! `Idempotency-Key`: a POST that is sent again is not done again.

use axum::body::Body;
use axum::http::{Method, Request};
use serde_json::json;

use crate::bench::{Answer, Bench, TOKEN, WAIT_MAX, log};

const KEYS: &str = "/api/v1/tenants/acme/keys";

async fn post(bench: &Bench, path: &str, key: &str, body: &str) -> Answer {
    with(bench, path, &[key], body).await
}

async fn with(bench: &Bench, path: &str, keys: &[&str], body: &str) -> Answer {
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(path)
        .header("authorization", format!("Bearer {TOKEN}"));
    for key in keys {
        request = request.header("idempotency-key", *key);
    }
    bench.send(request.body(Body::from(body.to_owned())).unwrap()).await
}

#[tokio::test]
async fn the_same_request_again_gets_the_same_answer_and_does_nothing() {
    let bench = Bench::new();
    bench.tenant("acme").await;
    let first = post(&bench, KEYS, "k-1", "{}").await;
    assert_eq!(first.status, 201);
    assert!(!first.headers.contains_key("idempotency-replayed"));
    for _ in 0..2 {
        let again = post(&bench, KEYS, "k-1", "{}").await;
        assert_eq!((again.status, &again.body), (first.status, &first.body));
        assert_eq!(again.header("idempotency-replayed"), "true");
        assert_eq!(again.header("content-type"), "application/json");
    }
    assert_eq!(bench.get(KEYS).await.column("id").len(), 2, "that of the tenant, and one more");
    let other = post(&bench, KEYS, "k-2", "{}").await;
    assert_ne!(other.body, first.body);
}

#[tokio::test]
async fn a_key_is_for_one_request() {
    let bench = Bench::new();
    bench.tenant("acme").await;
    bench.tenant("other").await;
    assert_eq!(post(&bench, KEYS, "k", "{}").await.status, 201);
    for (path, body) in [
        (KEYS, ""),
        (KEYS, "{ }"),
        ("/api/v1/tenants/other/keys", "{}"),
        ("/api/v1/tenants", r#"{"name":"x"}"#),
    ] {
        let answer = post(&bench, path, "k", body).await;
        answer.problem(422);
        assert_eq!(answer.json()["type"], "urn:hookgate:problem:idempotency-conflict");
    }
    assert_eq!(bench.get("/api/v1/tenants").await.column("id").len(), 2);
}

#[tokio::test]
async fn a_request_that_failed_may_be_tried_again_under_its_key() {
    let bench = Bench::new();
    post(&bench, KEYS, "k", "{}").await.problem(404);
    bench.tenant("acme").await;
    assert_eq!(post(&bench, KEYS, "k", "{}").await.status, 201);
}

#[tokio::test]
async fn a_key_that_is_none_is_refused() {
    let bench = Bench::new();
    bench.tenant("acme").await;
    let long = "k".repeat(256);
    for keys in [&[""][..], &["a b"], &[&long], &["a", "b"], &["é"]] {
        let answer = with(&bench, KEYS, keys, "{}").await;
        let wanted =
            "`Idempotency-Key` must be given once, with 1 to 255 visible ASCII characters.";
        assert_eq!(answer.problem(400), wanted);
    }
    assert_eq!(with(&bench, KEYS, &[&long[1..]], "{}").await.status, 201);
    assert_eq!(bench.get(KEYS).await.column("id").len(), 2);
}

#[tokio::test]
async fn the_key_of_a_strangers_request_opens_nothing() {
    let bench = Bench::new();
    let tenants = bench.tenant("acme").await;
    let first = post(&bench, KEYS, "k", "{}").await;
    for token in ["", "wrong", tenants.as_str()] {
        let request = Request::builder()
            .method(Method::POST)
            .uri(KEYS)
            .header("authorization", format!("Bearer {token}"))
            .header("idempotency-key", "k");
        let answer = bench.send(request.body(Body::from("{}")).unwrap()).await;
        answer.problem(if token == tenants { 404 } else { 401 });
        assert_ne!(answer.body, first.body);
    }
}

#[tokio::test]
async fn an_answer_is_kept_sealed() {
    let bench = Bench::new();
    bench.tenant("acme").await;
    let made = post(&bench, KEYS, "k", "{}").await.json();
    let key = made["key"].as_str().unwrap().to_owned();
    let source = json!({ "name": "s", "provider": "tawk", "secret": "posted-canary-9" });
    let made = post(&bench, "/api/v1/sources", "s", &source.to_string()).await.json();
    let token = made["token"].as_str().unwrap().to_owned();
    let replayed = post(&bench, "/api/v1/sources", "s", &source.to_string()).await.json();
    assert_eq!(replayed, made);
    let files = bench.files();
    assert!(files.contains("acme"), "the files were read");
    for secret in [key.as_str(), &key[4..], &token, "posted-canary-9"] {
        assert!(!files.contains(secret), "a secret stands in a file");
        assert!(!log().contains(secret), "a secret stands in the log");
    }
}

#[tokio::test]
async fn while_the_first_is_running_the_second_is_told_so() {
    let bench = Bench::new();
    bench.tenant("acme").await;
    // Each is polled once before any goes on: the first has the key by then.
    let first = post(&bench, KEYS, "k", "{}");
    let second = post(&bench, KEYS, "k", "{}");
    let (first, second) = tokio::join!(first, second);
    assert_eq!(first.status, 201);
    second.problem(409);
    assert_eq!(second.json()["type"], "urn:hookgate:problem:in-progress");
    assert!(second.headers.contains_key("retry-after"));
    assert_eq!(post(&bench, KEYS, "k", "{}").await.body, first.body);
}

#[tokio::test]
async fn the_work_outlives_its_client() {
    let bench = Bench::new();
    bench.tenant("acme").await;
    let is_made = async || bench.get(KEYS).await.column("id").len() == 2;
    let mut request = Some(Box::pin(post(&bench, KEYS, "k", "{}")));
    // The client hangs up as soon as the work is seen, whether or not it has its answer.
    let seen = async {
        while !is_made().await {
            if let Some(running) = &mut request
                && is_done(running).await
            {
                request = None;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(WAIT_MAX, seen).await.expect("a key was waited for");
    drop(request);
    let answered = async {
        loop {
            let answer = post(&bench, KEYS, "k", "{}").await;
            if answer.status != 409 {
                return answer;
            }
            tokio::task::yield_now().await;
        }
    };
    let answer = tokio::time::timeout(WAIT_MAX, answered).await.expect("an answer was waited for");
    assert_eq!(answer.status, 201);
    assert_eq!(answer.header("idempotency-replayed"), "true");
    assert!(is_made().await, "it was done once");
}

/// Polls a future once, and says whether it is done.
async fn is_done<T>(future: &mut (impl Future<Output = T> + Unpin)) -> bool {
    std::future::poll_fn(|context| {
        std::task::Poll::Ready(std::pin::Pin::new(&mut *future).poll(context).is_ready())
    })
    .await
}
