//! Tenants, keys, bindings, sources, tokens, sealed rows: what is configured over the API.

use std::time::Duration;

use hookgate_core::attribution::Origin;
use hookgate_core::event::ClaimKind;
use hookgate_core::tenant::TenantId;
use hookgate_core::time::Timestamp;
use hookgate_store::{
    ANSWER_KEPT, Answer, Binding, BindingFilter, Claimed, Conversation, ConversationFilter,
    Decision, DecisionKind, EXTERNAL_ID_BYTES_MAX, Erased, ErasureTarget, EventId, GRACE_MAX,
    KEYS_PER_TENANT_MAX, NAME_BYTES_MAX, Options, Quota, Registry, RegistryError, Rows,
    SealedCredential, SealedKey, SourceRow, Written,
};
use uuid::Uuid;

use crate::bench::{Bench, NOON};

pub(crate) const NOW: Timestamp = Timestamp::from_millis(NOON);

pub(crate) fn later(time: Duration) -> Timestamp {
    Timestamp::from_millis(NOON + i64::try_from(time.as_millis()).unwrap())
}

pub(crate) fn tenant(id: &str) -> TenantId {
    TenantId::parse(id).unwrap()
}

pub(crate) async fn add_tenant(registry: &Registry, id: &str) -> TenantId {
    registry.add_tenant(tenant(id), format!("{id} & Co"), NOW).await.unwrap();
    tenant(id)
}

pub(crate) fn binding(tenant: &TenantId, kind: ClaimKind, external_id: &str) -> Binding {
    Binding {
        tenant: tenant.clone(),
        provider: "vapi".to_owned(),
        kind,
        external_id: external_id.to_owned(),
        created_at: NOW,
    }
}

pub(crate) fn conversation(tenant: &TenantId, external_id: &str) -> Conversation {
    Conversation {
        tenant: tenant.clone(),
        provider: "vapi".to_owned(),
        external_id: external_id.to_owned(),
        agent_id: None,
        phone_number_id: None,
        origin: Origin::Registered,
        created_at: NOW,
    }
}

fn source(name: &str) -> SourceRow {
    SourceRow {
        name: name.to_owned(),
        provider: "vapi".to_owned(),
        settings: r#"{"secret":"sealed"}"#.to_owned(),
        created_at: NOW,
    }
}

pub(crate) fn credential(tenant: &TenantId, name: &str, sealed: &[u8]) -> SealedCredential {
    let name = name.to_owned();
    SealedCredential { tenant: tenant.clone(), name, sealed: sealed.to_vec(), updated_at: NOW }
}

#[tokio::test]
async fn a_tenant_is_there_at_once_and_made_once() {
    let bench = Bench::new();
    let registry = bench.store.registry();
    assert!(!registry.has_tenants() && registry.tenant("acme").is_none());
    let made = registry.add_tenant(tenant("acme"), "Acme".to_owned(), NOW).await.unwrap();
    assert!(matches!(&made, Written::Created(it) if it.name == "Acme" && !it.erasing));
    assert!(registry.has_tenants());
    assert_eq!(*registry.tenant("acme").unwrap(), made.clone().into_inner());
    let again = registry.add_tenant(tenant("acme"), "Another".to_owned(), NOW).await.unwrap();
    assert_eq!(again, Written::Present(made.into_inner()), "the name stays");
}

#[tokio::test]
async fn what_a_tenant_may_use_changes_at_once_and_outlives_a_restart() {
    let bench = Bench::new();
    let registry = bench.store.registry();
    let acme = add_tenant(registry, "acme").await;
    let quota =
        Quota { events_per_second: Some(5), bytes_per_second: Some(1 << 40), in_flight: None };
    let set = registry.set_tenant(&acme, Some(Some(30)), Some(quota)).await.unwrap();
    assert_eq!((set.retention_days, set.quota), (Some(30), quota));
    assert_eq!(*registry.tenant("acme").unwrap(), set);
    let unchanged = registry.set_tenant(&acme, None, None).await.unwrap();
    assert_eq!(unchanged, set);
    let forever = registry.set_tenant(&acme, Some(None), None).await.unwrap();
    assert_eq!((forever.retention_days, forever.quota), (None, quota));
    let refused = registry.set_tenant(&tenant("other"), None, None).await.unwrap_err();
    assert!(matches!(refused, RegistryError::NoSuchTenant), "{refused:?}");
    let bench = bench.reopen();
    assert_eq!(*bench.store.registry().tenant("acme").unwrap(), forever);
}

