//! Copying a whole store: what is in it is in the copy, wherever both are, and however often
//! the copy was stopped.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use hookgate_core::digest::sha256;
use hookgate_core::tenant::Scope;
use hookgate_core::time::Timestamp;
use hookgate_store::{
    Conversation, ConversationFilter, Copied, CopyError, CopyPlace, DeliveryFilter, Event,
    EventFilter, OpenError, Options, PgSettings, Rows, SealedKey, Store, ToolCallFilter,
    ToolCallState, copy,
};
use proptest::prelude::*;
use serde_json::json;
use tempfile::TempDir;

use crate::bench::{ALL, Bench, Call, Kind, NOON, blob, bytes_of, files, open};
use crate::database::{Tables, node, outside, with_tables};
use crate::deliveries::{self, DOWN, OK, lease, settle};
use crate::recordings;
use crate::registry::{NOW, credential, tenant};
use crate::tenancy::{call, only, receive, two_tenants};
use crate::tool_calls::{finished, new_call};

/// Every row that a list gives.
const ROWS: Rows = Rows { after: None, limit: 10_000 };

/// A request without proof, of a peer of its own.
fn wrong(call: &str, number: u64) -> Call {
    let peer = [10, 0, 0, u8::try_from(number % 250).unwrap()];
    Call::status(call, number).with_token("wrong").from(peer)
}

/// Puts some of everything into a store, by the verbs that a gateway uses.
async fn fill(bench: &Bench) {
    let registry = bench.store.registry();
    two_tenants(bench).await;
    for number in 0..20 {
        receive(bench, &call("a", "agent-acme", &format!("{number}"))).await;
        receive(bench, &call("b", "agent-other", &format!("{number}"))).await;
        receive(bench, &call("nobody", "", &format!("{number}"))).await;
        bench.store.quarantine(&wrong("ring", number).recorded()).await.unwrap();
    }
    for _ in 0..3 {
        receive(bench, &call("a", "agent-acme", "1")).await;
        // Of what is erased in the end.
        receive(bench, &call("b", "agent-other", "2")).await;
    }
    // The same key with other bytes, and one that cannot be read.
    receive(bench, &Call::end("a", "first")).await;
    receive(bench, &Call::end("a", "second")).await;
    bench.store.quarantine(&Call::new("{").unreadable()).await.unwrap();
    // A contradiction: another tenant's conversation.
    receive(bench, &call("a", "agent-other", "wrong")).await;
    let large = call("a", "agent-acme", &"x".repeat(2_500_000));
    let bytes = blob(&bench.store, &large.body, 300_000).await;
    let event = large.accepted_large_by(bench, bytes).await;
    bench.store.append(&event, None).await.unwrap();

    let quarantined: Vec<Event> =
        bench.list().await.into_iter().filter(|it| it.status.name() == "quarantined").collect();
    bench
        .store
        .release(quarantined[0].id, Some(tenant("other")), "operator", "release", NOW)
        .await
        .unwrap();

    let data_key =
        SealedKey { tenant: "acme".to_owned(), master: [1; 8], wrapped: b"wrapped".into() };
    registry.add_data_key(data_key).await.unwrap();
    registry.put_credential(credential(&tenant("acme"), "square", b"sealed")).await.unwrap();
    for number in 0..5 {
        let made = registry.begin_tool_call(new_call(&tenant("acme"), number)).await.unwrap();
        drop(made);
        let id = new_call(&tenant("acme"), number).id;
        registry.finish_tool_call(finished(id, ToolCallState::Succeeded)).await.unwrap();
    }
    let destination = deliveries::add(registry, Some(&tenant("acme")), 1, &json!({})).await;
    let events: Vec<_> = (1..=9).map(|it| deliveries::event(&destination, it)).collect();
    deliveries::enqueue(registry, events, NOW).await;
    let leased = lease(registry, NOW, 4).await;
    for (at, leased) in leased.iter().enumerate() {
        settle(registry, leased, if at == 0 { DOWN } else { OK }, NOW).await;
    }
    let named = bench.list().await;
    let named: Vec<_> = named.iter().filter(|it| it.tenant.as_deref() == Some("acme")).collect();
    let events = [(named[0].id, Some("acme"), "a"), (named[1].id, Some("acme"), "a")];
    let leased = recordings::lease_of(&bench.store, &events).await;
    // The other one is on its way.
    assert!(recordings::keep(&bench.store, &leased[0], &recordings::sound(2_500_000, 1)).await);
    let mut erasing = bench.store.erasing();
    let erasure = bench.store.erase_conversation("vapi", "b", NOW).await.unwrap();
    while registry.erasure(&erasure.id).await.unwrap().unwrap().finished_at.is_none() {
        erasing.changed().await.unwrap();
    }
}

