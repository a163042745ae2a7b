//! The signatures of `testdata/signatures.jsonl`, which Python made: our signer makes the
//! same, and our judge accepts them under that secret alone.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hookgate_core::headers::Headers;
use hookgate_core::named;
use hookgate_core::secret::{Secret, Secrets};
use hookgate_core::sign::{Message, sign};
use hookgate_core::time::Timestamp;
use hookgate_core::verify::{Envelope, Rejection, verify};
use serde_json::Value;

const URL: &str = "https://gw.example.com/in/x";

#[test]
fn our_signatures_are_those_of_python() {
    let mut schemes = Vec::new();
    for line in include_str!("../testdata/signatures.jsonl").lines() {
        let row: Value = serde_json::from_str(line).unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let name = text(&row["scheme"]);
        let policy = named::policy(&name, &row["options"]).unwrap();
        let secret = Secret::new(text(&row["secret"]));
        let body = STANDARD.decode(text(&row["body_base64"])).unwrap();
        let now = Timestamp::from_millis(row["now_unix_ms"].as_i64().unwrap());
        let message = Message { method: "POST", url: URL, id: "msg_1" };

        let signed = sign(&policy.schemes()[0], &secret, message, &body, now).unwrap();
        let signed: Vec<Value> =
            signed.iter().map(|(name, value)| serde_json::json!([name.as_str(), value])).collect();
        assert_eq!(Value::Array(signed), row["headers"], "{line}");

        let mut headers = Headers::new();
        for pair in row["headers"].as_array().unwrap() {
            headers.push_plain(text(&pair[0]).parse().unwrap(), text(&pair[1]).into_bytes());
        }
        let envelope = Envelope { method: "POST", url: URL, headers: &headers, mask_key: None };
        let judge = |secret: Secret| {
            let secrets = Secrets::new(vec![secret], vec![]);
            verify(&policy, &secrets, envelope, &body, now).map_err(|it| it.reason)
        };
        assert!(judge(secret).is_ok(), "{line}");
        // This is base64 as well, where the scheme wants it.
        assert_eq!(judge(Secret::new("d3Jvbmc=")), Err(Rejection::Mismatch), "{line}");
        schemes.push(name);
    }
    for row in named::TABLE {
        let policy = named::policy(row.name, &Value::Null).unwrap();
        let is_mac = matches!(policy.schemes()[0].proof, hookgate_core::scheme::Proof::Mac(_));
        let is_one = policy.schemes().len() == 1 && policy.schemes()[0].name == row.name;
        assert!(
            !is_mac || !is_one || schemes.iter().any(|it| it == row.name),
            "{} has none",
            row.name
        );
    }
}
