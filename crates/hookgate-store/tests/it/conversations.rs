//! Conversations: folded from the journal, each for whose it is, and gone with what is erased.

use std::time::Duration;

use hookgate_core::attribution::Rule;
use hookgate_core::conversation::View;
use hookgate_core::tenant::{Scope, TenantId};
use hookgate_store::{Folded, FoldedFilter, ListedConversation, Rows, Store};

use crate::bench::{Bench, Call, Kind, NOON, copy, on_every_store, open};
use crate::registry::{NOW, conversation};
use crate::tenancy::{bind, call, lose_index, only, receive, receive_all, two_tenants};

on_every_store!(
    a_call_has_what_its_events_say_and_is_found_by_word_number_and_time,
    words_are_found_in_any_spelling_and_no_text_is_taken_for_a_query_language,
    a_registered_conversation_is_listed_before_its_first_event_and_pages_join,
    what_is_released_or_attributed_anew_changes_its_conversation,
    made_anew_it_is_as_before,
    what_is_left_of_an_erased_call_is_told_without_its_words,
);

/// A call's end, with what was said.
fn end(id: &str, agent: &str, said: &str) -> Call {
    Call::new(format!(
        r#"{{"message":{{"type":"end-of-call-report","endedReason":"customer-ended-call",
            "call":{{"id":"{id}","type":"inboundPhoneCall","assistantId":"{agent}",
                "customer":{{"number":"+12137771234"}}}},
            "artifact":{{"messages":[
                {{"role":"bot","message":"Hello.","secondsFromStart":1}},
                {{"role":"user","message":"{said}","secondsFromStart":2}}]}}}}}}"#
    ))
}

async fn list(store: &Store, scope: &Scope, filter: FoldedFilter) -> Vec<ListedConversation> {
    loop {
        // It says what is missing, so nothing is taken for the whole that is not.
        let page = store.list_conversations(scope, filter.clone(), Rows::ALL).await.unwrap();
        if page.behind == 0 {
            return page.rows;
        }
    }
}

/// Ids and tenants.
async fn ids(store: &Store, scope: &Scope, filter: FoldedFilter) -> Vec<String> {
    let rows = list(store, scope, filter).await;
    let id = |it: &ListedConversation| match (&it.known, &it.folded) {
        (_, Some(it)) => {
            let tenant = it.tenant.as_ref().map_or("-", TenantId::as_str);
            format!("{} {tenant}", it.external_id)
        }
        (Some(it), None) => format!("{} {} alone", it.external_id, it.tenant),
        (None, None) => unreachable!(),
    };
    rows.iter().map(id).collect()
}

async fn one(store: &Store, scope: &Scope, id: &str) -> Option<Folded> {
    let (mut found, behind) = store.folded_conversation(scope, "vapi", id).await.unwrap();
    assert_eq!(behind, 0);
    assert!(found.len() < 2, "{found:?}");
    found.pop()
}

async fn view(store: &Store, scope: &Scope, id: &str) -> View {
    one(store, scope, id).await.unwrap().state.view()
}

/// Everything that the operator sees, as text.
async fn everything(store: &Store) -> Vec<String> {
    let rows = list(store, &Scope::Operator, FoldedFilter::default()).await;
    rows.iter().map(|it| format!("{it:?}")).collect()
}

fn words(q: &str) -> FoldedFilter {
    FoldedFilter { q: Some(q.to_owned()), ..FoldedFilter::default() }
}

