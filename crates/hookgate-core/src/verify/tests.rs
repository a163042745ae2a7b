//! The traps: each is a header or body that some receiver in the field got wrong.

use http::HeaderName;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::named;
use crate::received::Verdict;
use crate::sign::{Message, sign};

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);
const SECRET: &str = "whole-secret";
const BODY: &[u8] = b"{\"event\":\"call_ended\"}";
const URL: &str = "https://gw.example.com/in/x?a=1";

/// HMAC-SHA256 of `message` under [`SECRET`], in hex.
fn mac(message: &str) -> String {
    hex::encode(crate::digest::hmac_sha256(SECRET.as_bytes(), message.as_bytes()))
}

fn body_mac() -> String {
    mac(str::from_utf8(BODY).unwrap())
}

fn headers_of(list: &[(&str, &str)]) -> Headers {
    let mut headers = Headers::new();
    for (name, value) in list {
        headers.push_plain(name.parse().unwrap(), value.as_bytes().to_vec());
    }
    headers
}

fn judge(
    policy: &Policy,
    headers: &Headers,
    body: &[u8],
    now: Timestamp,
) -> Result<Proof, Rejected> {
    judge_with(policy, &Secrets::from_text(SECRET, SECRET), headers, body, now)
}

fn judge_with(
    policy: &Policy,
    secrets: &Secrets,
    headers: &Headers,
    body: &[u8],
    now: Timestamp,
) -> Result<Proof, Rejected> {
    let envelope = Envelope { method: "POST", url: URL, headers, mask_key: None };
    verify(policy, secrets, envelope, body, now)
}

/// Judges [`BODY`] under a named policy. `ok`, or the reason as the operator reads it.
#[track_caller]
fn check(name: &str, options: &serde_json::Value, headers: &[(&str, &str)], expected: &str) {
    let policy = named::policy(name, options).unwrap();
    let told = match judge(&policy, &headers_of(headers), BODY, NOW) {
        Ok(proof) => format!("ok {}", proof.scheme),
        Err(rejected) => format!("{:?} {:?}", rejected.verdict(), rejected.reason),
    };
    assert_eq!(told, expected, "{name} {headers:?}");
}

#[test]
fn elevenlabs_header_is_read_strictly() {
    let signed = |time: &str| mac(&format!("{time}.{}", str::from_utf8(BODY).unwrap()));
    let good = signed("1700000000");
    let check = |value: &str, expected: &str| {
        check("elevenlabs.official", &json!({}), &[("elevenlabs-signature", value)], expected);
    };
    let malformed = "Mismatch Malformed(\"elevenlabs-signature\")";
    check(&format!("t=1700000000,v0={good}"), "ok elevenlabs.official");
    check(&format!("v0={good},t=1700000000"), "ok elevenlabs.official");
    check(&format!("x,,v1=00,t=1700000000,,v0={good},"), "ok elevenlabs.official");
    check(&format!("\tt=1700000000,v0={good} "), "ok elevenlabs.official");
    // A second time or digest is ambiguous, even if it is the same.
    check(&format!("t=1700000000,t=1700000000,v0={good}"), malformed);
    check(&format!("t=1700000000,v0={good},v0={good}"), malformed);
    check(&format!("t=1700000000,v0={},v0={good}", "0".repeat(64)), malformed);
    check(&format!("t=1700000000,v0={good},v0="), malformed);
    check(&format!("t=1700000000, v0={good}"), malformed);
    check(&format!("t=1700000000;v0={good}"), malformed);
    check(&format!("T=1700000000,V0={good}"), malformed);
    check(&format!("t=1700000000,v0={}", good.to_uppercase()), malformed);
    check(&format!("t=1700000000,v0={good}00"), malformed);
    check(&format!("t=1700000000,v0={good} x"), malformed);
    check(&format!("t=1700000000,v0=0x{}", &good[2..]), malformed);
    check(&format!("t=1700000000,v1={good}"), malformed);
    check(&format!("v0={good}"), malformed);
    check("t=1700000000", malformed);
    check("=", malformed);
    check(",", malformed);
    for time in [
        "",
        " 1700000000",
        "+1700000000",
        "-1700000000",
        "1_700_000_000",
        "1700000000.0",
        "17e8",
        "0x6553f100",
        "NaN",
        "١٧٠٠٠٠٠٠٠٠",
        "100000000000000000000000000000000000000000000000",
    ] {
        check(&format!("t={time},v0={}", signed(time)), malformed);
    }
    // The text is signed, not the number.
    check(&format!("t=01700000000,v0={}", signed("01700000000")), "ok elevenlabs.official");
    check(&format!("t=01700000000,v0={good}"), "Mismatch Mismatch");
    for time in ["1700001801", "1700000000000", "99999999999999999999"] {
        let told = named::policy("elevenlabs.official", &json!({})).map(|policy| {
            let value = format!("t={time},v0={}", signed(time));
            judge(&policy, &headers_of(&[("elevenlabs-signature", &value)]), BODY, NOW)
        });
        assert!(matches!(told.unwrap().unwrap_err().reason, Rejection::TooNew(_)), "{time}");
    }
}

