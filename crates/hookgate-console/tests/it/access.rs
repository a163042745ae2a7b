//! Who may ask what, and what everybody is told.

use std::net::IpAddr;

use axum::body::Body;
use axum::http::{Method, Request};
use hookgate_console::Caller;

use crate::bench::{Answer, Bench, TOKEN};

const PATHS: [&str; 8] = [
    "/api",
    "/api/v1/events",
    "/api/v1/events/evt_00000000000000000000000000000000",
    "/api/v1/events/evt_00000000000000000000000000000000/raw",
    "/api/v1/rejections",
    "/api/v1/rejections/retry",
    "/api/v1/sources",
    "/api/v1/nothing",
];

async fn with(bench: &Bench, path: &str, authorization: &[&str]) -> Answer {
    let mut request = Request::builder().uri(path);
    for value in authorization {
        request = request.header("authorization", *value);
    }
    bench.send(request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn without_the_operators_token_every_path_of_the_api_says_the_same() {
    let bench = Bench::new();
    let longer = format!("Bearer {TOKEN}x");
    let shorter = format!("Bearer {}", &TOKEN[1..]);
    let basic = format!("Basic {TOKEN}");
    let right = format!("Bearer {TOKEN}");
    let wrong: [&[&str]; 8] =
        [&[], &[""], &["Bearer "], &[TOKEN], &[&longer], &[&shorter], &[&basic], &[&right, &right]];
    let mut bodies = Vec::new();
    for path in PATHS {
        for authorization in wrong {
            let answer = with(&bench, path, authorization).await;
            answer.problem(401);
            assert_eq!(answer.header("www-authenticate"), "Bearer");
            bodies.push(answer.body);
        }
    }
    assert!(bodies.iter().all(|it| *it == bodies[0]), "one sentence for every cause");
}

#[tokio::test]
async fn the_operators_token_opens_the_api() {
    let bench = Bench::new();
    assert_eq!(with(&bench, "/api/v1/events", &[&format!("Bearer {TOKEN}")]).await.status, 200);
    assert_eq!(with(&bench, "/api/v1/events", &[&format!("bearer {TOKEN}")]).await.status, 200);
}

#[tokio::test]
async fn unknown_paths_are_not_found() {
    let bench = Bench::new();
    for path in ["/api", "/api/v1", "/api/v1/nothing", "/api/v2/events", "/api/v1/events/"] {
        bench.get(path).await.problem(404);
    }
    for path in ["/", "/in/nobody", "/healthz/", "/%61pi/v1/events", "//api/v1/events", "/apis"] {
        let answer = with(&bench, path, &[]).await;
        assert_eq!(answer.status, 404, "{path}");
        assert_eq!(answer.body, r#"{"error":"Not found"}"#);
        assert_eq!(answer.header("content-type"), "application/json");
    }
}

#[tokio::test]
async fn a_wrong_method_is_told_the_right_ones() {
    let bench = Bench::new();
    for (method, path, allow) in [
        (Method::POST, "/api/v1/events", "GET,HEAD"),
        (Method::DELETE, "/api/v1/events/evt_00000000000000000000000000000000", "GET,HEAD"),
        (Method::GET, "/api/v1/rejections/retry", "POST"),
        (Method::POST, "/healthz", "GET,HEAD"),
        (Method::OPTIONS, "/api/v1/events", "GET,HEAD"),
    ] {
        let answer = bench.ask(method, path, "").await;
        answer.problem(405);
        assert_eq!(answer.header("allow"), allow, "{path}");
    }
}

#[tokio::test]
async fn every_answer_is_sealed_and_has_an_id() {
    let mut bench = Bench::new();
    bench.caller = Some(Caller { addr: IpAddr::from([127, 0, 0, 1]) });
    for path in ["/healthz", "/readyz", "/metrics", "/api/v1/events", "/nothing"] {
        let answer = with(&bench, path, &[]).await;
        assert_eq!(answer.header("cache-control"), "no-store", "{path}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(answer.header("referrer-policy"), "no-referrer");
        assert_eq!(answer.header("x-correlation-id").len(), 32);
        assert!(!answer.headers.keys().any(|it| it.as_str().starts_with("access-control")));
    }
}

#[tokio::test]
async fn a_callers_own_id_is_kept_if_it_is_proper() {
    let bench = Bench::new();
    let long = "x".repeat(65);
    for (given, kept) in
        [("Trace_1.a-b", true), (&long[1..], true), (&long, false), ("a b", false), ("", false)]
    {
        let request = Request::builder().uri("/healthz").header("x-correlation-id", given);
        let answer = bench.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(answer.header("x-correlation-id") == given, kept, "{given:?}");
    }
}

#[tokio::test]
async fn metrics_are_for_this_machine_and_the_operator() {
    let mut bench = Bench::new();
    let caller = |addr: &str| Some(Caller { addr: addr.parse().unwrap() });
    for (addr, status) in [
        (None, 401),
        (caller("203.0.113.7"), 401),
        (caller("10.0.0.1"), 401),
        (caller("127.0.0.1"), 200),
        (caller("::1"), 200),
        (caller("::ffff:127.0.0.1"), 200),
    ] {
        bench.caller = addr;
        assert_eq!(with(&bench, "/metrics", &[]).await.status, status, "{addr:?}");
    }
    bench.caller = None;
    assert_eq!(bench.get("/metrics").await.status, 200);

    // A proxy on this machine passes strangers on.
    bench.caller = caller("127.0.0.1");
    for header in ["x-forwarded-for", "forwarded", "via", "x-real-ip"] {
        let request = Request::builder().uri("/metrics").header(header, "203.0.113.7");
        assert_eq!(bench.send(request.body(Body::empty()).unwrap()).await.status, 401, "{header}");
    }
}

#[tokio::test]
async fn a_body_over_64_kib_is_not_read() {
    let bench = Bench::new();
    let body = "x".repeat(64 * 1024 + 1);
    bench.post("/api/v1/rejections/retry", &body).await.problem(413);
}
