//! How the gateway starts, refuses to, and ends.

use std::io::{Read as _, Write as _};

use rustix::process::Signal;
use serde_json::Value;

use crate::bench::{Bench, Ended};

/// What the metrics say while a request of this source is being read.
const HALF: &str = "hookgate_ingress_in_flight{source=\"tawk\"} 1";

#[track_caller]
fn refused(bench: &Bench, arguments: &[&str]) -> Ended {
    let ended = bench.run(&[&["serve"], arguments].concat());
    assert_ne!(ended.code, 0, "{ended:?}");
    ended
}

#[test]
fn a_platforms_port_is_listened_to_from_outside() {
    let mut bench = Bench::new();
    bench.set("PORT", "0");
    let gateway = bench.serve_as(&["serve"]);
    assert!(gateway.address.ip().is_unspecified(), "{}", gateway.address);
    assert_eq!(gateway.get("/healthz", &[]).status, 200);
    gateway.stop();

    let gateway = bench.serve_as(&["serve", "--dev"]);
    assert!(gateway.address.ip().is_loopback(), "{}", gateway.address);
    gateway.stop();
    bench.set("HOOKGATE_LISTEN", "localhost:0");
    let gateway = bench.serve_as(&["serve"]);
    assert!(gateway.address.ip().is_loopback(), "{}", gateway.address);
    gateway.stop();
}

#[test]
fn a_published_secret_is_refused_off_loopback() {
    for (name, secret) in [
        (
            "MIGHTYCALL_WEBHOOK_SECRET",
            "a7f3c9e2b1d4f8a3c5e7b9d1f3a5c7e9b1d3f5a7c9e1b3d5f7a9c1e3f5a7c9",
        ),
        ("TAWK_TAWK_WEBHOOK_SECRET", "your_secret_here"),
        ("MIGHTYCALL_WEBHOOK_SECRET", "good-0123456789abcdef your-secret-key"),
    ] {
        let mut bench = Bench::new();
        bench.set(name, secret);
        let ended = refused(&bench, &["--listen", "0.0.0.0:0"]);
        assert_eq!(ended.code, 2);
        assert!(ended.err.contains("published") && ended.err.contains("secret new"), "{ended:?}");
        assert!(!ended.err.contains(secret), "{ended:?}");
        assert!(!bench.path().join("hookgate.data").exists());
    }
}

#[test]
fn a_developers_gateway_is_nobody_elses_business() {
    let bench = Bench::new();
    let ended = refused(&bench, &["--dev", "--listen", "0.0.0.0:0"]);
    assert_eq!(ended.code, 2);
    assert!(ended.err.contains("loopback"), "{ended:?}");
    assert!(!bench.path().join(".env").exists());
}