#[test]
fn elevenlabs_windows_are_inclusive_to_the_millisecond() {
    let signed = mac(&format!("1700000000.{}", str::from_utf8(BODY).unwrap()));
    let headers = headers_of(&[("elevenlabs-signature", &format!("t=1700000000,v0={signed}"))]);
    let options = json!({"max_age_s": 60, "max_future_s": 5});
    let policy = named::policy("elevenlabs.official", &options).unwrap();
    for (offset, accepted) in [(60_000, true), (60_001, false), (-5_000, true), (-5_001, false)] {
        let now = Timestamp::from_millis(NOW.millis() + offset);
        assert_eq!(judge(&policy, &headers, BODY, now).is_ok(), accepted, "{offset}");
    }
    for millis in [i64::MIN, -1, 0, i64::MAX] {
        let told = judge(&policy, &headers, BODY, Timestamp::from_millis(millis));
        assert!(told.unwrap_err().reason.is_genuine(), "{millis}");
    }
}

#[test]
fn elevenlabs_auto_never_falls_back() {
    let plain = body_mac();
    let on = json!({"allow_seed_plain_hex": true});
    let header = "elevenlabs-signature";
    check("elevenlabs.auto", &on, &[(header, &plain)], "ok elevenlabs.seed_plain_hex");
    let upper = plain.to_uppercase();
    check("elevenlabs.auto", &on, &[(header, &upper)], "ok elevenlabs.seed_plain_hex");
    let malformed = "Mismatch Malformed(\"elevenlabs-signature\")";
    check("elevenlabs.auto", &json!({}), &[(header, &plain)], malformed);
    for value in [
        format!("{plain}="),
        format!("={plain}"),
        format!("sha256={plain}"),
        format!("v0={plain}"),
        plain[..62].to_owned(),
        format!("{plain}{plain}"),
    ] {
        check("elevenlabs.auto", &on, &[(header, &value)], malformed);
    }
    let in_official = format!("t=1700000000,v0={plain}");
    check("elevenlabs.auto", &on, &[(header, &in_official)], "Mismatch Mismatch");
    check(
        "elevenlabs.auto",
        &on,
        &[(header, &plain), (header, &plain)],
        "Mismatch Repeated(\"elevenlabs-signature\")",
    );
    check("elevenlabs.auto", &on, &[], "Unverified Missing(\"elevenlabs-signature\")");
    check(
        "elevenlabs.auto",
        &on,
        &[(header, " \t")],
        "Unverified Missing(\"elevenlabs-signature\")",
    );
    check(
        "elevenlabs.auto",
        &on,
        &[(header, ""), (header, &plain)],
        "ok elevenlabs.seed_plain_hex",
    );
}

#[test]
fn retell_header_is_read_strictly() {
    let body = str::from_utf8(BODY).unwrap();
    let time = "1700000000000";
    let good = mac(&format!("{body}{time}"));
    let check = |value: &str, expected: &str| {
        check("retell.v_d", &json!({}), &[("x-retell-signature", value)], expected);
    };
    let malformed = "Mismatch Malformed(\"x-retell-signature\")";
    check(&format!("v={time},d={good}"), "ok retell.v_d");
    check(&format!("v={time},d={}", good.to_uppercase()), "ok retell.v_d");
    check(&format!("v=000{time},d={good}"), "ok retell.v_d");
    for value in [
        format!("V={time},D={good}"),
        format!("v={time},D={good}"),
        format!("v={time}, d={good}"),
        format!("v={time} ,d={good}"),
        format!("v= {time},d={good}"),
        format!("d={good},v={time}"),
        format!("v={time},d={good},"),
        format!(",v={time},d={good}"),
        format!("v={time},v={time},d={good}"),
        format!("v={time},d={good},d={good}"),
        format!("xv={time},d={good}"),
        format!("v={time};d={good}"),
        format!("v=,d={}", mac(body)),
        format!("v=+{time},d={good}"),
        format!("v=-{time},d={good}"),
        format!("v=9007199254740992,d={}", mac(&format!("{body}9007199254740992"))),
        format!("v={time},d="),
        format!("v={time}"),
        good.clone(),
    ] {
        check(&value, malformed);
    }
    // The raw text with its zeros would let a body give its last zero to the time.
    let raw = mac(&format!("{body}0{time}"));
    check(&format!("v=0{time},d={raw}"), "Mismatch Mismatch");
    check(&format!("v=0,d={}", mac(&format!("{body}0"))), "Mismatch TooOld(1700000000s)");
    check(&format!("v=00,d={}", mac(&format!("{body}0"))), "Mismatch TooOld(1700000000s)");
    let last = "9007199254740991";
    check(
        &format!("v={last},d={}", mac(&format!("{body}{last}"))),
        "Mismatch TooNew(9005499254740.991s)",
    );
}

