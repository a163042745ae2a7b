//! Erasing: what was erased is in no file any more, whatever happens meanwhile.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use hookgate_core::received::Token;
use hookgate_core::sound::Sound;
use hookgate_core::tenant::{Scope, TenantId};
use hookgate_store::{
    BlobWriter, ConversationFilter, Cursor, DeliveryFilter, Erasure, ErasureTarget, Event,
    EventFilter, EventId, FinishedToolCall, Hook, Made, NewDelivery, NewRecording, NewToolCall,
    Options, RecordingFilter, RecordingState, Rows, Settling, Status, ToolCallFilter,
    ToolCallState, Unavailable, Written, backup, check, rebuild,
};
use serde_json::json;
use tempfile::TempDir;

use crate::bench::{ALL, Bench, Call, Kind, blob, files, on_every_store, open};
use crate::deliveries;
use crate::index::rows;
use crate::registry::{NOW, add_tenant, conversation};
use crate::tenancy::{
    bind, call, lose_index, only, receive, receive_all, seen, story, try_to_receive, two_tenants,
};
use crate::tool_calls::{finished, new_call};

on_every_store!(
    from_the_beginning_of_its_erasure_on_nothing_becomes_a_tenants,
    erasing_who_is_not_there_is_refused,
    what_others_adopted_stays_theirs_whatever_is_erased,
);

/// Stands in bodies of what is to be erased, and nowhere else.
const BODY: &str = "body-canary-81f7";

/// Stands in ids of what is to be erased.
const ID: &str = "id-canary-2c9e";

/// Stands in arguments of and replies to tool calls of what is to be erased.
const TOOL: &str = "tool-canary-90ab";

/// Stands in the settings of destinations of who is to be erased.
const SETTINGS: &str = "settings-canary-41d0";

/// Stands in recordings of what is to be erased.
const RECORDING: &str = "recording-canary-5e08";

/// A conversation that is not erased.
const KEPT: &str = "kept-1";

/// Stands in what endpoints answered to deliveries of what is to be erased.
const RESPONSE: &str = "response-canary-77c3";

