//! Recordings, wherever the store is: their rows and their sound. What erasing leaves in files
//! is in `erasure.rs`.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::time::Duration;

use ::postgres::{Client, NoTls};
use hookgate_core::digest::sha256;
use hookgate_core::sound::Sound;
use hookgate_core::tenant::{Scope, TenantId};
use hookgate_core::time::Timestamp;
use hookgate_store::{
    Body, Cursor, Erased, Erasure, ErasureTarget, EventId, LeasedRecording, Made, NewRecording,
    Options, Recording, RecordingCounts, RecordingFilter, RecordingState, Registry, Rows, Store,
    Unfetched, Written, check_postgres,
};
use tempfile::TempDir;
use uuid::Uuid;

use crate::bench::{Bench, Kind, files, on_every_store};
use crate::database::{node, outside};
use crate::deliveries::seconds;
use crate::registry::{NOW, add_tenant, tenant};
use crate::tenancy::{call, only, receive, two_tenants};

on_every_store!(
    a_recording_is_leased_by_one_and_tried_again_until_it_is_given_up,
    a_link_that_several_events_of_a_call_name_is_noted_once,
    what_was_erased_since_it_was_read_is_not_noted,
    a_tenants_recordings_go_with_it,
    a_recording_is_kept_whole_and_read_from_any_byte_by_who_sees_its_event,
    who_lost_the_lease_keeps_nothing,
    what_was_erased_while_it_came_is_not_kept,
    the_sound_goes_with_a_tenant_a_conversation_and_its_age,
);

const MIB: usize = 1 << 20;

fn new(event: u128, tenant: Option<&TenantId>) -> NewRecording {
    NewRecording {
        event: EventId(Uuid::from_u128(event)),
        seq: 1,
        place: 0,
        tenant: tenant.cloned(),
        source: "vapi".to_owned(),
        provider: "vapi".to_owned(),
        conversation: Some("call-1".to_owned()),
        kind: "mixed",
        digest: Some([u8::try_from(event).unwrap(); 32]),
        received_at: NOW,
    }
}

/// Notes recordings; says whether the cursor moved.
async fn note(registry: &Registry, recordings: Vec<NewRecording>, erasures: u64) -> bool {
    let from = registry.cursor("events").await.unwrap();
    let cursor = Cursor { name: "events", from, to: from + 1, erasures };
    registry.keep_made(cursor, Made { recordings, ..Made::default() }, NOW).await.unwrap()
}

async fn pending(registry: &Registry) -> u64 {
    registry.recording_counts().await.unwrap().pending
}

async fn a_recording_is_leased_by_one_and_tried_again_until_it_is_given_up(on: Kind) {
    let bench = Bench::on(on);
    let registry = bench.store.registry();
    assert_eq!(registry.next_recording().await.unwrap(), None);
    assert!(note(registry, vec![new(1, None)], 0).await);
    assert_eq!(registry.next_recording().await.unwrap(), Some(NOW));
    let lease = async |at: Timestamp| {
        registry.lease_recordings(at, 9, at.plus(Duration::from_mins(1))).await.unwrap().pop()
    };
    let first = lease(NOW).await.unwrap();
    assert!(lease(NOW).await.is_none(), "it is somebody's");
    assert_eq!(registry.next_recording().await.unwrap(), Some(seconds(60)), "its lease ends");
    let second = lease(seconds(60)).await.unwrap();
    assert!(!registry.holds_recording(&first).await.unwrap());
    assert!(registry.holds_recording(&second).await.unwrap());

    let failed = |again| Unfetched::Failed { reason: "nothing came", again };
    let late = registry.settle_recording(&first, failed(None), seconds(61)).await.unwrap();
    assert!(!late, "its lease was lost");
    let again = failed(Some(seconds(90)));
    assert!(registry.settle_recording(&second, again, seconds(61)).await.unwrap());
    assert_eq!(registry.next_recording().await.unwrap(), Some(seconds(90)));
    let third = lease(seconds(90)).await.unwrap();
    assert_eq!(third.attempts, 1);
    let postponed = Unfetched::Postponed { until: seconds(95) };
    assert!(registry.settle_recording(&third, postponed, seconds(91)).await.unwrap());
    let fourth = lease(seconds(95)).await.unwrap();
    assert_eq!(fourth.attempts, 1, "what was postponed was not tried");
    assert!(registry.settle_recording(&fourth, failed(None), seconds(96)).await.unwrap());
    assert_eq!(registry.next_recording().await.unwrap(), None);
    let counts = registry.recording_counts().await.unwrap();
    assert_eq!(counts, RecordingCounts { pending: 0, failed: 1 });
}

