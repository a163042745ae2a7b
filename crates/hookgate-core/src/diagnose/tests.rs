//! Mistakes and what is said of them.

use serde_json::json;

use super::*;
use crate::digest::{Keyed, hmac_sha256};
use crate::sign::{Message, sign};
use crate::verify::Proof as Proven;

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);
const SECRET: &str = "whole-secret";
const BODY: &str = "{\"event\": \"call_ended\", \"name\": \"J\u{fc}rgen\", \"cost\": 1.0}";
const URL: &str = "https://gw.example.com/in/vapi?a=1";

fn hex_mac(secret: &[u8], message: &str) -> String {
    hex::encode(hmac_sha256(secret, message.as_bytes()))
}

fn headers_of(list: &[(&str, String)]) -> Headers {
    let mut headers = Headers::new();
    for (name, value) in list {
        headers.push_plain(name.parse().unwrap(), value.clone().into_bytes());
    }
    headers
}

fn envelope(headers: &Headers) -> Envelope<'_> {
    Envelope { method: "POST", url: URL, headers, mask_key: None }
}

fn names_of(policy: &Policy, secret: &str, headers: &Headers, body: &str) -> String {
    let secrets = Secrets::new(vec![Secret::new(secret)], vec![Secret::new(secret)]);
    let told = diagnose(policy, &secrets, envelope(headers), body.as_bytes(), NOW);
    let Some(told) = told else { return "proven".to_owned() };
    assert!(!told.to_string().contains("whole"), "{told}");
    told.mistakes.iter().map(|it| it.name()).collect::<Vec<_>>().join(" ")
}

/// The mistakes in a request to ElevenLabs' source whose digest covers `covered`.
#[track_caller]
fn elevenlabs(covered: &str, body: &str, expected: &str) {
    let signed = hex_mac(SECRET.as_bytes(), covered);
    let headers = headers_of(&[("elevenlabs-signature", format!("t=1700000000,v0={signed}"))]);
    let policy = named::default_policy("elevenlabs").unwrap();
    assert_eq!(names_of(&policy, SECRET, &headers, body), expected, "{covered}");
}

/// The mistakes in a request to Tawk's source whose header is `value`.
#[track_caller]
fn tawk(secret: &str, value: &str, expected: &str) {
    let headers = headers_of(&[("x-tawk-signature", value.to_owned())]);
    let policy = named::default_policy("tawk").unwrap();
    assert_eq!(names_of(&policy, secret, &headers, BODY), expected, "{secret:?}");
}

fn sha1_mac(secret: &[u8], body: &[u8]) -> Vec<u8> {
    let mut mac = Keyed::new(Digest::HmacSha1, secret);
    mac.update(body);
    mac.finish().as_bytes().to_vec()
}

#[test]
fn a_proven_request_has_no_mistake() {
    elevenlabs(&format!("1700000000.{BODY}"), BODY, "proven");
}

#[test]
fn a_forgery_has_no_common_mistake() {
    elevenlabs("something else", BODY, "");
    tawk(SECRET, &"0".repeat(40), "");
    tawk(SECRET, "", "");
    tawk(SECRET, "garbage", "");
}

#[test]
fn a_body_that_was_printed_anew_is_recognised() {
    for printer in Printer::ALL {
        let signed = String::from_utf8(printer.print(BODY.as_bytes()).unwrap()).unwrap();
        let expected = if signed == BODY { "proven" } else { "body_reserialised" };
        elevenlabs(&format!("1700000000.{signed}"), BODY, expected);
    }
    // The printers undo each other, so the way back is recognised too.
    let compact = String::from_utf8(Printer::JavaScript.print(BODY.as_bytes()).unwrap()).unwrap();
    let spaced =
        String::from_utf8(Printer::PythonUnicode.print(compact.as_bytes()).unwrap()).unwrap();
    elevenlabs(&format!("1700000000.{spaced}"), &compact, "body_reserialised");
}