/// Everything that the verbs of a store show.
async fn seen(store: &Store) -> Vec<String> {
    let registry = store.registry();
    let mut seen = vec![format!("{} {}", store.id(), store.snapshot().next_seq)];
    for scope in [Scope::Operator, only("acme"), only("other")] {
        let events = store.events(&scope, EventFilter::default(), ALL).await.unwrap();
        for event in events {
            let body = store.body(&scope, event.id).await.unwrap();
            let body = tokio::task::spawn_blocking(|| body.map(bytes_of)).await.unwrap();
            let body = body.map(|it| {
                (it.len(), String::from_utf8_lossy(&it[..it.len().min(200)]).into_owned())
            });
            seen.push(format!("{scope:?} {event:?} {body:?}"));
        }
        let violations = store.violations(&scope, EventFilter::default(), ALL).await.unwrap();
        seen.extend(violations.iter().map(|it| format!("violation {scope:?} {it:?}")));
        let conversations: Vec<(u64, Conversation)> =
            store.conversations(&scope, ConversationFilter::default(), ROWS).await.unwrap();
        let mut known: Vec<String> =
            conversations.iter().map(|(_, it)| format!("{scope:?} {it:?}")).collect();
        known.sort();
        seen.extend(known);
        let calls =
            registry.tool_calls(&scope, ToolCallFilter::default(), None, 1_000).await.unwrap();
        seen.extend(calls.iter().map(|it| format!("{it:?}")));
        let deliveries =
            registry.deliveries(&scope, DeliveryFilter::default(), None, 10_000).await.unwrap();
        for delivery in deliveries {
            let attempts = registry.attempts_of(&scope, delivery.id).await.unwrap();
            seen.push(format!("{delivery:?} {attempts:?}"));
        }
        seen.push(format!("{:?}", registry.credentials(&tenant("acme")).await.unwrap()));
    }
    for recording in recordings::seen(store, &Scope::Operator).await {
        let heard = recordings::heard(store, &recording, 0).await.map(|it| sha256(&it));
        seen.push(format!("{recording:?} {:?} {heard:?}", recording.sha256));
    }
    seen.push(format!("{}", registry.cursor("deliveries").await.unwrap()));
    seen.push(format!("{:?}", registry.decisions_after(0, 1_000).unwrap()));
    seen.push(format!("{:?}", registry.data_keys().await.unwrap()));
    seen.push(format!("{:?}", registry.erasures(ROWS).await.unwrap()));
    seen
}

/// A store that nobody has open.
struct Closed {
    folder: TempDir,
    database: Option<Tables>,
}

impl Closed {
    fn of(bench: Bench) -> Self {
        let Bench { store, folder, database, .. } = bench;
        store.close();
        drop(store);
        Self { folder, database }
    }

    fn place(&self) -> CopyPlace {
        match &self.database {
            None => CopyPlace::Folder(self.folder.path().to_owned()),
            Some(database) => of_database(database, self.folder.path()),
        }
    }
}

/// A store with some of everything, closed; and what it showed.
async fn full(kind: Kind) -> (Closed, Vec<String>) {
    let bench = Bench::on(kind);
    fill(&bench).await;
    let seen = seen(&bench.store).await;
    (Closed::of(bench), seen)
}

