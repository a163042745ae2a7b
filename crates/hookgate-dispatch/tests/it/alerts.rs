//! Alerts as whoever is told of them sees them: one for each episode, also after a restart.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use hookgate_core::alert::{INTERVAL_MIN, PAUSES, QUIET, REJECTIONS};
use hookgate_core::delivery::Disabled;
use hookgate_core::tenant::Scope;
use hookgate_dispatch::{AlertRules, Counts, SourceCounts};
use hookgate_store::Alert;
use serde_json::json;
use standardwebhooks::Webhook;

use crate::bench::{Bench, SECRET};
use crate::receiver::{Got, Receiver, status};

const HOUR: Duration = Duration::from_hours(1);

/// Rules that no disk is against.
const RULES: AlertRules = AlertRules {
    interval: Duration::from_mins(1),
    rejections: REJECTIONS,
    quiet: QUIET,
    disk_warn_percent: 101,
    disk_full_percent: 101,
};

/// Counts of one source that a test changes.
fn counted(provider: &'static str) -> (Counts, Arc<Mutex<SourceCounts>>) {
    let counts = SourceCounts {
        name: "vapi".to_owned(),
        provider,
        refused: 0,
        successes: 0,
        failures_in_row: 0,
    };
    let counts = Arc::new(Mutex::new(counts));
    let read = Arc::clone(&counts);
    (Arc::new(move || vec![read.lock().unwrap().clone()]), counts)
}

fn none() -> Counts {
    Arc::new(Vec::new)
}

/// What is raised and what is over: kind, subject and state.
async fn alerts(bench: &Bench) -> Vec<String> {
    let all = bench.store.registry().alerts(100).await.unwrap();
    let told = |it: &Alert| {
        let state = if it.cleared_at.is_some() { "cleared" } else { "raised" };
        format!("{} {} {state}", it.kind.name(), it.subject)
    };
    all.iter().map(told).collect()
}

fn texts(got: &[Got]) -> Vec<String> {
    got.iter().map(|it| String::from_utf8(it.body.to_vec()).unwrap()).collect()
}

#[tokio::test]
async fn a_destination_that_fails_is_told_to_another_one_once_also_after_a_restart() {
    let mut bench = Bench::new().await;
    let down = Receiver::new(|_, _| status(500)).await;
    let (operator, owner, stranger) =
        (Receiver::willing().await, Receiver::willing().await, Receiver::willing().await);
    let to = |url: String| json!({"kind": "http", "url": url, "events": ["alert.*"]});
    bench.destination(None, to(operator.url("/"))).await;
    bench.destination(Some("ada"), to(owner.url("/"))).await;
    bench.destination(Some("bob"), to(stranger.url("/"))).await;
    let everything = json!({"kind": "http", "url": down.url("/"), "events": ["*", "alert.*"]});
    let failing = bench.destination(Some("ada"), everything).await;
    bench.start();
    let mut watcher = bench.watcher(RULES, none());
    watcher.look().await;
    assert!(alerts(&bench).await.is_empty());
    for n in 0..20 {
        bench.event("ada", &format!("call_{n}"), "first").await;
    }
    bench.idle().await;
    let before = down.got().len();
    for _ in 0..3 {
        watcher.look().await;
    }
    bench.idle().await;
    let raised = format!("alert.destination_failing {failing} raised");
    assert_eq!(alerts(&bench).await, std::slice::from_ref(&raised));
    assert_eq!((operator.got().len(), owner.got().len()), (1, 1), "once");
    assert!(stranger.got().is_empty(), "and not to another tenant");
    assert_eq!(down.got().len(), before, "nor through itself");

    let got = &operator.got()[0];
    Webhook::new(SECRET).unwrap().verify(&got.body, &got.headers).unwrap();
    let body = got.json();
    assert_eq!(body["type"], "alert.destination_failing");
    assert_eq!(body["data"]["subject"], failing.to_string());
    assert_eq!(body["data"]["tenant"], "ada");
    assert_eq!(body["data"]["facts"]["breaker_open"], true);
    assert!(body["data"]["text"].as_str().unwrap().contains("failed 20 times"), "{body}");
    assert_eq!(body["timestamp"], body["data"]["raised_at"]);

    drop(watcher);
    bench = bench.crash().await;
    bench.start();
    let mut watcher = bench.watcher(RULES, none());
    watcher.look().await;
    bench.idle().await;
    assert_eq!(alerts(&bench).await, [raised]);
    assert_eq!(operator.got().len(), 1, "a restart tells it no second time");

    // It is over when it is taken out of service, and a removed one leaves nothing raised.
    let registry = bench.store.registry();
    registry
        .set_destination_disabled(&Scope::Operator, failing, Some(Disabled::Gone), bench.now())
        .await
        .unwrap();
    watcher.look().await;
    let cleared = format!("alert.destination_failing {failing} cleared");
    assert_eq!(
        alerts(&bench).await,
        [format!("alert.destination_disabled {failing} raised"), cleared.clone()]
    );
    registry.remove_destination(&Scope::Operator, failing).await.unwrap();
    watcher.look().await;
    assert_eq!(
        alerts(&bench).await,
        [format!("alert.destination_disabled {failing} cleared"), cleared]
    );
}