#[test]
fn a_byte_more_or_less_is_recognised() {
    for (signed, arrived) in [
        ("{}".to_owned(), "{}\n".to_owned()),
        ("{}".to_owned(), "{}\r\n".to_owned()),
        ("{}\n".to_owned(), "{}".to_owned()),
        ("{}".to_owned(), "\u{feff}{}".to_owned()),
        ("\u{feff}{}".to_owned(), "{}".to_owned()),
        ("{\r\n\"a\":1\r\n}".to_owned(), "{\n\"a\":1\n}".to_owned()),
        ("{\n\"a\":1\n}".to_owned(), "{\r\n\"a\":1\r\n}".to_owned()),
        ("{\"a\":\"ü\"}".to_owned(), "{\"a\":\"Ã¼\"}".to_owned()),
    ] {
        elevenlabs(&format!("1700000000.{signed}"), &arrived, "body_changed");
    }
    elevenlabs("1700000000.", BODY, "empty_body_signed");
    elevenlabs(&format!("1700000000.{BODY}"), "", "empty_body");
}

#[test]
fn a_time_in_the_wrong_place_is_recognised() {
    elevenlabs(BODY, BODY, "timestamp_left_out");
    elevenlabs(&format!("1700000000{BODY}"), BODY, "timestamp_placed_differently");
    elevenlabs(&format!("{BODY}1700000000"), BODY, "timestamp_placed_differently");
    elevenlabs(&format!("{BODY}.1700000000"), BODY, "timestamp_placed_differently");
    let seed = named::policy("vapi.hmac", &json!({"include_timestamp": false})).unwrap();
    let headers = headers_of(&[
        ("x-timestamp", "1700000000".to_owned()),
        ("x-signature", hex_mac(SECRET.as_bytes(), &format!("1700000000.{BODY}"))),
    ]);
    assert_eq!(names_of(&seed, SECRET, &headers, BODY), "timestamp_placed_differently");
    let timed = named::policy("vapi.hmac", &json!({})).unwrap();
    let headers = headers_of(&[("x-signature", hex_mac(SECRET.as_bytes(), BODY))]);
    assert_eq!(names_of(&timed, SECRET, &headers, BODY), "timestamp_left_out");
}

#[test]
fn another_writing_of_the_digest_is_recognised() {
    use base64::Engine;
    let digest = sha1_mac(SECRET.as_bytes(), BODY.as_bytes());
    let base64 = base64::engine::general_purpose::STANDARD.encode(&digest);
    tawk(SECRET, &base64, "other_encoding");
    tawk(SECRET, &format!("sha1={}", hex::encode(&digest)), "other_prefix");
    tawk(SECRET, &hex_mac(SECRET.as_bytes(), BODY), "other_digest");
    let policy = named::policy(
        "vapi.hmac",
        &json!({"include_timestamp": false, "signature_prefix": "sha256="}),
    );
    let headers = headers_of(&[("x-signature", hex_mac(SECRET.as_bytes(), BODY))]);
    assert_eq!(names_of(&policy.unwrap(), SECRET, &headers, BODY), "other_prefix");

    let upper = hex_mac(SECRET.as_bytes(), &format!("1700000000.{BODY}")).to_uppercase();
    let headers = headers_of(&[("elevenlabs-signature", format!("t=1700000000,v0={upper}"))]);
    let policy = named::default_policy("elevenlabs").unwrap();
    assert_eq!(names_of(&policy, SECRET, &headers, BODY), "other_encoding");

    let time = "1700000000000";
    let signed = hex_mac(SECRET.as_bytes(), &format!("{BODY}{time}"));
    let headers = headers_of(&[("x-retell-signature", format!("d={signed},v={time}"))]);
    let policy = named::default_policy("retell").unwrap();
    assert_eq!(names_of(&policy, SECRET, &headers, BODY), "other_field_order");
}