#[tokio::test]
async fn a_list_of_tenants_is_cut_into_pages() {
    let bench = Bench::new();
    let registry = bench.store.registry();
    for number in 0..7 {
        add_tenant(registry, &format!("t{number}")).await;
    }
    let (mut after, mut found) = (None, Vec::new());
    loop {
        let page = registry.tenants(Rows { after, limit: 3 }).await.unwrap();
        assert!(page.len() <= 3);
        let Some(last) = page.last() else { break };
        after = Some(last.row);
        found.extend(page.into_iter().map(|it| it.id.to_string()));
    }
    assert_eq!(found, ["t6", "t5", "t4", "t3", "t2", "t1", "t0"]);
}

#[tokio::test]
async fn a_key_opens_from_the_moment_it_is_made_until_it_is_removed() {
    let bench = Bench::new();
    let registry = bench.store.registry();
    let (acme, other) = (add_tenant(registry, "acme").await, add_tenant(registry, "other").await);
    let (row, key) = registry.add_key(&acme, NOW).await.unwrap();
    assert!(key.starts_with("hgk_") && key.len() == 47 && key.ends_with(&row.hint), "{row:?}");
    assert!(row.id.starts_with("key_") && row.id.len() == 20 && row.hint.len() == 4);
    assert_eq!(registry.tenant_of_key(key.as_bytes()), Some(acme.clone()));
    assert_eq!(registry.tenant_of_key(&key.as_bytes()[..46]), None);
    assert_eq!(registry.tenant_of_key(b""), None);
    let (second, _) = registry.add_key(&acme, NOW).await.unwrap();
    assert_eq!(registry.keys(&acme).await.unwrap(), [second, row.clone()]);
    assert_eq!(registry.keys(&other).await.unwrap(), []);
    let foreign = registry.remove_key(&other, &row.id).await.unwrap_err();
    assert!(matches!(foreign, RegistryError::NotFound), "{foreign:?}");
    assert_eq!(registry.tenant_of_key(key.as_bytes()), Some(acme.clone()));
    registry.remove_key(&acme, &row.id).await.unwrap();
    assert_eq!(registry.tenant_of_key(key.as_bytes()), None);
    assert!(registry.remove_key(&acme, &row.id).await.is_err(), "there is none to remove");
}

#[tokio::test]
async fn a_tenant_has_a_bounded_number_of_keys() {
    let bench = Bench::new();
    let registry = bench.store.registry();
    let acme = add_tenant(registry, "acme").await;
    for _ in 0..KEYS_PER_TENANT_MAX {
        registry.add_key(&acme, NOW).await.unwrap();
    }
    let refused = registry.add_key(&acme, NOW).await.unwrap_err();
    assert!(matches!(refused, RegistryError::TooMany { max: KEYS_PER_TENANT_MAX, .. }));
    assert_eq!(refused.to_string(), "there may be 32 keys of a tenant at most");
}

#[tokio::test]
async fn an_id_is_bound_to_one_tenant() {
    let bench = Bench::new();
    let registry = bench.store.registry();
    let (acme, other) = (add_tenant(registry, "acme").await, add_tenant(registry, "other").await);
    let bound = binding(&acme, ClaimKind::Agent, "agent-1");
    let made = registry.bind(bound.clone()).await.unwrap();
    assert_eq!(made, Written::Created(bound.clone()));
    let again = Binding { created_at: later(Duration::from_mins(1)), ..bound.clone() };
    assert_eq!(registry.bind(again).await.unwrap(), Written::Present(bound.clone()));
    let foreign = binding(&other, ClaimKind::Agent, "agent-1");
    let taken = registry.bind(foreign.clone()).await.unwrap_err();
    assert!(matches!(taken, RegistryError::Taken), "{taken:?}");
    assert!(!taken.to_string().contains("acme"), "it names nobody");
    // The same text as another kind, or elsewhere, is another id.
    registry.bind(binding(&other, ClaimKind::PhoneNumber, "agent-1")).await.unwrap();
    let elsewhere = Binding { provider: "retell".to_owned(), ..foreign.clone() };
    registry.bind(elsewhere).await.unwrap();
    registry.unbind("vapi", ClaimKind::Agent, "agent-1").await.unwrap();
    let gone = registry.unbind("vapi", ClaimKind::Agent, "agent-1").await.unwrap_err();
    assert!(matches!(gone, RegistryError::NotFound), "{gone:?}");
    assert!(matches!(registry.bind(foreign).await.unwrap(), Written::Created(_)));
}