#[test]
fn no_byte_moves_between_body_and_time() {
    let policy = named::policy("retell.v_d", &json!({"tolerance_ms": u64::MAX})).unwrap();
    let signature = mac("{\"a\":1700000000000");
    for (body, time, accepted) in [
        ("{\"a\":", "1700000000000", true),
        // These are genuine under the digest; nothing but the window tells them apart,
        // and a window of all time is not one.
        ("{\"a\":1", "700000000000", true),
        ("{\"a\":17", "00000000000", false),
        ("{\"a\":170000000000", "0", true),
        ("{\"a\":170000000000", "00", true),
        ("{\"a\":1700000000000", "", false),
    ] {
        let headers = headers_of(&[("x-retell-signature", &format!("v={time},d={signature}"))]);
        let told = judge(&policy, &headers, body.as_bytes(), NOW);
        assert_eq!(told.is_ok(), accepted, "{body} {time}");
        let default = named::default_policy("retell").unwrap();
        let in_window = judge(&default, &headers, body.as_bytes(), NOW);
        assert_eq!(in_window.is_ok(), body == "{\"a\":", "{body} {time}");
    }
}

#[test]
fn a_bearer_token_is_compared_whole() {
    let check = |value: &str, expected: &str| {
        check("vapi.token", &json!({}), &[("authorization", value)], expected);
    };
    check("Bearer whole-secret", "ok vapi.token");
    check("bEARER whole-secret", "ok vapi.token");
    check("  Bearer whole-secret\t", "ok vapi.token");
    let malformed = "Mismatch Malformed(\"authorization\")";
    check("Bearer  whole-secret", "Mismatch Mismatch");
    check("Bearer whole-secre", "Mismatch Mismatch");
    check("Bearer whole-secret2", "Mismatch Mismatch");
    check("Bearer Whole-secret", "Mismatch Mismatch");
    check("Bearer whole-secret, Bearer whole-secret", "Mismatch Mismatch");
    check("Bearer \"whole-secret\"", "Mismatch Mismatch");
    check("Bearer\twhole-secret", malformed);
    check("Bearer", malformed);
    check("Bearer ", malformed);
    check("Bearerwhole-secret", malformed);
    check("whole-secret", malformed);
    check("Basic whole-secret", malformed);
    check("Token whole-secret", malformed);
    check("", "Unverified Missing(\"authorization\")");
}

#[test]
fn a_token_without_prefix_has_none() {
    let options = json!({"header_name": "X-Vapi-Secret", "bearer_prefix": false});
    let check = |value: &str, expected: &str| {
        check("vapi.token", &options, &[("x-vapi-secret", value)], expected);
    };
    check(SECRET, "ok vapi.token");
    check("Bearer whole-secret", "Mismatch Mismatch");
    check("whole secret", "Mismatch Mismatch");
}

#[test]
fn vapi_hmac_takes_every_knob() {
    let body = str::from_utf8(BODY).unwrap();
    let plain = body_mac();
    let base64 = {
        use base64::Engine;
        let digest = crate::digest::hmac_sha256(SECRET.as_bytes(), BODY);
        base64::engine::general_purpose::STANDARD.encode(digest)
    };
    let only_body = json!({"include_timestamp": false, "payload_format": "{body}"});
    let with = |more: serde_json::Value| {
        let mut options = only_body.clone();
        let more = more.as_object().unwrap().clone();
        options.as_object_mut().unwrap().extend(more);
        options
    };
    let sig = "x-signature";
    let malformed = "Mismatch Malformed(\"x-signature\")";
    check("vapi.hmac", &only_body, &[(sig, &plain)], "ok vapi.hmac");
    check("vapi.hmac", &only_body, &[(sig, &plain), ("x-timestamp", "x")], "ok vapi.hmac");
    check("vapi.hmac", &only_body, &[(sig, &base64)], malformed);

    let in_base64 = with(json!({"encoding": "base64"}));
    check("vapi.hmac", &in_base64, &[(sig, &base64)], "ok vapi.hmac");
    check("vapi.hmac", &in_base64, &[(sig, base64.trim_end_matches('='))], malformed);
    check("vapi.hmac", &in_base64, &[(sig, &format!("{base64}="))], malformed);
    check("vapi.hmac", &in_base64, &[(sig, &base64.replace('=', "=="))], malformed);
    check("vapi.hmac", &in_base64, &[(sig, &format!("AAAA{}", &base64[4..]))], "Mismatch Mismatch");
    // The last letter of 32 bytes in base64 has two bits to spare. They must be zero.
    let sloppy: String = {
        let mut letters: Vec<char> = base64.chars().collect();
        let at = letters.len() - 2;
        letters[at] = char::from(u8::try_from(letters[at]).unwrap() + 1);
        letters.into_iter().collect()
    };
    check("vapi.hmac", &in_base64, &[(sig, &sloppy)], malformed);

    let prefixed = with(json!({"signature_prefix": "sha256="}));
    check("vapi.hmac", &prefixed, &[(sig, &format!("sha256={plain}"))], "ok vapi.hmac");
    for value in
        [plain.clone(), format!("SHA256={plain}"), "sha256=".to_owned(), format!("sha256= {plain}")]
    {
        check("vapi.hmac", &prefixed, &[(sig, &value)], malformed);
    }

    let several = with(json!({"multi": true, "signature_prefix": "v1,"}));
    for value in [
        format!("v1,{plain}"),
        format!("v2,00  v1,00 v1, v1,{plain}"),
        format!("v1,{} v1,{plain}", "0".repeat(64)),
    ] {
        check("vapi.hmac", &several, &[(sig, &value)], "ok vapi.hmac");
    }
    for value in
        [plain.clone(), "v1,".to_owned(), format!("v1,{plain},v1,{plain}"), format!("v1a,{plain}")]
    {
        check("vapi.hmac", &several, &[(sig, &value)], malformed);
    }
    let many = vec![format!("v1,{}", "0".repeat(64)); 40].join(" ");
    check("vapi.hmac", &several, &[(sig, &format!("{many} v1,{plain}"))], malformed);

    let stamp = "x-timestamp";
    let signed = mac(&format!("1700000000.{body}"));
    check("vapi.hmac", &json!({}), &[(sig, &signed), (stamp, "1700000000")], "ok vapi.hmac");
    check("vapi.hmac", &json!({}), &[(sig, &signed), (stamp, " 1700000000 ")], "ok vapi.hmac");
    check("vapi.hmac", &json!({}), &[(sig, &signed)], "Mismatch Incomplete(\"x-timestamp\")");
    check("vapi.hmac", &json!({}), &[(stamp, "1700000000")], "Unverified Missing(\"x-signature\")");
    check(
        "vapi.hmac",
        &json!({}),
        &[(sig, &signed), (stamp, "1700000000"), (stamp, "1700000000")],
        "Mismatch Repeated(\"x-timestamp\")",
    );
    for time in ["-1700000000", "1700000000.5", "2023-11-14T22:13:20Z", "1700000000,1"] {
        let signed = mac(&format!("{time}.{body}"));
        let headers = [(sig, signed.as_str()), (stamp, time)];
        check("vapi.hmac", &json!({}), &headers, "Mismatch Malformed(\"x-timestamp\")");
    }
    // Below 10^11 a time is in seconds, from there on in milliseconds.
    for (time, expected) in [
        ("99999999999", "Mismatch TooNew(98299999999s)"),
        ("100000000000", "Mismatch TooOld(1600000000s)"),
        ("1699999700000", "ok vapi.hmac"),
        ("1699999699999", "Mismatch TooOld(300.001s)"),
        ("1700000300000", "ok vapi.hmac"),
        ("1700000300001", "Mismatch TooNew(300.001s)"),
    ] {
        let signed = mac(&format!("{time}.{body}"));
        check("vapi.hmac", &json!({}), &[(sig, &signed), (stamp, time)], expected);
    }
}

