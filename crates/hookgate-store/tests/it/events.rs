//! Events: stored, listed, filtered, paged, read.

use hookgate_core::tenant::Scope;
use hookgate_core::time::Timestamp;
use hookgate_store::{Event, EventFilter, EventId, Order, Page, Status};
use proptest::prelude::*;

use crate::bench::{ALL, Bench, Call, Kind, NOON, bytes_of, files, on_every_store};

on_every_store!(
    what_was_acknowledged_is_listed_at_once_with_its_exact_bytes,
    an_event_says_all_that_is_known_of_it,
    what_is_not_there_is_not_found,
    pages_show_each_event_once_while_others_are_stored,
    the_time_of_an_event_may_lie_far_from_its_place,
    whoever_waits_for_news_is_told,
);

async fn what_was_acknowledged_is_listed_at_once_with_its_exact_bytes(on: Kind) {
    let bench = Bench::on(on);
    for number in 0..20 {
        let mut call = Call::status("c1", number);
        call.body = [&call.body[..call.body.len() - 1], b" , \"x\" :\t\"\\u00e9\xc3\xa9\"}"]
            .concat()
            .into();
        let receipt = bench.append(&call).await;
        assert!(!receipt.is_duplicate());
        let listed = bench.list().await;
        assert_eq!(listed.len() as u64, number + 1, "a read sees every receipt before it");
        assert_eq!((listed[0].id, listed[0].seq), (receipt.id(), receipt.seq()));
        let body = bench.store.body(&Scope::Operator, receipt.id()).await.unwrap().unwrap();
        assert_eq!(bytes_of(body), call.body);
    }
}

async fn an_event_says_all_that_is_known_of_it(on: Kind) {
    let bench = Bench::on(on);
    let mut call = Call::new(
        r#"{"message":{"type":"tool-calls","call":{"id":"c","assistantId":"a"},"toolCallList":[{"id":"t1"}]}}"#,
    );
    call.late = true;
    call.headers.push(("x-odd", "caf\u{e9}".to_owned()));
    let receipt = bench.append(&call).await;
    let event = bench.store.event(&Scope::Operator, receipt.id()).await.unwrap().unwrap();
    let told = format!(
        "{} {} {} {} {:?} {:?} {:?} {} {} {:?} {} {} {} {}",
        event.source,
        event.provider,
        event.event_type,
        event.kind,
        event.external_id,
        event.conversation_id,
        event.tenant,
        event.status.name(),
        event.late,
        event.scheme,
        event.verdict,
        event.ownership,
        event.size,
        event.peer,
    );
    assert_eq!(
        told,
        "vapi vapi tool-calls tool.called Some(\"t1\") Some(\"c\") None accepted true Some(\"vapi.token\") \
         verified unattributed 98 203.0.113.7"
    );
    assert_eq!(event.received_at, Timestamp::from_millis(NOON));
    assert_eq!(event.sha256, hookgate_core::digest::sha256(&call.body));
    assert_eq!(event.claims.len(), 2);
    let names: Vec<&str> = event.headers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["authorization", "content-type", "x-odd"]);
}

async fn what_is_not_there_is_not_found(on: Kind) {
    let bench = Bench::on(on);
    bench.append(&Call::status("c", 1)).await;
    let strange = EventId::parse("evt_0197b0f0a0007000800000000000002a").unwrap();
    assert!(bench.store.event(&Scope::Operator, strange).await.unwrap().is_none());
    assert!(bench.store.body(&Scope::Operator, strange).await.unwrap().is_none());
    for filter in [
        EventFilter { source: Some("other".to_owned()), ..EventFilter::default() },
        EventFilter { tenant: Some("vapi".to_owned()), ..EventFilter::default() },
        EventFilter { status: Some(Status::Quarantined), ..EventFilter::default() },
        EventFilter { since: Some(Timestamp::from_millis(NOON + 1)), ..EventFilter::default() },
        EventFilter { until: Some(Timestamp::from_millis(NOON)), ..EventFilter::default() },
        EventFilter { q: Some("nothing".to_owned()), ..EventFilter::default() },
    ] {
        assert!(
            bench.store.events(&Scope::Operator, filter.clone(), ALL).await.unwrap().is_empty(),
            "{filter:?}"
        );
    }
}