fn of_database(database: &Tables, folder: &Path) -> CopyPlace {
    let settings = PgSettings::parse(&database.url()).unwrap();
    CopyPlace::Postgres(Box::new(settings.in_folder(folder.to_owned(), None)))
}

/// A place where nothing is, with what it stands on.
struct Empty {
    folder: TempDir,
    database: Option<Tables>,
}

impl Empty {
    fn new(kind: Kind) -> Self {
        let database = (kind == Kind::Postgres).then(with_tables);
        Self { folder: TempDir::new().unwrap(), database }
    }

    fn place(&self) -> CopyPlace {
        match &self.database {
            None => CopyPlace::Folder(self.folder.path().join("copy")),
            Some(database) => of_database(database, self.folder.path()),
        }
    }

    /// Opens the copy.
    fn store(&self) -> Store {
        match &self.database {
            None => open(&self.folder.path().join("copy"), &Options::default()),
            Some(database) => node(&database.url(), self.folder.path(), &Options::default()),
        }
    }
}

fn copied(from: &CopyPlace, to: &CopyPlace) -> Result<Copied, CopyError> {
    outside(|| copy(from, to, |_| {}))
}

/// Compares line by line: the first that differs says enough.
fn same(found: &[String], expected: &[String]) {
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(found, expected);
    }
    assert_eq!(found.len(), expected.len());
}

async fn copies_whole(from: Kind, to: Kind) {
    let (bench, expected) = full(from).await;
    let target = Empty::new(to);
    let report = copied(&bench.place(), &target.place()).unwrap();
    assert_eq!((report.large_bodies, report.recordings, report.resumed_after), (1, 1, 0));
    assert_eq!(
        report.events,
        expected.iter().filter(|it| it.starts_with("Operator Event")).count() as u64
    );
    let store = target.store();
    same(&seen(&store).await, &expected);
    // What came before comes again: known. What is new gets the next place.
    let next = store.snapshot().next_seq;
    let again = call("a", "agent-acme", "2");
    let receipt = crate::tenancy::try_to_receive(&store, &again).await.unwrap();
    assert!(receipt.is_duplicate() && receipt.seq() < next, "{receipt:?}");
    let new = call("a", "agent-acme", "new");
    let receipt = crate::tenancy::try_to_receive(&store, &new).await.unwrap();
    assert_eq!((receipt.is_duplicate(), receipt.seq()), (false, next + 1));
    store.close();
}

macro_rules! copies {
    ($($name:ident: $from:ident, $to:ident;)*) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            copies_whole(Kind::$from, Kind::$to).await;
        })*
    };
}

