//! What a question costs: steps of SQLite, counted, in an index of many events.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hookgate_core::event::{Claim, ClaimKind};
use hookgate_core::tenant::TenantId;

use super::super::adopted::adopted_before;
use super::super::victims::{Part, Whose, unowned_siblings, victims};
use super::super::{Change, Index, Placed, Row};
use super::*;
use crate::head::{EVENT, EventHead, Octets};
use crate::layout::EVENTS;
use crate::random::Random;

/// Ten spans, so that passing all of them is not cheap.
const EVENTS_MADE: u64 = 40_000;

/// One event in so many is of the tenant `small`; all others are of `large`.
const SMALL: u64 = 1_000;

/// When the first was received; the others a millisecond later each.
const FIRST_AT: i64 = 1_800_000_000_000;

/// Steps of SQLite that something may take which looks at the events of one span at most.
const SPAN_STEPS: u64 = 12 << SPAN_BITS;

/// Steps that something may take which goes straight to what it looks for.
const FEW_STEPS: u64 = 3_000;

fn filled() -> (Index, Vec<EventId>) {
    let mut index = Index::temporary().unwrap();
    let mut random = Random::new().unwrap();
    let mut ids = Vec::new();
    let mut records = Vec::new();
    for seq in 1..=EVENTS_MADE {
        let at = FIRST_AT + i64::try_from(seq).unwrap();
        let id = random.id(Timestamp::from_millis(at));
        ids.push(EventId(id));
        let is_first = seq <= EVENTS_MADE / 4;
        let conversation = format!("call-{}", seq % (EVENTS_MADE / 4));
        let claim = Claim::new(ClaimKind::Conversation, Some(conversation.clone()));
        let tenant = if seq % SMALL == 0 { "small" } else { "large" };
        let is_contradiction = seq % SMALL == 1;
        let head = EventHead::<'_, ()> {
            record: EVENT,
            id: Octets(id.into_bytes()),
            at,
            source: "vapi".into(),
            provider: "vapi".into(),
            event_type: "status-update".into(),
            kind: "other".into(),
            status: u8::from(is_contradiction),
            tenant: (!is_contradiction).then(|| tenant.into()),
            conversation: Some(conversation.into()),
            standing: is_first.then(|| "adopting".into()),
            ownership: if is_contradiction { "contradiction" } else { "owned" }.into(),
            claims: vec![Claim { tenant: TenantId::parse("small").ok(), ..claim }].into(),
            ..EventHead::default()
        };
        let position = Position { segment: 1, offset: u32::try_from(seq).unwrap() * 8 };
        let change = Change::Event(Row::new(&head));
        records.push(Placed { seq, log: EVENTS, position, change });
    }
    index.apply(&records).unwrap();
    (index, ids)
}

/// Steps of SQLite that something takes.
fn steps<T>(
    index: &mut Index,
    work: impl FnOnce(&mut Index) -> Result<T, rusqlite::Error>,
) -> (T, u64) {
    let count = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&count);
    let handler = move || {
        counter.fetch_add(100, Ordering::Relaxed);
        false
    };
    index.connection.progress_handler(100, Some(handler)).unwrap();
    let value = work(index).unwrap();
    index.connection.progress_handler(0, None::<fn() -> bool>).unwrap();
    (value, count.load(Ordering::Relaxed))
}

fn of(tenant: &str) -> EventFilter {
    EventFilter { tenant: Some(tenant.to_owned()), ..EventFilter::default() }
}

fn newest(limit: usize) -> Page {
    Page { order: Order::NewestFirst, after: None, limit }
}

#[test]
fn an_event_is_found_by_its_id_among_those_of_its_time() {
    let (mut index, ids) = filled();
    for place in [0, 17, ids.len() / 2, ids.len() - 1] {
        let (found, steps) = steps(&mut index, |it| by_id(&it.connection, ids[place]));
        assert_eq!(found.unwrap().seq, place as u64 + 1);
        assert!(steps < SPAN_STEPS, "{steps} steps");
    }
}

#[test]
fn what_a_tenant_asks_does_not_pass_all_events_nor_all_of_the_tenants() {
    let (mut index, _) = filled();
    let index = &mut index;
    let (found, taken) = steps(index, |it| page(&it.connection, &of("small"), newest(50)));
    assert_eq!(found.len(), 40);
    assert!(taken < FEW_STEPS, "a tenant's list: {taken} steps");
    let conversation = Some("call-77".to_owned());
    let filter = EventFilter { conversation, ..of("large") };
    let (found, taken) = steps(index, |it| page(&it.connection, &filter, newest(50)));
    assert_eq!(found.len(), 4);
    assert!(taken < FEW_STEPS, "a conversation of a large tenant: {taken} steps");
    let (found, taken) = steps(index, |it| violations(&it.connection, &of("small"), newest(50)));
    assert_eq!(found.len(), 40);
    assert!(taken < FEW_STEPS, "violations: {taken} steps");
    let (found, taken) = steps(index, |it| adopted(&it.connection, "vapi", "call-77"));
    assert_eq!(found.unwrap().seq, 77);
    assert!(taken < FEW_STEPS, "one conversation: {taken} steps");
    let words = (Some("large"), Some("vapi"));
    let (found, taken) = steps(index, |it| adopted_before(&it.connection, words, None, 50));
    assert_eq!(found.len(), 50);
    assert!(taken < FEW_STEPS, "conversations: {taken} steps");
}

#[test]
fn erasing_a_conversation_costs_what_the_conversation_has() {
    let (mut index, _) = filled();
    let whose = Whose::Conversation("vapi", "call-77");
    let part = Part { before: None, after: 0, limit: 512 };
    let (found, taken) = steps(&mut index, |it| victims(&it.connection, whose, part));
    assert_eq!(found.len(), 4);
    assert!(taken < FEW_STEPS, "looking for it: {taken} steps");
    let (_, taken) = steps(&mut index, |it| unowned_siblings(&it.connection, &found));
    assert!(taken < FEW_STEPS, "looking for what belongs to it: {taken} steps");
    let part = Part { limit: 10, ..part };
    let (found, taken) =
        steps(&mut index, |it| victims(&it.connection, Whose::Tenant("large"), part));
    assert_eq!(found.len(), 10);
    assert!(taken < FEW_STEPS, "looking for a tenant's: {taken} steps");

    let seqs: Vec<u64> = found.iter().map(|it| it.seq).collect();
    let ((), taken) = steps(&mut index, |it| it.erase(&seqs));
    assert!(taken < 2 * FEW_STEPS, "erasing ten: {taken} steps");
}