async fn a_call_has_what_its_events_say_and_is_found_by_word_number_and_time(on: Kind) {
    let bench = Bench::on(on);
    two_tenants(&bench).await;
    receive(&bench, &call("call-1", "agent-acme", "begins")).await;
    receive(&bench, &end("call-1", "agent-acme", "Cancel my booking")).await;
    receive(&bench, &end("call-2", "agent-other", "A table for two")).await;
    let store = &bench.store;
    let view = view(store, &only("acme"), "call-1").await;
    assert_eq!(view.timeline.len(), 2);
    assert_eq!(view.transcript.len(), 2);
    assert_eq!(view.end_reason.as_deref(), Some("customer-ended-call"));

    let both = ["call-2 other", "call-1 acme"];
    let found = async |scope: &Scope, filter: FoldedFilter| ids(store, scope, filter).await;
    let any = FoldedFilter::default;
    assert_eq!(found(&Scope::Operator, any()).await, both);
    assert_eq!(found(&Scope::Operator, words("booking")).await, both[1..]);
    assert_eq!(found(&only("acme"), words("BOOK*")).await, both[1..]);
    assert!(found(&only("other"), words("booking")).await.is_empty());
    assert!(found(&Scope::Operator, words("boo")).await.is_empty());
    for spelling in ["+1 (213) 777-1234", "0012137771234", "213.777.1234", "7771234"] {
        let by_number = || FoldedFilter { number: Some(spelling.to_owned()), ..any() };
        assert_eq!(found(&Scope::Operator, by_number()).await, both, "{spelling}");
        assert_eq!(found(&only("other"), by_number()).await, both[..1]);
    }
    let elsewhere = FoldedFilter { number: Some("+1 999 777-1234".to_owned()), ..any() };
    assert!(found(&Scope::Operator, elsewhere).await.is_empty());
    for (filter, expected) in [
        (FoldedFilter { status: Some("ended".to_owned()), ..any() }, &both[..]),
        (FoldedFilter { status: Some("ongoing".to_owned()), ..any() }, &[]),
        (FoldedFilter { channel: Some("phone".to_owned()), ..any() }, &both),
        (FoldedFilter { channel: Some("chat".to_owned()), ..any() }, &[]),
        (FoldedFilter { agent: Some("agent-acme".to_owned()), ..any() }, &both[1..]),
        (FoldedFilter { provider: Some("retell".to_owned()), ..any() }, &[]),
        (FoldedFilter { tenant: TenantId::parse("acme").ok(), ..any() }, &both[1..]),
    ] {
        assert_eq!(found(&Scope::Operator, filter.clone()).await, expected, "{filter:?}");
    }
}

async fn a_registered_conversation_is_listed_before_its_first_event_and_pages_join(on: Kind) {
    let bench = Bench::on(on);
    two_tenants(&bench).await;
    let acme = TenantId::parse("acme").unwrap();
    for id in ["call-r", "call-1"] {
        let known = conversation(&acme, id);
        bench.store.registry().register_conversation(known).await.unwrap();
    }
    for id in 1..=5 {
        receive(&bench, &call(&format!("call-{id}"), "agent-acme", "x")).await;
    }
    let mut all = Vec::new();
    let mut after = None;
    loop {
        let page = Rows { after, limit: 2 };
        let any = FoldedFilter::default();
        let page = bench.store.list_conversations(&only("acme"), any, page).await.unwrap();
        let Some(last) = page.rows.last() else { break };
        after = Some(last.place);
        all.extend(page.rows.iter().map(|it| {
            let known = it.known.as_ref().map(|it| it.external_id.clone());
            let folded = it.folded.as_ref().map(|it| it.external_id.clone());
            assert!(known.is_some());
            assert_eq!(folded.is_none(), known.as_deref() == Some("call-r"));
            known.unwrap()
        }));
    }
    all.sort();
    assert_eq!(all, ["call-1", "call-2", "call-3", "call-4", "call-5", "call-r"]);
}

async fn what_is_released_or_attributed_anew_changes_its_conversation(on: Kind) {
    let bench = Bench::on(on);
    two_tenants(&bench).await;
    let store = &bench.store;
    let nobodys = receive(&bench, &call("call-n", "agent-late", "1")).await.id();
    receive(&bench, &call("call-a", "agent-acme", "2")).await;
    let contradiction = receive(&bench, &end("call-a", "agent-other", "secret")).await.id();
    assert_eq!(ids(store, &Scope::Operator, FoldedFilter::default()).await, ["call-a acme"]);
    assert!(ids(store, &Scope::Operator, words("secret")).await.is_empty(), "it is in quarantine");

    let acme = TenantId::parse("acme").unwrap();
    bind(&bench, &acme, "agent-late").await;
    let judged = store.reattribute(nobodys, &Rule::default(), "operator", "c", NOW).await.unwrap();
    assert_eq!(judged.tenant.as_deref(), Some("acme"));
    assert_eq!(
        ids(store, &only("acme"), FoldedFilter::default()).await,
        ["call-a acme", "call-n acme"]
    );
    store.release(contradiction, Some(acme), "operator", "c", NOW).await.unwrap();
    assert_eq!(ids(store, &only("acme"), words("secret")).await, ["call-a acme"]);
    assert_eq!(view(store, &only("acme"), "call-a").await.timeline.len(), 2);
    let before = everything(store).await;
    let bench = bench.reopen();
    assert_eq!(everything(&bench.store).await, before);
    bench.store.rebuild_conversations().await.unwrap();
    assert_eq!(everything(&bench.store).await, before);
}

/// Some conversations of many events each.
async fn many(bench: &Bench) {
    two_tenants(bench).await;
    let calls = (0..700_u32).map(|it| {
        let agent = if it % 3 == 0 { "agent-other" } else { "agent-acme" };
        let id = format!("call-{}-{agent}", it % 40);
        if it % 5 == 0 {
            end(&id, agent, &format!("word{it}"))
        } else {
            call(&id, agent, &it.to_string())
        }
    });
    receive_all(bench, calls).await;
}

