//! The regular look at what a human should see, and the attacks of the guide.

use std::process::Command;

use serde_json::Value;

use crate::bench::{Bench, Ended};
use crate::tenants::{done, gateway, run, send, two_tenants};

/// The audit's findings, as `severity topic source`.
#[track_caller]
fn audit(bench: &Bench) -> (i32, Vec<String>) {
    let Ended { code, out, err } = run(bench, "audit --json");
    let report: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{out} {err}"));
    let word = |it: &Value, name: &str| it[name].as_str().unwrap_or("-").to_owned();
    let line = |it: &Value| {
        format!("{} {} {}", word(it, "severity"), word(it, "topic"), word(it, "source"))
    };
    (code, report["findings"].as_array().unwrap().iter().map(line).collect())
}

#[test]
fn nothing_needs_a_human_on_a_gateway_that_is_set_up_right() {
    let (bench, gateway) = gateway();
    two_tenants(&bench);
    assert_eq!(send(&bench, "call_1", "a_acme"), 200);
    let (code, findings) = audit(&bench);
    assert_eq!(code, 0, "{findings:?}");
    assert!(findings.iter().all(|it| it.starts_with("note")), "{findings:?}");
    // What departs from the checklist for receivers by design is said all the same.
    for line in ["note weak_proof vapi", "note checklist vapi", "note verification tawk"] {
        assert!(findings.iter().any(|it| it == line), "{line}: {findings:?}");
    }
    let said = run(&bench, "audit");
    assert!(said.out.contains("Nothing needs a human"), "{said:?}");
    assert_eq!(run(&bench, "audit --since someday").code, 2);
    gateway.stop();
}

#[test]
fn contradictions_unbound_ids_and_refusals_are_found() {
    let (bench, gateway) = gateway();
    two_tenants(&bench);
    assert_eq!(send(&bench, "call_1", "a_acme"), 200);
    assert_eq!(send(&bench, "call_1", "a_globex"), 401);
    assert_eq!(send(&bench, "call_2", "a_new"), 404);
    assert_eq!(gateway.post("/in/tawk", &[], "{}").status, 200);
    let forged = gateway.post("/in/vapi", &[("x-vapi-secret", "wrong")], "{}");
    assert_eq!(forged.status, 401);

    let (code, findings) = audit(&bench);
    assert_eq!(code, 1, "{findings:?}");
    for line in [
        "human contradiction vapi",
        "human unbound vapi",
        "human verification tawk",
        "note refused vapi",
    ] {
        assert!(findings.iter().any(|it| it == line), "{line}: {findings:?}");
    }
    let said = run(&bench, "audit").out;
    assert!(said.contains("naming ids of acme and globex"), "{said}");
    let bind = "`hookgate binding add --tenant TENANT --provider vapi --kind agent a_new`";
    assert!(said.contains(bind), "{said}");

    done(&bench, "binding add --tenant acme --provider vapi --kind agent a_new");
    let (_, findings) = audit(&bench);
    assert!(findings.iter().any(|it| it == "human reattribute vapi"), "{findings:?}");
    assert!(!findings.iter().any(|it| it == "human unbound vapi"), "{findings:?}");
    gateway.stop();
}

#[test]
fn weak_and_trusting_settings_are_found() {
    let mut bench = Bench::new();
    bench
        .set("HOOKGATE_ADMIN_TOKEN", "operator-0123456789abcdef")
        .set("MIGHTYCALL_WEBHOOK_SECRET", "your-secret-key")
        .set("RETELL_API_KEY", "key_0123456789abcdef key_of_last_year")
        .set("TAWK_WEBHOOK_SECRET", "0123456789abcdef0123456789abcdef")
        .set("HOOKGATE_TAWK_VERIFICATION", "record");
    let gateway = bench.serve(&[]);
    two_tenants(&bench);
    let (code, findings) = audit(&bench);
    assert_eq!(code, 1, "{findings:?}");
    for line in [
        "human trusted_claim mightycall",
        "human trusted_claim retell",
        "human secrets mightycall",
        "note secrets retell",
        "human verification tawk",
        "note weak_proof tawk",
        "note checklist mightycall",
        "note silent retell",
    ] {
        assert!(findings.iter().any(|it| it == line), "{line}: {findings:?}");
    }
    let said = run(&bench, "audit").out;
    assert!(!said.contains("your-secret-key") && !said.contains("key_of_last_year"), "{said}");
    gateway.stop();
}

#[test]
fn the_doctor_says_whose_events_are_whose() {
    let (bench, gateway) = gateway();
    two_tenants(&bench);
    assert_eq!(send(&bench, "call_1", "a_new"), 404);
    let said = run(&bench, "doctor").out;
    for part in [
        "pass  tenants: 2: globex, acme",
        "Enforced, because there are tenants",
        "warn  unbound ids: 1 that the latest events name are bound to nobody, a_new among them",
        "pass  vapi checklist, secret: VAPI_WEBHOOK_SECRET is set and enforced",
        "pass  vapi checklist, firewall",
        "Assistant ID mismatch",
        "pass  master key: lies in hookgate.data/master.key",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    gateway.stop();
}

#[test]
fn the_attacks_of_the_guide_are_answered_as_they_must_be() {
    let (bench, gateway) = gateway();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/attack");
    let attack = |url: &str, secret: &str| {
        let ended = Command::new(script)
            .current_dir(bench.path())
            .env_clear()
            .env("PATH", std::env::var("PATH").unwrap())
            .env("HOOKGATE", env!("CARGO_BIN_EXE_hookgate"))
            .env("HOOKGATE_URL", url)
            .env("HOOKGATE_ADMIN_TOKEN", "operator-0123456789abcdef")
            .env("VAPI_WEBHOOK_SECRET", secret)
            .output()
            .unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Ended {
            code: ended.status.code().unwrap(),
            out: text(ended.stdout),
            err: text(ended.stderr),
        }
    };
    let url = format!("http://{}", gateway.address);
    let right = attack(&url, "vapi-0123456789abcdef0123456789abcdef");
    assert_eq!(right.code, 0, "{}\n{}", right.out, right.err);
    assert_eq!(right.out.matches("  pass").count(), 17, "{}", right.out);
    let tenants = done(&bench, "tenant list --json");
    assert!(!tenants.contains("\"erasing\":false"), "it leaves no tenant: {tenants}");

    // A gateway that answers otherwise is found out: here it does not know the secret.
    let wrong = attack(&url, "another-secret");
    assert_eq!(wrong.code, 1, "{wrong:?}");
    assert!(wrong.out.contains("DIFFERENT"), "{wrong:?}");
    assert_eq!(attack("http://127.0.0.1:1", "x").code, 2);
    gateway.stop();
}
