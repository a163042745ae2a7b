//! Reading what is stored, with and without a gateway.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;

use serde_json::{Value, json};

use crate::bench::{Bench, PATIENCE};

#[test]
fn the_api_and_the_folder_tell_the_same() {
    let mut bench = Bench::new();
    let gateway = bench.serve(&["--dev"]);
    for provider in ["retell", "vapi", "tawk"] {
        bench.done(&["send", provider]);
    }
    let commands: [&[&str]; 4] = [
        &["events", "list", "--json"],
        &["events", "list", "--provider", "vapi", "--since", "1h"],
        &["events", "list", "--limit", "1", "--kind", "call.ended"],
        &["events", "export"],
    ];
    for command in commands {
        let of_api = bench.done(command);
        let of_folder = bench.done(&[command, &["--store", "hookgate.data"]].concat());
        assert_eq!(of_api, of_folder, "{command:?}");
    }
    assert!(bench.done(&["events", "list", "--limit", "1"]).contains("tawk"));

    let exported = bench.done(&["events", "export", "--provider", "retell"]);
    let exported: Value = serde_json::from_str(exported.trim()).unwrap();
    let id = exported["id"].as_str().unwrap();
    let shown = bench.done(&["events", "show", id]);
    assert!(shown.contains("call_ended") && shown.contains("Headers:"), "{shown}");
    assert_eq!(bench.run(&["events", "show", "evt_0"]).code, 1);
    assert_eq!(bench.run(&["events", "list", "--kind", "call.over"]).code, 2);
    assert_eq!(bench.run(&["events", "list", "--since", "yesterday"]).code, 2);
    gateway.stop();

    // Without the gateway, its folder is read.
    let ended = bench.run(&["events", "show", id, "--json"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.err.contains("reading hookgate.data"), "{ended:?}");
}

#[test]
fn tail_prints_what_comes_and_nothing_twice() {
    let mut bench = Bench::new();
    let gateway = bench.serve(&["--dev"]);
    bench.done(&["send", "tawk"]);
    let url = format!("http://{}", gateway.address);
    let tail = |more: &[&str]| {
        let mut child = Command::new(env!("CARGO_BIN_EXE_hookgate"))
            .args([&["events", "tail"], more].concat())
            .current_dir(bench.path())
            .env_clear()
            .env("HOOKGATE_URL", &url)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (send, lines) = channel();
        let errors = BufReader::new(child.stderr.take().unwrap());
        let out = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                let _ = send.send(line);
            }
        });
        // It says so once it knows from where on.
        let waiting = errors.lines().next().unwrap().unwrap();
        assert!(waiting.contains("Waiting"), "{waiting}");
        (child, lines)
    };
    let (mut new, new_lines) = tail(&[]);
    let (mut all, all_lines) = tail(&["--from-start", "--store", "hookgate.data"]);
    for provider in ["retell", "vapi"] {
        bench.done(&["send", provider]);
    }
    for provider in ["retell", "vapi"] {
        let line = new_lines.recv_timeout(PATIENCE).unwrap();
        assert!(line.contains(provider), "{line}");
    }
    for provider in ["tawk", "retell", "vapi"] {
        let line = all_lines.recv_timeout(PATIENCE).unwrap();
        assert!(line.contains(provider), "{line}");
    }
    for child in [&mut new, &mut all] {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    gateway.stop();
}

#[test]
fn a_store_is_checked_rebuilt_and_backed_up() {
    let mut bench = Bench::new();
    let gateway = bench.serve(&["--dev"]);
    bench.done(&["send", "tawk"]);
    bench.done(&["store", "backup", "copy"]);
    assert_eq!(bench.run(&["store", "rebuild"]).code, 1, "the gateway runs");
    gateway.stop();
    bench.done(&["store", "check"]);
    let before = bench.done(&["events", "list", "--store", "hookgate.data"]);
    bench.done(&["store", "rebuild"]);
    assert_eq!(bench.done(&["events", "list", "--store", "hookgate.data"]), before);
    bench.done(&["store", "rebuild", "--store", "copy"]);
    assert_eq!(bench.done(&["events", "list", "--store", "copy"]), before);
    assert_eq!(bench.run(&["store", "check", "--store", "nowhere"]).code, 1);
}

