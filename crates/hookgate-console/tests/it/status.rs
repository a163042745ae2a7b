//! Health, readiness, metrics.

use axum::body::Body;
use axum::http::Request;

use crate::bench::{Answer, Bench, SECRET, full};

async fn anybody(bench: &Bench, path: &str) -> Answer {
    bench.send(Request::get(path).body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn a_running_process_is_healthy() {
    let bench = Bench::new();
    let answer = anybody(&bench, "/healthz").await;
    assert_eq!((answer.status.as_u16(), answer.body), (200, r#"{"status":"ok"}"#.into()));
}

#[tokio::test]
async fn a_store_that_takes_events_is_ready() {
    let bench = Bench::new();
    let answer = anybody(&bench, "/readyz").await;
    assert_eq!(answer.status, 200);
    let body = answer.json();
    assert_eq!(body["status"], "ready");
    assert_eq!(body["store"], "ok");
    assert_eq!(body["time"], "2026-11-22T08:00:00.000Z");
}

#[tokio::test]
async fn a_full_disk_is_not_ready_and_alive() {
    let bench = Bench::new().reopened(full());
    let answer = anybody(&bench, "/readyz").await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.json()["status"], "not ready");
    assert_eq!(answer.json()["store"], "disk full");
    assert_eq!(answer.header("retry-after"), "5");
    assert_eq!(anybody(&bench, "/healthz").await.status, 200);
    assert_eq!(bench.get("/api/v1/events").await.status, 200, "reading goes on");
}

#[tokio::test]
async fn a_closed_store_is_not_ready() {
    let bench = Bench::new();
    bench.store.close();
    let answer = anybody(&bench, "/readyz").await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.json()["store"], "closing");
    assert_eq!(answer.header("retry-after"), "5");
}

#[tokio::test]
async fn metrics_tell_what_the_store_did() {
    let mut bench = Bench::new();
    let received = bench.signed("tawk", "tawk.hmac_sha1", SECRET, b"{}");
    bench.accept(received).await;
    let refused = bench.signed("tawk", "tawk.hmac_sha1", "wrong", b"{}");
    bench.refuse(refused).await;
    let answer = bench.get("/metrics").await;
    assert_eq!(answer.status, 200);
    assert!(answer.header("content-type").starts_with("application/openmetrics-text"));
    let page = String::from_utf8(answer.body.to_vec()).unwrap();
    for line in [
        "# HELP hookgate_journal_records Records committed since the start.",
        "# TYPE hookgate_journal_records counter",
        "hookgate_journal_records_total 1",
        "hookgate_queue_records 0",
        "# UNIT hookgate_queue_bytes bytes",
        "hookgate_rejections_kept 1",
        "hookgate_rejections_dropped_total 0",
        "hookgate_store_healthy 1",
        "hookgate_journal_commit_seconds_count 1",
        "hookgate_journal_commit_seconds_bucket{le=\"+Inf\"} 1",
        "hookgate_journal_batch_records_bucket{le=\"1.0\"} 1",
        "hookgate_journal_batch_records_sum 1.0",
        "# EOF",
    ] {
        assert!(page.lines().any(|it| it == line), "no {line:?} in\n{page}");
    }
    let number = |name: &str| -> f64 {
        let line = page.lines().find_map(|it| it.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in\n{page}")).parse().unwrap()
    };
    assert!(number("hookgate_journal_size_bytes") > 0.0);
    assert!(number("hookgate_disk_free_bytes") <= number("hookgate_disk_size_bytes"));
    assert!((0.0..=1.0).contains(&number("hookgate_disk_used_ratio")));
}
