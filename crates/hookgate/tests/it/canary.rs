//! What must not get out: a secret, a credential, a key and the text of a body are looked
//! for in everything that the gateway says, at every level of its log.

use std::fmt::Write as _;

use crate::bench::{Bench, Gateway};

const LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];

const SECRET: &str = "canary-secret-0123456789abcdef";
const TOKEN: &str = "canary-operator-0123456789abcdef";
const CREDENTIAL: &str = "canary-credential-EAAA";
const TEXT: &str = "canary-transcript-of-a-caller";
const BEARER: &str = "canary-bearer-of-a-stranger";

fn post(bench: &Bench, body: &str) -> String {
    bench.run_with(&["send", "vapi", "--body", "-"], body.as_bytes()).out
}

/// Everything that can happen to a request, once. Gives what was said to its senders and to
/// the operator.
fn everything(bench: &mut Bench, gateway: &Gateway) -> (String, Vec<String>) {
    let mut said = String::new();
    let mut hidden = vec![SECRET.to_owned(), TOKEN.to_owned(), CREDENTIAL.to_owned()];
    for line in [
        "tenant add acme --name Acme",
        "tenant add globex --name Globex",
        "binding add --tenant acme --provider vapi --kind agent a_acme",
        "binding add --tenant globex --provider vapi --kind agent a_globex",
    ] {
        said += &bench.done(&line.split(' ').collect::<Vec<_>>());
    }
    let credential =
        format!(r#"{{"access_token":"{CREDENTIAL}","location_id":"L","environment":"sandbox"}}"#);
    let put = bench.run_with(&["credential", "set", "acme", "square"], credential.as_bytes());
    assert_eq!(put.code, 0, "{put:?}");
    said += &(put.out + &put.err);
    // Shown once, to whoever asked for it, and never again.
    hidden.push(bench.done(&["key", "add", "acme"]).trim().to_owned());
    let url = bench.done(&["source", "token", "add", "vapi", "--tenant", "acme"]);
    let token = url.trim().rsplit('/').next().unwrap().to_owned();
    hidden.push(token.clone());

    let message = |call: &str, agent: &str| {
        format!(
            r#"{{"message":{{"type":"hang","call":{{"id":"{call}","assistantId":"{agent}"}},"transcript":"{TEXT}","server":{{"secret":"{CREDENTIAL}"}}}}}}"#
        )
    };
    let accepted = message("c1", "a_acme");
    assert!(post(bench, &accepted).contains("200 OK"));
    for body in [
        accepted,
        message("c1", "a_globex"),
        message("c2", "nobody"),
        format!(r#"{{"message":{{"type":"hang","text":"{TEXT}"}}}}"#),
        format!(r#"{{"text":"{TEXT}","text":"{TEXT}"}}"#),
        TEXT.to_owned(),
    ] {
        said += &post(bench, &body);
    }
    let bearer = format!("Bearer {BEARER}");
    let wrong = [("authorization", bearer.as_str())];
    for (path, headers) in [
        ("/webhook/vapi", &wrong[..]),
        ("/webhook/vapi", &[]),
        (&format!("/in/vapi/{token}"), &wrong),
        ("/in/vapi/canary-not-a-token", &[]),
        ("/api/v1/tenants", &wrong),
    ] {
        said += &gateway.post(path, headers, TEXT).body;
    }
    let operator = format!("Bearer {TOKEN}");
    let operator = [("authorization", operator.as_str())];
    for path in [
        "/metrics",
        "/api/v1/tenants/acme/credentials",
        "/api/v1/tenants/acme/credentials/square",
        "/api/v1/tenants/acme/keys",
        "/api/v1/sources",
        "/api/v1/sources/vapi/tokens",
        "/api/v1/violations",
        "/api/v1/rejections",
        "/api/v1/events",
        "/api/v1/tenants?limit=x",
        "/api/v1/nothing",
    ] {
        said += &gateway.get(path, &operator).body;
    }
    for line in ["audit", "doctor", "events list", "rejections list", "violations list"] {
        let ended = bench.run(&line.split(' ').collect::<Vec<_>>());
        let _ = write!(said, "{}{}", ended.out, ended.err);
    }
    hidden.extend([TEXT.to_owned(), BEARER.to_owned()]);
    (said, hidden)
}

#[test]
fn no_secret_no_credential_and_no_text_of_a_body_is_ever_said() {
    for level in LEVELS {
        let mut bench = Bench::new();
        bench.set("VAPI_WEBHOOK_SECRET", SECRET).set("HOOKGATE_ADMIN_TOKEN", TOKEN);
        bench.set("RUST_LOG", level).set("RUST_BACKTRACE", "1");
        // The line by which a test knows that it is ready is one of `info`.
        let flags = if matches!(level, "error" | "warn") { "warn,hookgate=info" } else { level };
        bench.set("RUST_LOG", flags);
        let mut gateway = bench.serve(&[]);
        let (said, hidden) = everything(&mut bench, &gateway);
        gateway.signal(rustix::process::Signal::TERM);
        assert_eq!(gateway.code(), 0);
        let log = gateway.seen();
        assert!(log.len() > 100, "{level} logs something");
        for canary in hidden {
            assert!(!said.contains(&canary), "{level}: {canary} is said in {said}");
            assert!(!log.contains(&canary), "{level}: {canary} is logged in {log}");
        }
    }
}
