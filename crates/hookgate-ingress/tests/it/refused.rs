//! What does not prove its origin, or cannot be read, and what its sender is told.

use crate::bench::{
    Bench, CALL_ENDED, NOW_MILLIS, SECRET, Setup, body_signature, elevenlabs_signature, only,
    request, retell_event, retell_signature, source, tawk_signature,
};
use hookgate_core::providers::retell;
use hookgate_core::source::Verification;

#[tokio::test]
async fn every_cause_gets_the_same_answer() {
    let body = CALL_ENDED.as_bytes();
    let signature = |key: &str, millis| retell_signature(key, body, millis);
    let other_body = retell_signature(SECRET, b"{}", NOW_MILLIS);
    let causes = [
        None,
        Some(String::new()),
        Some("nonsense".to_owned()),
        Some(signature("another", NOW_MILLIS)),
        Some(signature(SECRET, NOW_MILLIS - 301_000)),
        Some(signature(SECRET, NOW_MILLIS + 301_000)),
        Some(body_signature(SECRET, body)),
        Some(other_body),
    ];
    for cause in causes {
        let bench = Bench::new().await;
        let headers: Vec<(&str, &str)> =
            cause.iter().map(|it| ("x-retell-signature", it.as_str())).collect();
        let told = bench.post("/webhook/retell", &headers, body).await;
        let (answer, journal) = told.split_once(" | ").unwrap();
        assert_eq!(answer, r#"401 {"error":"Invalid signature"}"#);
        assert!(journal.starts_with("refused 401 "), "{told}");
    }
}

#[tokio::test]
async fn each_provider_is_refused_in_its_own_words() {
    let bench = Bench::new().await;
    let body = br#"{"event":"chat:start"}"#;
    let rows = [
        ("/webhook/post_conversation", r#"401 {"error":"Unauthorized"}"#),
        ("/functions/v1/mightycall-webhook", r#"401 {"error":"Unauthorized"}"#),
        ("/webhook/vapi", r#"401 {"error":"Unauthorized"}"#),
        ("/webhook/retell", r#"401 {"error":"Invalid signature"}"#),
        ("/api/bookings/cancel", r#"401 {"error":"Invalid signature"}"#),
        ("/tawk-webhook", r#"403 {"error":"Forbidden"}"#),
    ];
    for (path, expected) in rows {
        assert_eq!(bench.send(request("POST", path, &[], body)).await.short(), expected, "{path}");
    }
    let wrong = elevenlabs_signature("another", body, NOW_MILLIS / 1000);
    let headers = [("elevenlabs-signature", wrong.as_str())];
    let answer = bench.send(request("POST", "/in/elevenlabs", &headers, body)).await;
    assert_eq!(answer.short(), r#"401 {"error":"Unauthorized"}"#);
    let wrong = tawk_signature("another", body);
    let headers = [("x-tawk-signature", wrong.as_str())];
    let answer = bench.send(request("POST", "/in/tawk", &headers, body)).await;
    assert_eq!(answer.short(), r#"403 {"error":"Forbidden"}"#);
    assert!(bench.events().await.is_empty());
}

#[tokio::test]
async fn a_signature_that_is_there_twice_proves_nothing() {
    let bench = Bench::new().await;
    let (signature, body) = retell_event(CALL_ENDED);
    let twice = [("x-retell-signature", signature.as_str()), ("X-Retell-Signature", &signature)];
    assert_eq!(
        bench.post("/webhook/retell", &twice, &body).await,
        r#"401 {"error":"Invalid signature"} | refused 401 mismatch"#
    );
}

#[tokio::test]
async fn an_enforcing_source_without_a_secret_proves_nothing() {
    let mut bare = source(&retell::PROVIDER, Verification::Open);
    bare.verification = Verification::Enforce;
    let bench = Bench::with(Setup { sources: only(vec![bare]), ..Setup::default() }).await;
    let body = CALL_ENDED.as_bytes();
    let empty = retell_signature("", body, NOW_MILLIS);
    assert_eq!(
        bench.post("/webhook/retell", &[("x-retell-signature", &empty)], body).await,
        r#"401 {"error":"Invalid signature"} | refused 401 unverified"#
    );
}

#[tokio::test]
async fn a_proven_body_that_cannot_be_read_is_kept_and_refused() {
    for body in ["", "[]", "nonsense", "{", r#"{"event":"a","event":"b"}"#] {
        let bench = Bench::new().await;
        let (signature, body) = retell_event(body);
        let told = bench.post("/in/retell", &[("x-retell-signature", &signature)], &body).await;
        let expected = r#"400 {"error":"Invalid JSON payload"} | quarantined - unreadable"#;
        assert_eq!(told, expected, "{body:?}");
    }
}

#[tokio::test]
async fn a_mightycall_event_of_no_organization_is_kept_and_refused() {
    let bench = Bench::new().await;
    let body = br#"{"event":"call.completed","call_id":"1"}"#;
    let bearer = format!("Bearer {SECRET}");
    let told = bench.post("/in/mightycall", &[("authorization", &bearer)], body).await;
    assert!(
        told.starts_with(r#"400 {"error":"No organization context"} | quarantined "#),
        "{told}"
    );
    assert!(told.ends_with(" no_organization"), "{told}");
}

#[tokio::test]
async fn an_unknown_source_is_not_found_and_nothing_is_kept() {
    let bench = Bench::new().await;
    let rows = ["/in/nobody", "/in/", "/in/retell/", "/in/retell/token", "/in/retell%20"];
    for path in rows {
        let (signature, body) = retell_event(CALL_ENDED);
        let told = bench.post(path, &[("x-retell-signature", &signature)], &body).await;
        assert_eq!(told, r#"404 {"error":"Not found"} | "#, "{path}");
    }
    let answer = bench.send(request("GET", "/in/nobody", &[], b"")).await;
    assert_eq!(answer.short(), r#"404 {"error":"Not found"}"#);
}

#[tokio::test]
async fn other_methods_are_told_which_one_is_meant() {
    let bench = Bench::new().await;
    for method in ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"] {
        let mut line = bench.connect().await;
        line.write(&request(method, "/webhook/retell", &[("connection", "close")], b"")).await;
        let text = line.ended().await;
        assert!(text.starts_with("HTTP/1.1 405 "), "{method}: {text}");
        assert!(text.contains("\r\nallow: POST\r\n"), "{method}: {text}");
    }
    assert!(bench.journal().await.is_empty());
}

#[tokio::test]
async fn a_compressed_body_is_refused() {
    let bench = Bench::new().await;
    let (signature, body) = retell_event(CALL_ENDED);
    for encoding in ["gzip", "br", "identity, gzip", "zstd"] {
        let headers = [("x-retell-signature", signature.as_str()), ("content-encoding", encoding)];
        let answer = bench.send(request("POST", "/in/retell", &headers, &body)).await;
        assert_eq!(answer.status, 415, "{encoding}");
    }
    let headers = [("x-retell-signature", signature.as_str()), ("content-encoding", "Identity")];
    let told = bench.post("/in/retell", &headers, &body).await;
    assert_eq!(told, r#"200 {"status":"ok"} | accepted call_ended"#);
}