#[tokio::test]
async fn what_cannot_be_bound_is_refused() {
    let bench = Bench::new();
    let registry = bench.store.registry();
    let acme = add_tenant(registry, "acme").await;
    let long = "x".repeat(EXTERNAL_ID_BYTES_MAX + 1);
    for bad in ["", " ", "a\nb", "a\u{0}", "\u{85}", &long] {
        let refused = registry.bind(binding(&acme, ClaimKind::Agent, bad)).await.unwrap_err();
        assert!(matches!(refused, RegistryError::Invalid(_)), "{bad:?}: {refused:?}");
        let refused = registry.register_conversation(conversation(&acme, bad)).await.unwrap_err();
        assert!(matches!(refused, RegistryError::Invalid(_)), "{bad:?}: {refused:?}");
    }
    for kind in [ClaimKind::Conversation, ClaimKind::Organization] {
        let refused = registry.bind(binding(&acme, kind, "id")).await.unwrap_err();
        assert!(matches!(refused, RegistryError::Invalid(_)), "{kind:?}: {refused:?}");
    }
    let good = binding(&acme, ClaimKind::Agent, &long[1..]);
    let unknown = Binding { provider: "twilio".to_owned(), ..good.clone() };
    let refused = registry.bind(unknown).await.unwrap_err();
    assert!(matches!(refused, RegistryError::Invalid(_)), "{refused:?}");
    let nobody = Binding { tenant: tenant("nobody"), ..good.clone() };
    let refused = registry.bind(nobody).await.unwrap_err();
    assert!(matches!(refused, RegistryError::NoSuchTenant), "{refused:?}");
    registry.bind(good).await.unwrap();
    for bad in ["", "\t", &"x".repeat(NAME_BYTES_MAX + 1)] {
        let refused = registry.add_tenant(tenant("t"), bad.to_owned(), NOW).await.unwrap_err();
        assert!(matches!(refused, RegistryError::Invalid(_)), "{bad:?}: {refused:?}");
    }
}

#[tokio::test]
async fn bindings_are_found_by_what_is_asked() {
    let bench = Bench::new();
    let registry = bench.store.registry();
    let (acme, other) = (add_tenant(registry, "acme").await, add_tenant(registry, "other").await);
    for (tenant, provider, kind, id) in [
        (&acme, "vapi", ClaimKind::Agent, "a"),
        (&acme, "vapi", ClaimKind::PhoneNumber, "a"),
        (&other, "vapi", ClaimKind::Agent, "b"),
        (&acme, "retell", ClaimKind::Agent, "a"),
        (&other, "tawk", ClaimKind::Property, "p"),
    ] {
        let provider = provider.to_owned();
        registry.bind(Binding { provider, ..binding(tenant, kind, id) }).await.unwrap();
    }
    let all = BindingFilter::default();
    let vapi = BindingFilter { provider: Some("vapi".to_owned()), ..all.clone() };
    let by_id = BindingFilter { external_id: Some("a".to_owned()), ..vapi.clone() };
    for (filter, expected) in [
        (all.clone(), "p a b a a"),
        (BindingFilter { tenant: Some(acme.clone()), ..all.clone() }, "a a a"),
        (vapi, "b a a"),
        (BindingFilter { kind: Some(ClaimKind::Agent), ..by_id.clone() }, "a"),
        (by_id, "a a"),
        (BindingFilter { tenant: Some(tenant("nobody")), ..all.clone() }, ""),
    ] {
        let page = registry.bindings(filter.clone(), Rows::ALL).await.unwrap();
        let ids: Vec<&str> = page.iter().map(|(_, it)| &*it.external_id).collect();
        assert_eq!(ids.join(" "), expected, "{filter:?}");
        // The same, one at a time.
        let (mut after, mut one_by_one) = (None, Vec::new());
        while let Some((row, it)) =
            registry.bindings(filter.clone(), Rows { after, limit: 1 }).await.unwrap().pop()
        {
            after = Some(row);
            one_by_one.push((row, it));
        }
        assert_eq!(one_by_one, page, "{filter:?}");
    }
}

