//! Bodies that no provider sends, and what must never be in an event.

use std::collections::{BTreeMap, BTreeSet};

use hookgate_core::canonical::{
    About, CanonicalEvent, DATA_BYTES_MAX, ITEMS_MAX, TEXT_CHARS_MAX, TURNS_MAX, WORD_CHARS_MAX,
    canonical, canonical_unsourced, canonical_value,
};
use hookgate_core::event::Kind;
use hookgate_core::provider;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::bench::{RECEIVED, about, facts, json_of, samples};
use crate::checker::faults;
use crate::samples::leaves;

/// Holds for every body: the event fits the schema, is read back as it was, and each of its
/// sources leads from a value of the event to one of the body.
#[track_caller]
fn check(provider_name: &str, tool: Option<&str>, body: &Value) -> Value {
    let event = json_of(provider_name, tool, body);
    assert_eq!(faults(&event), Vec::<String>::new(), "{body}");
    let mut paths = BTreeSet::new();
    leaves(&event, "", &mut paths);
    for (path, pointer) in event["sources"].as_object().unwrap() {
        let found = body.pointer(pointer.as_str().unwrap());
        assert!(found.is_some_and(|it| !it.is_null()), "{path} at {pointer}: {body}");
        let under = format!("{path}.");
        let is_there = paths.contains(path) || paths.iter().any(|it| it.starts_with(&under));
        assert!(is_there || leads_to_something(&event, path), "no {path} in {event} of {body}");
    }
    event
}

/// Whether the event has something at this path, be it empty.
fn leads_to_something(event: &Value, path: &str) -> bool {
    event.pointer(&format!("/{}", path.replace('.', "/"))).is_some()
}

/// The words that the providers' bodies are made of.
fn words() -> Vec<String> {
    let mut words = BTreeSet::new();
    for sample in samples() {
        collect(&sample.body(), &mut words);
    }
    words.into_iter().collect()
}

fn collect(value: &Value, into: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => members.iter().for_each(|(name, it)| {
            into.insert(name.clone());
            collect(it, into);
        }),
        Value::Array(items) => items.iter().for_each(|it| collect(it, into)),
        Value::String(text) => {
            into.insert(text.clone());
        }
        _ => {}
    }
}

fn any_value(words: Vec<String>) -> impl Strategy<Value = Value> {
    let word = proptest::sample::select(words);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        word.clone().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 48, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            proptest::collection::btree_map(word.clone(), inner, 0..6)
                .prop_map(|it| Value::Object(it.into_iter().collect())),
        ]
    })
}

/// Every place of a body below its root.
fn places(value: &Value, at: &str, into: &mut Vec<String>) {
    let mut child = |name: &str, it: &Value| {
        let name = name.replace('~', "~0").replace('/', "~1");
        let at = format!("{at}/{name}");
        places(it, &at, into);
        into.push(at);
    };
    match value {
        Value::Object(members) => members.iter().for_each(|(name, it)| child(name, it)),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, it)| child(&index.to_string(), it));
        }
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    /// A sample with anything in the place of some of its values.
    #[test]
    fn a_sample_that_was_changed_anywhere_still_gives_an_event(
        sample in proptest::sample::select((0..samples().len()).collect::<Vec<_>>()),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any_value(words())), 1..6),
    ) {
        let sample = samples().swap_remove(sample);
        let mut body = sample.body();
        for (index, value) in changes {
            let mut all = Vec::new();
            places(&body, "", &mut all);
            if all.is_empty() {
                break;
            }
            let at: &String = index.get(&all);
            *body.pointer_mut(at).unwrap() = value;
        }
        check(&sample.provider, sample.tool(), &body);
    }

    /// Any object of the words that providers use, to any of them.
    #[test]
    fn any_object_gives_an_event(
        name in proptest::sample::select(provider::ALL.map(|it| it.name).to_vec()),
        tool in proptest::option::of(proptest::sample::select(vec!["t", "conversation_initiation"])),
        body in any_value(words()),
    ) {
        let body = if body.is_object() { body } else { json!({ "message": body }) };
        check(name, tool, &body);
    }

    /// What is known of an event and its body need not fit together.
    #[test]
    fn any_type_with_any_body_gives_an_event(
        name in proptest::sample::select(provider::ALL.map(|it| it.name).to_vec()),
        kind in proptest::sample::select(Kind::ALL.to_vec()),
        event_type in proptest::sample::select(words()),
        at in any::<i64>(),
        body in proptest::option::of(any_value(words())),
    ) {
        let about = About {
            event_id: None,
            event_type: &event_type,
            kind,
            external_id: Some("x"),
            conversation_id: None,
            received_at: hookgate_core::time::Timestamp::from_millis(at),
        };
        let provider = provider::named(name).unwrap();
        let event = canonical_value(provider, "s", body.as_ref(), &about);
        let unsourced = canonical_unsourced(provider, "s", body.as_ref(), &about);
        prop_assert_eq!(
            &unsourced,
            &CanonicalEvent { sources: BTreeMap::new(), ..event.clone() }
        );
        let event = serde_json::to_value(event).unwrap();
        prop_assert_eq!(faults(&event), Vec::<String>::new());
        prop_assert_eq!(&event["kind"], kind.name());
    }
}

