//! Tawk.to's guide logs a mismatch and continues.

use serde_json::{Value, json};

use crate::bench::Bench;

#[test]
fn record_answers_200_and_keeps_what_is_wrong_apart() {
    let mut bench = Bench::new();
    bench.set("TAWK_TAWK_WEBHOOK_SECRET", "0123456789abcdef0123456789abcdef");
    bench.set("HOOKGATE_TAWK_VERIFICATION", "record");
    let gateway = bench.serve(&[]);
    let wrong = [("X-Tawk-Signature", "0000000000000000000000000000000000000000")];
    let answer = gateway.post("/tawk-webhook", &wrong, r#"{"event":"chat:start"}"#);
    assert_eq!((answer.status, answer.json()), (200, json!({"status": "ok"})));
    bench.done(&["send", "tawk"]);
    let events: Value = serde_json::from_str(&bench.done(&["events", "list", "--json"])).unwrap();
    let verdicts: Vec<&str> = events["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["verification"]["verdict"].as_str().unwrap())
        .collect();
    assert_eq!(verdicts, ["verified", "mismatch"]);
    gateway.stop();

    bench.set("HOOKGATE_TAWK_VERIFICATION", "enforce");
    let gateway = bench.serve(&[]);
    let answer = gateway.post("/tawk-webhook", &wrong, r#"{"event":"chat:start"}"#);
    assert_eq!((answer.status, answer.json()), (403, json!({"error": "Forbidden"})));
    gateway.stop();
}
