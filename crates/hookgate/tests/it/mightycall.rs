//! The curl commands of MightyCall's guide.

use serde_json::json;

use crate::bench::Bench;

/// The guide's example secret. Everybody knows it, so only loopback takes it.
const SECRET: &str = "a7f3c9e2b1d4f8a3c5e7b9d1f3a5c7e9b1d3f5a7c9e1b3d5f7a9c1e3f5a7c9";

const BODY: &str = r#"{
    "org_id": "your-org-uuid",
    "event": "call.completed",
    "call_id": "test-123",
    "phone_number": "+14155552671",
    "duration": 45,
    "status": "completed",
    "direction": "inbound",
    "timestamp": "2026-02-01T12:00:00Z"
  }"#;

const PATH: &str = "/functions/v1/mightycall-webhook";

#[test]
fn the_guides_requests_get_the_guides_answers() {
    let mut bench = Bench::new();
    bench.set("MIGHTYCALL_WEBHOOK_SECRET", SECRET);
    let gateway = bench.serve(&[]);
    assert!(gateway.seen().contains("published"), "{}", gateway.seen());

    let expected = json!({
        "success": true, "message": "Call recorded", "event": "call.completed", "call_id": "test-123",
    });
    let bearer = gateway.post(PATH, &[("Authorization", &format!("Bearer {SECRET}"))], BODY);
    assert_eq!((bearer.status, bearer.json()), (200, expected.clone()));

    let sign = ["sign", "mightycall", "--scheme", "mightycall.hmac", "--body", "-"];
    let signed = bench.run_with(&sign, BODY.as_bytes()).out;
    let digest = signed.trim().strip_prefix("x-signature: ").unwrap();
    for header in ["x-signature", "x-mc-signature", "x-mightycall-signature"] {
        let answer = gateway.post(PATH, &[(header, digest)], BODY);
        assert_eq!((answer.status, answer.json()), (200, expected.clone()), "{header}");
    }

    let wrong = gateway.post(PATH, &[("Authorization", "Bearer wrong")], BODY);
    assert_eq!((wrong.status, wrong.json()), (401, json!({"error": "Unauthorized"})));
    let nobody = gateway.post(
        PATH,
        &[("Authorization", &format!("Bearer {SECRET}"))],
        r#"{"event":"call.completed"}"#,
    );
    assert_eq!((nobody.status, nobody.json()), (400, json!({"error": "No organization context"})));
    let broken = gateway.post(PATH, &[("Authorization", &format!("Bearer {SECRET}"))], "{");
    assert_eq!((broken.status, broken.json()), (400, json!({"error": "Invalid JSON payload"})));
    gateway.stop();
}