/// Tool calls of a conversation, more than are erased at once, and one that another tenant
/// made in a conversation of the same id, at another provider.
async fn call_tools(bench: &Bench, conversation: &str) {
    let registry = bench.store.registry();
    let other = TenantId::parse("other").unwrap();
    let mut ends = Vec::new();
    for number in 0..700 {
        let call = NewToolCall {
            conversation: Some(conversation.to_owned()),
            arguments: format!(r#"{{"name":"{TOOL} {number}"}}"#),
            ..new_call(&acme(), number)
        };
        registry.begin_tool_call(call.clone()).await.unwrap();
        let reply = format!(r#"{{"message":"{TOOL} {}"}}"#, "x".repeat(6_000));
        let end = finished(call.id, ToolCallState::Succeeded);
        ends.push(registry.finish_tool_call(FinishedToolCall { reply, ..end }));
    }
    for end in ends {
        end.await.unwrap();
    }
    let kept = NewToolCall {
        provider: "retell".to_owned(),
        conversation: Some("kept".to_owned()),
        ..new_call(&other, 1_000)
    };
    registry.begin_tool_call(kept).await.unwrap();
    assert!(!traces(bench.path(), TOOL).is_empty(), "they are there");
}

/// Deliveries of a conversation's events to a destination of the tenant, more than are erased
/// at once, half of them tried; and one of another tenant's event to the operator.
async fn deliver(bench: &Bench, conversation: &str) {
    let registry = bench.store.registry();
    let more = json!({
        "concurrency": 64, "ordered": true, "name": SETTINGS,
        "url": format!("https://hooks.example/{SETTINGS}"),
        "filter": [{"pointer": "/from", "op": "ne", "value": SETTINGS}],
    });
    let own = deliveries::add(registry, Some(&acme()), 1, &more).await;
    let operators = deliveries::add(registry, None, 2, &json!({"ordered": true})).await;
    let mut made: Vec<NewDelivery> = Vec::new();
    for number in 0..350 {
        for destination in [&own, &operators] {
            let conversation = if number % 2 == 0 { conversation } else { "kept" };
            let conversation = Some(conversation.to_owned());
            let tenant = Some(acme());
            made.push(NewDelivery {
                conversation,
                tenant,
                ..deliveries::event(destination, number)
            });
        }
    }
    let other = Some(TenantId::parse("other").unwrap());
    made.push(NewDelivery { tenant: other, ..deliveries::event(&operators, 1_000) });
    deliveries::enqueue(registry, made, NOW).await;
    for _ in 0..4 {
        for leased in deliveries::lease(registry, NOW, 100).await {
            if leased.tenant == Some(acme()) {
                let settling = deliveries::settling(&leased, deliveries::OK, NOW);
                let response = Some(format!("{RESPONSE} {}", "x".repeat(900)));
                deliveries::settle_one(registry, Settling { response, ..settling }).await;
            }
        }
    }
    assert!(!traces(bench.path(), RESPONSE).is_empty(), "they are there");
}

/// Recordings of a conversation's events, one of which is on its way still, and one that was
/// never begun; and one of another tenant's. Gives the file that is being written.
async fn record(bench: &Bench, conversation: &str) -> BlobWriter {
    let registry = bench.store.registry();
    let of = async |id: &str| {
        let filter = EventFilter { conversation: Some(id.to_owned()), ..EventFilter::default() };
        let found = bench.store.events(&Scope::Operator, filter, ALL).await.unwrap();
        found.into_iter().find(|it| it.status == Status::Accepted).unwrap()
    };
    let new = |event: &Event, place| NewRecording {
        event: event.id,
        seq: event.seq,
        place,
        tenant: event.tenant.as_deref().map(|it| TenantId::parse(it).unwrap()),
        source: "vapi".to_owned(),
        provider: "vapi".to_owned(),
        conversation: event.conversation_id.clone(),
        kind: "mixed",
        digest: Some([u8::try_from(place).unwrap(); 32]),
        received_at: event.received_at,
    };
    let (own, kept) = (of(conversation).await, of(KEPT).await);
    let recordings = vec![new(&own, 0), new(&own, 1), new(&own, 2), new(&kept, 0)];
    let erasures = registry.erasures_done().await.unwrap();
    let cursor = Cursor { name: "recordings", from: 0, to: 1, erasures };
    let made = Made { recordings, ..Made::default() };
    assert!(registry.keep_made(cursor, made, NOW).await.unwrap());
    let mut under_way = None;
    for leased in
        registry.lease_recordings(NOW, 10, NOW.plus(Duration::from_mins(1))).await.unwrap()
    {
        let text = if leased.event == own.id { RECORDING } else { "kept" };
        if leased.place == 2 {
            continue;
        }
        let mut writer = bench.store.begin_recording(&leased).await.unwrap().unwrap();
        // More than is written at once.
        writer.write(text.repeat(40_000).into()).await.unwrap();
        if leased.place == 1 {
            under_way = Some(writer);
            continue;
        }
        let blob = writer.finish().await.unwrap();
        assert!(bench.store.keep_recording(&leased, blob, Sound::Mp3, NOW).await.unwrap());
    }
    // What is under way is written by a thread of its own.
    while traces(bench.path(), RECORDING).len() < 2 {
        tokio::task::yield_now().await;
    }
    under_way.unwrap()
}

/// That the recording that was not to be erased is there, and nothing of the others.
async fn only_kept_recording(bench: &Bench) {
    assert_eq!(traces(bench.path(), RECORDING), Vec::<String>::new());
    let any = RecordingFilter::default();
    let left = bench.store.recordings(&Scope::Operator, any, Rows::ALL).await.unwrap();
    let [kept] = left.as_slice() else { panic!("{left:?}") };
    assert_eq!((kept.conversation.as_deref(), kept.state), (Some(KEPT), RecordingState::Fetched));
    assert!(bench.store.recorded(kept).await.unwrap().is_some());
    let files = files(&bench.path().join("recordings"));
    assert_eq!(files.len(), 1, "{files:?}");
}

/// Whose deliveries there are.
async fn delivered_to(bench: &Bench) -> BTreeSet<Option<String>> {
    let any = DeliveryFilter::default();
    let all = bench.store.registry().deliveries(&Scope::Operator, any, None, 10_000).await.unwrap();
    all.iter().map(|it| it.tenant.as_ref().map(ToString::to_string)).collect()
}

/// That the tool calls that were to be erased are in no file, and the other is there.
async fn only_kept_call(bench: &Bench) {
    assert_eq!(traces(bench.path(), TOOL), Vec::<String>::new());
    let any = ToolCallFilter::default();
    let kept = bench.store.registry().tool_calls(&Scope::Operator, any, None, 10).await.unwrap();
    let kept: Vec<_> = kept.iter().map(|it| it.tenant.as_str()).collect();
    assert_eq!(kept, ["other"]);
}

/// Where a text stands, by the names of the files.
fn traces(folder: &Path, text: &str) -> Vec<String> {
    let holds = |path: &Path| {
        // The standard library searches texts quickly in a debug build, too.
        String::from_utf8_lossy(&std::fs::read(path).unwrap()).contains(text)
    };
    let found = files(folder).into_iter().filter(|it| holds(it));
    found.map(|it| it.strip_prefix(folder).unwrap().display().to_string()).collect()
}

/// Waits until an erasure is done.
async fn done(bench: &Bench, erasure: &Erasure) -> Erasure {
    let mut progress = bench.store.erasing();
    let wait = async {
        loop {
            let now = bench.store.registry().erasure(&erasure.id).await.unwrap().unwrap();
            if now.finished_at.is_some() {
                return now;
            }
            progress.changed().await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_mins(1), wait).await.expect("the erasure ends")
}

fn acme() -> TenantId {
    TenantId::parse("acme").unwrap()
}

fn canary(conversation: &str, number: u32) -> Call {
    call(&format!("{ID}-{conversation}"), "agent-acme", &format!("{BODY} {number}"))
}

/// Everything that a tenant can have in a store, and as much of another's and of nobody's.
async fn filled(bench: &Bench) {
    two_tenants(bench).await;
    for number in 0..60 {
        receive(bench, &canary(&format!("{}", number % 7), number)).await;
        receive(bench, &call(&format!("kept-{}", number % 7), "agent-other", &number.to_string()))
            .await;
    }
    // The end of a call, again with other bytes, and again with the same.
    for note in ["one", "two", "one"] {
        let end = format!(
            r#"{{"message":{{"type":"end-of-call-report","call":{{"id":"{ID}-0","assistantId":"agent-acme"}},"note":"{BODY} {note}"}}}}"#
        );
        receive(bench, &Call::new(end)).await;
    }
    // A large body.
    let large = canary("large", 0);
    let body = String::from_utf8(large.body.to_vec()).unwrap();
    let long = format!(r#"{{"x":"{}","#, BODY.repeat(90_000));
    let large = Call { body: body.replacen('{', &long, 1).into(), ..large };
    let kept = blob(&bench.store, &large.body, 1 << 20).await;
    bench.store.append(&large.accepted_large_by(bench, kept).await, None).await.unwrap();
    // Refused first: the ring of refused requests has its bytes as well.
    let late = canary("late", 1);
    bench.store.reject(&late.clone().with_token("old secret").unproven(), 401);
    let refused = bench.store.rejections(hookgate_store::RejectionFilter::default(), ALL).await;
    let receipt = receive(bench, &Call { late: true, ..late }).await;
    let refused = refused.unwrap().pop().expect("it is kept");
    bench.store.settle(refused.id, receipt.id());
    // Of the same calls, before anybody knew whose they are, and against what is known.
    receive(bench, &call(&format!("{ID}-0"), "agent-other", BODY)).await;
    receive(bench, &call(&format!("{ID}-0"), "", &format!("{BODY} known by its call"))).await;
}

#[tokio::test]
async fn nothing_of_an_erased_tenant_is_in_any_file() {
    let bench = Bench::new();
    filled(&bench).await;
    call_tools(&bench, &format!("{ID}-0")).await;
    deliver(&bench, &format!("{ID}-0")).await;
    let under_way = record(&bench, &format!("{ID}-0")).await;
    let others = seen(&bench, &only("other")).await;
    let before = seen(&bench, &Scope::Operator).await.len();
    let places: Vec<String> = traces(bench.path(), BODY)
        .iter()
        .map(|it| it.split('/').next().unwrap().to_owned())
        .collect();
    assert_eq!(places, ["blobs", "journal", "rejections"], "it is there");
    let own: Vec<EventId> = seen(&bench, &only("acme")).await.iter().map(|it| it.id).collect();

    let begun = bench.store.erase_tenant(&acme(), NOW).await.unwrap();
    assert_eq!(begun.target, ErasureTarget::Tenant(acme()));
    let done = done(&bench, &begun).await;
    assert_eq!(traces(bench.path(), BODY), Vec::<String>::new());
    // The ids stay in the heads of the journal, and nowhere else.
    let ids = traces(bench.path(), ID);
    assert!(!ids.is_empty() && ids.iter().all(|it| it.starts_with("journal/events/")), "{ids:?}");
    let expected = own.len() as u64 + 2;
    assert_eq!(done.events, expected, "its own, and what contradicts it on its calls");
    assert!(done.bytes > 1_000_000, "{done:?}");
    only_kept_call(&bench).await;
    only_kept_recording(&bench).await;
    drop(under_way);
    assert_eq!(traces(bench.path(), SETTINGS), Vec::<String>::new());
    assert_eq!(traces(bench.path(), RESPONSE), Vec::<String>::new());
    assert_eq!(delivered_to(&bench).await, BTreeSet::from([Some("other".to_owned())]));
    let kept = bench.store.registry().destinations(&Scope::Operator, Rows::ALL).await.unwrap();
    assert_eq!(kept.len(), 1, "the operator's");

    let look = async |bench: &Bench| {
        assert!(bench.store.registry().tenant("acme").is_none());
        assert!(seen(bench, &only("acme")).await.is_empty());
        let violations = EventFilter::default();
        assert!(bench.store.violations(&only("acme"), violations, ALL).await.unwrap().is_empty());
        assert_eq!(format!("{:?}", seen(bench, &only("other")).await), format!("{others:?}"));
        let all = seen(bench, &Scope::Operator).await;
        assert_eq!(all.len(), before, "that there was something stays");
        for event in all.iter().filter(|it| own.contains(&it.id)) {
            assert!(event.is_erased && event.tenant.is_none() && event.headers.is_empty());
            let told = format!("{event:?}{}", event.detail(None));
            assert!(!told.contains(ID) && !told.contains("acme\""), "{told}");
            assert!(bench.store.body(&Scope::Operator, event.id).await.unwrap().is_none());
        }
        for id in [format!("{ID}-0"), format!("{ID}-large")] {
            let filter = EventFilter { conversation: Some(id.clone()), ..EventFilter::default() };
            let found = bench.store.events(&Scope::Operator, filter, ALL).await.unwrap();
            assert!(found.is_empty(), "{found:?}");
            let known = bench.store.conversation(&Scope::Operator, "vapi", &id).await.unwrap();
            assert!(known.is_none());
        }
    };
    look(&bench).await;
    let mut lost = Vec::new();
    let bench = bench.between(|folder| {
        assert!(check(folder, |_| {}).unwrap().is_clean());
        lost = rows(folder);
        rebuild(folder, |_| {}).unwrap();
        assert_eq!(rows(folder), lost, "an index made anew knows no more");
        assert!(check(folder, |_| {}).unwrap().is_clean());
        let ids = traces(folder, ID);
        assert!(ids.iter().all(|it| it.starts_with("journal/events/")), "{ids:?}");
    });
    look(&bench).await;
    // What comes again is a repetition still, and brings nothing back.
    add_tenant(bench.store.registry(), "acme").await;
    bind(&bench, &acme(), "agent-acme").await;
    assert!(receive(&bench, &canary("1", 1)).await.is_duplicate());
    assert_eq!(traces(bench.path(), BODY), Vec::<String>::new());
    // Who gets the name has nothing of who had it.
    assert!(seen(&bench, &only("acme")).await.is_empty());
    receive(&bench, &call("new-call", "agent-acme", "new")).await;
    assert_eq!(seen(&bench, &only("acme")).await.len(), 1);
    let copy = TempDir::new().unwrap();
    let target = copy.path().join("copy");
    backup(bench.path(), &target, |_| {}).unwrap();
    assert_eq!(traces(&target, BODY), Vec::<String>::new());
    assert_eq!(files(&target.join("recordings")).len(), 1, "the other's is in the copy");
    assert!(check(&target, |_| {}).unwrap().is_clean());
}

#[tokio::test]
async fn nothing_of_an_erased_conversation_is_in_any_file_and_the_others_stay() {
    for is_registered in [true, false] {
        let bench = Bench::new();
        two_tenants(&bench).await;
        let id = format!("{ID}-x");
        if is_registered {
            let known = conversation(&acme(), &id);
            bench.store.registry().register_conversation(known).await.unwrap();
        }
        let first = receive(&bench, &call(&id, "agent-acme", BODY)).await.id();
        receive(&bench, &call("kept", "agent-acme", "kept")).await;
        let note = |number| call(&id, "agent-acme", &format!("{BODY} {number}"));
        receive_all(&bench, (0..600).map(note)).await;
        receive(&bench, &call(&id, "agent-other", &format!("{BODY} against it"))).await;
        call_tools(&bench, &id).await;
        deliver(&bench, &id).await;
        receive(&bench, &call(KEPT, "agent-other", "kept")).await;
        let under_way = record(&bench, &id).await;
        let begun = bench.store.erase_conversation("vapi", &id, NOW).await.unwrap();
        let again = bench.store.erase_conversation("vapi", &id, NOW).await.unwrap();
        let done = done(&bench, &begun).await;
        assert!(again.id == begun.id || again.row > begun.row, "one after the other");
        assert_eq!(done.events, 602);
        only_kept_call(&bench).await;
        only_kept_recording(&bench).await;
        drop(under_way);
        let any = DeliveryFilter::default();
        let registry = bench.store.registry();
        let left = registry.deliveries(&Scope::Operator, any, None, 10_000).await.unwrap();
        assert!(left.iter().all(|it| it.conversation.as_deref() != Some(&id)));
        assert_eq!(left.len(), 2 * 175 + 1, "those of the other conversation stay");
        assert_eq!(traces(bench.path(), BODY), Vec::<String>::new());
        let ids = traces(bench.path(), ID);
        assert!(ids.iter().all(|it| it.starts_with("journal/events/")), "{ids:?}");
        let ErasureTarget::Conversation { external_id, .. } = &done.target else { panic!() };
        assert!(external_id.starts_with("sha256:"), "{external_id}");
        let shown = bench.store.conversation(&Scope::Operator, "vapi", &id).await.unwrap();
        assert!(shown.is_none());
        assert_eq!(story(&seen(&bench, &only("acme")).await), ["2 accepted acme owned"]);
        let erased = bench.store.event(&Scope::Operator, first).await.unwrap().unwrap();
        assert!(
            erased.is_erased && bench.store.body(&Scope::Operator, first).await.unwrap().is_none()
        );
        let bench = bench.between(|folder| {
            assert!(check(folder, |_| {}).unwrap().is_clean());
            let lost = rows(folder);
            rebuild(folder, |_| {}).unwrap();
            assert_eq!(rows(folder), lost);
        });
        let all =
            bench.store.conversations(&Scope::Operator, ConversationFilter::default(), Rows::ALL);
        let all: Vec<_> = all.await.unwrap().into_iter().map(|(_, it)| it.external_id).collect();
        assert_eq!(all, [KEPT, "kept"]);
        // The call goes on: it is known anew by its next event.
        receive(&bench, &call(&id, "agent-acme", "afterwards")).await;
        let known = bench.store.conversation(&only("acme"), "vapi", &id).await.unwrap();
        assert!(known.is_some());
    }
}

/// Stops the eraser after the first piece until it is let go.
fn gated() -> (Options, Arc<(std::sync::Mutex<bool>, std::sync::Condvar)>) {
    let gate = Arc::new((std::sync::Mutex::new(false), std::sync::Condvar::new()));
    let held = Arc::clone(&gate);
    let hook: Arc<dyn Fn(u64) + Send + Sync> = Arc::new(move |_| {
        let mut open = held.0.lock().unwrap();
        while !*open {
            open = held.1.wait(open).unwrap();
        }
    });
    (Options { erasing: Hook(Some(hook)), ..Options::default() }, gate)
}

async fn from_the_beginning_of_its_erasure_on_nothing_becomes_a_tenants(on: Kind) {
    let (options, gate) = gated();
    let bench = Bench::on_with(on, options);
    two_tenants(&bench).await;
    receive_all(&bench, (0..600).map(|number| canary("a", number))).await;
    // Decided before, stored afterwards.
    let (slow, adopting) = {
        let readable = canary("slow", 1).readable();
        bench.store.attribute(readable).await.unwrap().unwrap()
    };
    let nobodys = receive(&bench, &call("call-n", "agent-x", "1")).await.id();
    let begun = bench.store.erase_tenant(&acme(), NOW).await.unwrap();
    let mut progress = bench.store.erasing();
    progress.changed().await.unwrap();

    let refused = bench.store.append(&slow, adopting).await.unwrap_err();
    assert_eq!(refused, Unavailable::Behind, "come again, and be judged anew");
    let again = try_to_receive(&bench.store, &canary("slow", 1)).await.unwrap();
    let again = bench.store.event(&Scope::Operator, again.id()).await.unwrap().unwrap();
    assert_eq!((again.tenant, again.ownership.as_str()), (None, "unattributed"));
    let mut tokened = call("call-t", "", BODY);
    tokened.url_token = Some(Token { id: "tok_1".to_owned(), tenant: Some(acme()) });
    receive(&bench, &tokened).await;
    let released = bench.store.release(nobodys, Some(acme()), "operator", "c", NOW).await;
    assert_eq!(released.unwrap_err(), hookgate_store::DecideError::NoSuchTenant);
    let present = bench.store.erase_tenant(&acme(), NOW).await.unwrap();
    assert_eq!(present.id, begun.id, "it is being erased already");

    *gate.0.lock().unwrap() = true;
    gate.1.notify_all();
    let done = done(&bench, &begun).await;
    assert_eq!(done.events, 600);
    assert!(seen(&bench, &only("acme")).await.is_empty());
    let kept: Vec<String> = story(&seen(&bench, &Scope::Operator).await)[..3].to_vec();
    assert_eq!(
        kept,
        [
            "603 quarantined - unattributed",
            "602 quarantined - unattributed",
            "601 quarantined - unattributed"
        ]
    );
}

#[tokio::test]
async fn an_erasure_that_was_stopped_goes_on_at_the_next_start() {
    let (options, gate) = gated();
    let bench = Bench::with(options);
    two_tenants(&bench).await;
    receive_all(&bench, (0..1_300).map(|number| canary("a", number))).await;
    let begun = bench.store.erase_tenant(&acme(), NOW).await.unwrap();
    bench.store.erasing().changed().await.unwrap();
    let copied = TempDir::new().unwrap();
    // What a crash would leave at this moment.
    crate::bench::copy(bench.path(), copied.path());
    let is_half = bench.store.registry().erasure(&begun.id).await.unwrap().unwrap();
    assert!(is_half.finished_at.is_none() && is_half.events > 0, "{is_half:?}");
    assert!(check(bench.path(), |_| {}).unwrap().is_clean(), "a half erased store is whole");
    *gate.0.lock().unwrap() = true;
    gate.1.notify_all();
    let finished = done(&bench, &begun).await;
    assert_eq!(finished.events, 1_300);

    for loses_index in [false, true] {
        let target = TempDir::new().unwrap();
        crate::bench::copy(copied.path(), target.path());
        if loses_index {
            lose_index(target.path());
        }
        let store = open(target.path(), &Options::default());
        let bench = Bench { store, folder: target, options: Options::default(), database: None };
        assert!(
            !traces(bench.path(), BODY).is_empty()
                || bench.store.registry().tenant("acme").is_none()
        );
        done(&bench, &begun).await;
        assert_eq!(traces(bench.path(), BODY), Vec::<String>::new());
        let bench = bench.between(|folder| assert!(check(folder, |_| {}).unwrap().is_clean()));
        assert!(bench.store.registry().tenant("acme").is_none());
    }
}

/// The folder of the child's store, in its environment.
const CHILD: &str = "HOOKGATE_ERASING_CHILD";

/// Not a test by itself: what the next one starts as a process, and kills.
#[test]
fn a_process_that_erases() {
    let Some(folder) = std::env::var_os(CHILD) else { return };
    let hook: Arc<dyn Fn(u64) + Send + Sync> = Arc::new(|events| {
        writeln!(std::io::stdout(), "\nerased {events}").unwrap();
        if events > 600 {
            // Until it is killed.
            loop {
                std::thread::park();
            }
        }
    });
    let options = Options { erasing: Hook(Some(hook)), ..Options::default() };
    let store = open(Path::new(&folder), &options);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        store.erase_tenant(&acme(), NOW).await.unwrap();
        std::future::pending::<()>().await;
    });
}

#[tokio::test]
async fn an_erasure_goes_on_after_its_process_was_killed() {
    let bench = Bench::new();
    two_tenants(&bench).await;
    receive_all(&bench, (0..1_500).map(|number| canary("a", number))).await;
    let Bench { store, folder, options, database } = bench;
    store.close();
    drop(store);
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "erasure::a_process_that_erases", "--nocapture"])
        .env(CHILD, folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let erased = lines.map(Result::unwrap).find(|it| it == "erased 1024");
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(erased.is_some(), "the child got half-way");
    assert!(!traces(folder.path(), BODY).is_empty(), "and not further");

    let store = open(folder.path(), &options);
    let bench = Bench { store, folder, options, database };
    let running = bench.store.registry().erasures(Rows::ALL).await.unwrap().remove(0);
    let finished = done(&bench, &running).await;
    assert_eq!(finished.events, 1_500, "each is counted once");
    assert_eq!(traces(bench.path(), BODY), Vec::<String>::new());
    let ids = traces(bench.path(), ID);
    assert!(ids.iter().all(|it| it.starts_with("journal/events/")), "{ids:?}");
    bench.between(|folder| assert!(check(folder, |_| {}).unwrap().is_clean()));
}

async fn what_others_adopted_stays_theirs_whatever_is_erased(on: Kind) {
    let bench = Bench::on(on);
    two_tenants(&bench).await;
    receive(&bench, &call("call-1", "agent-other", "adopted")).await;
    let begun = bench.store.erase_conversation("vapi", "of-nobody", NOW).await.unwrap();
    done(&bench, &begun).await;
    receive(&bench, &call("call-1", "agent-acme", "against it")).await;
    let told = ["2 quarantined - contradiction", "1 accepted other owned"];
    assert_eq!(story(&seen(&bench, &Scope::Operator).await), told);
}

async fn erasing_who_is_not_there_is_refused(on: Kind) {
    let bench = Bench::on(on);
    let refused = bench.store.erase_tenant(&acme(), NOW).await.unwrap_err();
    assert!(matches!(refused, hookgate_store::RegistryError::NoSuchTenant), "{refused:?}");
    let empty = add_tenant(bench.store.registry(), "empty").await;
    let begun = bench.store.erase_tenant(&empty, NOW).await.unwrap();
    assert_eq!(done(&bench, &begun).await.events, 0);
    let anew = bench.store.registry().add_tenant(empty, "Anew".to_owned(), NOW).await.unwrap();
    assert!(matches!(anew, Written::Created(_)));
}

#[tokio::test]
async fn no_copy_is_left_of_many_ids_that_stood_among_others() {
    let bench = Bench::new();
    two_tenants(&bench).await;
    let registry = bench.store.registry();
    let other = TenantId::parse("other").unwrap();
    for round in 0..3 {
        // In no order, so that the pages of both databases are split everywhere.
        let scattered = (0..1_500_u32).map(|it| it.wrapping_mul(2_654_435_761) ^ round);
        let mixed = scattered.clone().flat_map(|it| {
            [
                call(&format!("{it:08x}-{ID}-{round}"), "agent-acme", "x"),
                call(&format!("{it:08x}-kept-{round}"), "agent-other", "x"),
            ]
        });
        receive_all(&bench, mixed).await;
        for number in scattered.take(40) {
            let own = conversation(&acme(), &format!("{number:08x}-{ID}-r{round}"));
            registry.register_conversation(own).await.unwrap();
            let kept = conversation(&other, &format!("{number:08x}-kept-r{round}"));
            registry.register_conversation(kept).await.unwrap();
        }
    }
    let others = seen(&bench, &only("other")).await.len();
    let begun = bench.store.erase_tenant(&acme(), NOW).await.unwrap();
    assert_eq!(done(&bench, &begun).await.events, 4_500);
    let ids = traces(bench.path(), ID);
    assert!(ids.iter().all(|it| it.starts_with("journal/events/")), "{ids:?}");
    assert_eq!(seen(&bench, &only("other")).await.len(), others);
    let page = Rows { after: None, limit: 10_000 };
    let (scope, any) = (only("other"), ConversationFilter::default());
    let known = bench.store.conversations(&scope, any, page).await.unwrap();
    assert_eq!(known.len(), 4_500 + 120);
    bench.between(|folder| {
        let report = check(folder, |_| {}).unwrap();
        assert!(report.is_clean(), "{report:?}");
        let registry = rusqlite::Connection::open(folder.join("registry.sqlite")).unwrap();
        let verdict: String =
            registry.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(verdict, "ok");
    });
}
