//! MightyCall's `Echo`: what came goes back.

use crate::bench::{Bench, SECRET, request};

const PATH: &str = "/functions/v1/mightycall-webhook";

#[tokio::test]
async fn a_handshake_goes_back_whatever_the_method_and_is_not_kept() {
    let bench = Bench::new().await;
    let longest = "a".repeat(128);
    for method in ["GET", "POST", "PUT", "OPTIONS"] {
        for word in ["abc-123", &longest] {
            let answer = bench.send(request(method, PATH, &[("Echo", word)], b"")).await;
            assert_eq!((answer.status, answer.body.as_str()), (200, word), "{method}");
            assert_eq!(answer.header("echo"), Some(word));
        }
    }
    let bearer = format!("Bearer {SECRET}");
    let headers = [("Echo", "abc"), ("authorization", bearer.as_str())];
    assert_eq!(bench.send(request("POST", PATH, &headers, b"")).await.short(), "200 abc");
    assert!(bench.journal().await.is_empty());
}

#[tokio::test]
async fn what_a_handshake_carries_besides_is_not_lost() {
    let bench = Bench::new().await;
    let answer = bench.send(request("POST", PATH, &[("Echo", "abc")], b"unproven")).await;
    assert_eq!(answer.short(), "200 abc");
    bench.journal_becomes("refused 200 unverified").await;
}

#[tokio::test]
async fn a_proven_event_is_kept_and_carries_the_word_back() {
    let bench = Bench::new().await;
    let bearer = format!("Bearer {SECRET}");
    let headers = [("Echo", "abc"), ("authorization", bearer.as_str())];
    let body = br#"{"event":"call.completed","org_id":"o1"}"#;
    let answer = bench.send(request("POST", PATH, &headers, body)).await;
    assert_eq!(answer.status, 200);
    assert!(answer.body.contains("Call recorded"), "{}", answer.body);
    assert_eq!(answer.header("echo"), Some("abc"));
    assert_eq!(bench.journal().await, "accepted call.completed");
}

#[tokio::test]
async fn what_is_no_word_is_no_handshake() {
    let bench = Bench::new().await;
    let too_long = "a".repeat(129);
    for word in ["", " ", "a b", "<script>", "a\"", &too_long] {
        let answer = bench.send(request("GET", PATH, &[("Echo", word)], b"")).await;
        assert_eq!(answer.status, 405, "{word:?}");
        let answer = bench.send(request("POST", PATH, &[("Echo", word)], b"{}")).await;
        assert_eq!(answer.status, 401, "{word:?}");
        assert_eq!(answer.header("echo"), None);
    }
    let twice = [("echo", "a"), ("echo", "b")];
    assert_eq!(bench.send(request("POST", PATH, &twice, b"{}")).await.status, 401);
}

#[tokio::test]
async fn other_providers_have_no_handshake() {
    let bench = Bench::new().await;
    let answer = bench.send(request("GET", "/webhook/retell", &[("Echo", "abc")], b"")).await;
    assert_eq!((answer.status, answer.header("echo")), (405, None));
}