#[tokio::test]
async fn a_conversation_is_registered_by_one_tenant() {
    let bench = Bench::new();
    let registry = bench.store.registry();
    let (acme, other) = (add_tenant(registry, "acme").await, add_tenant(registry, "other").await);
    let first =
        Conversation { agent_id: Some("agent-1".to_owned()), ..conversation(&acme, "call-1") };
    let made = registry.register_conversation(first.clone()).await.unwrap();
    assert_eq!(made, Written::Created(first.clone()));
    let taken = registry.register_conversation(conversation(&other, "call-1")).await.unwrap_err();
    assert!(matches!(taken, RegistryError::Taken), "{taken:?}");
    let number = Some("phone-1".to_owned());
    let more = Conversation { phone_number_id: number.clone(), ..conversation(&acme, "call-1") };
    let now = registry.register_conversation(more).await.unwrap();
    let expected = Conversation { phone_number_id: number, ..first };
    assert_eq!(now, Written::Present(expected.clone()), "what is not said anew is kept");
    assert_eq!(registry.conversation("vapi", "call-1").await.unwrap(), Some(expected.clone()));
    assert_eq!(registry.conversation("retell", "call-1").await.unwrap(), None);
    registry.register_conversation(conversation(&other, "call-2")).await.unwrap();
    let page = registry.conversations(ConversationFilter::default(), Rows::ALL).await.unwrap();
    assert_eq!(
        page.iter().map(|(_, it)| &*it.external_id).collect::<Vec<_>>(),
        ["call-2", "call-1"]
    );
    let filter =
        ConversationFilter { tenant: Some(acme.clone()), provider: Some("vapi".to_owned()) };
    let own = registry.conversations(filter.clone(), Rows::ALL).await.unwrap();
    assert_eq!(own.into_iter().map(|(_, it)| it).collect::<Vec<_>>(), [expected]);
    let elsewhere = ConversationFilter { provider: Some("retell".to_owned()), ..filter };
    assert_eq!(registry.conversations(elsewhere, Rows::ALL).await.unwrap(), []);
}

#[tokio::test]
async fn a_source_is_there_once_and_says_when_it_changes() {
    let bench = Bench::new();
    let registry = bench.store.registry();
    let mut changed = registry.sources_changed();
    assert!(registry.sources().await.is_empty() && !changed.has_changed().unwrap());
    registry.add_source(source("acme-vapi")).await.unwrap();
    assert!(changed.has_changed().unwrap());
    changed.mark_unchanged();
    assert_eq!(registry.sources().await, [source("acme-vapi")]);
    let again = registry.add_source(source("acme-vapi")).await.unwrap();
    assert_eq!(again, Written::Present(source("acme-vapi")));
    let other = SourceRow { settings: "{}".to_owned(), ..source("acme-vapi") };
    let taken = registry.add_source(other).await.unwrap_err();
    assert!(matches!(taken, RegistryError::Taken), "{taken:?}");
    for reserved in ["vapi", "tawk"] {
        let refused = registry.add_source(source(reserved)).await.unwrap_err();
        assert!(matches!(refused, RegistryError::Reserved), "{refused:?}");
        let refused = registry.remove_source(reserved).await.unwrap_err();
        assert!(matches!(refused, RegistryError::Reserved), "{refused:?}");
    }
    for bad in ["", "A", "a/b", "a.b", &"a".repeat(65)] {
        let refused = registry.add_source(source(bad)).await.unwrap_err();
        assert!(matches!(refused, RegistryError::Invalid(_)), "{bad:?}: {refused:?}");
    }
    assert!(!changed.has_changed().unwrap(), "nothing changed since");
    let (_, opener) = registry.add_token("acme-vapi", None, NOW).await.unwrap();
    registry.remove_source("acme-vapi").await.unwrap();
    assert!(registry.sources().await.is_empty() && changed.has_changed().unwrap());
    assert_eq!(registry.token("acme-vapi", opener.as_bytes(), NOW), None, "it went with it");
    let gone = registry.remove_source("acme-vapi").await.unwrap_err();
    assert!(matches!(gone, RegistryError::NotFound), "{gone:?}");
}

