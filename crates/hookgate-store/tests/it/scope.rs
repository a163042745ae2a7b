//! Who sees what: a tenant its own, the operator everything, whichever way it is read.

use std::time::Duration;

use hookgate_core::attribution::Origin;
use hookgate_core::received::Token;
use hookgate_core::tenant::{Scope, TenantId};
use hookgate_core::time::Timestamp;
use hookgate_store::{
    ConversationFilter, EventFilter, EventId, Order, Page, Rows, Status, foreign,
};

use crate::bench::{ALL, Bench, Call, Kind, bytes_of, on_every_store};
use crate::index::rows;
use crate::registry::{NOW, add_tenant, conversation, later};
use crate::tenancy::{bind, call, lose_index, only, receive, seen, story, two_tenants};

on_every_store!(
    a_tenant_sees_its_own_accepted_events_by_every_read_and_nothing_else,
    an_event_says_whose_its_ids_were_and_by_which_rule_it_was_decided,
    a_tenant_sees_contradictions_that_name_it_and_no_others,
    registered_and_adopted_conversations_are_one_list_newest_first,
    a_source_or_a_url_token_of_a_tenant_that_is_not_there_makes_nobody_an_owner,
);

/// One event of each sort; gives acme's own accepted ones, the oldest first, and all.
async fn one_of_each(bench: &Bench) -> (Vec<EventId>, Vec<EventId>) {
    two_tenants(bench).await;
    let mut own = Vec::new();
    let mut all = Vec::new();
    for (is_own, request) in [
        (true, call("call-a", "agent-acme", "1")),
        (false, call("call-b", "agent-other", "1")),
        (true, call("call-a", "agent-acme", "2")),
        // Contradictions: acme's call, the other's agent, and the other way round.
        (false, call("call-a", "agent-other", "3")),
        (false, call("call-b", "agent-acme", "3")),
        // Nobody's, unreadable.
        (false, call("call-c", "agent-unknown", "1")),
        (false, Call::new("{\"message\":")),
        // Known by its call alone.
        (true, call("call-a", "agent-acme", "4")),
    ] {
        let receipt = receive(bench, &request).await;
        all.push(receipt.id());
        own.extend(is_own.then_some(receipt.id()));
    }
    let forged = call("call-a", "agent-acme", "forged").with_token("guess").recorded();
    all.push(bench.store.quarantine(&forged).await.unwrap().id());
    (own, all)
}

/// Every read of every event, as acme.
async fn check_acme(bench: &Bench, own: &[EventId], all: &[EventId]) {
    let acme = only("acme");
    for id in all {
        let is_own = own.contains(id);
        let event = bench.store.event(&acme, *id).await.unwrap();
        assert_eq!(event.is_some(), is_own, "{id}: {event:?}");
        let body = bench.store.body(&acme, *id).await.unwrap();
        assert_eq!(body.is_some(), is_own, "{id}: a body");
        assert!(bench.store.event(&Scope::Operator, *id).await.unwrap().is_some());
        assert!(bench.store.body(&Scope::Operator, *id).await.unwrap().is_some());
        assert!(bench.store.event(&only("nobody"), *id).await.unwrap().is_none());
    }
    let text = |it: &str| Some(it.to_owned());
    let filters = [
        EventFilter::default(),
        EventFilter { tenant: text("acme"), ..EventFilter::default() },
        EventFilter { status: Some(Status::Accepted), ..EventFilter::default() },
        EventFilter { source: text("vapi"), ..EventFilter::default() },
        EventFilter { conversation: text("call-a"), ..EventFilter::default() },
        EventFilter { q: text("CALL-"), ..EventFilter::default() },
        EventFilter { since: Some(NOW), ..EventFilter::default() },
    ];
    for filter in filters {
        for order in [Order::NewestFirst, Order::OldestFirst] {
            let mut found: Vec<EventId> = Vec::new();
            let mut after = None;
            loop {
                let page = Page { order, after, limit: 2 };
                let events = bench.store.events(&acme, filter.clone(), page).await.unwrap();
                let Some(last) = events.last() else { break };
                after = Some(last.seq);
                found.extend(events.iter().map(|it| it.id));
            }
            if order == Order::NewestFirst {
                found.reverse();
            }
            assert_eq!(found, own, "{filter:?}");
        }
    }
    for filter in [
        EventFilter { tenant: text("other"), ..EventFilter::default() },
        EventFilter { status: Some(Status::Quarantined), ..EventFilter::default() },
        EventFilter { conversation: text("call-b"), ..EventFilter::default() },
        EventFilter { conversation: text("call-c"), ..EventFilter::default() },
        EventFilter { q: text("unknown"), ..EventFilter::default() },
    ] {
        let found = bench.store.events(&acme, filter.clone(), ALL).await.unwrap();
        assert!(found.is_empty(), "{filter:?}: {found:?}");
    }
    assert_eq!(seen(bench, &Scope::Operator).await.len(), all.len());
}

