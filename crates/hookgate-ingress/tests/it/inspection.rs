//! The operator's print: what the seed shows, line by line.

use hookgate_core::providers::elevenlabs;
use hookgate_core::source::Verification;
use hookgate_ingress::render;

use crate::bench::{
    Bench, NOW_MILLIS, SECRET, Seen, Setup, body_signature, elevenlabs_signature, genuine, only,
    request, source,
};

const BODY: &[u8] =
    br#"{"conversation_id": "c1", "agent_id": "a1", "call_duration": 123, "transcript": [{"role": "user", "message": "it's \u00fc"}], "list": []}"#;

async fn print(setup: Setup, bytes: Vec<u8>) -> String {
    let seen = Seen::default();
    let sink = seen.sink();
    let setup = Setup { settings: Box::new(|settings| settings.inspect = Some(sink)), ..setup };
    let bench = Bench::with(setup).await;
    bench.send(bytes).await;
    render(&seen.all()[0])
}

#[tokio::test]
async fn a_proven_request_is_printed_as_the_seed_shows_it() {
    let signature = body_signature(SECRET, BODY);
    let headers = [
        ("User-Agent", "ElevenLabs-Webhook/1.0"),
        ("Content-Type", "application/json"),
        ("elevenlabs-signature", signature.as_str()),
    ];
    let bytes = request("POST", "/webhook/post_conversation", &headers, BODY);
    let rule = "=".repeat(80);
    let expected = format!(
        r#"{rule}
ELEVENLABS POST-CONVERSATION WEBHOOK RECEIVED
{rule}
Timestamp: 2026-11-22T12:00:00.000Z

Headers:
  Host: hooks.example.com
  User-Agent: ElevenLabs-Webhook/1.0
  Content-Type: application/json
  elevenlabs-signature: {signature}
  Content-Length: 137

Raw Payload (bytes length): 137
Raw Payload (first 500 chars): b'{{"conversation_id": "c1", "agent_id": "a1", "call_duration": 123, "transcript": [{{"role": "user", "message": "it\'s \\u00fc"}}], "list": []}}'

Parsed JSON Payload:
{{
  "conversation_id": "c1",
  "agent_id": "a1",
  "call_duration": 123,
  "transcript": [
    {{
      "role": "user",
      "message": "it's ü"
    }}
  ],
  "list": []
}}

--- HMAC Verification ---
Received Signature: {signature}
Webhook Secret Set: True
Computed Signature: {signature}
Signature Valid: True

✅ Webhook processed successfully
{rule}
"#
    );
    assert_eq!(print(Setup::default(), bytes).await, expected);
}

#[tokio::test]
async fn an_expected_signature_is_not_given_away() {
    let wrong = elevenlabs_signature("another", BODY, NOW_MILLIS / 1000);
    let right = elevenlabs_signature(SECRET, BODY, NOW_MILLIS / 1000);
    let right = right.split_once("v0=").unwrap().1;
    let headers = [("elevenlabs-signature", wrong.as_str())];
    let text = print(Setup::default(), request("POST", "/in/elevenlabs", &headers, BODY)).await;
    assert!(text.contains(&format!("Received Signature: {wrong}\n")), "{text}");
    assert!(text.contains(&format!("Computed Signature: {}…\n", &right[..8])), "{text}");
    assert!(!text.contains(&right[..9]), "{text}");
    assert!(text.contains("Signature Valid: False\n"), "{text}");
    assert!(text.contains("\n❌ Webhook answered with 401: not proven\n"), "{text}");
}

#[tokio::test]
async fn a_missing_secret_is_said() {
    let sources = only(vec![source(&elevenlabs::PROVIDER, Verification::Open)]);
    let setup = Setup { sources, ..Setup::default() };
    let text = print(setup, request("POST", "/in/elevenlabs", &[], b"\x1b[31m\xffnot json")).await;
    for line in [
        r"Raw Payload (first 500 chars): b'\x1b[31m\xffnot json'",
        "Parsed JSON Payload: None",
        "Received Signature: None",
        "Webhook Secret Set: False",
        "⚠️ WARNING: ELEVENLABS_WEBHOOK_SECRET not set",
        "Computed Signature: None",
        "Signature Valid: False",
    ] {
        assert!(text.contains(&format!("{line}\n")), "{line} is not in\n{text}");
    }
}

#[tokio::test]
async fn other_providers_have_a_title_of_their_own() {
    let text = print(Setup::default(), genuine()).await;
    assert!(text.contains("\nRETELL AI WEBHOOK RECEIVED\n"), "{text}");
    assert!(text.contains("Signature Valid: True\n"), "{text}");
}

#[tokio::test]
async fn credentials_in_a_body_are_masked_in_both_prints() {
    let bearer = format!("Bearer {SECRET}");
    let headers = [("authorization", bearer.as_str())];
    let body =
        br#"{"EventType":"IncomingCall","ApiKey":"k-\u0031234","Body":{"Id":"1"},"n":"k-1234"}"#;
    let text = print(Setup::default(), request("POST", "/in/mightycall", &headers, body)).await;
    assert!(text.contains("  Authorization: Bearer ***\n"), "{text}");
    assert!(text.contains("  \"ApiKey\": \"***\",\n"), "{text}");
    assert!(!text.contains("k-\\\\u0031234"), "{text}");
    assert!(text.contains("MIGHTYCALL WEBHOOK RECEIVED"), "{text}");
}

#[tokio::test]
async fn characters_that_deceive_are_made_visible() {
    let body = "{\"a\":\"\u{202e}evil\u{9b}\"}".as_bytes();
    let bytes = request("POST", "/in/retell?\u{202e}", &[("x-a", "\u{202e}b")], body);
    let text = print(Setup::default(), bytes).await;
    assert!(!text.contains('\u{202e}') && !text.contains('\u{9b}'), "{text}");
    assert!(text.contains(r"x-a: \u{202e}b"), "{text}");
    assert!(text.contains(r#""a": "\u{202e}evil\u{9b}""#), "{text}");
}