#[tokio::test]
async fn a_token_opens_its_source_alone_and_names_its_tenant() {
    let bench = Bench::new();
    let registry = bench.store.registry();
    let acme = add_tenant(registry, "acme").await;
    let (row, token) = registry.add_token("vapi", Some(acme.clone()), NOW).await.unwrap();
    assert!(token.len() == 43 && token.ends_with(&row.hint) && row.id.starts_with("tok_"));
    let found = registry.token("vapi", token.as_bytes(), NOW).unwrap();
    assert_eq!((&*found, found.tenant.as_ref()), (&row, Some(&acme)));
    assert_eq!(registry.token("retell", token.as_bytes(), NOW), None);
    assert_eq!(registry.token("vapi", &token.as_bytes()[1..], NOW), None);
    let refused = registry.add_token("vapi", Some(tenant("nobody")), NOW).await.unwrap_err();
    assert!(matches!(refused, RegistryError::NoSuchTenant), "{refused:?}");
    registry.remove_token(&row.id).await.unwrap();
    assert_eq!(registry.token("vapi", token.as_bytes(), NOW), None);
    let gone = registry.remove_token(&row.id).await.unwrap_err();
    assert!(matches!(gone, RegistryError::NotFound), "{gone:?}");
}

#[tokio::test]
async fn a_rotated_token_works_until_its_grace_ends() {
    let bench = Bench::new();
    let registry = bench.store.registry();
    let acme = add_tenant(registry, "acme").await;
    let (old, first) = registry.add_token("vapi", Some(acme.clone()), NOW).await.unwrap();
    let grace = Duration::from_hours(1);
    let (new, second) = registry.rotate_token(&old.id, grace, NOW).await.unwrap();
    assert_eq!((&*new.source, new.tenant.as_ref(), new.expires_at), ("vapi", Some(&acme), None));
    let works = |token: &str, now| registry.token("vapi", token.as_bytes(), now).is_some();
    let last = later(grace.saturating_sub(Duration::from_millis(1)));
    assert!(works(&first, last) && works(&second, last));
    assert!(!works(&first, later(grace)) && works(&second, later(grace)));
    let listed = registry.tokens(Some("vapi")).await.unwrap();
    assert_eq!(listed[0], new);
    assert_eq!(listed[1].expires_at, Some(later(grace)));
    // A longer grace later gives nothing back.
    registry.rotate_token(&old.id, GRACE_MAX, NOW).await.unwrap();
    assert!(!works(&first, later(grace)));
    // What has ceased to work is removed when the next is made.
    let (third, _) = registry.rotate_token(&new.id, Duration::MAX, later(grace)).await.unwrap();
    let listed = registry.tokens(None).await.unwrap();
    assert!(listed[0] == third && listed.iter().all(|it| it.id != old.id), "{listed:?}");
    let ends = listed.iter().find(|it| it.id == new.id).unwrap().expires_at;
    assert_eq!(ends, Some(later(grace + GRACE_MAX)), "a grace is bounded");
    let gone = registry.rotate_token(&old.id, grace, later(grace)).await.unwrap_err();
    assert!(matches!(gone, RegistryError::NotFound), "{gone:?}");
    assert!(registry.tokens(Some("retell")).await.unwrap().is_empty());
}