#[test]
fn what_has_the_wrong_type_is_as_good_as_not_there() {
    let event = check(
        "retell",
        None,
        &json!({"event": "call_ended", "call": {
            "call_id": "c", "agent_id": ["a"], "agent_name": "", "direction": "sideways",
            "from_number": "+12137771234", "to_number": {}, "start_timestamp": "soon",
            "end_timestamp": -5, "duration_ms": "long", "call_cost": {"combined_cost": "free"},
            "call_analysis": [], "metadata": "m", "transcript_object": [1, "x", null, {}],
            "transcript": 7, "recording_url": "javascript:alert(1)", "call_status": true,
        }}),
    );
    let expected = json!({
        "version": 1, "kind": "call.ended", "type": "call_ended", "provider": "retell",
        "source": "retell", "event_id": "evt_1", "received_at": RECEIVED.to_string(),
        "conversation": {"id": "c"},
        "sources": {"type": "/event", "conversation.id": "/call/call_id"},
    });
    assert_eq!(event, expected);
}

#[test]
fn a_type_that_nobody_knows_is_other_and_says_what_it_can() {
    let event = check(
        "retell",
        None,
        &json!({"event": "call_teleported", "call": {"call_id": "c", "start_timestamp": 1_714_608_475_945_i64}}),
    );
    assert_eq!(event["kind"], "other");
    assert_eq!(event["type"], "call_teleported");
    assert_eq!(event["conversation"]["started_at"], "2024-05-02T00:07:55.945Z");
}

#[test]
fn the_arguments_of_a_tool_are_not_taken_for_the_conversation() {
    let arguments = json!({
        "agent_id": "a", "call_id": "c", "status": "confirmed", "direction": "inbound",
        "from_number": "+12137771234", "start_timestamp": 1_714_608_475_945_i64,
        "transcript": "Agent: Hi", "recording_url": "https://example.com/x", "metadata": {"a": 1},
        "caller_id": "+12137771234", "user_id": "u",
    });
    let event = check("retell", Some("bookings_cancel"), &arguments);
    assert_eq!(event["conversation"], json!({"id": "c", "agent": {"id": "a"}}));
    assert!(event.get("transcript").is_none() && event.get("recordings").is_none());
    let event = check("elevenlabs", Some("bookings_cancel"), &arguments);
    assert!(event.get("conversation").is_none_or(|it| it.get("participant").is_none()), "{event}");
    assert_eq!(event["tools"], json!([{"name": "bookings_cancel"}]));
}

#[test]
fn no_credential_of_any_sample_is_in_its_event() {
    let canary = "canary-7c1f";
    for sample in samples() {
        let mut body = sample.body();
        plant(&mut body, canary);
        let event = json_of(&sample.provider, sample.tool(), &body).to_string();
        assert!(!event.contains(canary), "{} {}: {event}", sample.provider, sample.name);
    }
}

/// Puts known credentials into every object of a body.
fn plant(value: &mut Value, canary: &str) {
    match value {
        Value::Object(members) => {
            members.values_mut().for_each(|it| plant(it, canary));
            for key in ["ApiKey", "access_token", "twilioAuthToken", "AccountSid", "password"] {
                members.insert(key.to_owned(), canary.into());
            }
            let monitor = json!({"controlUrl": canary, "listenUrl": canary});
            members.insert("monitor".to_owned(), monitor);
            let server = json!({"secret": canary, "headers": {"x": canary}});
            members.insert("server".to_owned(), server);
        }
        Value::Array(items) => items.iter_mut().for_each(|it| plant(it, canary)),
        // What a tool is given is JSON in a text.
        Value::String(text) => {
            if let Ok(mut inner @ Value::Object(_)) = serde_json::from_str::<Value>(text) {
                plant(&mut inner, canary);
                *text = inner.to_string();
            }
        }
        _ => {}
    }
}