copies! {
    a_folder_is_copied_into_postgresql: Embedded, Postgres;
    a_folder_is_copied_into_a_folder: Embedded, Embedded;
    a_database_is_copied_into_a_folder: Postgres, Embedded;
    a_database_is_copied_into_another: Postgres, Postgres;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_goes_there_and_back_and_is_the_same() {
    let (bench, expected) = full(Kind::Embedded).await;
    let (there, back) = (Empty::new(Kind::Postgres), Empty::new(Kind::Embedded));
    let first = copied(&bench.place(), &there.place()).unwrap();
    let second = copied(&there.place(), &back.place()).unwrap();
    assert_eq!((first.digest, first.tables), (second.digest, second.tables));
    let store = back.store();
    same(&seen(&store).await, &expected);
    store.close();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_finished_is_no_store_and_goes_on() {
    let (bench, expected) = full(Kind::Embedded).await;
    let other = Bench::new();
    other.append(&Call::status("x", 1)).await;
    let other = Closed::of(other);
    for kind in [Kind::Embedded, Kind::Postgres] {
        let target = Empty::new(kind);
        stopped(&bench.place(), &target.place(), 0);
        let refused = match &target.database {
            None => Store::open(
                &target.folder.path().join("copy"),
                Options::default(),
                hookgate_journal::wake_inline(),
            ),
            Some(database) => {
                let settings = PgSettings::parse(&database.url()).unwrap();
                let settings = settings.in_folder(target.folder.path().to_owned(), None);
                let wake = hookgate_journal::wake_inline();
                outside(|| Store::open_postgres(&settings, Options::default(), wake))
            }
        };
        assert!(matches!(refused, Err(OpenError::Unfinished(_))), "{refused:?}");
        let refused = copied(&other.place(), &target.place());
        assert!(matches!(refused, Err(CopyError::OtherCopy(_))), "{refused:?}");
        let report = copied(&bench.place(), &target.place()).unwrap();
        assert!(report.resumed_after > 0);
        let store = target.store();
        same(&seen(&store).await, &expected);
        store.close();
        drop(store);
        let refused = copied(&bench.place(), &target.place());
        assert!(matches!(refused, Err(CopyError::TargetTaken(_))), "{refused:?}");
    }
}

/// Stops a copy when it has told so often how far it is.
fn stopped(from: &CopyPlace, to: &CopyPlace, after: usize) {
    let mut told = 0;
    let stop = |_| {
        told += 1;
        // No message: the panic is meant.
        if told > after {
            std::panic::resume_unwind(Box::new("stopped"));
        }
    };
    let done = outside(|| catch_unwind(AssertUnwindSafe(|| copy(from, to, stop))).map_err(drop));
    assert!(
        !matches!(done, Ok(Err(ref error)) if !matches!(error, CopyError::TargetTaken(_))),
        "{done:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_is_stopped_anywhere_ends_as_one_that_was_not() {
    let bench = Bench::new();
    fill(&bench).await;
    for number in 0..700 {
        receive(&bench, &call("more", "agent-acme", &format!("{number}"))).await;
        if number % 90 == 0 {
            let ring = wrong("more", number).recorded();
            bench.store.quarantine(&ring).await.unwrap();
        }
    }
    let expected = seen(&bench.store).await;
    let bench = Closed::of(bench);
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(6));
    let stops = proptest::collection::vec(0..6_usize, 1..4);
    let handle = tokio::runtime::Handle::current();
    let run = |(stops, to_postgres): (Vec<usize>, bool)| {
        let target = Empty::new(if to_postgres { Kind::Postgres } else { Kind::Embedded });
        for after in stops {
            stopped(&bench.place(), &target.place(), after);
        }
        match copied(&bench.place(), &target.place()) {
            // It was whole before it could be stopped.
            Ok(_) | Err(CopyError::TargetTaken(_)) => {}
            Err(error) => return Err(TestCaseError::fail(error.to_string())),
        }
        let store = target.store();
        let found = tokio::task::block_in_place(|| handle.block_on(seen(&store)));
        store.close();
        prop_assert_eq!(found, expected.clone());
        Ok(())
    };
    runner.run(&(stops, any::<bool>()), run).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_in_use_and_a_place_that_is_taken_are_refused() {
    let bench = Bench::new();
    bench.append(&Call::status("x", 1)).await;
    let target = Empty::new(Kind::Embedded);
    let refused = copied(&CopyPlace::Folder(bench.path().to_owned()), &target.place());
    assert!(matches!(refused, Err(CopyError::Open(OpenError::Locked))), "{refused:?}");
    let bench = Closed::of(bench);

    let from = bench.place();
    std::fs::create_dir(target.folder.path().join("copy")).unwrap();
    std::fs::write(target.folder.path().join("copy/notes.txt"), "mine").unwrap();
    let refused = copied(&from, &target.place());
    assert!(matches!(refused, Err(CopyError::TargetTaken(_))), "{refused:?}");
    let nothing = CopyPlace::Folder(target.folder.path().join("nothing"));
    let refused = copied(&nothing, &CopyPlace::Folder(target.folder.path().join("to")));
    assert!(matches!(refused, Err(CopyError::NoStore(_))), "{refused:?}");
    let refused = copied(&from, &from);
    assert!(matches!(refused, Err(CopyError::TargetTaken(_))), "{refused:?}");

    let used = Bench::on(Kind::Postgres);
    let to = of_database(used.database.as_ref().unwrap(), used.path());
    let refused = copied(&from, &to);
    assert!(matches!(refused, Err(CopyError::InUse(_))), "{refused:?}");
    let used = Closed::of(used);
    let refused = copied(&from, &used.place());
    assert!(matches!(refused, Err(CopyError::TargetTaken(_))), "{refused:?}");
    let wrong = PgSettings::parse("postgres://nobody@127.0.0.1:1/none").unwrap();
    let refused = copied(&from, &CopyPlace::Postgres(Box::new(wrong)));
    assert!(matches!(refused, Err(CopyError::Connect(_))), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_or_a_recording_that_is_not_what_came_stops_the_copy() {
    let (bench, _) = full(Kind::Postgres).await;
    let url = bench.database.as_ref().unwrap().url();
    for (bad, what) in [
        (
            "UPDATE hookgate.recording_pieces SET bytes = set_byte(bytes, 9, \
             get_byte(bytes, 9) # 1) WHERE n = 1",
            "recording rec_",
        ),
        ("UPDATE hookgate.events SET payload = 'x' WHERE seq = 3", "the body of event"),
    ] {
        outside(|| {
            let mut client = postgres::Client::connect(&url, postgres::NoTls).unwrap();
            assert_eq!(client.execute(bad, &[]).unwrap(), 1);
        });
        let target = Empty::new(Kind::Embedded);
        let refused = copied(&bench.place(), &target.place());
        let Err(CopyError::Damaged(refused)) = refused else { panic!("{refused:?}") };
        assert!(refused.starts_with(what), "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_into_the_copy_that_never_finished_is_made_again() {
    let bench = Bench::new();
    fill(&bench).await;
    for number in 0..700 {
        receive(&bench, &call("more", "agent-acme", &format!("{number}"))).await;
    }
    let expected = seen(&bench.store).await;
    let bench = Closed::of(bench);
    let target = Empty::new(Kind::Embedded);
    stopped(&bench.place(), &target.place(), 0);
    let folder = target.folder.path().join("copy/journal/events");
    let last = files(&folder).pop().unwrap();
    let mut bytes = std::fs::read(&last).unwrap();
    let end = bytes.iter().rposition(|it| *it != 0).unwrap();
    bytes[end - 8..=end].fill(0);
    std::fs::write(&last, bytes).unwrap();
    let report = copied(&bench.place(), &target.place()).unwrap();
    assert!(report.resumed_after < report.last_seq, "{report:?}");
    let store = target.store();
    same(&seen(&store).await, &expected);
    store.close();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conversation_whose_first_event_is_erased_stays_known() {
    for (from, to) in [(Kind::Postgres, Kind::Embedded), (Kind::Embedded, Kind::Postgres)] {
        let bench = Bench::on(from);
        two_tenants(&bench).await;
        let days = 3 * 24 * 60 * 60 * 1000;
        receive(&bench, &call("a", "agent-acme", "old")).await;
        receive(&bench, &call("a", "agent-acme", "young").at(NOON + days)).await;
        bench.store.set_retention([("vapi".to_owned(), 1)]);
        assert_eq!(bench.store.sweep(Timestamp::from_millis(NOON + days)).await.unwrap(), 1);
        let known = |store: Store| async move {
            let found = store.conversation(&Scope::Operator, "vapi", "a").await.unwrap();
            found.map(|it| it.tenant)
        };
        assert_eq!(known(bench.store.clone()).await, Some(tenant("acme")), "{from:?}");
        let bench = Closed::of(bench);
        let target = Empty::new(to);
        copied(&bench.place(), &target.place()).unwrap();
        let store = target.store();
        assert_eq!(known(store.clone()).await, Some(tenant("acme")), "{to:?}");
        store.close();
    }
}