#[tokio::test]
async fn the_first_data_key_wins() {
    let bench = Bench::new();
    let registry = bench.store.registry();
    add_tenant(registry, "acme").await;
    let key = |tenant: &str, byte: u8| SealedKey {
        tenant: tenant.to_owned(),
        master: [byte; 8],
        wrapped: vec![byte; 60],
    };
    assert_eq!(registry.data_key("").await.unwrap(), None);
    assert_eq!(registry.add_data_key(key("", 1)).await.unwrap(), key("", 1));
    assert_eq!(registry.add_data_key(key("", 2)).await.unwrap(), key("", 1));
    assert_eq!(registry.add_data_key(key("acme", 3)).await.unwrap(), key("acme", 3));
    let refused = registry.add_data_key(key("nobody", 4)).await.unwrap_err();
    assert!(matches!(refused, RegistryError::NoSuchTenant), "{refused:?}");
    registry.replace_data_key(key("", 9)).await.unwrap();
    assert_eq!(registry.data_key("").await.unwrap(), Some(key("", 9)));
    assert_eq!(registry.data_keys().await.unwrap(), [key("", 9), key("acme", 3)]);
    assert!(!format!("{:?}", key("acme", 3)).contains("3, 3"), "not even what is wrapped shows");
}

#[tokio::test]
async fn a_credential_is_replaced_listed_without_its_value_and_removed() {
    let bench = Bench::new();
    let registry = bench.store.registry();
    let (acme, other) = (add_tenant(registry, "acme").await, add_tenant(registry, "other").await);
    registry.put_credential(credential(&acme, "square", b"one")).await.unwrap();
    registry.put_credential(credential(&acme, "agent.7", b"x")).await.unwrap();
    let found = registry.credential(&acme, "square").await.unwrap().unwrap();
    assert_eq!(found, credential(&acme, "square", b"one"));
    registry.put_credential(credential(&acme, "square", b"two")).await.unwrap();
    let found = registry.credential(&acme, "square").await.unwrap().unwrap();
    assert_eq!(found, credential(&acme, "square", b"two"));
    assert!(!format!("{found:?}").contains("116"), "{found:?}");
    assert_eq!(registry.credential(&other, "square").await.unwrap(), None);
    let listed = registry.credentials(&acme).await.unwrap();
    assert_eq!(listed, [("agent.7".to_owned(), NOW), ("square".to_owned(), NOW)]);
    for bad in ["", ".x", "-x", "A", "a b", &"a".repeat(65)] {
        let refused = registry.put_credential(credential(&acme, bad, b"x")).await.unwrap_err();
        assert!(matches!(refused, RegistryError::Invalid(_)), "{bad:?}: {refused:?}");
    }
    let foreign = registry.remove_credential(&other, "square").await.unwrap_err();
    assert!(matches!(foreign, RegistryError::NotFound), "{foreign:?}");
    registry.remove_credential(&acme, "square").await.unwrap();
    assert_eq!(registry.credential(&acme, "square").await.unwrap(), None);
}

/// The answer under the key `k`; a right to carry the request out is given back.
async fn answered(
    registry: &Registry,
    scope: &str,
    request: [u8; 32],
    now: Timestamp,
) -> Result<Option<Answer>, RegistryError> {
    match registry.claim_answer(scope, "k", request, now).await? {
        Claimed::Answered(answer) => Ok(Some(answer)),
        Claimed::Running => panic!("nobody is at it"),
        Claimed::Yours(claim) => {
            registry.give_back(scope, "k", claim).await?;
            Ok(None)
        }
    }
}

#[tokio::test]
async fn a_repeated_request_finds_its_answer_for_a_day() {
    let bench = Bench::new();
    let registry = bench.store.registry();
    let answer = Answer { status: 201, sealed: b"sealed".to_vec() };
    let (request, other) = ([1; 32], [2; 32]);
    assert_eq!(answered(registry, "op", request, NOW).await.unwrap(), None);
    registry.keep_answer("op", "k", request, answer.clone(), NOW).await.unwrap();
    let second = Answer { status: 200, sealed: Vec::new() };
    registry.keep_answer("op", "k", request, second.clone(), NOW).await.unwrap();
    let found = answered(registry, "op", request, NOW).await.unwrap();
    assert_eq!(found, Some(answer.clone()), "the first stays");
    let conflict = answered(registry, "op", other, NOW).await.unwrap_err();
    assert!(matches!(conflict, RegistryError::Conflict), "{conflict:?}");
    let conflict = registry.keep_answer("op", "k", other, second.clone(), NOW).await.unwrap_err();
    assert!(matches!(conflict, RegistryError::Conflict), "{conflict:?}");
    assert_eq!(answered(registry, "o", request, NOW).await.unwrap(), None, "another scope");
    let last = later(ANSWER_KEPT.saturating_sub(Duration::from_millis(1)));
    assert_eq!(answered(registry, "op", request, last).await.unwrap(), Some(answer));
    let day = later(ANSWER_KEPT);
    assert_eq!(answered(registry, "op", request, day).await.unwrap(), None);
    registry.keep_answer("op", "k", other, second.clone(), day).await.unwrap();
    assert_eq!(answered(registry, "op", other, day).await.unwrap(), Some(second));
}