#[test]
fn a_body_that_is_not_at_hand_leaves_what_is_known_besides() {
    let row = provider::named("elevenlabs").unwrap();
    let small = br#"{"type":"post_call_audio","event_timestamp":5,"data":{"agent_id":"a","conversation_id":"c","full_audio":"SUQz"}}"#;
    let facts = facts("elevenlabs", None, small);
    let large =
        [&br#"{"type":"post_call_audio","pad":""#[..], &vec![b'x'; 1 << 20], br#""}"#].concat();
    let expected = json!({
        "version": 1, "kind": "recording.ready", "type": "post_call_audio",
        "provider": "elevenlabs", "source": "calls", "event_id": "evt_1",
        "received_at": RECEIVED.to_string(), "conversation": {"id": "c"},
        "recordings": [{"kind": "mixed", "pointer": "/data/full_audio", "format": "mp3"}],
        "sources": {},
    });
    for body in [None, Some(&large[..]), Some(&b"not JSON"[..]), Some(&b"[]"[..])] {
        let event = serde_json::to_value(canonical(row, "calls", body, &about(&facts))).unwrap();
        assert_eq!(event, expected);
        assert_eq!(faults(&event), Vec::<String>::new());
    }
    // Here the body is at hand, and has no audio.
    let event = check("elevenlabs", None, &json!({"type": "post_call_audio", "data": {}}));
    assert!(event.get("recordings").is_none());
}

#[test]
fn every_limit_is_kept_and_told() {
    let turn = |text: &str| json!({"role": "user", "content": text});
    let call = |call: Value| json!({"event": "call_ended", "call": call});
    let many = vec![turn("x"); TURNS_MAX + 1];
    let event = check("retell", None, &call(json!({"transcript_object": many})));
    assert_eq!(event["transcript"].as_array().unwrap().len(), TURNS_MAX);
    assert_eq!(event["truncated"], true);

    let long = "ü".repeat(TEXT_CHARS_MAX + 1);
    let event = check("retell", None, &call(json!({"transcript_object": [turn(&long)]})));
    assert_eq!(event["transcript"][0]["text"].as_str().unwrap().chars().count(), TEXT_CHARS_MAX);
    assert_eq!(event["truncated"], true);

    let event = check("retell", None, &call(json!({"agent_id": "x".repeat(WORD_CHARS_MAX + 1)})));
    assert!(event.get("conversation").is_none(), "an id that was cut is another id");

    let event =
        check("retell", None, &call(json!({"metadata": {"x": "x".repeat(DATA_BYTES_MAX)}})));
    assert!(event.get("conversation").is_none());
    assert_eq!(event["truncated"], true);

    let metrics = vec![json!({"name": "n", "value": 1}); ITEMS_MAX + 1];
    let event = check("mightycall", None, &json!({"event": "report.daily", "metrics": metrics}));
    assert_eq!(event["report"]["metrics"].as_array().unwrap().len(), ITEMS_MAX);
    assert_eq!(event["truncated"], true);
}

#[test]
fn a_large_body_of_words_stays_within_bounds() {
    let deep = (0..100).fold(json!("x"), |inner, _| json!([inner]));
    let mut call = Map::new();
    for index in 0..4000 {
        call.insert(format!("k{index}"), json!(index));
    }
    call.insert("metadata".to_owned(), json!({ "deep": deep }));
    check("retell", None, &json!({ "event": "call_ended", "call": call }));
}

#[test]
fn a_file_on_a_chat_message_is_shown() {
    let body = json!({
        "event": "chat:start", "chatId": "c", "message": {"type": "file",
            "sender": {"type": "agent"},
            "attchs": [{"type": "image/png", "name": "a.png", "url": "https://example.com/a.png"}, {}]},
    });
    let event = check("tawk", None, &body);
    let expected = json!({"role": "agent", "direction": "outbound", "attachments": [
        {"kind": "image/png", "name": "a.png", "url": "https://example.com/a.png"},
    ]});
    assert_eq!(event["message"], expected);
}

#[test]
fn the_parts_of_a_chat_transcript_have_their_speakers() {
    let said = |sender: Value| json!({"sender": sender, "msg": "x"});
    let messages = [json!({"t": "a", "n": "Bob", "id": "1"}), json!({"t": "v"}), json!({"t": "?"})];
    let messages: Vec<Value> = messages.into_iter().map(said).collect();
    let body = json!({"event": "chat:transcript_created", "chat": {"messages": messages}});
    let event = check("tawk", None, &body);
    let expected = json!([
        {"role": "agent", "name": "Bob", "text": "x"},
        {"role": "user", "text": "x"},
        {"role": "unknown", "text": "x"},
    ]);
    assert_eq!(event["transcript"], expected);
}

#[test]
fn vapis_prompt_is_no_part_of_the_transcript() {
    let body = json!({"message": {"type": "conversation-update", "messages": [
        {"role": "system", "message": "You are secret."},
        {"role": "tool_calls", "toolCalls": [{"id": "t1", "function": {"name": "f", "arguments": "{\"a\":1}"}}]},
        {"role": "tool_call_result", "toolCallId": "t1", "name": "f", "result": "done"},
        {"role": "bot", "message": "Hi", "secondsFromStart": 1.25},
    ]}});
    let event = check("vapi", None, &body);
    let tool = json!({"name": "f", "call_id": "t1"});
    let expected = json!([
        {"role": "tool", "tool": tool, "text": "{\"a\":1}"},
        {"role": "tool", "tool": tool, "text": "done"},
        {"role": "agent", "text": "Hi", "at_seconds": 1.25},
    ]);
    assert_eq!(event["transcript"], expected);
}

#[test]
fn a_number_that_is_not_certain_is_kept_as_sent() {
    let body =
        json!({"EventType": "IncomingCall", "Body": {"Id": "c", "From": "*101", "To": 5_551_234}});
    let event = check("mightycall", None, &body);
    assert_eq!(event["conversation"]["their_number"], json!({"raw": "*101"}));
    assert_eq!(event["conversation"]["our_number"], json!({"raw": "5551234"}));
}
