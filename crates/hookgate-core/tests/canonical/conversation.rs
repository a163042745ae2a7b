//! Conversations: the same events give the same state in whatever order they come.

use hookgate_core::canonical::{
    CanonicalEvent, Conversation, Message, Moment, Recording, Report, Role, Ticket, Turn,
};
use hookgate_core::conversation::{ITEMS_MAX, MESSAGES_MAX, Phase, State, TIMELINE_MAX, View};
use hookgate_core::event::Kind;
use hookgate_core::time::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::bench::{event_of, samples};

fn fold<'a>(events: impl IntoIterator<Item = &'a (u64, CanonicalEvent)>) -> State {
    let mut state = State::default();
    for (seq, event) in events {
        state.fold(*seq, event);
    }
    state
}

/// The events of a conversation, each with a place, received a second after the one before.
fn life(provider: &str, bodies: &[Value]) -> Vec<(u64, CanonicalEvent)> {
    let events = bodies.iter().zip(1_u64..).map(|(body, seq)| {
        let mut event = event_of(provider, None, body.to_string().as_bytes());
        event.event_id = Some(format!("evt_{seq}"));
        let at = 1_790_000_000_000 + i64::try_from(seq).unwrap() * 1000;
        event.received_at = Moment::of(Timestamp::from_millis(at));
        (seq, event)
    });
    events.collect()
}

/// What does not depend on when an event came.
fn told(view: &View) -> Value {
    let mut told = serde_json::to_value(view).unwrap();
    told.as_object_mut().unwrap().remove("timeline");
    told
}

fn sample(provider: &str, name: &str) -> Value {
    let found = samples().into_iter().find(|it| it.provider == provider && it.name == name);
    found.unwrap().body()
}

#[test]
fn a_call_is_the_same_whichever_of_its_events_comes_first() {
    let calls = [
        ("retell", vec!["call_started", "transcript_updated", "call_ended", "call_analyzed"]),
        ("tawk", vec!["chat.start", "chat.end", "chat.transcript_created"]),
        ("mightycall", vec!["IncomingCall", "IncomingCallRinging", "IncomingCallCompleted"]),
        ("mightycall", vec!["seed.call.completed", "seed.recording.available"]),
    ];
    for (provider, names) in calls {
        let bodies: Vec<Value> = names.iter().map(|it| sample(provider, it)).collect();
        let backwards: Vec<Value> = bodies.iter().rev().cloned().collect();
        let (one, other) = (fold(&life(provider, &bodies)), fold(&life(provider, &backwards)));
        assert_eq!(told(&one.view()), told(&other.view()), "{provider} {names:?}");
        assert_eq!(one.view().timeline.len(), names.len());
        assert_eq!(one.phase(), Some(Phase::Ended), "{provider} {names:?}");
    }
}

#[test]
fn a_late_beginning_does_not_reopen_a_call() {
    let bodies = [sample("retell", "call_ended"), sample("retell", "call_started")];
    let view = fold(&life("retell", &bodies)).view();
    assert_eq!(view.status.as_deref(), Some("ended"));
    assert_eq!(view.phase, Some(Phase::Ended));
    assert!(!view.transcript.is_empty());
}

#[test]
fn a_call_of_the_seed_has_its_recording_and_its_length() {
    let bodies = [
        sample("mightycall", "seed.recording.available"),
        sample("mightycall", "seed.call.completed"),
    ];
    let view = fold(&life("mightycall", &bodies)).view();
    assert_eq!(view.recordings.len(), 1);
    assert!(view.duration_seconds.is_some());
    assert!(view.numbers().any(|it| it.e164.as_deref() == Some("+12125551234")));
}

#[test]
fn a_text_message_a_ticket_and_a_report_have_no_end() {
    for (provider, name) in [
        ("mightycall", "seed.sms.received"),
        ("tawk", "ticket.create"),
        ("mightycall", "seed.report.daily"),
    ] {
        let view = fold(&life(provider, &[sample(provider, name)])).view();
        assert_eq!(view.phase, None, "{name}");
        let parts = view.messages.len() + view.tickets.len() + view.reports.len();
        assert_eq!(parts, 1, "{name}");
        assert!(view.texts().next().is_some(), "{name}");
    }
}

fn event(kind: Kind) -> CanonicalEvent {
    CanonicalEvent { kind: kind.name().to_owned(), ..CanonicalEvent::default() }
}

fn moment(at: i64) -> Option<Moment> {
    Moment::of(Timestamp::from_millis(at))
}

#[test]
fn the_fullest_transcript_wins_and_single_messages_stand_in_order() {
    let said = |seq: u64, at: i64, text: &str| {
        let message = Message {
            role: Some(Role::User),
            text: Some(text.to_owned()),
            sent_at: moment(at),
            ..Message::default()
        };
        (seq, CanonicalEvent { message: Some(message), ..event(Kind::MessageReceived) })
    };
    let turns = |texts: &[&str]| {
        let turn = |it: &&str| Turn { text: Some((*it).to_owned()), ..Turn::default() };
        Some(texts.iter().map(turn).collect())
    };
    let texts = |state: &State| -> Vec<String> {
        state.view().transcript.into_iter().filter_map(|it| it.text).collect()
    };
    let mut state = fold(&[said(3, 20, "second"), said(4, 10, "first")]);
    assert_eq!(texts(&state), ["first", "second"]);
    let early = CanonicalEvent { transcript: turns(&["fi"]), ..event(Kind::Other) };
    state.fold(5, &early);
    assert_eq!(texts(&state), ["first", "second"]);
    let whole =
        CanonicalEvent { transcript: turns(&["first", "second", "third"]), ..early.clone() };
    state.fold(2, &whole);
    state.fold(6, &early);
    assert_eq!(texts(&state), ["first", "second", "third"]);
}