#[tokio::test]
async fn the_latest_decision_on_an_event_counts_and_all_are_kept() {
    let bench = Bench::new();
    let registry = bench.store.registry();
    let acme = add_tenant(registry, "acme").await;
    let (event, other) = (EventId(Uuid::from_u128(1)), EventId(Uuid::from_u128(2)));
    let decision = |event, kind, tenant| Decision {
        event,
        kind,
        tenant,
        adopts: false,
        at: NOW,
        by: "operator".to_owned(),
        correlation_id: "correlation".to_owned(),
    };
    let first = decision(event, DecisionKind::Reattribute, None);
    let second = decision(event, DecisionKind::Release, Some(acme.clone()));
    let third = decision(other, DecisionKind::Release, None);
    for (number, (decision, seq)) in
        (1..).zip([(first.clone(), 17), (second.clone(), 17), (third.clone(), 18)])
    {
        assert_eq!(registry.add_decision(decision, seq).await.unwrap(), number);
    }
    let bench = bench.reopen();
    let registry = bench.store.registry();
    assert_eq!(registry.decision(event).await.unwrap(), Some(second.clone()));
    assert_eq!(registry.decision(other).await.unwrap(), Some(third.clone()));
    assert_eq!(registry.decision(EventId(Uuid::from_u128(3))).await.unwrap(), None);
    let all = registry.decisions_after(0, 100).unwrap();
    let all: Vec<_> = all.into_iter().map(|it| (it.n, it.seq, it.decision)).collect();
    assert_eq!(all, [(1, 17, first), (2, 17, second), (3, 18, third.clone())]);
    let rest = registry.decisions_after(2, 1).unwrap();
    assert_eq!(rest.into_iter().map(|it| it.decision).collect::<Vec<_>>(), [third]);
}

/// Erasures are begun and not carried out.
fn idle() -> Options {
    Options { housekeeping: false, ..Options::default() }
}