#[tokio::test]
async fn an_alert_that_does_not_arrive_says_the_same_later_under_the_same_id() {
    let mut bench = Bench::new().await;
    let receiver = Receiver::new(|n, _| status(if n == 0 { 500 } else { 204 })).await;
    let to = json!({"kind": "http", "url": receiver.url("/"), "format": "raw",
                    "events": ["alert.disk_filling"]});
    bench.destination(None, to).await;
    bench.start();
    let rules = AlertRules { disk_warn_percent: 1, ..RULES };
    let mut watcher = bench.watcher(rules, none());
    watcher.look().await;
    bench.idle().await;
    drop(watcher);
    bench = bench.crash().await;
    bench.start();
    bench.pass(HOUR);
    bench.idle().await;
    let got = receiver.got();
    assert_eq!(got.len(), 2);
    assert_eq!((got[0].id(), &got[0].body), (got[1].id(), &got[1].body));
    assert_eq!(got[0].json()["type"], "alert.disk_filling");
    assert_eq!(bench.states().await, ["delivered 2"]);
}

#[tokio::test]
async fn people_get_a_short_text_and_who_asked_for_all_events_gets_no_alert() {
    let (bench, receiver) = (Bench::new().await, Receiver::willing().await);
    for kind in ["slack", "discord", "ntfy"] {
        let to = json!({"kind": kind, "url": receiver.url(&format!("/{kind}")),
                        "events": ["alert.*"], "template": "{{event.conversation_id}}"});
        bench.destination(None, to).await;
    }
    bench.destination(None, json!({"kind": "http", "url": receiver.url("/all")})).await;
    bench.start();
    let (counts, changed) = counted("vapi");
    let mut watcher = bench.watcher(RULES, counts);
    watcher.look().await;
    changed.lock().unwrap().refused = 25;
    watcher.look().await;
    bench.idle().await;
    let mut got = receiver.got();
    got.sort_by(|one, other| one.path.cmp(&other.path));
    let paths: Vec<_> = got.iter().map(|it| it.path.as_str()).collect();
    assert_eq!(paths, ["/discord", "/ntfy", "/slack"]);
    for text in texts(&got) {
        let said = "Rejections rising: the source vapi refused 25 requests within 20 minutes";
        assert!(text.contains(said), "{text}");
    }
    assert_eq!(got[1].header("title"), "Rejections rising");
    // It calms down, and rises again at once: not told within an hour.
    bench.pass(HOUR / 2);
    watcher.look().await;
    assert_eq!(alerts(&bench).await, ["alert.rejections_rising vapi cleared"]);
    changed.lock().unwrap().refused = 100;
    watcher.look().await;
    bench.idle().await;
    assert_eq!(receiver.got().len(), 3);
    bench.pass(INTERVAL_MIN / 2);
    changed.lock().unwrap().refused = 500;
    watcher.look().await;
    bench.idle().await;
    assert_eq!(receiver.got().len(), 6);
}

#[tokio::test]
async fn a_source_that_falls_silent_is_told_and_one_that_speaks_again_is_well() {
    let bench = Bench::new().await;
    for n in 0..12 {
        bench.event("ada", &format!("call_{n}"), "first").await;
        bench.pass(HOUR);
    }
    let (counts, _) = counted("vapi");
    let mut watcher = bench.watcher(RULES, Arc::clone(&counts));
    watcher.look().await;
    bench.pass(QUIET.saturating_sub(2 * HOUR));
    watcher.look().await;
    assert!(alerts(&bench).await.is_empty(), "a night");
    bench.pass(2 * HOUR);
    watcher.look().await;
    assert_eq!(alerts(&bench).await, ["alert.source_silent vapi raised"]);
    // A gateway that was just started has not listened for long enough to say so.
    let mut another = bench.watcher(RULES, counts);
    another.look().await;
    assert_eq!(alerts(&bench).await, ["alert.source_silent vapi raised"]);
    bench.event("ada", "call_99", "back").await;
    watcher.look().await;
    assert_eq!(alerts(&bench).await, ["alert.source_silent vapi cleared"]);
    // The pause that it had is part of its rhythm now.
    bench.pass(QUIET * PAUSES);
    watcher.look().await;
    assert_eq!(alerts(&bench).await, ["alert.source_silent vapi cleared"]);
    bench.pass(QUIET);
    watcher.look().await;
    assert_eq!(alerts(&bench).await.len(), 2);
}

#[tokio::test]
async fn elevenlabs_is_told_before_it_turns_a_webhook_off() {
    let bench = Bench::new().await;
    bench.event("ada", "call_1", "first").await;
    bench.pass(HOUR);
    let (counts, changed) = counted("elevenlabs");
    let mut watcher = bench.watcher(RULES, counts);
    changed.lock().unwrap().failures_in_row = 9;
    watcher.look().await;
    assert!(alerts(&bench).await.is_empty(), "the last success was an hour ago");
    bench.pass(97 * HOUR);
    watcher.look().await;
    let raised = "alert.elevenlabs_auto_disable vapi raised".to_owned();
    assert!(alerts(&bench).await.contains(&raised));
    changed.lock().unwrap().successes = 1;
    changed.lock().unwrap().failures_in_row = 0;
    watcher.look().await;
    assert!(!alerts(&bench).await.contains(&raised));
}
