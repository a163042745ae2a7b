//! Conversations as people meet them: sent in, listed, searched, shown, made anew, erased.

use serde_json::Value;

use crate::bench::{Bench, Gateway};

const TOKEN: &str = "operator-0123456789abcdef";
const SECRET: &str = "mightycall-0123456789abcdef0123456789";
const PATH: &str = "/functions/v1/mightycall-webhook";

/// The life of a call, a text message and a report, as the guide has them.
const EVENTS: [&str; 4] = [
    r#"{"event":"call.completed","call_id":"call_12345","phone_number":"+12125551234",
        "caller_name":"John Doe","caller_phone":"+14155555678","duration":180,"status":"completed",
        "direction":"inbound","recording_url":"https://mightycall.com/recordings/1",
        "timestamp":"2024-01-20T14:30:00Z","org_id":"org-uuid"}"#,
    r#"{"event":"recording.available","recording_id":"rec_12345","call_id":"call_12345",
        "phone_number":"+12125551234","url":"https://mightycall.com/recordings/1","duration":180,
        "format":"mp3","timestamp":"2024-01-20T14:30:00Z","org_id":"org-uuid"}"#,
    r#"{"event":"sms.received","sms_id":"sms_12345","phone_number":"+12125551234",
        "direction":"inbound","sender":"+14155555678","recipient":"+12125551234",
        "message":"Hi, I have a question about my canaryorder","timestamp":"2024-01-21T14:30:00Z",
        "org_id":"org-uuid"}"#,
    r#"{"event":"report.daily","report_id":"rep_12345","report_type":"daily","date":"2024-01-20",
        "metrics":[{"metric_type":"calls_total","value":42,"unit":"count"}],
        "timestamp":"2024-01-20T23:59:59Z","org_id":"org-uuid"}"#,
];

fn gateway() -> (Bench, Gateway) {
    let mut bench = Bench::new();
    bench.set("HOOKGATE_ADMIN_TOKEN", TOKEN).set("MIGHTYCALL_WEBHOOK_SECRET", SECRET);
    let gateway = bench.serve(&[]);
    (bench, gateway)
}

fn send<'a>(gateway: &Gateway, events: impl IntoIterator<Item = &'a &'static str>) {
    let bearer = format!("Bearer {SECRET}");
    for event in events {
        let answer = gateway.post(PATH, &[("Authorization", &bearer)], event);
        assert_eq!(answer.status, 200, "{event}");
    }
}

#[track_caller]
fn json(bench: &Bench, line: &[&str]) -> Value {
    serde_json::from_str(&bench.done(&[line, &["--json"]].concat())).unwrap()
}

/// What the events tell, without when they came.
fn content(bench: &Bench, id: &str) -> Value {
    let mut found = json(bench, &["conversations", "show", "mightycall", id]);
    let mut content = found["content"].take();
    content.as_object_mut().unwrap().remove("timeline");
    content
}

fn ids(bench: &Bench, flags: &[&str]) -> Vec<String> {
    let list = json(bench, &[&["conversations", "list"], flags].concat());
    let rows = list["data"].as_array().unwrap().iter();
    rows.map(|it| it["external_id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_conversation_is_the_same_in_any_order_and_after_it_is_made_anew() {
    let (one, first) = gateway();
    let (other, second) = gateway();
    send(&first, &EVENTS);
    send(&second, EVENTS.iter().rev());
    for id in ["call_12345", "sms_12345", "rep_12345"] {
        assert_eq!(content(&one, id), content(&other, id), "{id}");
    }
    let before = content(&one, "call_12345");
    assert_eq!(before["recordings"].as_array().unwrap().len(), 1, "{before}");
    let said = one.done(&["conversations", "rebuild"]);
    assert_eq!(said, "Made anew: 3 conversations.\n");
    assert_eq!(content(&one, "call_12345"), before);
    second.stop();
    first.stop();

    // Without a gateway, and again at its next start.
    let mut one = one;
    let said = one.done(&["conversations", "rebuild"]);
    assert!(said.contains("next start makes them anew"), "{said}");
    let first = one.serve(&[]);
    assert_eq!(content(&one, "call_12345"), before);
    first.stop();
}

#[test]
fn a_conversation_is_found_by_word_number_time_and_status_and_is_read_by_people() {
    let (bench, gateway) = gateway();
    send(&gateway, &EVENTS);
    assert_eq!(ids(&bench, &[]), ["rep_12345", "sms_12345", "call_12345"]);
    assert_eq!(ids(&bench, &["-q", "QUESTION canary*"]), ["sms_12345"]);
    assert_eq!(ids(&bench, &["--number", "(415) 555-5678"]), ["sms_12345", "call_12345"]);
    assert_eq!(ids(&bench, &["--status", "completed"]), ["call_12345"]);
    assert_eq!(ids(&bench, &["--status", "ended"]), ["call_12345"]);
    assert_eq!(ids(&bench, &["--channel", "report"]), ["rep_12345"]);
    assert_eq!(ids(&bench, &["--since", "2024-01-21T00:00:00Z"]), ["sms_12345"]);
    assert_eq!(ids(&bench, &["-q", "nowhere"]), Vec::<String>::new());
    assert_eq!(bench.run(&["conversations", "list", "--number", "12"]).code, 1);

    let listed = bench.done(&["conversations", "list", "--channel", "phone"]);
    for part in ["call_12345", "phone", "completed", "+14155555678"] {
        assert!(listed.contains(part), "{part}: {listed}");
    }
    let call = bench.done(&["conversations", "show", "mightycall", "call_12345"]);
    for part in ["Length    180 s", "John Doe", "Timeline:", "recording.available", "Recordings:"] {
        assert!(call.contains(part), "{part}: {call}");
    }
    let message = bench.done(&["conversations", "show", "mightycall", "sms_12345"]);
    assert!(message.contains("Transcript:") && message.contains("canaryorder"), "{message}");
    let report = bench.done(&["conversations", "show", "mightycall", "rep_12345"]);
    assert!(report.contains("calls_total  42"), "{report}");

    bench.done(&["conversations", "erase", "mightycall", "sms_12345", "--yes", "--wait"]);
    assert_eq!(ids(&bench, &["-q", "canaryorder"]), Vec::<String>::new());
    assert_eq!(ids(&bench, &[]), ["rep_12345", "call_12345"]);
    gateway.stop();
}