#[test]
fn a_message_that_is_still_being_said_is_none() {
    let partial =
        Message { text: Some("I wou".to_owned()), partial: Some(true), ..Message::default() };
    let state = fold(&[(1, CanonicalEvent { message: Some(partial), ..event(Kind::Other) })]);
    assert_eq!(state.view().messages.len(), 0);
    assert_eq!(state.view().timeline.len(), 1);
}

#[test]
fn every_sample_can_be_folded_kept_and_read_back() {
    for sample in samples() {
        let state = fold(&[(7, sample.event())]);
        let kept = serde_json::to_string(&state).unwrap();
        let read: State = serde_json::from_str(&kept).unwrap();
        assert_eq!(read, state, "{}.{}", sample.provider, sample.name);
    }
}

#[test]
fn what_has_a_limit_keeps_it_and_says_so() {
    let many = u64::try_from(TIMELINE_MAX.max(MESSAGES_MAX)).unwrap() + 10;
    let events: Vec<_> = (1..=many)
        .map(|seq| {
            let name = Some(seq.to_string());
            let message = Message { text: name.clone(), ..Message::default() };
            let ticket = Ticket { id: name.clone(), ..Ticket::default() };
            let report = Report { id: name, ..Report::default() };
            let kind = if seq == 1 { Kind::CallStarted } else { Kind::Other };
            let (message, ticket, report) = (Some(message), Some(ticket), Some(report));
            (seq, CanonicalEvent { message, ticket, report, ..event(kind) })
        })
        .collect();
    let (one, other) = (fold(&events), fold(events.iter().rev()));
    assert_eq!(one, other);
    let view = one.view();
    assert_eq!(view.timeline.len(), TIMELINE_MAX);
    assert_eq!(view.timeline[0].seq, 1, "what has a kind of its own stays");
    assert_eq!((view.messages.len(), view.tickets.len()), (MESSAGES_MAX, ITEMS_MAX));
    assert!(view.truncated);
}

prop_compose! {
    fn any_event()(
        kind in 0..Kind::ALL.len(),
        occurred in prop::option::of(1_i64..50),
        received in 1_i64..50,
        words in prop::collection::vec(prop::option::of("[ab]{1,2}"), 6),
        times in prop::collection::vec(prop::option::of(1_i64..50), 2),
        turns in prop::option::of(prop::collection::vec("[a-c]{0,4}", 0..4)),
    ) -> CanonicalEvent {
        let conversation = Conversation {
            status: words[0].clone(),
            end_reason: words[1].clone(),
            started_at: times[0].and_then(moment),
            ended_at: times[1].and_then(moment),
            ..Conversation::default()
        };
        let message = words[2].clone().map(|text| Message {
            id: words[3].clone(),
            text: Some(text),
            sent_at: times[1].and_then(moment),
            ..Message::default()
        });
        let url = words[4].as_ref().map(|it| format!("https://x/{it}?{received}"));
        let recordings = url.map(|url| vec![Recording { url: Some(url), ..Recording::default() }]);
        let turn = |text: String| Turn { text: Some(text), ..Turn::default() };
        CanonicalEvent {
            occurred_at: occurred.and_then(moment),
            received_at: moment(received),
            conversation: Some(conversation),
            message,
            recordings,
            ticket: words[5].clone().map(|id| Ticket { id: Some(id), ..Ticket::default() }),
            transcript: turns.map(|it| it.into_iter().map(turn).collect()),
            ..event(Kind::ALL[kind])
        }
    }
}

proptest! {
    #[test]
    fn any_order_with_duplicates_gives_the_same_conversation(
        (events, shuffled) in prop::collection::vec(any_event(), 1..12).prop_flat_map(|events| {
            let events: Vec<_> = (1_u64..).zip(events).collect();
            let twice: Vec<_> = events.iter().chain(&events[..events.len() / 2]).cloned().collect();
            (Just(events), Just(twice).prop_shuffle())
        })
    ) {
        let (one, other) = (fold(&events), fold(&shuffled));
        prop_assert_eq!(&one, &other);
        prop_assert_eq!(
            serde_json::to_string(&one.view()).unwrap(),
            serde_json::to_string(&other.view()).unwrap()
        );
    }

    #[test]
    fn a_state_that_was_kept_goes_on_as_if_it_was_not(
        events in prop::collection::vec(any_event(), 2..8)
    ) {
        let events: Vec<_> = (1_u64..).zip(events).collect();
        let (first, rest) = events.split_at(events.len() / 2);
        let kept = serde_json::to_string(&fold(first)).unwrap();
        let mut read: State = serde_json::from_str(&kept).unwrap();
        for (seq, event) in rest {
            read.fold(*seq, event);
        }
        prop_assert_eq!(read, fold(&events));
    }
}

#[test]
fn nothing_of_a_view_is_null() {
    let printed = serde_json::to_value(State::default().view()).unwrap();
    let expected = json!({
        "transcript": [], "messages": [], "recordings": [], "tickets": [], "reports": [], "timeline": []
    });
    assert_eq!(printed, expected);
}
