//! The first five minutes.

use serde_json::Value;

use crate::bench::Bench;

const PROVIDERS: [&str; 5] = ["elevenlabs", "retell", "vapi", "mightycall", "tawk"];

/// The fields of a list that a person looks at.
fn summary(list: &str) -> Vec<String> {
    let list: Value = serde_json::from_str(list).unwrap();
    let one = |it: &Value| {
        let text =
            |pointer: &str| it.pointer(pointer).and_then(Value::as_str).unwrap_or("-").to_owned();
        format!("{} {} {}", text("/source"), text("/verification/verdict"), text("/status"))
    };
    list["data"].as_array().unwrap().iter().map(one).collect()
}

#[test]
fn serve_send_list() {
    let mut bench = Bench::new();
    let gateway = bench.serve(&["--dev"]);
    let banner = gateway.seen();
    assert!(
        banner.contains("/webhook/post_conversation")
            && banner.contains("hookgate send elevenlabs"),
        "{banner}"
    );
    assert!(!banner.contains("not set"), "{banner}");

    for provider in PROVIDERS {
        let said = bench.done(&["send", provider]);
        assert!(said.contains("200 OK") && said.contains("hookgate events list"), "{said}");
    }
    let mut events = summary(&bench.done(&["events", "list", "--json"]));
    events.reverse();
    assert_eq!(events, PROVIDERS.map(|it| format!("{it} verified accepted")));

    for (provider, status) in PROVIDERS.iter().zip(["401", "401", "401", "401", "403"]) {
        let refused = bench.run(&["send", provider, "--tamper"]);
        assert_eq!(refused.code, 1, "{refused:?}");
        assert!(refused.out.contains(status), "{provider}: {refused:?}");
    }
    let rejections = bench.done(&["rejections", "list"]);
    assert_eq!(rejections.matches("rej_").count(), 5, "{rejections}");
    assert!(rejections.contains("does not match"), "{rejections}");
    gateway.stop();
}

#[test]
fn every_sample_is_taken_and_each_is_a_new_event() {
    let mut bench = Bench::new();
    let gateway = bench.serve(&["--dev"]);
    let unknown = bench.run(&["send", "retell", "--event", "nothing"]);
    assert_eq!(unknown.code, 2);
    assert!(
        unknown.err.contains("call_ended") && unknown.err.contains("tool:bookings_cancel"),
        "{unknown:?}"
    );

    let said = bench.done(&["send", "vapi", "--count", "20", "--concurrency", "4"]);
    assert!(said.contains("p50") && said.contains("p99"), "{said}");
    assert_eq!(summary(&bench.done(&["events", "list", "--json"])).len(), 20);

    // The real form of MightyCall's bodies carries the account's key and no header.
    let said = bench.done(&["send", "mightycall", "--event", "IncomingCallCompleted"]);
    assert!(said.contains("mightycall.body_api_key"), "{said}");
    assert_eq!(bench.run(&["send", "mightycall", "--event", "IncomingCall", "--tamper"]).code, 1);
    assert_eq!(
        bench.run(&["send", "mightycall", "--scheme", "mightycall.bearer", "--tamper"]).code,
        1
    );
    bench.done(&["send", "mightycall", "--scheme", "mightycall.bearer"]);

    let tool = bench.done(&["send", "retell", "--event", "tool:bookings_create"]);
    assert!(tool.contains("/api/bookings/create") && tool.contains("200 OK"), "{tool}");
    let tool = bench.done(&["send", "vapi", "--event", "tool:bookings_list"]);
    assert!(tool.contains("\"toolCallId\""), "{tool}");

    bench.file("body.json", "{\"type\":\"mine\",\"data\":{}}\n");
    bench.done(&["send", "elevenlabs", "--body", "body.json"]);
    let mine = bench.done(&["events", "export", "--type", "mine"]);
    assert!(mine.contains("eyJ0eXBlIjoibWluZSIsImRhdGEiOnt9fQo="), "{mine}");
    gateway.stop();
}

#[test]
fn one_variable_is_all_the_configuration_there_must_be() {
    let mut bench = Bench::new();
    bench.set("ELEVENLABS_WEBHOOK_SECRET", "new_0123456789abcdef old_0123456789abcdef");
    let gateway = bench.serve(&[]);
    let banner = gateway.seen();
    for missing in [
        "RETELL_API_KEY",
        "VAPI_WEBHOOK_SECRET",
        "MIGHTYCALL_WEBHOOK_SECRET",
        "TAWK_WEBHOOK_SECRET",
    ] {
        assert!(banner.contains(&format!("⚠️ WARNING: {missing} not set")), "{banner}");
    }
    assert!(!banner.contains("ELEVENLABS_WEBHOOK_SECRET not set"), "{banner}");
    assert!(
        banner.contains("2 secrets in force") && banner.contains("export HOOKGATE_URL="),
        "{banner}"
    );
    bench.done(&["send", "elevenlabs"]);

    // A source without a secret takes everything, and keeps it apart.
    assert_eq!(gateway.post("/tawk-webhook", &[], "anything").status, 200);
    let events = summary(&bench.done(&["events", "list", "--json"]));
    assert_eq!(events, ["tawk unverified quarantined", "elevenlabs verified accepted"]);
    assert!(!bench.path().join(".env").exists());
    gateway.stop();
}