#[test]
fn a_secret_that_is_not_base64_is_no_key() {
    let policy =
        named::policy("vapi.hmac", &json!({"secret_is_base64": true, "include_timestamp": false}))
            .unwrap();
    let key = b"raw key";
    let signed = hex::encode(crate::digest::hmac_sha256(key, BODY));
    let headers = headers_of(&[("x-signature", &signed)]);
    for (secret, expected) in [
        ("cmF3IGtleQ==", "ok"),
        ("cmF3IGtleQ", "UnusableSecret"),
        ("cmF3IGtleR==", "UnusableSecret"),
        ("whsec_cmF3IGtleQ==", "UnusableSecret"),
        ("raw key", "UnusableSecret"),
        ("====", "UnusableSecret"),
        ("cmF3IGtleQo=", "Mismatch"),
    ] {
        let secrets = Secrets::new(vec![Secret::new(secret)], vec![]);
        let told = match judge_with(&policy, &secrets, &headers, BODY, NOW) {
            Ok(_) => "ok".to_owned(),
            Err(rejected) => format!("{:?}", rejected.reason),
        };
        assert_eq!(told, expected, "{secret}");
    }
    // One that is none does not keep another from proving.
    let both = Secrets::from_text("not-base64! cmF3IGtleQ==", "");
    assert!(judge_with(&policy, &both, &headers, BODY, NOW).is_ok());
}

#[test]
fn vapi_auto_lets_the_first_header_decide() {
    let (sig, seed, secret, bearer) =
        ("x-signature", "x-vapi-signature", "x-vapi-secret", "authorization");
    let plain = body_mac();
    let good_bearer = (bearer, "Bearer whole-secret");
    let auto = |headers: &[(&str, &str)], expected: &str| {
        check("vapi.auto", &json!({}), headers, expected);
    };
    auto(&[(seed, &plain)], "ok vapi.seed_hex");
    auto(&[(secret, SECRET)], "ok vapi.secret");
    auto(&[good_bearer], "ok vapi.token");
    auto(&[(sig, ""), (seed, ""), (secret, ""), good_bearer], "ok vapi.token");
    auto(&[(sig, &plain), good_bearer], "Mismatch Incomplete(\"x-timestamp\")");
    auto(
        &[(seed, "00"), (secret, SECRET), good_bearer],
        "Mismatch Malformed(\"x-vapi-signature\")",
    );
    auto(&[(secret, "wrong"), good_bearer], "Mismatch Mismatch");
    auto(&[(seed, &plain), (bearer, "Bearer wrong")], "ok vapi.seed_hex");
    auto(&[(seed, &plain), good_bearer, good_bearer], "Mismatch Repeated(\"authorization\")");
    auto(&[], "Unverified Missing(\"x-signature\")");
}