#[test]
fn a_store_is_copied_and_a_copy_that_was_stopped_goes_on() {
    let mut bench = Bench::new();
    let gateway = bench.serve(&["--dev"]);
    for _ in 0..3 {
        bench.done(&["send", "tawk"]);
    }
    let from_to = ["store", "copy", "--from", "hookgate.data", "--to", "copy", "--json"];
    let refused = bench.run(&from_to);
    assert_eq!(refused.code, 1, "the gateway runs");
    gateway.stop();
    let before = bench.done(&["events", "list", "--store", "hookgate.data"]);

    let copied: Value = serde_json::from_str(&bench.done(&from_to)).unwrap();
    assert_eq!((&copied["events"], &copied["resumed_after"]), (&json!(3), &json!(0)), "{copied}");
    assert_eq!(bench.done(&["events", "list", "--store", "copy"]), before);
    bench.done(&["store", "check", "--store", "copy"]);
    let refused = bench.run(&from_to);
    assert!(refused.code == 1 && refused.err.contains("not empty"), "{refused:?}");

    // As a run that was stopped before its end leaves it.
    let marker = bench.path().join("copy/copying");
    std::fs::write(&marker, "").unwrap();
    let refused = bench.run(&["events", "list", "--store", "copy"]);
    assert!(refused.err.contains("not finished"), "{refused:?}");
    let copied: Value = serde_json::from_str(&bench.done(&from_to)).unwrap();
    assert!(copied["events"] == 3 && copied["resumed_after"] != 0, "{copied}");
    assert_eq!(bench.done(&["events", "list", "--store", "copy"]), before);

    // No store has such an id.
    std::fs::write(&marker, "zz").unwrap();
    let refused = bench.run(&from_to);
    assert!(refused.err.contains("copy of another store"), "{refused:?}");

    let wrong = "postgres://nobody:canary-9d2e@127.0.0.1:1/none";
    let refused = bench.run(&["store", "copy", "--from", "hookgate.data", "--to", wrong]);
    assert_eq!(refused.code, 1);
    assert!(refused.err.contains("127.0.0.1:1") && !refused.err.contains("canary"), "{refused:?}");
}

#[test]
fn the_doctor_says_what_to_do() {
    let mut bench = Bench::new();
    // Nothing listens there.
    bench.set("HOOKGATE_URL", "http://127.0.0.1:1");
    let said = bench.done(&["doctor"]);
    assert!(said.contains("warn  retell: RETELL_API_KEY not set"), "{said}");
    assert!(said.contains("http://127.0.0.1:8080/webhook/post_conversation"), "{said}");
    assert!(!bench.path().join("hookgate.data").exists());

    bench.done(&["init"]);
    bench.set("HOOKGATE_PUBLIC_URL", "https://hooks.example.com/");
    let said = bench.done(&["doctor", "--json"]);
    let said: Value = serde_json::from_str(&said).unwrap();
    // The disk under a test may be any.
    let findings = said["findings"].as_array().unwrap().iter().filter(|it| it["about"] != "disk");
    let faults: Vec<&Value> = findings.filter(|it| it["grade"] != "pass").collect();
    assert!(faults.is_empty(), "{faults:#?}");
    assert_eq!(said["sources"][0]["url"], "https://hooks.example.com/webhook/post_conversation");

    bench
        .set("SUPABASE_URL", "https://x.supabase.co")
        .set("TAWK_WEBHOOK_SECRET", "your_secret_here");
    let ended = bench.run(&["doctor"]);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.out.contains("FAIL  tawk") && ended.out.contains("SUPABASE_URL"), "{ended:?}");
    bench.file("hookgate.toml", "[server]\ncolour = 1\n");
    assert_eq!(bench.run(&["doctor"]).code, 1);
}
