//! Names and their options.

use serde_json::json;

use super::*;

#[track_caller]
fn refused(name: &str, options: &Value, expected: &str) {
    assert_eq!(policy(name, options).unwrap_err().to_string(), expected);
}

#[test]
fn every_scheme_has_a_name_of_its_own() {
    for row in TABLE {
        let made = policy(row.name, &Value::Null).unwrap();
        assert_eq!(made, policy(row.name, &json!({})).unwrap(), "{}", row.name);
        for scheme in made.schemes() {
            let alone = policy(scheme.name, &Value::Null).unwrap();
            assert!(alone.schemes().contains(scheme), "{}", row.name);
            assert!(alone.schemes().iter().all(|it| it.name == scheme.name), "{}", row.name);
        }
    }
    let mut sorted = names();
    sorted.sort_unstable();
    sorted.dedup();
    assert_eq!(sorted.len(), TABLE.len());
}

#[test]
fn every_provider_has_a_default() {
    for provider in ["elevenlabs", "retell", "vapi", "mightycall", "tawk"] {
        let name = for_provider(provider).unwrap();
        assert!(names().contains(&name), "{name}");
        assert!(default_policy(provider).is_some(), "{provider}");
    }
    assert_eq!(for_provider("other"), None);
    assert_eq!(default_policy("other"), None);
    let accepted: Vec<&str> =
        default_policy("elevenlabs").unwrap().schemes().iter().map(|it| it.name).collect();
    assert_eq!(accepted, ["elevenlabs.official", "elevenlabs.seed_plain_hex"]);
}

#[test]
fn a_tools_secret_stands_in_either_header_and_is_hidden_in_both() {
    let made = policy("tool.secret", &Value::Null).unwrap();
    assert!(matches!(made, Policy::First(_)), "the first that is there decides");
    assert_eq!(made.token_headers(), [AUTHORIZATION, TOOL_SECRET]);
    for row in crate::provider::ALL {
        let policy_name = row.calls.as_ref().and_then(|it| it.policy);
        assert!(policy_name.is_none_or(|it| names().contains(&it)), "{}", row.name);
    }
}

#[test]
fn a_wrong_word_is_named() {
    let told = policy("retell", &json!({})).unwrap_err().to_string();
    assert!(told.starts_with("no scheme is called `retell`; there are: elevenlabs.official, "));
    refused(
        "retell.v_d",
        &json!({"tolerance": 1}),
        "`retell.v_d` has no option `tolerance`; it has: tolerance_ms",
    );
    refused(
        "tawk.hmac_sha1",
        &json!({"secret": "x"}),
        "`tawk.hmac_sha1` has no option `secret`; it has none",
    );
    for options in [json!([]), json!("x"), json!(1), json!(true)] {
        refused(
            "retell.v_d",
            &options,
            "the options of a scheme are an object, as in `{\"tolerance_ms\": 300000}`",
        );
    }
}

#[test]
fn a_value_of_another_kind_is_refused() {
    for value in [json!(-1), json!(1.5), json!("300000"), json!(true), json!([])] {
        refused(
            "retell.v_d",
            &json!({"tolerance_ms": value}),
            "option `tolerance_ms` must be a whole number, not negative",
        );
    }
    for (options, expected) in [
        (json!({"algorithm": "md5"}), "option `algorithm` must be `sha1`, `sha256` or `sha512`"),
        (json!({"algorithm": "SHA256"}), "option `algorithm` must be `sha1`, `sha256` or `sha512`"),
        (json!({"encoding": "base64url"}), "option `encoding` must be `hex` or `base64`"),
        (json!({"multi": "yes"}), "option `multi` must be true or false"),
        (json!({"signature_prefix": 1}), "option `signature_prefix` must be a text"),
        (json!({"signature_header": "x y"}), "option `signature_header` must be a header's name"),
    ] {
        refused("vapi.hmac", &options, expected);
    }
}

#[test]
fn options_that_contradict_each_other_are_refused() {
    for (options, expected) in [
        (
            json!({"include_timestamp": false, "payload_format": "{timestamp}.{body}"}),
            "`payload_format` has `{timestamp}`, but `include_timestamp` is false",
        ),
        (
            json!({"payload_format": "{svix-id}.{body}"}),
            "`payload_format` has `{svix-id}`, but there is no `message_id_header`",
        ),
        (
            json!({"payload_format": "{svix-id}.{body}", "message_id_header": ""}),
            "`payload_format` has `{svix-id}`, but there is no `message_id_header`",
        ),
        (
            json!({"payload_format": "{timestamp}"}),
            "`payload_format` without `{body}` would leave the body unproven",
        ),
        (
            json!({"payload_format": ""}),
            "`payload_format` without `{body}` would leave the body unproven",
        ),
    ] {
        refused("vapi.hmac", &options, expected);
    }
}

#[test]
fn a_template_is_read_piece_by_piece() {
    let text = |text: &str| Piece::Text(text.to_owned());
    for (format, expected) in [
        ("{body}", vec![Piece::Body]),
        ("{timestamp}.{body}", vec![Piece::TimeAsSent, text("."), Piece::Body]),
        (
            "v0:{svix-id}{method}{url}?{body}!",
            vec![
                text("v0:"),
                Piece::MessageId,
                Piece::Method,
                Piece::Url,
                text("?"),
                Piece::Body,
                text("!"),
            ],
        ),
        ("{\"b\":{body}}", vec![text("{\"b\":"), Piece::Body, text("}")]),
        ("{{body}}", vec![text("{"), Piece::Body, text("}")]),
        ("{} {body} {", vec![text("{} "), Piece::Body, text(" {")]),
    ] {
        assert_eq!(template(format).unwrap(), expected, "{format}");
    }
    for format in ["{Body}", "{body}{time}", "{request-id}.{body}"] {
        assert!(template(format).is_err(), "{format}");
    }
}

#[test]
fn joined_policies_keep_their_order() {
    let retell = default_policy("retell").unwrap();
    let vapi = default_policy("vapi").unwrap();
    let mightycall = default_policy("mightycall").unwrap();
    let joined = Policy::joined(vec![retell.clone(), vapi.clone()]);
    assert!(matches!(joined, Policy::First(_)));
    assert_eq!(joined.schemes(), [retell.schemes(), vapi.schemes()].concat());
    assert!(matches!(Policy::joined(vec![retell, mightycall]), Policy::Any(_)));
}
