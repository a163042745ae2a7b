//! What proves its origin is stored and answered in its provider's shape.

use crate::bench::{
    Bench, CALL_ENDED, NOW_MILLIS, SECRET, Setup, body_signature, elevenlabs_signature, only,
    request, retell_event, retell_signature, source, tawk_signature,
};
use hookgate_core::providers::{elevenlabs, mightycall, retell, tawk};
use hookgate_core::source::Verification;

#[tokio::test]
async fn retell() {
    let bench = Bench::new().await;
    let (signature, body) = retell_event(CALL_ENDED);
    let headers = [("X-Retell-Signature", signature.as_str())];
    assert_eq!(
        bench.post("/webhook/retell?a=b", &headers, &body).await,
        r#"200 {"status":"ok"} | accepted call_ended"#
    );
    let event = bench.events().await.remove(0);
    assert_eq!(
        (event.method.as_str(), event.target.as_str(), event.source.as_str(), event.size),
        ("POST", "/webhook/retell?a=b", "retell", body.len() as u64)
    );
}

#[tokio::test]
async fn elevenlabs_in_both_forms() {
    let body = br#"{"type":"post_call_transcription","data":{"conversation_id":"c1"}}"#;
    let bench = Bench::new().await;
    let official = elevenlabs_signature(SECRET, body, NOW_MILLIS / 1000);
    assert_eq!(
        bench
            .post("/webhook/post_conversation", &[("elevenlabs-signature", &official)], body)
            .await,
        r#"200 {"status":"ok"} | accepted post_call_transcription"#
    );
    let bench = Bench::new().await;
    let plain = body_signature(SECRET, body);
    assert_eq!(
        bench.post("/in/elevenlabs", &[("elevenlabs-signature", &plain)], body).await,
        r#"200 {"status":"ok"} | accepted post_call_transcription"#
    );
}

#[tokio::test]
async fn tawk() {
    let bench = Bench::new().await;
    let body = br#"{"event":"chat:start","chatId":"c1","property":{"id":"p1"}}"#;
    let signature = tawk_signature(SECRET, body);
    assert_eq!(
        bench.post("/tawk-webhook", &[("X-Tawk-Signature", &signature)], body).await,
        r#"200 {"status":"ok"} | accepted chat:start"#
    );
}

#[tokio::test]
async fn vapi_by_its_secret() {
    let bench = Bench::new().await;
    let body = br#"{"message":{"type":"hang","call":{"id":"c1"}}}"#;
    assert_eq!(
        bench.post("/webhook/vapi", &[("X-Vapi-Secret", SECRET)], body).await,
        r#"200 {"status":"ok"} | accepted hang"#
    );
}

#[tokio::test]
async fn mightycall_by_each_of_its_proofs() {
    let body = br#"{"event":"call.completed","call_id":"test-123","org_id":"o1"}"#;
    let bearer = format!("Bearer {SECRET}");
    let signature = body_signature(SECRET, body);
    for proof in [("Authorization", bearer.as_str()), ("X-Signature", &signature)] {
        let bench = Bench::new().await;
        let told = bench.post("/functions/v1/mightycall-webhook", &[proof], body).await;
        let (answer, journal) = told.split_once(" | ").unwrap();
        assert_eq!(journal, "accepted call.completed");
        let (status, json) = answer.split_once(' ').unwrap();
        assert_eq!(status, "200");
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(json).unwrap(),
            serde_json::json!({
                "success": true, "message": "Call recorded",
                "event": "call.completed", "call_id": "test-123",
            })
        );
    }
    let bench = Bench::new().await;
    let body = br#"{"EventType":"IncomingCall","ApiKey":"account-key","Body":{"Id":"9"}}"#;
    let told = bench.post("/in/mightycall", &[], body).await;
    assert!(told.starts_with("200 ") && told.ends_with("| accepted IncomingCall"), "{told}");
}

#[tokio::test]
async fn a_tool_call_is_stored_and_told_so_where_nobody_carries_it_out() {
    let bench = Bench::new().await;
    let body = r#"{"call_id":"c1","agent_id":"a1","booking_id":"b1"}"#;
    let (signature, body) = retell_event(body);
    let told =
        bench.post("/api/bookings/cancel", &[("x-retell-signature", &signature)], &body).await;
    assert!(told.starts_with(r#"200 {"ok":false,"status":"not_available","#), "{told}");
    assert!(told.ends_with("| accepted tool:bookings_cancel"), "{told}");
}

#[tokio::test]
async fn a_source_of_ones_own_name_has_a_path_of_its_own() {
    let mut mine = source(&retell::PROVIDER, Verification::Enforce);
    mine.name = "salon".to_owned();
    let bench = Bench::with(Setup { sources: only(vec![mine]), ..Setup::default() }).await;
    let (signature, body) = retell_event(CALL_ENDED);
    let headers = [("x-retell-signature", signature.as_str())];
    let told = bench.post("/in/salon", &headers, &body).await;
    assert_eq!(told, r#"200 {"status":"ok"} | accepted call_ended"#);
    let told = bench.post("/in/retell", &headers, &body).await;
    assert_eq!(told, r#"404 {"error":"Not found"} | accepted call_ended"#);
}

#[tokio::test]
async fn an_open_source_takes_anything_into_quarantine() {
    let open = |provider| source(provider, Verification::Open);
    let sources = only(vec![open(&elevenlabs::PROVIDER), open(&mightycall::PROVIDER)]);
    let bench = Bench::with(Setup { sources, ..Setup::default() }).await;
    assert_eq!(
        bench.post("/webhook/post_conversation", &[], b"not even json").await,
        r#"200 {"status":"ok"} | quarantined - unproven"#
    );
    assert_eq!(
        bench.post("/in/mightycall", &[], b"\xff").await,
        "200 {\"success\":true,\"message\":\"Event recorded\"} | \
         quarantined - unproven; quarantined - unproven"
    );
}

#[tokio::test]
async fn a_recording_source_keeps_a_mismatch_apart() {
    let sources = only(vec![source(&tawk::PROVIDER, Verification::Record)]);
    let bench = Bench::with(Setup { sources, ..Setup::default() }).await;
    let body = br#"{"event":"chat:start","chatId":"c1"}"#;
    let wrong = tawk_signature("another", body);
    assert_eq!(
        bench.post("/tawk-webhook", &[("x-tawk-signature", &wrong)], body).await,
        r#"200 {"status":"ok"} | quarantined - unproven"#
    );
    let right = tawk_signature(SECRET, body);
    assert_eq!(
        bench.post("/tawk-webhook", &[("x-tawk-signature", &right)], body).await,
        r#"200 {"status":"ok"} | quarantined - unproven; accepted chat:start"#
    );
}

#[tokio::test]
async fn the_same_again_gets_the_same_answer() {
    let bench = Bench::new().await;
    let (signature, body) = retell_event(CALL_ENDED);
    let bytes = request("POST", "/in/retell", &[("x-retell-signature", &signature)], &body);
    assert_eq!(bench.send(&bytes).await.short(), r#"200 {"status":"ok"}"#);
    assert_eq!(bench.send(&bytes).await.short(), r#"200 {"status":"ok"}"#);
}

#[tokio::test]
async fn a_signature_a_little_late_or_early_is_taken() {
    let body = CALL_ENDED.as_bytes();
    for offset in [-299_000, 299_000] {
        let bench = Bench::new().await;
        let signature = retell_signature(SECRET, body, NOW_MILLIS + offset);
        let told = bench.post("/in/retell", &[("x-retell-signature", &signature)], body).await;
        assert!(told.starts_with("200 "), "{told}");
    }
}