async fn made_anew_it_is_as_before(on: Kind) {
    let bench = Bench::on(on);
    many(&bench).await;
    let before = everything(&bench.store).await;
    assert!(!before.is_empty());
    assert_eq!(bench.store.folding().conversations, before.len() as u64);
    bench.store.rebuild_conversations().await.unwrap();
    assert_eq!(everything(&bench.store).await, before);
    assert_eq!(bench.store.folding().conversations, before.len() as u64);
    let bench = bench.reopen();
    receive(&bench, &end("call-later", "agent-acme", "later")).await;
    assert_eq!(everything(&bench.store).await.len(), before.len() + 1);
}

#[tokio::test]
async fn a_killed_one_goes_on_and_a_damaged_one_is_made_anew() {
    let bench = Bench::new();
    many(&bench).await;
    let before = everything(&bench.store).await;
    // As a kill leaves it; and without what can be made anew.
    let crashed = tempfile::TempDir::new().unwrap();
    copy(bench.path(), crashed.path());
    receive(&bench, &end("call-later", "agent-acme", "later")).await;
    let store = open(crashed.path(), &bench.options);
    assert_eq!(everything(&store).await, before);
    store.close();
    drop(store);
    lose_index(crashed.path());
    std::fs::write(crashed.path().join("conversations.sqlite"), "no database").unwrap();
    let store = open(crashed.path(), &bench.options);
    assert_eq!(everything(&store).await, before);
    // A journal that went on in another way.
    store.close();
    drop(store);
    for suffix in ["", "-wal", "-shm"] {
        let name = format!("conversations.sqlite{suffix}");
        let _ = std::fs::remove_file(crashed.path().join(&name));
    }
    let later = everything(&bench.store).await;
    bench.store.close();
    std::fs::copy(
        bench.path().join("conversations.sqlite"),
        crashed.path().join("conversations.sqlite"),
    )
    .unwrap();
    let store = open(crashed.path(), &bench.options);
    assert_ne!(later, before);
    assert_eq!(everything(&store).await, before);
}

async fn words_are_found_in_any_spelling_and_no_text_is_taken_for_a_query_language(on: Kind) {
    let bench = Bench::on(on);
    two_tenants(&bench).await;
    let said = [
        "Señor O'Neil, 4 p.m. ΟΔΟΣ",
        "cafe\u{301} co-op 日本語 www.example.com/a?b=1",
        "x\\u0000y",
    ];
    for (number, said) in said.iter().enumerate() {
        receive(&bench, &end(&format!("call-{number}"), "agent-acme", said)).await;
    }
    for (q, expected) in [
        ("senor", vec!["call-0 acme"]),
        ("SEÑOR o'neil", vec!["call-0 acme"]),
        ("οδος", vec!["call-0 acme"]),
        ("ο*", vec!["call-0 acme"]),
        ("café", vec!["call-1 acme"]),
        ("caf", vec![]),
        ("op", vec!["call-1 acme"]),
        ("example b", vec!["call-1 acme"]),
        ("exam* 1", vec!["call-1 acme"]),
        ("日本*", vec!["call-1 acme"]),
        ("y", vec!["call-2 acme"]),
        ("senor cafe", vec![]),
        ("senor | cafe", vec![]),
        ("senor OR cafe", vec![]),
        ("!senor", vec!["call-0 acme"]),
        ("hello <-> senor", vec!["call-0 acme"]),
        ("'senor':*A & b\\", vec![]),
        ("\"", vec![]),
        ("\0", vec![]),
        ("-- *", vec![]),
        ("\u{301} \u{345}", vec![]),
    ] {
        assert_eq!(ids(&bench.store, &only("acme"), words(q)).await, expected, "{q}");
        assert!(ids(&bench.store, &only("other"), words(q)).await.is_empty(), "{q}");
    }
}