#[test]
fn a_mistyped_secret_is_recognised() {
    let signed_with = |secret: &[u8]| hex::encode(sha1_mac(secret, BODY.as_bytes()));
    for (configured, used) in [
        ("whole-secret ", &b"whole-secret"[..]),
        ("whole-secret\n", b"whole-secret"),
        ("whole-secret", b"whole-secret\n"),
        ("whole-secret", b"whole-secret\r\n"),
        ("whole-secret", b"whole-secret "),
        ("\"whole-secret\"", b"whole-secret"),
        ("'whole-secret'", b"whole-secret"),
        ("Bearer whole-secret", b"whole-secret"),
        ("77686f6c65", b"whole"),
        ("d2hvbGU=", b"whole"),
        ("whsec_d2hvbGU=", b"whole"),
        ("whsec_d2hvbGU=", b"d2hvbGU="),
    ] {
        tawk(configured, &signed_with(used), "secret_mistyped");
    }
    let policy =
        named::policy("vapi.hmac", &json!({"include_timestamp": false, "secret_is_base64": true}));
    let headers = headers_of(&[("x-signature", hex_mac(b"d2hvbGU=", BODY))]);
    let policy = policy.unwrap();
    assert_eq!(names_of(&policy, "d2hvbGU=", &headers, BODY), "secret_mistyped");
    let token = headers_of(&[("authorization", "Bearer whole-secret".to_owned())]);
    let policy = named::policy("vapi.token", &json!({})).unwrap();
    assert_eq!(names_of(&policy, "\"whole-secret\"", &token, BODY), "secret_mistyped");
}

#[test]
fn an_old_secret_is_recognised() {
    let policy = named::default_policy("tawk").unwrap();
    let signed = hex::encode(sha1_mac(b"old", BODY.as_bytes()));
    let headers = headers_of(&[("x-tawk-signature", signed)]);
    let case = Case {
        policy: &policy,
        secrets: &Secrets::from_text("new", ""),
        others: &Secrets::from_text("older old", ""),
        envelope: envelope(&headers),
        body: BODY.as_bytes(),
        now: NOW,
    };
    assert_eq!(case.diagnose().unwrap().mistakes, [Mistake::OldSecret]);
}

#[test]
fn a_clock_that_is_off_is_told_from_a_wrong_unit() {
    let retell = named::default_policy("retell").unwrap();
    let [scheme] = retell.schemes() else { panic!("one scheme") };
    let message = Message { method: "POST", url: URL, id: "" };
    for (offset, expected) in [(-3_600_000, "too_old"), (3_600_000, "too_new"), (0, "proven")] {
        let at = Timestamp::from_millis(NOW.millis() + offset);
        let signed = sign(scheme, &Secret::new(SECRET), message, BODY.as_bytes(), at).unwrap();
        let headers = headers_of(&[("x-retell-signature", signed[0].1.clone())]);
        assert_eq!(names_of(&retell, SECRET, &headers, BODY), expected);
    }
    let seconds = hex_mac(SECRET.as_bytes(), &format!("{BODY}1700000000"));
    let headers = headers_of(&[("x-retell-signature", format!("v=1700000000,d={seconds}"))]);
    assert_eq!(names_of(&retell, SECRET, &headers, BODY), "other_time_unit");
    let millis = hex_mac(SECRET.as_bytes(), &format!("1700000000000.{BODY}"));
    let value = format!("t=1700000000000,v0={millis}");
    let headers = headers_of(&[("elevenlabs-signature", value)]);
    let elevenlabs = named::default_policy("elevenlabs").unwrap();
    assert_eq!(names_of(&elevenlabs, SECRET, &headers, BODY), "other_time_unit");
}

#[test]
fn a_proof_in_another_place_is_recognised() {
    let tawk = named::default_policy("tawk").unwrap();
    let digest = hex::encode(sha1_mac(SECRET.as_bytes(), BODY.as_bytes()));
    let headers = headers_of(&[("x-hub-signature", digest)]);
    assert_eq!(names_of(&tawk, SECRET, &headers, BODY), "other_header");
    for value in ["whole-secret", "Bearer whole-secret"] {
        let headers = headers_of(&[("x-tawk-signature", value.to_owned())]);
        assert_eq!(names_of(&tawk, SECRET, &headers, BODY), "plain_secret", "{value}");
    }
    let headers = headers_of(&[("x-vapi-signature", hex_mac(SECRET.as_bytes(), BODY))]);
    let secrets = Secrets::from_text(SECRET, "");
    let told = diagnose(&tawk, &secrets, envelope(&headers), BODY.as_bytes(), NOW).unwrap();
    assert_eq!(told.mistakes, [Mistake::OtherScheme("vapi.seed_hex")]);
    assert_eq!(told.rejected.reason, Rejection::Missing(Label::new("x-tawk-signature")));
}