async fn a_tenant_sees_its_own_accepted_events_by_every_read_and_nothing_else(on: Kind) {
    let bench = Bench::on(on);
    let (own, all) = one_of_each(&bench).await;
    check_acme(&bench, &own, &all).await;
    let bench = bench.reopen();
    check_acme(&bench, &own, &all).await;
    let mut lost = Vec::new();
    let bench = bench.between(|folder| {
        lost = rows(folder);
        lose_index(folder);
    });
    check_acme(&bench, &own, &all).await;
    bench.between(|folder| assert_eq!(rows(folder), lost));
}

async fn an_event_says_whose_its_ids_were_and_by_which_rule_it_was_decided(on: Kind) {
    let bench = Bench::on(on);
    let (own, all) = one_of_each(&bench).await;
    let first = bench.store.event(&only("acme"), own[0]).await.unwrap().unwrap();
    assert_eq!(first.tenant.as_deref(), Some("acme"));
    assert_eq!((first.ownership.as_str(), first.standing.as_deref()), ("owned", Some("adopting")));
    assert!(first.rule > 0 && first.is_enforced);
    let second = bench.store.event(&only("acme"), own[1]).await.unwrap().unwrap();
    assert_eq!(second.standing.as_deref(), Some("adopted"));
    let owners = |event: &hookgate_store::Event| {
        let told = event.claims.iter().map(|it| {
            let tenant = it.tenant.as_ref().map_or("-", TenantId::as_str);
            format!("{}={tenant}", it.kind.name())
        });
        told.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(owners(&second), "conversation=acme agent=acme");
    let contradiction = bench.store.event(&Scope::Operator, all[3]).await.unwrap().unwrap();
    assert_eq!(contradiction.cause.as_deref(), Some("contradiction"));
    assert_eq!(contradiction.conflict.as_deref(), Some("different_tenants"));
    assert_eq!(owners(&contradiction), "conversation=acme agent=other");
    assert_eq!(contradiction.tenant, None);
    let view = contradiction.summary();
    assert_eq!(view["attribution"]["reason"], "different_tenants");
    assert_eq!(view["attribution"]["claims"][1]["tenant"], "other");
    let body = bench.store.body(&only("acme"), own[0]).await.unwrap().unwrap();
    assert_eq!(bytes_of(body), call("call-a", "agent-acme", "1").body, "the exact bytes");
}

async fn a_tenant_sees_contradictions_that_name_it_and_no_others(on: Kind) {
    let bench = Bench::on(on);
    let (_, all) = one_of_each(&bench).await;
    let third = add_tenant(bench.store.registry(), "third").await;
    bind(&bench, &third, "agent-third").await;
    // Named by the URL token alone.
    let mut tokened = call("call-d", "agent-other", "1");
    tokened.url_token = Some(Token { id: "tok_1".to_owned(), tenant: Some(third) });
    let tokened = receive(&bench, &tokened).await.id();
    let expected = [
        (Scope::Operator, vec![tokened, all[4], all[3]]),
        (only("acme"), vec![all[4], all[3]]),
        (only("other"), vec![tokened, all[4], all[3]]),
        (only("third"), vec![tokened]),
        (only("nobody"), vec![]),
    ];
    let check = async |bench: &Bench| {
        for (scope, ids) in &expected {
            let found = bench.store.violations(scope, EventFilter::default(), ALL).await.unwrap();
            assert_eq!(found.iter().map(|it| it.id).collect::<Vec<_>>(), *ids, "{scope:?}");
            if *scope != Scope::Operator {
                for event in found {
                    assert!(event.conversation_id.is_none() && event.headers.is_empty());
                    assert!(event.tenant.is_none() && event.external_id.is_none());
                    assert!(
                        event.claims.iter().any(|it| it.tenant.is_some()),
                        "both sides are named"
                    );
                }
            }
        }
        let of_acme = EventFilter { tenant: Some("acme".to_owned()), ..EventFilter::default() };
        let found = bench.store.violations(&Scope::Operator, of_acme.clone(), ALL).await.unwrap();
        assert_eq!(found.len(), 2);
        assert!(bench.store.violations(&only("third"), of_acme, ALL).await.unwrap().is_empty());
    };
    check(&bench).await;
    let bench = bench.between(lose_index);
    check(&bench).await;
    let first = Page { order: Order::NewestFirst, after: None, limit: 1 };
    let page = bench.store.violations(&only("acme"), EventFilter::default(), first).await.unwrap();
    let next = Page { after: Some(page[0].seq), ..first };
    let rest = bench.store.violations(&only("acme"), EventFilter::default(), next).await.unwrap();
    assert_eq!((page[0].id, rest[0].id), (all[4], all[3]));
}

#[tokio::test]
async fn what_stands_for_a_foreign_id_tells_nothing_but_that_two_are_the_same() {
    let (one, two) = (Bench::new(), Bench::new());
    let hash = foreign(one.store.mask_key(), "agent-1");
    assert_eq!(hash, foreign(one.store.mask_key(), "agent-1"));
    assert_ne!(hash, foreign(one.store.mask_key(), "agent-2"));
    assert_ne!(hash, foreign(two.store.mask_key(), "agent-1"), "keyed by the installation");
    let digits = hash.strip_prefix("sha256:").unwrap();
    assert!(digits.len() == 16 && digits.bytes().all(|it| it.is_ascii_hexdigit()), "{hash}");
}

async fn registered_and_adopted_conversations_are_one_list_newest_first(on: Kind) {
    let bench = Bench::on(on);
    two_tenants(&bench).await;
    let registry = bench.store.registry();
    let acme = TenantId::parse("acme").unwrap();
    let at = |seconds: u64| later(Duration::from_secs(seconds));
    for (id, seconds) in [("r-1", 1), ("r-4", 4), ("r-6", 6)] {
        let mut known = conversation(&acme, id);
        known.created_at = at(seconds);
        registry.register_conversation(known).await.unwrap();
    }
    let adopt = async |id: &str, tenant: &str, seconds: u64| {
        let request = call(id, &format!("agent-{tenant}"), "1").at(at(seconds).millis());
        receive(&bench, &request).await;
    };
    adopt("a-2", "acme", 2).await;
    adopt("a-3", "other", 3).await;
    adopt("a-5", "acme", 5).await;
    // Adopted, then registered: once.
    adopt("both", "acme", 7).await;
    let mut known = conversation(&acme, "both");
    known.created_at = at(8);
    registry.register_conversation(known).await.unwrap();

    let list = async |bench: &Bench, scope: &Scope, filter: ConversationFilter, limit: u32| {
        let mut all = Vec::new();
        let mut after = None;
        loop {
            let page = Rows { after, limit };
            let found = bench.store.conversations(scope, filter.clone(), page).await.unwrap();
            let Some((place, _)) = found.last() else { break all };
            after = Some(*place);
            all.extend(found.into_iter().map(|(_, it)| {
                assert!(it.origin == Origin::Registered || it.agent_id.is_some());
                it.external_id
            }));
        }
    };
    let any = ConversationFilter::default();
    let check = async |bench: &Bench| {
        for limit in [1, 2, 3, 100] {
            let all = list(bench, &Scope::Operator, any.clone(), limit).await;
            assert_eq!(all, ["both", "r-6", "a-5", "r-4", "a-3", "a-2", "r-1"], "{limit} a page");
            let own = list(bench, &only("acme"), any.clone(), limit).await;
            assert_eq!(own, ["both", "r-6", "a-5", "r-4", "a-2", "r-1"]);
        }
        assert_eq!(list(bench, &only("other"), any.clone(), 9).await, ["a-3"]);
        let of_acme = ConversationFilter { tenant: Some(acme.clone()), provider: None };
        assert!(list(bench, &only("other"), of_acme, 9).await.is_empty());
        let elsewhere = ConversationFilter { tenant: None, provider: Some("retell".to_owned()) };
        assert!(list(bench, &Scope::Operator, elsewhere, 9).await.is_empty());
        for (scope, id, is_seen) in [
            (Scope::Operator, "a-3", true),
            (only("other"), "a-3", true),
            (only("acme"), "a-3", false),
            (only("acme"), "r-1", true),
            (only("other"), "r-1", false),
            (Scope::Operator, "unknown", false),
        ] {
            let found = bench.store.conversation(&scope, "vapi", id).await.unwrap();
            assert_eq!(found.is_some(), is_seen, "{scope:?} {id}");
        }
        let found = bench.store.conversation(&only("acme"), "vapi", "a-5").await.unwrap().unwrap();
        assert_eq!((found.created_at, found.agent_id.as_deref()), (at(5), Some("agent-acme")));
    };
    check(&bench).await;
    let bench = bench.between(lose_index);
    check(&bench).await;
}

async fn a_source_or_a_url_token_of_a_tenant_that_is_not_there_makes_nobody_an_owner(on: Kind) {
    let bench = Bench::on(on);
    two_tenants(&bench).await;
    let ghost = TenantId::parse("ghost").unwrap();
    let mut request = call("call-g", "", "1").at(NOW.millis());
    request.url_token = Some(Token { id: "tok_2".to_owned(), tenant: Some(ghost) });
    receive(&bench, &request).await;
    let all = seen(&bench, &Scope::Operator).await;
    assert_eq!(story(&all), ["1 quarantined - unattributed"]);
    assert_eq!(all[0].url_token.as_deref(), Some("tok_2"));
    assert_eq!(all[0].received_at, Timestamp::from_millis(NOW.millis()));
    let known = bench.store.conversation(&Scope::Operator, "vapi", "call-g").await.unwrap();
    assert!(known.is_none(), "it is not adopted for nobody");
}