async fn pages_show_each_event_once_while_others_are_stored(on: Kind) {
    let bench = Bench::on(on);
    for number in 0..50 {
        bench.append(&Call::status("before", number)).await;
    }
    let before: Vec<EventId> = bench.list().await.iter().map(|it| it.id).collect();
    let store = bench.store.clone();
    let writer = tokio::spawn(async move {
        for number in 0..200 {
            store.append(&Call::status("meanwhile", number).accepted(), None).await.unwrap();
        }
    });
    for order in [Order::NewestFirst, Order::OldestFirst] {
        let mut seen: Vec<EventId> = Vec::new();
        let mut after = None;
        loop {
            let page = Page { order, after, limit: 7 };
            let events =
                bench.store.events(&Scope::Operator, EventFilter::default(), page).await.unwrap();
            let Some(last) = events.last() else { break };
            after = Some(last.seq);
            seen.extend(events.iter().map(|it| it.id));
        }
        let mut unique = seen.clone();
        unique.sort();
        unique.dedup();
        assert_eq!(unique.len(), seen.len(), "none twice");
        assert!(before.iter().all(|it| unique.binary_search(it).is_ok()), "none left out");
    }
    writer.await.unwrap();
    assert_eq!(bench.list().await.len(), 250);
}

#[tokio::test]
async fn a_wrong_token_or_byte_never_becomes_an_event() {
    let bench = Bench::new();
    bench.store.reject(&Call::status("c", 1).with_token("guess").unproven(), 401);
    assert!(bench.list().await.is_empty());
}

/// What a filter should show, by looking at every event.
fn matches(filter: &EventFilter, event: &Event) -> bool {
    let same = |wanted: &Option<String>, found: &str| wanted.as_ref().is_none_or(|it| it == found);
    let contains = |text: &str, part: &str| text.to_lowercase().contains(&part.to_lowercase());
    same(&filter.source, &event.source)
        && same(&filter.provider, &event.provider)
        && same(&filter.event_type, &event.event_type)
        && same(&filter.kind, &event.kind)
        && filter.conversation.as_ref().is_none_or(|it| event.conversation_id.as_ref() == Some(it))
        && filter.status.is_none_or(|it| it == event.status)
        && filter.since.is_none_or(|it| event.received_at >= it)
        && filter.until.is_none_or(|it| event.received_at < it)
        && filter.q.as_ref().is_none_or(|q| {
            contains(&event.event_type, q)
                || event.conversation_id.as_ref().is_some_and(|it| contains(it, q))
                || event.external_id.as_ref().is_some_and(|it| contains(it, q))
                || contains(&event.id.0.simple().to_string(), q.trim_start_matches("evt_"))
        })
}

fn any_call() -> impl Strategy<Value = (Call, bool)> {
    let conversation = prop_oneof![Just("call-a"), Just("CALL-b"), Just("other")];
    let source = prop_oneof![Just("vapi"), Just("vapi-two")];
    (conversation, source, 0..100_u64, -5_000..5_000_i64, 0..4_u8).prop_map(
        |(conversation, source, number, at, form)| {
            let call = match form {
                0 => Call::end(conversation, &number.to_string()),
                1 => Call::new(format!("not json {number}")),
                _ => Call::status(conversation, number),
            };
            let mut call = call.to(source).at(NOON + at);
            call.late = form == 2;
            (call, form == 1)
        },
    )
}