#[test]
fn another_spelling_of_the_url_is_recognised() {
    let options = json!({"include_timestamp": false, "payload_format": "{url}{body}"});
    let policy = named::policy("vapi.hmac", &options).unwrap();
    for url in [
        "http://gw.example.com/in/vapi?a=1",
        "https://gw.example.com/in/vapi",
        "/in/vapi?a=1",
        "https://gw.example.com/in/vapi?a=1/",
        "http://10.0.0.5:8080/in/vapi?a=1",
    ] {
        let headers = headers_of(&[
            ("host", "10.0.0.5:8080".to_owned()),
            ("x-signature", hex_mac(SECRET.as_bytes(), &format!("{url}{BODY}"))),
        ]);
        assert_eq!(names_of(&policy, SECRET, &headers, BODY), "other_url", "{url}");
    }
}

#[test]
fn a_large_body_is_not_searched() {
    let body = " ".repeat(BODY_BYTES_MAX + 1);
    elevenlabs(&format!("1700000000.{body}\n"), &body, "");
}

#[test]
fn every_sentence_says_what_to_do() {
    let changes = [
        BodyChange::Printed(Printer::Python),
        BodyChange::NewlineAdded,
        BodyChange::SignedEmpty,
        BodyChange::EncodedTwice,
    ];
    let mut mistakes: Vec<Mistake> = changes.into_iter().map(Mistake::Body).collect();
    mistakes.extend(Covers::ALL.map(Mistake::Covers));
    mistakes.extend([Encoding::Hex, Encoding::Base64].map(Mistake::Encoding));
    mistakes.extend(["", "sha256="].map(Mistake::Prefix));
    mistakes.extend([30, 600, 90_000, 400_000].map(|it| Mistake::Late(Duration::from_secs(it))));
    mistakes.extend([
        Mistake::Digest(Digest::HmacSha1),
        Mistake::FieldOrder,
        Mistake::Unit(Unit::Seconds),
        Mistake::Early(Duration::from_mins(10)),
        Mistake::Secret(SecretChange::Quotes),
        Mistake::OldSecret,
        Mistake::OtherHeader(Label::new("x-a")),
        Mistake::PlainSecret(Label::new("x-a")),
        Mistake::OtherScheme("hmac"),
        Mistake::Url(UrlChange::Https),
        Mistake::EmptyBody,
    ]);
    for mistake in mistakes {
        let told = mistake.to_string();
        assert!(told.ends_with(['.', ')']) && told.contains(". "), "{told}");
    }
    assert_eq!(
        Mistake::Late(Duration::from_mins(10)).to_string(),
        "The request is genuine, but it was signed 10 minutes before it came. Compare both clocks, and look for a queue or a replay in between.",
    );
}

#[test]
fn the_signer_and_the_judge_agree_on_the_default_of_each_provider() {
    let message = Message { method: "POST", url: URL, id: "" };
    for provider in ["elevenlabs", "retell", "vapi", "tawk", "mightycall"] {
        let policy = named::default_policy(provider).unwrap();
        let scheme = policy.schemes().first().unwrap();
        let secret = Secret::new(SECRET);
        let signed = sign(scheme, &secret, message, BODY.as_bytes(), NOW).unwrap();
        let mut headers = Headers::new();
        for (name, value) in signed {
            headers.push_plain(name, value.into_bytes());
        }
        let secrets = Secrets::from_text(SECRET, "");
        let told = verify(&policy, &secrets, envelope(&headers), BODY.as_bytes(), NOW);
        assert!(matches!(told, Ok(Proven { scheme: name, .. }) if name == scheme.name));
    }
}