#[test]
fn mightycall_takes_any_proof() {
    let plain = body_mac();
    let (bearer, sig) = ("authorization", "x-signature");
    let auto = |headers: &[(&str, &str)], expected: &str| {
        check("mightycall.auto", &json!({}), headers, expected);
    };
    auto(&[(bearer, "Bearer wrong"), (sig, &plain)], "ok mightycall.hmac");
    auto(&[(bearer, "Bearer whole-secret"), (sig, "00")], "ok mightycall.bearer");
    auto(&[(bearer, "Basic dTpw"), ("x-mc-signature", &plain)], "ok mightycall.hmac");
    auto(&[(sig, ""), ("x-mightycall-signature", &plain)], "ok mightycall.hmac");
    auto(&[("x-mc-signature", &plain), (sig, &"0".repeat(64))], "ok mightycall.hmac");
    auto(&[("x-mc-signature", "00"), (sig, &"0".repeat(64))], "Mismatch Mismatch");
    auto(&[(sig, &plain), (sig, &plain)], "Mismatch Repeated(\"x-signature\")");
    auto(&[(bearer, "Bearer wrong"), (sig, "00")], "Mismatch Mismatch");
    auto(&[], "Unverified Missing(\"authorization\")");
}

#[test]
fn an_account_key_in_the_body_is_found_by_the_strict_parser() {
    let policy = named::policy("mightycall.body_api_key", &json!({})).unwrap();
    for (body, expected) in [
        (r#"{"ApiKey":"whole-secret"}"#, "ok"),
        (r#" {"Body":{"ApiKey":"x"},"\u0041piKey":"whole\u002dsecret"} "#, "ok"),
        (r#"{"ApiKey":"whole-secret","ApiKey":"whole-secret"}"#, "Mismatch Repeated(\"ApiKey\")"),
        (r#"{"a":{"b":1,"b":1},"ApiKey":"whole-secret"}"#, "Mismatch Repeated(\"ApiKey\")"),
        (r#"{"ApiKey":"Whole-secret"}"#, "Mismatch Mismatch"),
        (r#"{"ApiKey":" whole-secret"}"#, "Mismatch Mismatch"),
        (r#"{"ApiKey":["whole-secret"]}"#, "Mismatch Malformed(\"ApiKey\")"),
        (r#"{"ApiKey":7}"#, "Mismatch Malformed(\"ApiKey\")"),
        (r#"{"ApiKey":""}"#, "Unverified Missing(\"ApiKey\")"),
        (r#"{"ApiKey":null}"#, "Unverified Missing(\"ApiKey\")"),
        (r#"{"apikey":"whole-secret"}"#, "Unverified Missing(\"ApiKey\")"),
        (r#"{"Body":{"ApiKey":"whole-secret"}}"#, "Unverified Missing(\"ApiKey\")"),
        (r#"[{"ApiKey":"whole-secret"}]"#, "Unverified Missing(\"ApiKey\")"),
        (r#"{"ApiKey":"whole-secret"}{}"#, "Unverified Missing(\"ApiKey\")"),
        (r#"{"ApiKey":"whole-secret""#, "Unverified Missing(\"ApiKey\")"),
        ("", "Unverified Missing(\"ApiKey\")"),
    ] {
        let told = match judge(&policy, &Headers::new(), body.as_bytes(), NOW) {
            Ok(_) => "ok".to_owned(),
            Err(rejected) => format!("{:?} {:?}", rejected.verdict(), rejected.reason),
        };
        assert_eq!(told, expected, "{body}");
    }
    let headers = Headers::new();
    let envelope = Envelope { method: "POST", url: URL, headers: &headers, mask_key: None };
    let secrets = Secrets::from_text("", SECRET);
    let examination = Examination::open(&policy, &secrets, envelope, NOW);
    let reason = examination.finish(None).unwrap_err().reason;
    assert_eq!(reason, Rejection::TooLarge(Label::new("ApiKey")));
}

#[test]
fn the_two_kinds_of_secrets_stay_apart() {
    let body = br#"{"ApiKey":"whole-secret"}"#;
    let bearer = headers_of(&[("authorization", "Bearer whole-secret")]);
    let policy = named::default_policy("mightycall").unwrap();
    for (shared, account, headers, expected) in [
        (SECRET, "other", &Headers::new(), "Mismatch Mismatch"),
        (SECRET, "", &Headers::new(), "Unverified Missing(\"authorization\")"),
        ("other", SECRET, &Headers::new(), "ok mightycall.body_api_key"),
        ("", SECRET, &bearer, "ok mightycall.body_api_key"),
        ("", "other", &bearer, "Mismatch Mismatch"),
        (SECRET, "", &bearer, "ok mightycall.bearer"),
        ("", "", &bearer, "Unverified NoSecret"),
    ] {
        let secrets = Secrets::from_text(shared, account);
        let told = match judge_with(&policy, &secrets, headers, body, NOW) {
            Ok(proof) => format!("ok {}", proof.scheme),
            Err(rejected) => format!("{:?} {:?}", rejected.verdict(), rejected.reason),
        };
        assert_eq!(told, expected, "{shared:?} {account:?}");
    }
    let unsigned = judge_with(&policy, &Secrets::from_text("", "other"), &bearer, b"{}", NOW);
    assert_eq!(unsigned.unwrap_err().verdict(), Verdict::Unverified);
}

#[test]
fn tawk_wants_one_bare_digest() {
    let policy = named::default_policy("tawk").unwrap();
    let sign = |key: &str| {
        let mut mac = Keyed::new(crate::scheme::Digest::HmacSha1, key.as_bytes());
        mac.update(BODY);
        hex::encode(mac.finish().as_bytes())
    };
    let good = sign(SECRET);
    for (value, accepted) in [
        (good.clone(), true),
        (good.to_uppercase(), true),
        (format!("sha1={good}"), false),
        (format!("{good},{good}"), false),
        (good[..38].to_owned(), false),
        (body_mac(), false),
        (SECRET.to_owned(), false),
        (sign("other"), false),
        (sign(""), false),
    ] {
        let told = judge(&policy, &headers_of(&[("x-tawk-signature", &value)]), BODY, NOW);
        assert_eq!(told.is_ok(), accepted, "{value}");
    }
}

#[test]
fn any_of_several_secrets_proves() {
    let headers = headers_of(&[("x-vapi-signature", &body_mac())]);
    let policy = named::default_policy("vapi").unwrap();
    for (secrets, accepted) in [
        ("a b c d whole-secret", true),
        ("whole-secret a b", true),
        ("a b", false),
        (" \n\t ", false),
    ] {
        let secrets = Secrets::from_text(secrets, "");
        assert_eq!(judge_with(&policy, &secrets, &headers, BODY, NOW).is_ok(), accepted);
    }
}

#[test]
fn a_policy_without_schemes_proves_nothing() {
    let headers = headers_of(&[("authorization", "Bearer whole-secret")]);
    for policy in [Policy::First(vec![]), Policy::Any(vec![])] {
        assert_eq!(judge(&policy, &headers, BODY, NOW).unwrap_err().reason, Rejection::NoSecret);
    }
}

#[test]
fn a_body_may_be_covered_twice_or_not_at_all() {
    let headers = headers_of(&[("x-signature", &mac("a|b|a"))]);
    let policy = named::policy(
        "hmac",
        &json!({"include_timestamp": false, "payload_format": "{body}|b|{body}"}),
    )
    .unwrap();
    assert!(judge(&policy, &headers, b"a", NOW).is_ok());
    assert!(judge(&policy, &headers, b"b", NOW).is_err());
    let secrets = Secrets::from_text(SECRET, "");
    let envelope = Envelope { method: "POST", url: URL, headers: &headers, mask_key: None };
    let mut examination = Examination::open(&policy, &secrets, envelope, NOW);
    examination.update(b"a");
    assert_eq!(
        examination.finish(None).unwrap_err().reason,
        Rejection::TooLarge(Label::new("body"))
    );

    let mut scheme = policy.schemes()[0].clone();
    if let Kind::Mac(mac) = &mut scheme.proof {
        mac.template = vec![Piece::Text("a|b|a".to_owned())];
    }
    assert!(judge(&Policy::First(vec![scheme]), &headers, b"whatever", NOW).is_ok());
}

#[test]
fn headers_alone_tell_what_is_plausible() {
    let body = str::from_utf8(BODY).unwrap();
    let secrets = Secrets::from_text(SECRET, "");
    for (policy, header, value, expected) in [
        ("elevenlabs", "elevenlabs-signature", format!("t=1700000000,v0={}", "0".repeat(64)), true),
        (
            "elevenlabs",
            "elevenlabs-signature",
            format!("t=1699998000,v0={}", "0".repeat(64)),
            false,
        ),
        ("elevenlabs", "elevenlabs-signature", mac(body), true),
        ("elevenlabs", "elevenlabs-signature", "t=1700000000,v0=00".to_owned(), false),
        ("elevenlabs", "x-other", mac(body), false),
        ("vapi", "x-vapi-secret", SECRET.to_owned(), true),
        ("vapi", "x-vapi-secret", "wrong".to_owned(), false),
    ] {
        let policy = named::default_policy(policy).unwrap();
        let headers = headers_of(&[(header, &value)]);
        let envelope = Envelope { method: "POST", url: URL, headers: &headers, mask_key: None };
        let open = |secrets| Examination::open(&policy, secrets, envelope, NOW).is_plausible();
        assert_eq!(open(&secrets), expected, "{header}: {value}");
        assert!(!open(&Secrets::default()));
    }
}

#[test]
fn a_hashed_token_is_judged_by_its_hash() {
    let key = MaskKey::new([1; 32]);
    let other = MaskKey::new([2; 32]);
    for (name, secret, header, value) in [
        ("vapi.token", SECRET, "authorization", "Bearer whole-secret"),
        ("vapi.token", SECRET, "authorization", "bearer whole-secret"),
        ("vapi.secret", SECRET, "x-vapi-secret", " whole-secret "),
        ("vapi.secret", "two words", "x-vapi-secret", "two words"),
        ("vapi.secret", "Bearer words", "x-vapi-secret", "Bearer words"),
    ] {
        let policy = named::policy(name, &json!({})).unwrap();
        let headers = headers_of(&[(header, value)]).masked(&key, &policy.token_headers());
        let debug = format!("{headers:?}");
        assert!(!debug.contains("words") && !debug.contains("whole"), "{debug}");
        let judge = |secret: &str, mask_key| {
            let secrets = Secrets::new(vec![Secret::new(secret)], vec![]);
            let envelope = Envelope { method: "POST", url: URL, headers: &headers, mask_key };
            verify(&policy, &secrets, envelope, BODY, NOW)
        };
        assert!(judge(secret, Some(&key)).is_ok(), "{value}");
        assert!(judge("wrong", Some(&key)).is_err(), "{value}");
        assert!(judge(secret, Some(&other)).is_err(), "{value}");
        assert!(judge(secret, None).is_err(), "{value}");
    }
    for value in ["Bearer  whole-secret", "whole-secret", "Basic whole-secret"] {
        let policy = named::policy("vapi.token", &json!({})).unwrap();
        let headers = headers_of(&[("authorization", value)]).masked(&key, &[]);
        let secrets = Secrets::from_text(SECRET, "");
        let envelope =
            Envelope { method: "POST", url: URL, headers: &headers, mask_key: Some(&key) };
        assert!(verify(&policy, &secrets, envelope, BODY, NOW).is_err(), "{value}");
    }
}

#[test]
fn a_reason_never_tells_a_value() {
    let secret = "s3cr3t-v4lue";
    let secrets = Secrets::from_text(secret, secret);
    for row in named::TABLE {
        let policy = named::policy(row.name, &json!({})).unwrap();
        for scheme in policy.schemes() {
            for name in scheme.headers() {
                let headers = headers_of(&[(name.as_str(), "s3cr3t-v4lue-not")]);
                let body = br#"{"ApiKey":"s3cr3t-v4lue-not"}"#;
                let Err(rejected) = judge_with(&policy, &secrets, &headers, body, NOW) else {
                    panic!("{} accepted", row.name)
                };
                let told = format!("{rejected} {rejected:?}");
                assert!(!told.contains("s3cr3t"), "{told}");
            }
        }
        let headers = Headers::new();
        let envelope = Envelope { method: "POST", url: URL, headers: &headers, mask_key: None };
        let told = format!("{:?}", Examination::open(&policy, &secrets, envelope, NOW));
        assert!(!told.contains("s3cr3t"), "{told}");
    }
}

#[test]
fn a_long_name_is_cut_and_no_more() {
    let long = "x-".repeat(100);
    assert_eq!(Label::new(&long).as_str(), &long[..47]);
    assert_eq!(Label::new("").as_str(), "");
}

/// Every named scheme that has headers, with options that make it interesting.
fn schemes() -> Vec<Scheme> {
    let named = |name: &str, options: serde_json::Value| named::policy(name, &options).unwrap();
    let mut policies: Vec<Policy> =
        named::TABLE.iter().map(|row| named(row.name, json!({}))).collect();
    for algorithm in ["sha1", "sha256", "sha512"] {
        for encoding in ["hex", "base64"] {
            policies.push(named(
                "hmac",
                json!({
                    "algorithm": algorithm, "encoding": encoding, "multi": encoding == "hex",
                    "signature_header": "webhook-signature", "signature_prefix": "v1,",
                    "timestamp_header": "webhook-timestamp", "message_id_header": "webhook-id",
                    "payload_format": "{svix-id}.{method} {url}\n{timestamp}.{body}!{timestamp}",
                }),
            ));
        }
    }
    let schemes = policies.iter().flat_map(|policy| policy.schemes().to_vec());
    schemes.filter(|it| !matches!(it.proof, Kind::BodyKey(_))).collect()
}

/// A request as its provider would send it.
fn signed(scheme: &Scheme, secret: &Secret, body: &[u8], now: Timestamp) -> Headers {
    let message = Message { method: "POST", url: URL, id: "msg_1" };
    let mut headers = Headers::new();
    for (name, value) in sign(scheme, secret, message, body, now).unwrap() {
        headers.push_plain(name, value.into_bytes());
    }
    headers
}

fn scheme() -> impl Strategy<Value = Scheme> {
    proptest::sample::select(schemes())
}

fn moment() -> impl Strategy<Value = Timestamp> {
    // Times of today's length, so that their unit is told by magnitude.
    (1_000_000_000_000_i64..4_000_000_000_000).prop_map(Timestamp::from_millis)
}

/// The header changed somewhere, and nothing if that is the same to the scheme.
fn change(headers: &Headers, header: usize, at: usize, byte: u8) -> Option<Headers> {
    let header = header % headers.len();
    let mut changed = Headers::new();
    let mut same = true;
    for (index, (name, value)) in headers.iter().enumerate() {
        let crate::headers::Value::Plain(value) = value else { return None };
        let mut bytes = value.to_vec();
        if index == header {
            let at = at % bytes.len();
            same = bytes[at].eq_ignore_ascii_case(&byte);
            bytes[at] = byte;
        }
        changed.push_plain(name.clone(), bytes);
    }
    (!same).then_some(changed)
}

fn config() -> ProptestConfig {
    ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn what_is_signed_is_proven(
        scheme in scheme(),
        secret in "[!-~]{1,80}",
        body in proptest::collection::vec(any::<u8>(), 0..300),
        now in moment(),
        cuts in proptest::collection::vec(0_usize..300, 0..5),
    ) {
        let secret = if matches!(&scheme.proof, Kind::Mac(mac) if mac.secret_is_base64) {
            return Ok(());
        } else {
            Secret::new(secret)
        };
        let headers = signed(&scheme, &secret, &body, now);
        let policy = Policy::First(vec![scheme.clone()]);
        let secrets = Secrets::new(vec![Secret::new("another"), secret], vec![]);
        let whole = judge_with(&policy, &secrets, &headers, &body, now);
        prop_assert_eq!(whole.map(|it| it.scheme), Ok(scheme.name));

        let envelope = Envelope { method: "POST", url: URL, headers: &headers, mask_key: None };
        let mut examination = Examination::open(&policy, &secrets, envelope, now);
        prop_assert!(examination.is_plausible());
        let mut rest = body.as_slice();
        for cut in cuts {
            let (chunk, behind) = rest.split_at(cut.min(rest.len()));
            examination.update(chunk);
            rest = behind;
        }
        examination.update(rest);
        prop_assert_eq!(examination.finish(None), whole);
    }

    #[test]
    fn what_is_changed_is_refused(
        scheme in scheme(),
        body in proptest::collection::vec(any::<u8>(), 1..100),
        now in moment(),
        (header, at, byte) in (0_usize..3, 0_usize..500, 0x21_u8..0x7f),
        (place, bit) in (0_usize..100, 0_u8..8),
    ) {
        let secret = Secret::new(SECRET);
        let headers = signed(&scheme, &secret, &body, now);
        let policy = Policy::First(vec![scheme.clone()]);
        if let Some(headers) = change(&headers, header, at, byte) {
            prop_assert!(judge(&policy, &headers, &body, now).is_err(), "{:?}", headers);
        }
        if let Kind::Mac(mac) = &scheme.proof {
            let mut other = body.clone();
            let place = place % other.len();
            other[place] ^= 1 << bit;
            let told = judge(&policy, &headers, &other, now).map_err(|it| it.reason);
            prop_assert_eq!(told, Err(Rejection::Mismatch));
            let longer = [body.as_slice(), b"0"].concat();
            prop_assert!(judge(&policy, &headers, &longer, now).is_err());
            prop_assert!(judge(&policy, &headers, &body[..body.len() - 1], now).is_err());
            if mac.covers(&Piece::Method) {
                let envelope = Envelope { method: "PUT", url: URL, headers: &headers, mask_key: None };
                let told = verify(&policy, &Secrets::from_text(SECRET, ""), envelope, &body, now);
                prop_assert!(told.is_err());
            }
        }
    }

    #[test]
    fn a_time_out_of_its_window_is_told_as_genuine(
        scheme in scheme(),
        signed_at in moment(),
        off in prop_oneof![3_600_000_i64..100_000_000_000_000, Just(i64::MAX), Just(i64::MIN)],
        ahead in any::<bool>(),
    ) {
        let now = signed_at.millis();
        let now = if ahead { now.saturating_sub(off) } else { now.saturating_add(off) };
        let headers = signed(&scheme, &Secret::new(SECRET), BODY, signed_at);
        let told = judge(&Policy::First(vec![scheme.clone()]), &headers, BODY, Timestamp::from_millis(now));
        match &scheme.proof {
            Kind::Mac(mac) if mac.clock.is_some() => {
                prop_assert!(told.unwrap_err().reason.is_genuine());
            }
            _ => prop_assert!(told.is_ok()),
        }
    }

    #[test]
    fn no_header_makes_it_panic(
        scheme in scheme(),
        values in proptest::collection::vec(
            prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..200),
                "(t|v|v0|d|v1)?[=,]?[0-9]{0,25}[=, ]{0,2}(v0|d|v1,)?=?[0-9a-fA-F=]{0,130}"
                    .prop_map(String::into_bytes),
            ],
            0..4,
        ),
        body in proptest::collection::vec(any::<u8>(), 0..20),
        now in any::<i64>(),
    ) {
        let names: Vec<HeaderName> = scheme.headers().cloned().collect();
        let mut headers = Headers::new();
        for (value, name) in values.into_iter().zip(names.iter().cycle()) {
            headers.push_plain(name.clone(), value);
        }
        for row in named::TABLE {
            let policy = named::policy(row.name, &json!({})).unwrap();
            prop_assert!(judge(&policy, &headers, &body, Timestamp::from_millis(now)).is_err());
        }
        let policy = Policy::First(vec![scheme]);
        prop_assert!(judge(&policy, &headers, &body, Timestamp::from_millis(now)).is_err());
    }
}