async fn a_link_that_several_events_of_a_call_name_is_noted_once(on: Kind) {
    let bench = Bench::on(on);
    let registry = bench.store.registry();
    let acme = add_tenant(registry, "acme").await;
    let same = |event, tenant| NewRecording { digest: Some([7; 32]), ..new(event, tenant) };
    assert!(note(registry, vec![same(1, Some(&acme)), same(1, Some(&acme))], 0).await);
    assert!(note(registry, vec![same(2, Some(&acme))], 0).await);
    assert_eq!(pending(registry).await, 1);
    assert!(note(registry, vec![same(3, None)], 0).await);
    assert_eq!(pending(registry).await, 2, "whose it is makes it another one");
    let gone = registry.lease_recordings(NOW, 1, seconds(60)).await.unwrap().pop().unwrap();
    assert!(registry.settle_recording(&gone, Unfetched::Gone, NOW).await.unwrap());
    assert_eq!(pending(registry).await, 1);
    let nobody = TenantId::parse("nobody").unwrap();
    assert!(note(registry, vec![new(4, Some(&nobody))], 0).await);
    assert_eq!(pending(registry).await, 1, "a tenant that is not there has none");
}

async fn what_was_erased_since_it_was_read_is_not_noted(on: Kind) {
    let bench = Bench::on(on);
    let registry = bench.store.registry();
    let seen = registry.erasures_done().await.unwrap();
    let (provider, external_id) = ("vapi".to_owned(), "call-1".to_owned());
    let target = ErasureTarget::Conversation { provider, external_id };
    let Written::Created(erasure) = registry.add_erasure(target, NOW).await.unwrap() else {
        panic!("it is new")
    };
    registry.finish_erasure(&erasure.id, Erased::default(), seconds(1)).unwrap();
    assert!(!note(registry, vec![new(1, None)], seen).await, "its event is to be read anew");
    assert_eq!((pending(registry).await, registry.cursor("events").await.unwrap()), (0, 0));
    let now = registry.erasures_done().await.unwrap();
    assert!(note(registry, vec![new(1, None)], now).await);
    assert_eq!(pending(registry).await, 1);
}

async fn a_tenants_recordings_go_with_it(on: Kind) {
    let bench = Bench::on(on);
    let registry = bench.store.registry();
    let acme = add_tenant(registry, "acme").await;
    assert!(note(registry, vec![new(1, Some(&acme)), new(2, None)], 0).await);
    assert_eq!(pending(registry).await, 2);
    let mut progress = bench.store.erasing();
    let erasure = bench.store.erase_tenant(&acme, NOW).await.unwrap();
    while registry.erasure(&erasure.id).await.unwrap().unwrap().finished_at.is_none() {
        let moved = tokio::time::timeout(Duration::from_mins(1), progress.changed()).await;
        moved.expect("the erasure ends").unwrap();
    }
    let left = registry.lease_recordings(NOW, 9, seconds(60)).await.unwrap();
    assert_eq!(left.iter().map(|it| it.event).collect::<Vec<_>>(), [new(2, None).event]);
}

/// A sound of so many bytes, told apart by a number.
pub(crate) fn sound(bytes: usize, number: u8) -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32 ^ u32::from(number);
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    (0..bytes).map(|_| next()).collect()
}

/// Notes recordings of events, each with whose it is and its conversation, and leases them.
pub(crate) async fn lease_of(
    store: &Store,
    events: &[(EventId, Option<&str>, &str)],
) -> Vec<LeasedRecording> {
    let registry = store.registry();
    let new = |(at, (event, owner, conversation)): (usize, &(EventId, Option<&str>, &str))| {
        let owner = owner.map(tenant);
        let number = 1 + at as u128;
        NewRecording {
            event: *event,
            conversation: Some((*conversation).to_owned()),
            ..new(number, owner.as_ref())
        }
    };
    let made = events.iter().enumerate().map(new).collect();
    let seen = registry.erasures_done().await.unwrap();
    assert!(note(registry, made, seen).await);
    let leased = registry.lease_recordings(NOW, 9, seconds(60)).await.unwrap();
    assert_eq!(leased.len(), events.len());
    leased
}

