//! Nothing that proves a request leaves through an answer or the log.

use axum::http::Method;

use crate::bench::{Bench, SECRET, log, sources};
use crate::world::World;

#[tokio::test]
async fn no_secret_stands_in_any_answer_or_log_line() {
    let mut bench = Bench::new();
    let body = br#"{"message":{"type":"status-update","call":{"id":"c"}},"ApiKey":"account-key-canary-3"}"#;
    for scheme in ["vapi.secret", "vapi.token", "vapi.seed_hex"] {
        let accepted = bench.signed("vapi", scheme, SECRET, body);
        bench.accept(accepted).await;
        let refused = bench.signed("vapi", scheme, "other-secret-canary-4", body);
        bench.refuse(refused).await;
    }
    let bench = bench.restarted(sources("other-secret-canary-4"));

    let mut paths: Vec<String> =
        ["/api/v1/sources", "/api/v1/events", "/metrics", "/readyz"].map(str::to_owned).into();
    for id in bench.get("/api/v1/events").await.column("id") {
        paths.push(format!("/api/v1/events/{}", id.as_str().unwrap()));
    }
    for id in bench.get("/api/v1/rejections").await.column("id") {
        paths.push(format!("/api/v1/rejections/{}", id.as_str().unwrap()));
    }
    let mut answers = Vec::new();
    for path in &paths {
        answers.push(bench.get(path).await);
    }
    answers.push(bench.ask(Method::POST, "/api/v1/rejections/retry", "").await);
    for answer in answers {
        assert_eq!(answer.status, 200);
        let text = format!("{:?} {}", answer.headers, String::from_utf8_lossy(&answer.body));
        assert!(!text.contains("canary"), "{text}");
    }
    let log = log();
    assert!(log.contains("judged refused requests again"), "the log is caught");
    let told = log.lines().find(|it| it.contains("canary"));
    assert_eq!(told, None);
}

#[tokio::test]
async fn what_was_given_or_shown_once_comes_back_from_no_path() {
    let world = World::new().await;
    let document = world.bench.get("/api/v1/openapi.json").await.json();
    let mut asked = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        // The exact bytes are the operator's, whatever is in them.
        if item.get("get").is_none() || path.ends_with("/raw") {
            continue;
        }
        for token in [crate::bench::TOKEN, &world.acme.key] {
            let path = world.path(&format!("GET {path}"), &world.acme);
            let answer = world.bench.get_as(token, &path).await;
            let text = format!("{:?} {}", answer.headers, String::from_utf8_lossy(&answer.body));
            for secret in ["canary", &world.acme.key, &world.other.key] {
                assert!(!text.contains(secret), "{path}: {text}");
            }
        }
        asked += 1;
    }
    assert!(asked > 15, "{asked}");
    let log = log();
    assert!(!log.contains("canary") && !log.contains(&world.acme.key));
}