async fn what_is_left_of_an_erased_call_is_told_without_its_words(on: Kind) {
    let bench = Bench::on(on);
    two_tenants(&bench).await;
    let store = &bench.store;
    receive(&bench, &end("call-1", "agent-acme", "booking")).await;
    receive(&bench, &end("call-2", "agent-other", "booking kept")).await;
    receive(&bench, &end("call-long", "agent-other", "booking first")).await;
    let day = 24 * 60 * 60 * 1000;
    receive(&bench, &call("call-long", "agent-other", "last").at(NOON + 3 * day)).await;
    assert_eq!(ids(store, &Scope::Operator, words("booking")).await.len(), 3);

    let acme = TenantId::parse("acme").unwrap();
    let begun = store.erase_tenant(&acme, NOW).await.unwrap();
    done(store, &begun.id).await;
    let left = ["call-long other", "call-2 other"];
    assert_eq!(ids(store, &Scope::Operator, FoldedFilter::default()).await, left);
    let begun = store.erase_conversation("vapi", "call-2", NOW).await.unwrap();
    done(store, &begun.id).await;
    assert_eq!(ids(store, &Scope::Operator, words("booking")).await, left[..1]);
    store.set_retention([("vapi".to_owned(), 1)]);
    let now = hookgate_core::time::Timestamp::from_millis(NOON + 3 * day);
    assert!(store.sweep(now).await.unwrap() > 0);
    assert!(ids(store, &Scope::Operator, words("booking")).await.is_empty());
    let view = view(store, &only("other"), "call-long").await;
    assert_eq!((view.timeline.len(), view.transcript.len()), (1, 0));
    assert_eq!(everything(store).await.len(), 1);
    assert_eq!(store.folding().conversations, 1);
    let before = everything(store).await;
    store.rebuild_conversations().await.unwrap();
    assert_eq!(everything(store).await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_fold_one_after_the_other_and_show_the_same() {
    let bench = Bench::on(Kind::Postgres);
    let folder = tempfile::TempDir::new().unwrap();
    let url = bench.database.as_ref().unwrap().url();
    let other = crate::database::node(&url, folder.path(), &bench.options);
    many(&bench).await;
    let both = [bench.store.clone(), other.clone()];
    let told = told_by(&both).await;
    assert_eq!(told[0], told[1]);
    bench.store.close();
    other.rebuild_conversations().await.unwrap();
    assert_eq!(everything(&other).await, told[0]);
    other.close();
}

/// Everything, asked of both nodes at once when the second has heard of all events.
async fn told_by(nodes: &[Store; 2]) -> Vec<Vec<String>> {
    let last = *nodes[0].listed().borrow();
    nodes[1].listed().wait_for(|it| *it >= last).await.unwrap();
    let (one, two) = tokio::join!(everything(&nodes[0]), everything(&nodes[1]));
    vec![one, two]
}

#[tokio::test]
async fn an_erased_word_is_in_no_file_and_what_is_left_of_a_call_is_told_without_it() {
    const WORD: &str = "canaryword";
    let bench = Bench::new();
    two_tenants(&bench).await;
    let store = &bench.store;
    for number in 0..80 {
        receive(
            &bench,
            &end(&format!("call-{number}"), "agent-acme", &format!("{WORD} w{number}")),
        )
        .await;
        receive(&bench, &end(&format!("kept-{number}"), "agent-other", &format!("kept w{number}")))
            .await;
    }
    // Of this one a part stays: the later day.
    receive(&bench, &end("call-long", "agent-other", &format!("{WORD} first"))).await;
    let day = 24 * 60 * 60 * 1000;
    receive(&bench, &call("call-long", "agent-other", "last").at(NOON + 3 * day)).await;
    assert_eq!(ids(store, &Scope::Operator, words(WORD)).await.len(), 81);
    assert!(!traces(bench.path(), WORD).is_empty());
    assert_eq!(view(store, &only("other"), "call-long").await.timeline.len(), 2);

    let acme = TenantId::parse("acme").unwrap();
    let begun = store.erase_tenant(&acme, NOW).await.unwrap();
    done(store, &begun.id).await;
    store.set_retention([("vapi".to_owned(), 1)]);
    let now = hookgate_core::time::Timestamp::from_millis(NOON + 3 * day);
    assert!(store.sweep(now).await.unwrap() > 0);
    assert_eq!(traces(bench.path(), WORD), Vec::<String>::new());
    assert!(ids(store, &Scope::Operator, words(WORD)).await.is_empty());
    let left = view(store, &only("other"), "call-long").await;
    assert_eq!((left.timeline.len(), left.transcript.len()), (1, 0));
    assert_eq!(ids(store, &Scope::Operator, FoldedFilter::default()).await, ["call-long other"]);
}

/// Where a text stands.
fn traces(folder: &std::path::Path, text: &str) -> Vec<String> {
    let holds = |path: &std::path::PathBuf| {
        String::from_utf8_lossy(&std::fs::read(path).unwrap()).contains(text)
    };
    let found = crate::bench::files(folder).into_iter().filter(holds);
    found.map(|it| it.display().to_string()).collect()
}

async fn done(store: &Store, id: &str) {
    let mut progress = store.erasing();
    let wait = async {
        while store.registry().erasure(id).await.unwrap().unwrap().finished_at.is_none() {
            progress.changed().await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_mins(1), wait).await.expect("the erasure ends");
}
