//! Judging captured requests offline.

use std::sync::Mutex;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::bench::Bench;

/// Judged at once. Each is a process of a few milliseconds.
const AT_ONCE: usize = 4;

const VECTORS: &str = include_str!("../../../hookgate-core/testdata/vectors.jsonl");

#[test]
fn every_vector_gets_its_verdict() {
    let bench = Bench::new();
    let vectors: Vec<Value> = VECTORS.lines().map(|it| serde_json::from_str(it).unwrap()).collect();
    assert!(vectors.len() >= 100, "{} vectors", vectors.len());
    let left = Mutex::new(vectors.iter());
    let next = || left.lock().unwrap().next();
    let wrong = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(vector) = next() {
                    if let Some(fault) = judge(&bench, vector) {
                        wrong.lock().unwrap().push(fault);
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// What went wrong, if anything did.
fn judge(bench: &Bench, vector: &Value) -> Option<String> {
    let text = |name: &str| vector[name].as_str().unwrap().to_owned();
    let mut arguments = vec![
        "verify".to_owned(),
        text("provider"),
        "--scheme".to_owned(),
        text("scheme"),
        "--scheme-config".to_owned(),
        vector["config"].to_string(),
        "--at".to_owned(),
        vector["now_unix_ms"].to_string(),
        "--body".to_owned(),
        "-".to_owned(),
    ];
    let secrets = match &vector["secret"] {
        Value::Array(secrets) => secrets.iter().map(|it| it.as_str().unwrap().to_owned()).collect(),
        secret => vec![secret.as_str().unwrap().to_owned()],
    };
    for secret in secrets {
        arguments.extend(["--secret".to_owned(), secret]);
    }
    for header in vector["headers"].as_array().unwrap() {
        let value = header[1].as_str().unwrap();
        arguments
            .extend(["--header".to_owned(), format!("{}: {value}", header[0].as_str().unwrap())]);
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let ended = bench.run_with(&arguments, &STANDARD.decode(text("body_base64")).unwrap());
    let expected = i32::from(vector["expect"] != "accept");
    (ended.code != expected).then(|| format!("{}: {ended:?}", vector["id"]))
}

const SECRET: &str = "0123456789abcdef0123456789abcdef";

#[track_caller]
fn code(arguments: &[&str], expected: i32) -> String {
    let bench = Bench::new();
    let ended = bench.run_with(&[&["verify"], arguments].concat(), b"{\"a\":1}\n");
    assert_eq!(ended.code, expected, "{ended:?}");
    format!("{}{}", ended.out, ended.err)
}

#[test]
fn what_proves_nothing_is_rejected_and_a_wrong_flag_is_not_a_verdict() {
    let tawk = |more: &[&'static str]| [&["tawk", "--body", "-"], more].concat();
    let secret: &[&str] = &["--secret", SECRET];
    code(&tawk(secret), 1);
    code(&tawk(&[]), 1);
    code(&tawk(&["--secret", ""]), 1);
    code(&tawk(&["--secret", "--looks-like-a-flag"]), 1);
    for odd in ["", " ", "é", "\u{1}", "a\nb", "\u{202e}"] {
        let header: &'static str = format!("X-Tawk-Signature: {odd}").leak();
        code(&tawk(&["--secret", SECRET, "--header", header]), 1);
    }
    code(
        &[
            "mightycall",
            "--body",
            "-",
            "--secret",
            "a\u{1}",
            "--header",
            "Authorization: Bearer a\u{1}",
        ],
        1,
    );

    assert!(
        code(&["tok", "--body", "-"], 2).contains("elevenlabs, retell, vapi, mightycall, tawk")
    );
    assert!(code(&tawk(&["--scheme", "tawk.hmac"]), 2).contains("tawk.hmac_sha1"));
    assert!(code(&tawk(&["--scheme-config", "{"]), 2).contains("not JSON"));
    assert!(code(&tawk(&["--scheme-config", "{\"colour\":1}"]), 2).contains("colour"));
    assert!(code(&["tawk", "--body", "none"], 2).contains("cannot read none"));
    assert!(code(&tawk(&["--header", "no colon"]), 2).contains("'Name: value'"));
    assert!(code(&tawk(&["--at", "noon"]), 2).contains("--at"));
    code(&["tawk"], 2);
}

#[test]
fn a_rejected_request_is_told_which_mistake_explains_it() {
    let bench = Bench::new();
    let sign = ["sign", "tawk", "--body", "-", "--secret", SECRET];
    let signed = bench.run_with(&sign, b"{\"a\":1}");
    let header = signed.out.trim();
    let verify = |more: &[&str], body: &[u8]| {
        bench.run_with(
            &[&["verify", "tawk", "--body", "-", "--header", header], more].concat(),
            body,
        )
    };
    assert_eq!(verify(&["--secret", SECRET], b"{\"a\":1}").code, 0);

    let newline = verify(&["--secret", SECRET], b"{\"a\":1}\n");
    assert_eq!(newline.code, 1);
    assert!(newline.out.contains("newline"), "{newline:?}");

    let printed = verify(&["--secret", SECRET, "--json"], b"{\"a\": 1}");
    let printed: Value = serde_json::from_str(&printed.out).unwrap();
    assert_eq!(printed["verdict"], "reject");
    assert!(!printed["mistakes"].as_array().unwrap().is_empty(), "{printed}");

    let old = verify(&["--secret", "another-secret", "--old-secret", SECRET], b"{\"a\":1}");
    assert_eq!(old.code, 1);
    assert!(old.out.contains("old"), "{old:?}");
}

#[test]
fn what_sign_prints_verify_accepts() {
    let bench = Bench::new();
    for provider in ["elevenlabs", "retell", "vapi", "mightycall", "tawk"] {
        let at = ["--at", "1795341600000"];
        let sign = [&["sign", provider, "--body", "-", "--secret", SECRET], &at[..]].concat();
        let signed = bench.run_with(&sign, b"{}");
        assert_eq!(signed.code, 0, "{signed:?}");
        let headers = signed.out.lines().flat_map(|it| ["--header", it]);
        let verify = ["verify", provider, "--body", "-", "--secret", SECRET].into_iter();
        let verify: Vec<&str> = verify.chain(at).chain(headers).collect();
        let verified = bench.run_with(&verify, b"{}");
        assert_eq!(verified.code, 0, "{provider}: {verified:?}");
        assert_eq!(bench.run_with(&verify, b"{} ").code, 1, "{provider}");
    }
}