#[test]
fn what_cannot_hold_is_refused_with_what_to_do() {
    let check =
        |file: &str, variables: &[(&str, &str)], arguments: &[&str], code: i32, text: &str| {
            let mut bench = Bench::new();
            for (name, value) in variables {
                bench.set(name, value);
            }
            if !file.is_empty() {
                bench.file("hookgate.toml", file);
            }
            let ended = refused(&bench, arguments);
            assert_eq!(ended.code, code, "{ended:?}");
            assert!(ended.err.contains(text), "{text:?} is not in {}", ended.err);
            assert_eq!(ended.err.lines().count(), 1, "{}", ended.err);
        };
    check(
        "[source.tawk]\nverification = \"enforce\"\n",
        &[],
        &[],
        2,
        "[source.tawk] verification is `enforce`",
    );
    check(
        "",
        &[("HOOKGATE_TAWK_VERIFICATION", "enforce")],
        &[],
        2,
        "HOOKGATE_TAWK_VERIFICATION is `enforce`",
    );
    check("", &[("HOOKGATE_TAWK_VERIFICATION", "maybe")], &[], 2, "`auto`, `enforce` or `record`");
    check(
        "[server]\n\nlissten = \"x\"\n",
        &[],
        &[],
        2,
        "hookgate.toml, line 3: unknown field `lissten`",
    );
    check("[deliveries]\nretry = []\n", &[], &[], 2, "unknown field `deliveries`");
    check(
        "[source.tawk]\nsecret = \"hunter2hunter2\"\n",
        &[],
        &[],
        2,
        "[source.tawk] secret: must be a reference",
    );
    check("[source.tawk]\nsecret = \"env:NOT_THERE\"\n", &[], &[], 2, "NOT_THERE");
    check("[source.acme]\n", &[], &[], 2, "[source.acme] needs `provider`");
    check(
        "[source.acme]\nprovider = \"tawk\"\npath = \"/metrics\"\n",
        &[],
        &[],
        2,
        "belongs to the gateway",
    );
    check(
        "[source.acme]\nprovider = \"tawk\"\npath = \"/webhook/retell\"\n",
        &[],
        &[],
        2,
        "leads to the source `retell`",
    );
    check("[source.tawk]\nschemes = \"tawk.md5\"\n", &[], &[], 2, "no scheme is called `tawk.md5`");
    check("", &[], &["--listen", "8080"], 2, "--listen 8080");
    check("", &[("PORT", "http")], &[], 2, "PORT=http");
    let nobody = "postgres://me:hunter2@127.0.0.1:1/x";
    let at_once = "[store]\nstart_seconds = 0\n";
    let key = ("HOOKGATE_MASTER_KEY", "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=");
    check("", &[], &["--store", nobody], 2, "needs a master key");
    check(at_once, &[key], &["--store", nobody], 1, "PostgreSQL at 127.0.0.1:1");
    check(at_once, &[key, ("HOOKGATE_STORE", nobody)], &[], 1, "nothing answers there");
    check("[store]\nstart_seconds = 3601\n", &[], &["--store", nobody], 2, "3600 at most");
    check("[store]\nspool_bytes = \"1 MiB\"\n", &[], &[], 2, "64 MiB at least");
    check("", &[], &["--store", "postgres://me:hun@ter2@db/x"], 2, "write @ as %40");
    check("", &[], &["--store", "postgress://me:hunter2@db/x"], 2, "or postgres://");
    check(
        "[store]\npath = \"postgres://a@aws-0-eu.pooler.supabase.com:6543/x\"\n",
        &[],
        &[],
        2,
        "port 5432",
    );
    check("", &[], &["--config", "none.toml"], 2, "none.toml");
    check(
        "",
        &[("HOOKGATE_PUBLIC_URL", "hooks.example.com")],
        &[],
        2,
        "HOOKGATE_PUBLIC_URL must be",
    );
}

#[test]
fn a_literal_secret_in_the_file_is_never_repeated() {
    let bench = Bench::new();
    for text in [
        "[source.tawk]\nsecret = \"hunter2hunter2\"\n",
        "[source.tawk]\nsecret = \"hunter2hunter2\n",
    ] {
        bench.file("hookgate.toml", text);
        let ended = refused(&bench, &[]);
        assert!(!ended.err.contains("hunter2"), "{ended:?}");
    }
}

#[test]
fn two_gateways_do_not_share_a_store_or_a_port() {
    let mut bench = Bench::new();
    let gateway = bench.serve(&[]);
    let ended = refused(&bench, &["--listen", "127.0.0.1:0"]);
    assert_eq!(ended.code, 1);
    assert!(ended.err.contains("another process uses this store folder"), "{ended:?}");
    let ended = refused(&bench, &["--store", "other", "--listen", &gateway.address.to_string()]);
    assert_eq!(ended.code, 1);
    assert!(ended.err.contains("something listens there already"), "{ended:?}");
    gateway.stop();
}