#[tokio::test]
async fn nothing_of_a_tenant_works_once_its_erasure_has_begun() {
    let bench = Bench::with(idle());
    let registry = bench.store.registry();
    let (acme, other) = (add_tenant(registry, "acme").await, add_tenant(registry, "other").await);
    let (_, key) = registry.add_key(&acme, NOW).await.unwrap();
    let (_, kept_key) = registry.add_key(&other, NOW).await.unwrap();
    let (_, token) = registry.add_token("vapi", Some(acme.clone()), NOW).await.unwrap();
    let (_, plain) = registry.add_token("vapi", None, NOW).await.unwrap();
    registry.bind(binding(&acme, ClaimKind::Agent, "agent-1")).await.unwrap();
    registry.register_conversation(conversation(&acme, "call-1")).await.unwrap();
    registry.put_credential(credential(&acme, "square", b"sealed")).await.unwrap();
    let data_key = SealedKey { tenant: "acme".to_owned(), master: [0; 8], wrapped: vec![7; 60] };
    registry.add_data_key(data_key.clone()).await.unwrap();
    // It is remembered from now on, with the key of its tenant.
    let found = registry.credential_and_key(&acme, "square").await.unwrap().unwrap();
    assert_eq!(found, (credential(&acme, "square", b"sealed"), Some(data_key.clone())));

    let target = ErasureTarget::Tenant(acme.clone());
    let Written::Created(erasure) = registry.add_erasure(target.clone(), NOW).await.unwrap() else {
        panic!("it is new");
    };
    let check = async |registry: &Registry| {
        assert!(registry.tenant("acme").unwrap().erasing && registry.has_tenants());
        assert_eq!(registry.tenant_of_key(key.as_bytes()), None);
        assert_eq!(registry.tenant_of_key(kept_key.as_bytes()), Some(other.clone()));
        assert_eq!(registry.token("vapi", token.as_bytes(), NOW), None);
        assert!(registry.token("vapi", plain.as_bytes(), NOW).is_some());
        assert!(registry.keys(&acme).await.unwrap().is_empty());
        assert!(registry.bindings(BindingFilter::default(), Rows::ALL).await.unwrap().is_empty());
        assert_eq!(registry.conversation("vapi", "call-1").await.unwrap(), None);
        assert!(registry.credentials(&acme).await.unwrap().is_empty());
        assert_eq!(registry.credential(&acme, "square").await.unwrap(), None);
        assert_eq!(registry.data_key("acme").await.unwrap(), None);
        let again = registry.add_erasure(target.clone(), NOW).await.unwrap();
        assert_eq!(again, Written::Present(erasure.clone()));
        let refused = registry.add_tenant(acme.clone(), "Again".to_owned(), NOW).await;
        assert!(matches!(refused, Err(RegistryError::Taken)), "{refused:?}");
        for refused in [
            registry.add_key(&acme, NOW).await.map(drop).unwrap_err(),
            registry.bind(binding(&acme, ClaimKind::Agent, "x")).await.map(drop).unwrap_err(),
            registry.register_conversation(conversation(&acme, "x")).await.map(drop).unwrap_err(),
            registry.put_credential(credential(&acme, "square", b"x")).await.unwrap_err(),
            registry.add_data_key(data_key.clone()).await.map(drop).unwrap_err(),
            registry.add_token("vapi", Some(acme.clone()), NOW).await.map(drop).unwrap_err(),
            registry.set_tenant(&acme, None, None).await.map(drop).unwrap_err(),
        ] {
            assert!(matches!(refused, RegistryError::NoSuchTenant), "{refused:?}");
        }
    };
    check(registry).await;
    let bench = bench.reopen();
    let registry = bench.store.registry();
    check(registry).await;

    let erased = Erased { done_seq: 40, events: 3, bytes: 4_000 };
    registry.progress_erasure(&erasure.id, erased).unwrap();
    assert_eq!(registry.running_erasures().unwrap()[0].done_seq, 40);
    let erased = Erased { done_seq: 90, events: 5, bytes: 9_000 };
    let done = registry.finish_erasure(&erasure.id, erased, later(Duration::from_secs(5))).unwrap();
    assert_eq!((done.done_seq, done.events, done.bytes), (90, 5, 9_000));
    assert_eq!(done.finished_at, Some(later(Duration::from_secs(5))));
    assert_eq!(registry.running_erasures().unwrap(), []);
    assert_eq!(registry.erasure(&erasure.id).await.unwrap(), Some(done.clone()));
    assert_eq!(registry.erasures(Rows::ALL).await.unwrap(), [done]);
    assert!(registry.tenant("acme").is_none());
    assert!(registry.finish_erasure(&erasure.id, erased, NOW).is_err(), "once");
    let anew = registry.add_tenant(acme, "Anew".to_owned(), NOW).await.unwrap();
    assert!(matches!(anew, Written::Created(_)));
}

#[tokio::test]
async fn every_kind_of_erasure_is_read_back_as_it_was_written() {
    let bench = Bench::with(idle());
    let registry = bench.store.registry();
    let acme = add_tenant(registry, "acme").await;
    let targets = [
        ErasureTarget::Conversation { provider: "vapi".to_owned(), external_id: "c".to_owned() },
        ErasureTarget::Before { at: NOW, tenant: None, source: None },
        ErasureTarget::Before { at: NOW, tenant: Some(acme.clone()), source: None },
        ErasureTarget::Before { at: NOW, tenant: None, source: Some("vapi".to_owned()) },
        ErasureTarget::Tenant(acme),
    ];
    for target in &targets {
        registry.add_erasure(target.clone(), NOW).await.unwrap();
    }
    let bench = bench.reopen();
    let running = bench.store.registry().running_erasures().unwrap();
    assert_eq!(running.into_iter().map(|it| it.target).collect::<Vec<_>>(), targets);
    let nobody = ErasureTarget::Tenant(tenant("nobody"));
    let refused = bench.store.registry().add_erasure(nobody, NOW).await.unwrap_err();
    assert!(matches!(refused, RegistryError::NoSuchTenant), "{refused:?}");
}
