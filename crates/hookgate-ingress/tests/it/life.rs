//! What an event outlives: its sender's patience, a panic, the server's end.

use std::time::Duration;

use crate::bench::{Bench, CALL_ENDED, genuine, head, request, retell_event, within};
use tokio::io::AsyncWriteExt as _;

#[tokio::test]
async fn a_sender_that_hangs_up_behind_its_body_has_its_event_stored() {
    for number in 0..20 {
        let bench = Bench::new().await;
        let mut line = bench.connect().await;
        line.write(&genuine()).await;
        if number % 2 == 0 {
            line.stream.shutdown().await.unwrap();
        }
        drop(line);
        bench.journal_becomes("accepted call_ended").await;
    }
}

#[tokio::test]
async fn a_sender_that_closes_its_side_still_gets_its_answer() {
    let bench = Bench::new().await;
    let mut line = bench.connect().await;
    line.write(&genuine()).await;
    line.stream.shutdown().await.unwrap();
    assert_eq!(line.answer().await.short(), r#"200 {"status":"ok"}"#);
    assert_eq!(line.ended().await, "");
}

#[tokio::test]
async fn a_stopping_server_answers_what_it_accepted() {
    let mut bench = Bench::new().await;
    let (signature, body) = retell_event(CALL_ENDED);
    let mut idle = bench.connect().await;
    idle.write(&genuine()).await;
    assert_eq!(idle.answer().await.status, 200);
    let mut line = bench.connect().await;
    let length = body.len().to_string();
    let asks = [("content-length", length.as_str()), ("expect", "100-continue")];
    let headers = [("x-retell-signature", signature.as_str())];
    line.write(&head("POST", "/webhook/retell", &headers, &asks)).await;
    assert_eq!(line.answer().await.status, 100);

    let server = bench.stop();
    assert_eq!(idle.ended().await, "");
    line.write(&body).await;
    let answer = line.answer().await;
    assert_eq!(answer.short(), r#"200 {"status":"ok"}"#);
    assert_eq!(answer.header("connection"), Some("close"));
    assert!(within("the server's end", server).await.unwrap().complete);
    assert!(tokio::net::TcpStream::connect(bench.address).await.is_err());
}

#[tokio::test]
async fn a_stopping_server_does_not_wait_for_ever() {
    let mut bench = Bench::limited(|limits| limits.shutdown = Duration::from_millis(50)).await;
    let mut line = bench.connect().await;
    let asks = [("content-length", "2"), ("expect", "100-continue")];
    line.write(&head("POST", "/webhook/retell", &[], &asks)).await;
    assert_eq!(line.answer().await.status, 100);
    let server = bench.stop();
    assert!(!within("the server's end", server).await.unwrap().complete);
    assert_eq!(line.ended().await, "");
}

#[tokio::test]
async fn a_panic_ends_one_request_and_nothing_else() {
    let bench = Bench::set(|settings| settings.clock = || panic!("as asked")).await;
    let mut line = bench.connect().await;
    line.write(&genuine()).await;
    let answer = line.answer().await;
    assert_eq!(answer.short(), r#"500 {"error":"Internal error"}"#);
    assert!(answer.header("x-correlation-id").is_some());
    let answer = bench.send(request("GET", "/panic", &[], b"")).await;
    assert_eq!(answer.short(), r#"500 {"error":"Internal error"}"#);
    assert_eq!(bench.send(request("GET", "/healthz", &[], b"")).await.status, 200);
    assert!(bench.metrics().contains("hookgate_ingress_panics_total 2"));
}

#[tokio::test]
async fn what_becomes_of_requests_is_counted() {
    let bench = Bench::new().await;
    bench.send(genuine()).await;
    bench.send(request("POST", "/webhook/retell", &[], b"{}")).await;
    bench.send(request("POST", "/in/nobody", &[], b"{}")).await;
    let metrics = bench.metrics();
    for line in [
        r#"hookgate_ingress_requests_total{source="retell",outcome="accepted"} 1"#,
        r#"hookgate_ingress_requests_total{source="retell",outcome="refused"} 1"#,
        r#"hookgate_ingress_answers_total{status="200"} 1"#,
        r#"hookgate_ingress_answers_total{status="404"} 1"#,
        r#"hookgate_ingress_acknowledgement_seconds_count{source="retell"} 1"#,
        r#"hookgate_ingress_in_flight{source="retell"} 0"#,
        "hookgate_ingress_unknown_sources_total 1",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
}