/// Fetches one, so to speak.
async fn fetch(
    store: &Store,
    leased: &LeasedRecording,
    sound: &[u8],
) -> hookgate_core::received::Blob {
    let mut writer = store.begin_recording(leased).await.unwrap().expect("it is leased");
    for piece in sound.chunks(100_000) {
        writer.write(piece.to_vec().into()).await.unwrap();
    }
    writer.finish().await.unwrap()
}

pub(crate) async fn keep(store: &Store, leased: &LeasedRecording, sound: &[u8]) -> bool {
    let blob = fetch(store, leased, sound).await;
    store.keep_recording(leased, blob, Sound::Mp3, NOW).await.unwrap()
}

pub(crate) async fn seen(store: &Store, scope: &Scope) -> Vec<Recording> {
    store.recordings(scope, RecordingFilter::default(), Rows::ALL).await.unwrap()
}

/// What is heard of a recording from a byte on; nothing if it is not there.
pub(crate) async fn heard(store: &Store, recording: &Recording, from: usize) -> Option<Vec<u8>> {
    match store.recorded(recording).await.unwrap()? {
        Body::Whole(bytes) => Some(bytes.slice(from..).to_vec()),
        Body::Large(mut large) => {
            // Where nobody may block: from a place in the middle back to this one.
            large.go_to(large.len() / 2).unwrap();
            large.go_to(from as u64).unwrap();
            Some(outside(move || {
                let mut rest = Vec::new();
                large.read_to_end(&mut rest).unwrap();
                rest
            }))
        }
    }
}

/// How many of something there are in the database; nothing in a store that has none.
fn count(bench: &Bench, what: &str) -> Option<i64> {
    let url = bench.database.as_ref()?.url();
    let select = format!("SELECT count({what}) FROM hookgate.recording_pieces");
    Some(outside(|| {
        let mut client = Client::connect(&url, NoTls).unwrap();
        client.query_one(&select, &[]).unwrap().get(0)
    }))
}

/// That the sound of so many recordings is there, and of none else.
fn only_sounds(bench: &Bench, sounds: usize) {
    let kept = files(&bench.path().join("recordings"));
    match count(bench, "DISTINCT recording") {
        None => assert_eq!(kept.len(), sounds, "{kept:?}"),
        Some(found) => {
            assert_eq!(found, i64::try_from(sounds).unwrap());
            assert!(kept.is_empty(), "nothing stays on the node: {kept:?}");
        }
    }
}

async fn done(bench: &Bench, erasure: &Erasure) {
    let mut progress = bench.store.erasing();
    let registry = bench.store.registry();
    while registry.erasure(&erasure.id).await.unwrap().unwrap().finished_at.is_none() {
        let moved = tokio::time::timeout(Duration::from_mins(1), progress.changed()).await;
        moved.expect("the erasure ends").unwrap();
    }
}

async fn a_recording_is_kept_whole_and_read_from_any_byte_by_who_sees_its_event(on: Kind) {
    let bench = Bench::on(on);
    two_tenants(&bench).await;
    let event = receive(&bench, &call("call-1", "agent-acme", "x")).await.id();
    let leased = lease_of(&bench.store, &[(event, Some("acme"), "call-1")]).await.pop().unwrap();
    let waiting = seen(&bench.store, &only("acme")).await.pop().unwrap();
    assert!(bench.store.recorded(&waiting).await.unwrap().is_none(), "it is not here yet");
    let whole = sound(2 * MIB + 77, 1);
    assert!(keep(&bench.store, &leased, &whole).await);
    only_sounds(&bench, 1);
    let bench = bench.reopen();
    let kept = seen(&bench.store, &only("acme")).await.pop().unwrap();
    assert_eq!(
        (kept.id, kept.state, kept.sound),
        (leased.id, RecordingState::Fetched, Some(Sound::Mp3))
    );
    assert_eq!((kept.size, kept.sha256), (Some(whole.len() as u64), Some(sha256(&whole))));
    assert_eq!(seen(&bench.store, &Scope::Operator).await, std::slice::from_ref(&kept));
    assert_eq!(seen(&bench.store, &only("other")).await, []);
    assert_eq!(bench.store.recording(&only("acme"), kept.id).await.unwrap(), Some(kept.clone()));
    assert_eq!(bench.store.recording(&only("other"), kept.id).await.unwrap(), None);
    for from in [0, 1, MIB - 1, MIB, MIB + 1, 2 * MIB, 2 * MIB + 76, 2 * MIB + 77] {
        let heard = heard(&bench.store, &kept, from).await.unwrap();
        assert!(heard == whole[from..], "from {from}");
    }
    let again = bench.store.registry().next_recording().await.unwrap();
    assert_eq!(again, None, "nothing is left to do");
}