fn any_filter() -> impl Strategy<Value = EventFilter> {
    let text = |words: &'static [&'static str]| {
        proptest::option::weighted(0.3, proptest::sample::select(words).prop_map(str::to_owned))
    };
    let time = || {
        proptest::option::weighted(
            0.3,
            (NOON - 6_000..NOON + 6_000).prop_map(Timestamp::from_millis),
        )
    };
    let status = proptest::option::weighted(
        0.3,
        prop_oneof![Just(Status::Accepted), Just(Status::Quarantined)],
    );
    (
        text(&["vapi", "vapi-two", "none"]),
        text(&["status-update", "end-of-call-report"]),
        text(&["call-a", "CALL-b"]),
        status,
        time(),
        time(),
        text(&["call", "status", "b", "01", "%"]),
    )
        .prop_map(|(source, event_type, conversation, status, since, until, q)| EventFilter {
            source,
            event_type,
            conversation,
            status,
            since,
            until,
            q,
            ..EventFilter::default()
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_filter_shows_what_looking_at_every_event_shows(
        calls in proptest::collection::vec(any_call(), 1..40),
        filters in proptest::collection::vec((any_filter(), 1..9_usize, any::<bool>()), 12),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let bench = Bench::new();
            for (call, is_unreadable) in &calls {
                if *is_unreadable {
                    bench.store.quarantine(&call.unreadable()).await.unwrap();
                } else {
                    bench.append(call).await;
                }
            }
            let all = bench.list().await;
            for (filter, limit, newest_first) in filters {
                let order = if newest_first { Order::NewestFirst } else { Order::OldestFirst };
                let mut expected: Vec<u64> = all.iter().filter(|it| matches(&filter, it)).map(|it| it.seq).collect();
                if !newest_first {
                    expected.reverse();
                }
                let mut found = Vec::new();
                let mut after = None;
                loop {
                    let page = Page { order, after, limit };
                    let events = bench.store.events(&Scope::Operator, filter.clone(), page).await.unwrap();
                    assert!(events.len() <= limit);
                    found.extend(events.iter().map(|it| it.seq));
                    if events.len() < limit {
                        break;
                    }
                    after = events.last().map(|it| it.seq);
                }
                assert_eq!(found, expected, "{filter:?}");
            }
        });
    }
}

async fn the_time_of_an_event_may_lie_far_from_its_place(on: Kind) {
    let bench = Bench::on(on);
    let day = 86_400_000;
    for number in 0..30 {
        // The clock jumps about.
        let at = NOON + i64::try_from(number * 37 % 30).unwrap() * day;
        bench.append(&Call::status("c", number).at(at)).await;
    }
    for first in 0..30 {
        let filter = EventFilter {
            since: Some(Timestamp::from_millis(NOON + first * day)),
            until: Some(Timestamp::from_millis(NOON + (first + 2) * day)),
            ..EventFilter::default()
        };
        let found = bench.store.events(&Scope::Operator, filter, ALL).await.unwrap();
        assert_eq!(found.len(), if first == 29 { 1 } else { 2 });
    }
}

async fn whoever_waits_for_news_is_told(on: Kind) {
    let bench = Bench::on(on);
    let mut listed = bench.store.listed();
    let receipt = bench.append(&Call::status("c", 1)).await;
    let waited = listed.wait_for(|it| *it >= receipt.seq());
    tokio::time::timeout(std::time::Duration::from_secs(10), waited).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_stretch_counts_what_cannot_be_read_and_goes_on_behind_it() {
    let bench = Bench::new();
    for number in 0..5 {
        bench.append(&Call::status("c1", number)).await;
    }
    let all = bench.list().await;
    let bench = bench.between(|root| {
        // The record of the third one, at the time that only its head has.
        let id = all[2].id.0.into_bytes();
        let mut files = files(&root.join("journal/events")).into_iter();
        let (file, at) = files
            .find_map(|file| {
                let bytes = std::fs::read(&file).unwrap();
                let at = bytes.windows(id.len()).position(|it| it == id)?;
                Some((file, at))
            })
            .expect("its id is in the journal");
        let file = std::fs::OpenOptions::new().write(true).open(file).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, &[0xff; 4], at as u64).unwrap();
    });
    let stretch = |after, limit| {
        let filter = EventFilter::default();
        bench.store.stretch(&Scope::Operator, filter, after, limit)
    };
    let whole = stretch(0, 10).await.unwrap();
    let ids: Vec<EventId> = whole.events.iter().map(|it| it.id).collect();
    assert_eq!(ids, [all[4].id, all[3].id, all[1].id, all[0].id]);
    assert_eq!(whole.unreadable, 1);
    // Room is filled up with what comes behind it.
    let some = stretch(0, 3).await.unwrap();
    assert_eq!((some.events.len(), some.unreadable), (3, 1));
    let rest = stretch(all[1].seq, 10).await.unwrap();
    assert_eq!((rest.events.len(), rest.unreadable), (1, 0));
    assert_eq!(rest.events[0].id, all[0].id);
}
