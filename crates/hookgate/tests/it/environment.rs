//! Where secrets come from: variables, files, `.env`.

use std::os::unix::fs::PermissionsExt as _;

use crate::bench::{Bench, variable};

/// What signs a fixed body: tells which secret is in force.
#[track_caller]
fn signature(bench: &Bench, secret: Option<&str>) -> String {
    let mut arguments = vec!["sign", "tawk", "--body", "-"];
    if let Some(secret) = secret {
        arguments.extend(["--secret", secret]);
    }
    let ended = bench.run_with(&arguments, b"{}");
    assert_eq!(ended.code, 0, "{ended:?}");
    ended.out
}

#[track_caller]
fn check(bench: &Bench, secret: &str) {
    assert_eq!(signature(bench, None), signature(bench, Some(secret)), "{secret} is not in force");
}

#[test]
fn the_environment_wins_over_dot_env_and_a_file_stands_for_a_value() {
    let mut bench = Bench::new();
    bench.file(".env", "TAWK_TAWK_WEBHOOK_SECRET=from-dot-env\n");
    check(&bench, "from-dot-env");
    bench.file(".env", "TAWK_WEBHOOK_SECRET='from dot env'\nTAWK_TAWK_WEBHOOK_SECRET=second\n");
    check(&bench, "from");
    bench.file("secret", "from-file\n");
    bench.set("TAWK_WEBHOOK_SECRET_FILE", "secret");
    check(&bench, "from-file");
    bench.set("TAWK_WEBHOOK_SECRET", "from-environment");
    check(&bench, "from-environment");
    bench.set("TAWK_WEBHOOK_SECRET", "  ").unset("TAWK_WEBHOOK_SECRET_FILE");
    check(&bench, "from");
}

#[test]
fn every_one_of_several_secrets_proves() {
    let mut bench = Bench::new();
    bench.set("TAWK_WEBHOOK_SECRET", "new-secret  old-secret");
    for secret in ["new-secret", "old-secret"] {
        let header = signature(&bench, Some(secret));
        let verify = ["verify", "tawk", "--body", "-", "--header", header.trim()];
        assert_eq!(bench.run_with(&verify, b"{}").code, 0, "{secret}");
    }
    let header = signature(&bench, Some("new-secret  old-secret"));
    let verify = ["verify", "tawk", "--body", "-", "--header", header.trim()];
    assert_eq!(bench.run_with(&verify, b"{}").code, 1);
}

#[test]
fn a_missing_file_and_an_unreadable_line_are_named_without_their_content() {
    let mut bench = Bench::new();
    bench.set("TAWK_WEBHOOK_SECRET_FILE", "nowhere");
    let ended = bench.run_with(&["sign", "tawk", "--body", "-"], b"{}");
    assert_eq!(ended.code, 1);
    assert!(ended.err.contains("TAWK_WEBHOOK_SECRET_FILE names nowhere"), "{ended:?}");

    bench.file(".env", "A=1\nhunter2\n");
    let ended = bench.run(&["secret", "new"]);
    assert_eq!(ended.code, 2);
    assert!(ended.err.contains(".env, line 2") && !ended.err.contains("hunter2"), "{ended:?}");
}

#[test]
fn init_adds_what_is_missing_and_keeps_what_is_there() {
    let mut bench = Bench::new();
    bench.file(".env", "# mine\nELEVENLABS_WEBHOOK_SECRET=kept\nTAWK_WEBHOOK_SECRET=\n");
    bench.set("RETELL_API_KEY", "key_of_the_environment");
    let said = bench.done(&["init"]);
    assert!(said.contains("ELEVENLABS_WEBHOOK_SECRET  kept"), "{said}");
    let text = bench.read(".env");
    assert!(text.starts_with("# mine\nELEVENLABS_WEBHOOK_SECRET=kept\n"), "{text}");
    assert!(!text.contains("RETELL_API_KEY"), "{text}");
    assert_eq!(text.matches("TAWK_WEBHOOK_SECRET=").count(), 1);
    let is_hex = |text: &str| text.bytes().all(|it| matches!(it, b'0'..=b'9' | b'a'..=b'f'));
    let check = |name: &str, digits: usize| {
        let value = variable(&text, name);
        assert!(value.len() == digits && is_hex(value), "{name}={value}");
    };
    check("TAWK_WEBHOOK_SECRET", 96);
    check("VAPI_WEBHOOK_SECRET", 64);
    check("MIGHTYCALL_WEBHOOK_SECRET", 64);
    check("HOOKGATE_ADMIN_TOKEN", 64);
    assert_eq!(variable(&text, "MIGHTYCALL_API_KEY").len(), 36);
    assert_eq!(variable(&text, "HOOKGATE_MASTER_KEY").len(), 44);
    let mode = std::fs::metadata(bench.path().join(".env")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let said = bench.done(&["init"]);
    assert!(said.contains("nothing was changed"), "{said}");
    assert_eq!(bench.read(".env"), text);
}

#[test]
fn a_fresh_secret_is_another_each_time() {
    let bench = Bench::new();
    let secrets = ["secret new", "secret new", "secret new retell", "secret new tawk"];
    let secrets = secrets.map(|it| bench.done(&it.split(' ').collect::<Vec<_>>()));
    assert_eq!(secrets.each_ref().map(|it| it.trim().len()), [64, 64, 64, 96]);
    assert_ne!(secrets[0], secrets[1]);
    assert_eq!(bench.run(&["secret", "new", "nobody"]).code, 2);
}