async fn who_lost_the_lease_keeps_nothing(on: Kind) {
    let bench = Bench::on(on);
    let event = receive(&bench, &call("call-1", "", "x")).await.id();
    let first = lease_of(&bench.store, &[(event, None, "call-1")]).await.pop().unwrap();
    let late = fetch(&bench.store, &first, &sound(MIB, 1)).await;
    let registry = bench.store.registry();
    let second = registry.lease_recordings(seconds(60), 9, seconds(120)).await.unwrap();
    let second = second.into_iter().next().unwrap();
    assert!(!bench.store.keep_recording(&first, late, Sound::Mp3, seconds(61)).await.unwrap());
    assert!(bench.store.begin_recording(&first).await.unwrap().is_none());
    only_sounds(&bench, 0);
    let whole = sound(100, 2);
    assert!(keep(&bench.store, &second, &whole).await);
    let kept = seen(&bench.store, &Scope::Operator).await.pop().unwrap();
    assert_eq!(heard(&bench.store, &kept, 0).await.unwrap(), whole);
    only_sounds(&bench, 1);
}

async fn what_was_erased_while_it_came_is_not_kept(on: Kind) {
    let bench = Bench::on(on);
    let event = receive(&bench, &call("call-1", "", "x")).await.id();
    let leased = lease_of(&bench.store, &[(event, None, "call-1")]).await.pop().unwrap();
    let blob = fetch(&bench.store, &leased, &sound(MIB + 1, 1)).await;
    let erasure = bench.store.erase_conversation("vapi", "call-1", NOW).await.unwrap();
    done(&bench, &erasure).await;
    assert!(!bench.store.keep_recording(&leased, blob, Sound::Mp3, NOW).await.unwrap());
    assert_eq!(seen(&bench.store, &Scope::Operator).await, []);
    only_sounds(&bench, 0);
}