#[test]
fn sigterm_lets_what_was_accepted_finish_and_keeps_it() {
    let mut bench = Bench::new();
    bench.set("HOOKGATE_ADMIN_TOKEN", "operator-0123456789abcdef");
    let mut gateway = bench.serve(&[]);
    let body = r#"{"event":"chat:start"}"#;
    let mut stream = gateway.connect();
    let head =
        format!("POST /tawk-webhook HTTP/1.1\r\nhost: t\r\ncontent-length: {}\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&body.as_bytes()[..4]).unwrap();
    gateway.wait_for_metric(HALF);
    gateway.signal(Signal::TERM);
    gateway.wait_for("stopping");
    stream.write_all(&body.as_bytes()[4..]).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(gateway.code(), 0);

    let events: Value = serde_json::from_str(&bench.done(&[
        "events",
        "list",
        "--store",
        "hookgate.data",
        "--json",
    ]))
    .unwrap();
    assert_eq!(events["data"].as_array().unwrap().len(), 1);
}

#[test]
fn the_second_signal_ends_it_at_once() {
    let mut bench = Bench::new();
    let mut gateway = bench.serve(&[]);
    let mut stream = gateway.connect();
    stream
        .write_all(b"POST /tawk-webhook HTTP/1.1\r\nhost: t\r\ncontent-length: 9\r\n\r\n{")
        .unwrap();
    gateway.wait_for_metric(HALF);
    gateway.signal(Signal::INT);
    gateway.wait_for("stopping");
    gateway.signal(Signal::INT);
    assert_eq!(gateway.code(), 1);
}

#[test]
fn in_json_every_line_is_json() {
    let mut bench = Bench::new();
    let mut gateway = bench.serve(&["--log-format", "json"]);
    assert_eq!(gateway.post("/tawk-webhook", &[], "{}").status, 200);
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.code(), 0);
    let seen = gateway.seen();
    for line in seen.lines() {
        assert!(serde_json::from_str::<Value>(line).is_ok(), "{line}");
    }
    assert!(seen.contains("WARNING: TAWK_WEBHOOK_SECRET not set"), "{seen}");
}

#[test]
fn the_api_can_have_a_listener_of_its_own() {
    let mut bench = Bench::new();
    bench.set("HOOKGATE_ADMIN_TOKEN", "operator-0123456789abcdef");
    bench.file("hookgate.toml", "[server]\nadmin_listen = \"127.0.0.1:0\"\n");
    let gateway = bench.serve(&["--log-format", "human"]);
    let bearer = [("Authorization", "Bearer operator-0123456789abcdef")];
    assert_eq!(gateway.get("/api/v1/events", &bearer).status, 404);
    assert_eq!(gateway.get("/metrics", &[]).status, 404);
    assert_eq!(gateway.get("/healthz", &[]).status, 200);
    let api = gateway.seen();
    let api = api.lines().find(|it| it.contains("/api/v1")).unwrap();
    let url = api.split_whitespace().find(|it| it.starts_with("http://")).unwrap();
    bench.set("HOOKGATE_URL", url.strip_suffix("/api/v1").unwrap());
    bench.done(&["events", "list"]);
    gateway.stop();
}

#[test]
fn the_operators_token_is_made_once_and_shown_to_no_log() {
    let mut bench = Bench::new();
    let gateway = bench.serve(&[]);
    let token = bench.read("hookgate.data/admin.token");
    assert!(!gateway.seen().contains(token.trim()));
    let bearer = format!("Bearer {}", token.trim());
    assert_eq!(gateway.get("/api/v1/events", &[]).status, 401);
    assert_eq!(gateway.get("/api/v1/events", &[("Authorization", &bearer)]).status, 200);
    assert_eq!(gateway.get("/metrics", &[]).status, 200);
    gateway.stop();
    let gateway = bench.serve(&[]);
    assert_eq!(bench.read("hookgate.data/admin.token"), token);
    gateway.stop();
}

#[test]
fn inspect_shows_each_request_and_no_credential() {
    let mut bench = Bench::new();
    bench.set("ELEVENLABS_WEBHOOK_SECRET", "wsec_0123456789abcdef0123456789abcdef");
    let mut gateway = bench.serve(&["--inspect"]);
    bench.done(&["send", "elevenlabs"]);
    gateway.wait_for("Signature Valid: True");
    gateway.wait_for("✅ Webhook processed successfully");
    let seen = gateway.seen();
    assert!(seen.contains("ELEVENLABS POST-CONVERSATION WEBHOOK RECEIVED"), "{seen}");
    assert!(!seen.contains("wsec_0123456789"), "{seen}");
    gateway.stop();
}