async fn the_sound_goes_with_a_tenant_a_conversation_and_its_age(on: Kind) {
    let bench = Bench::on(on);
    two_tenants(&bench).await;
    // Nobody's, of a call that becomes known as a tenant's: it goes with the rest of the call.
    let early = receive(&bench, &call("call-1", "", "early")).await.id();
    let of_acme = receive(&bench, &call("call-1", "agent-acme", "x")).await.id();
    let of_call = receive(&bench, &call("call-2", "agent-other", "x")).await.id();
    let old = receive(&bench, &call("call-3", "agent-other", "x").to("short")).await.id();
    let kept = receive(&bench, &call("call-4", "agent-other", "x")).await.id();
    let leased = lease_of(
        &bench.store,
        &[
            (early, None, "call-1"),
            (of_acme, Some("acme"), "call-1"),
            (of_call, Some("other"), "call-2"),
            (old, Some("other"), "call-3"),
            (kept, Some("other"), "call-4"),
        ],
    )
    .await;
    for (leased, number) in leased.iter().zip(1..) {
        assert!(keep(&bench.store, leased, &sound(MIB + 1_000, number)).await);
    }
    only_sounds(&bench, 5);
    let gone = seen(&bench.store, &Scope::Operator).await;
    let events = async || -> BTreeSet<EventId> {
        seen(&bench.store, &Scope::Operator).await.iter().map(|it| it.event).collect()
    };

    let erasure = bench.store.erase_tenant(&tenant("acme"), NOW).await.unwrap();
    done(&bench, &erasure).await;
    assert_eq!(events().await, BTreeSet::from([of_call, old, kept]));
    only_sounds(&bench, 3);
    let erasure = bench.store.erase_conversation("vapi", "call-2", NOW).await.unwrap();
    done(&bench, &erasure).await;
    assert_eq!(events().await, BTreeSet::from([old, kept]));
    only_sounds(&bench, 2);
    bench.store.set_retention([("short".to_owned(), 3)]);
    assert_eq!(bench.store.sweep(seconds(5 * 24 * 60 * 60)).await.unwrap(), 1);
    assert_eq!(events().await, BTreeSet::from([kept]));
    only_sounds(&bench, 1);
    for recording in gone {
        let heard = heard(&bench.store, &recording, 0).await;
        assert_eq!(heard.is_some(), recording.event == kept, "{recording:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_node_fetched_every_node_has() {
    let bench = Bench::on(Kind::Postgres);
    let url = bench.database.as_ref().unwrap().url();
    let folder = TempDir::new().unwrap();
    let other = node(&url, folder.path(), &Options::default());
    let event = receive(&bench, &call("call-1", "", "x")).await.id();
    let leased = lease_of(&bench.store, &[(event, None, "call-1")]).await.pop().unwrap();
    let registry = other.registry();
    let nothing = registry.lease_recordings(NOW, 9, seconds(60)).await.unwrap();
    assert_eq!(nothing, [], "it is another node's");
    let whole = sound(3 * MIB, 1);
    // As long as it is written its lease goes on, whatever it was.
    let blob = fetch(&bench.store, &leased, &whole).await;
    assert!(bench.store.keep_recording(&leased, blob, Sound::Wav, seconds(59)).await.unwrap());
    let found = seen(&other, &Scope::Operator).await.pop().unwrap();
    assert!(heard(&other, &found, 0).await.unwrap() == whole);
    assert!(heard(&other, &found, MIB + 5).await.unwrap() == whole[MIB + 5..]);
    let erasure = other.erase_conversation("vapi", "call-1", NOW).await.unwrap();
    let mut progress = other.erasing();
    while registry.erasure(&erasure.id).await.unwrap().unwrap().finished_at.is_none() {
        // The other one may have carried it out.
        let _ = tokio::time::timeout(Duration::from_millis(50), progress.changed()).await;
    }
    assert!(heard(&bench.store, &found, 0).await.is_none());
    only_sounds(&bench, 0);
    outside(move || drop(other));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_attempt_left_behind_is_in_no_recording_and_is_removed() {
    let bench = Bench::on(Kind::Postgres);
    let url = bench.database.as_ref().unwrap().url();
    let say = |words: &str| {
        outside(|| Client::connect(&url, NoTls).unwrap().batch_execute(words)).unwrap();
    };
    let events = [
        (receive(&bench, &call("call-1", "", "x")).await.id(), None, "call-1"),
        (receive(&bench, &call("call-2", "", "x")).await.id(), None, "call-2"),
    ];
    let leased = lease_of(&bench.store, &events).await;
    say("INSERT INTO hookgate.recording_pieces SELECT id, piece, 'left' \
         FROM hookgate.recordings, generate_series(0, 99) AS it (piece)");
    // One is fetched again, the other given up.
    let whole = sound(MIB + 1, 1);
    assert!(keep(&bench.store, &leased[0], &whole).await);
    assert_eq!(count(&bench, "*"), Some(102));
    assert_eq!(bench.store.sweep(NOW).await.unwrap(), 0);
    assert_eq!(count(&bench, "*"), Some(102), "somebody may be writing them");
    let failed = Unfetched::Failed { reason: "nothing came", again: None };
    let registry = bench.store.registry();
    assert!(registry.settle_recording(&leased[1], failed, NOW).await.unwrap());
    assert_eq!(bench.store.sweep(NOW).await.unwrap(), 0);
    assert_eq!(count(&bench, "*"), Some(2));
    let kept = seen(&bench.store, &Scope::Operator).await;
    let kept = kept.into_iter().find(|it| it.state == RecordingState::Fetched).unwrap();
    assert!(heard(&bench.store, &kept, 0).await.unwrap() == whole);

    let check = || {
        outside(|| {
            let mut client = Client::connect(&url, NoTls).unwrap();
            check_postgres(&mut client, |_| {}).unwrap()
        })
    };
    let report = check();
    assert!(report.is_clean() && report.blobs == 1, "{report:?}");
    say(
        "UPDATE hookgate.recording_pieces SET bytes = set_byte(bytes, 8, get_byte(bytes, 8) # 1) WHERE n = 0",
    );
    assert!(!check().is_clean(), "a bit is lost");
}
