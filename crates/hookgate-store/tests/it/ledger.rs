//! The ledger: what requests ask, also while it changes.

use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};

use hookgate_core::attribution::{self, Adoption, Consulted, Origin};
use hookgate_core::event::{Claim, ClaimKind};
use hookgate_core::tenant::TenantId;
use hookgate_store::{Adopting, ENTRIES_MAX, ErasureTarget, Ledger, Registry, Taken, Written};

use crate::bench::Bench;
use crate::registry::{NOW, add_tenant, binding, conversation, tenant};

pub(crate) fn claim(kind: ClaimKind, id: &str) -> Claim {
    Claim::new(kind, Some(id.to_owned()))
}

pub(crate) fn adoption(tenant: &TenantId, id: &str) -> Adoption {
    Adoption {
        provider: "vapi",
        external_id: id.to_owned(),
        conversation: attribution::Conversation {
            tenant: tenant.clone(),
            agent_id: Some("agent-1".to_owned()),
            phone_number_id: None,
            origin: Origin::Adopted,
        },
    }
}

/// Whose an id is, as text; `-` for nobody.
async fn owner(ledger: &Ledger, kind: ClaimKind, id: &str) -> String {
    let consulted = ledger.consult("vapi", &[claim(kind, id)]).await.unwrap();
    shown(&consulted)
}

fn shown(consulted: &Consulted) -> String {
    let [owner] = &consulted.owners[..] else { panic!("one claim: {consulted:?}") };
    let conversation = consulted.conversation.as_ref().map(|it| &it.tenant);
    assert!(conversation.is_none() || conversation == owner.as_ref());
    owner.as_ref().map_or("-".to_owned(), ToString::to_string)
}

async fn adopt(ledger: &Ledger, tenant: &TenantId, id: &str) -> Result<Adopting, Taken> {
    owner(ledger, ClaimKind::Conversation, id).await;
    ledger.adopt(&adoption(tenant, id))
}

async fn two_tenants(registry: &Registry) -> (TenantId, TenantId) {
    (add_tenant(registry, "acme").await, add_tenant(registry, "other").await)
}

#[tokio::test]
async fn without_tenants_nothing_is_asked_and_nothing_kept() {
    let bench = Bench::new();
    let ledger = bench.store.ledger();
    let claims = [claim(ClaimKind::Agent, "a"), claim(ClaimKind::Conversation, "c")];
    let consulted = ledger.consult_cached("vapi", &claims).expect("there is nothing to ask");
    let nobody = Consulted { tenants_exist: false, owners: vec![None, None], conversation: None };
    assert_eq!(consulted, nobody);
    assert_eq!((ledger.statements(), ledger.entries()), (0, (0, 0)));
}

#[tokio::test]
async fn every_claim_has_its_owner_in_its_place() {
    let bench = Bench::new();
    let (registry, ledger) = (bench.store.registry(), bench.store.ledger());
    let (acme, other) = two_tenants(registry).await;
    registry.bind(binding(&acme, ClaimKind::Agent, "agent-1")).await.unwrap();
    registry.bind(binding(&other, ClaimKind::PhoneNumber, "phone-1")).await.unwrap();
    let row = hookgate_store::Conversation {
        agent_id: Some("agent-1".to_owned()),
        ..conversation(&acme, "call-1")
    };
    registry.register_conversation(row).await.unwrap();
    let claims = [
        claim(ClaimKind::Conversation, "call-1"),
        claim(ClaimKind::PhoneNumber, "phone-1"),
        claim(ClaimKind::PhoneNumber, "agent-1"),
        Claim::new(ClaimKind::Agent, None),
        claim(ClaimKind::Agent, "agent-1"),
        claim(ClaimKind::Organization, "other"),
        claim(ClaimKind::Organization, "nobody"),
        claim(ClaimKind::Conversation, "call-2"),
    ];
    let consulted = ledger.consult("vapi", &claims).await.unwrap();
    let (a, o) = (Some(acme.clone()), Some(other));
    let expected = [a.clone(), o.clone(), None, None, a, o, None, None];
    assert_eq!(consulted.owners, expected);
    assert!(consulted.tenants_exist);
    let known = consulted.conversation.unwrap();
    assert_eq!((known.tenant, known.origin), (acme, Origin::Registered));
    assert_eq!((known.agent_id.as_deref(), known.phone_number_id), (Some("agent-1"), None));
    let elsewhere = ledger.consult("retell", &claims[..5]).await.unwrap();
    assert_eq!(elsewhere.owners, vec![None; 5]);
    let unknown = ledger.consult("twilio", &claims[..5]).await.unwrap();
    assert_eq!((unknown.owners, unknown.conversation), (vec![None; 5], None));
}

#[tokio::test]
async fn the_first_conversation_that_is_claimed_is_the_one_that_is_told() {
    let bench = Bench::new();
    let (registry, ledger) = (bench.store.registry(), bench.store.ledger());
    let (acme, _) = two_tenants(registry).await;
    registry.register_conversation(conversation(&acme, "call-1")).await.unwrap();
    let (known, unknown) =
        (claim(ClaimKind::Conversation, "call-1"), claim(ClaimKind::Conversation, "call-2"));
    let told = ledger.consult("vapi", &[unknown.clone(), known.clone()]).await.unwrap();
    assert_eq!((told.owners, told.conversation), (vec![None, Some(acme.clone())], None));
    let told = ledger.consult("vapi", &[known, unknown]).await.unwrap();
    assert_eq!(told.owners, [Some(acme), None]);
    assert!(told.conversation.is_some());
}

#[tokio::test]
async fn what_is_in_memory_is_answered_without_a_statement() {
    let bench = Bench::new();
    let (registry, ledger) = (bench.store.registry(), bench.store.ledger());
    let (acme, _) = two_tenants(registry).await;
    registry.bind(binding(&acme, ClaimKind::Agent, "agent-1")).await.unwrap();
    registry.register_conversation(conversation(&acme, "call-1")).await.unwrap();
    let claims = [
        claim(ClaimKind::Conversation, "call-1"),
        claim(ClaimKind::Agent, "agent-1"),
        claim(ClaimKind::PhoneNumber, "unknown"),
        claim(ClaimKind::Organization, "acme"),
    ];
    assert_eq!(ledger.consult_cached("vapi", &claims), None, "nobody asked yet");
    let asked = ledger.consult("vapi", &claims).await.unwrap();
    let statements = ledger.statements();
    assert!((3..=4).contains(&statements), "{statements}");
    for _ in 0..100 {
        assert_eq!(ledger.consult_cached("vapi", &claims).as_ref(), Some(&asked));
        assert_eq!(ledger.consult("vapi", &claims).await.as_ref(), Ok(&asked));
    }
    assert_eq!(ledger.statements(), statements);
    // A change of one answer lets only that one be asked again.
    registry.unbind("vapi", ClaimKind::Agent, "agent-1").await.unwrap();
    assert_eq!(ledger.consult_cached("vapi", &claims), None);
    ledger.consult("vapi", &claims).await.unwrap();
    assert_eq!(ledger.statements(), statements + 1);
}

#[tokio::test]
async fn a_change_takes_effect_for_the_very_next_request() {
    let bench = Bench::new();
    let (registry, ledger) = (bench.store.registry(), bench.store.ledger());
    let (acme, other) = two_tenants(registry).await;
    let agent = async || owner(ledger, ClaimKind::Agent, "agent-1").await;
    for _ in 0..3 {
        assert_eq!(agent().await, "-");
        registry.bind(binding(&acme, ClaimKind::Agent, "agent-1")).await.unwrap();
        assert_eq!(agent().await, "acme");
        assert!(registry.bind(binding(&other, ClaimKind::Agent, "agent-1")).await.is_err());
        assert_eq!(agent().await, "acme");
        registry.unbind("vapi", ClaimKind::Agent, "agent-1").await.unwrap();
        assert_eq!(agent().await, "-");
        registry.bind(binding(&other, ClaimKind::Agent, "agent-1")).await.unwrap();
        assert_eq!(agent().await, "other");
        registry.unbind("vapi", ClaimKind::Agent, "agent-1").await.unwrap();
    }
    assert_eq!(owner(ledger, ClaimKind::Conversation, "call-1").await, "-");
    registry.register_conversation(conversation(&acme, "call-1")).await.unwrap();
    assert_eq!(owner(ledger, ClaimKind::Conversation, "call-1").await, "acme");
    assert_eq!(owner(ledger, ClaimKind::Organization, "third").await, "-");
    add_tenant(registry, "third").await;
    assert_eq!(owner(ledger, ClaimKind::Organization, "third").await, "third");
}

#[tokio::test]
async fn an_adoption_is_seen_at_once_and_undone_when_it_is_dropped() {
    let bench = Bench::new();
    let (registry, ledger) = (bench.store.registry(), bench.store.ledger());
    let (acme, other) = two_tenants(registry).await;
    let call = claim(ClaimKind::Conversation, "call-1");
    let adopting = adopt(ledger, &acme, "call-1").await.unwrap();
    let seen = ledger.consult_cached("vapi", std::slice::from_ref(&call)).unwrap();
    assert_eq!(seen.owners, [Some(acme.clone())]);
    assert_eq!(seen.conversation, Some(adoption(&acme, "call-1").conversation));
    assert_eq!(adopt(ledger, &other, "call-1").await.unwrap_err(), Taken);
    assert_eq!(adopt(ledger, &acme, "call-1").await.unwrap_err(), Taken);
    let foreign = registry.register_conversation(conversation(&other, "call-1")).await;
    assert!(foreign.is_err(), "it is taken");
    drop(adopting);
    assert_eq!(owner(ledger, ClaimKind::Conversation, "call-1").await, "-");
    adopt(ledger, &other, "call-1").await.unwrap().keep(u64::MAX);
    assert_eq!(owner(ledger, ClaimKind::Conversation, "call-1").await, "other");
    assert_eq!(ledger.entries().1, 1);
}

#[tokio::test]
async fn an_adoption_stands_only_on_an_answer_that_still_holds() {
    let bench = Bench::new();
    let (registry, ledger) = (bench.store.registry(), bench.store.ledger());
    let (acme, other) = two_tenants(registry).await;
    assert_eq!(ledger.adopt(&adoption(&acme, "call-1")).unwrap_err(), Taken, "nobody asked");
    assert_eq!(owner(ledger, ClaimKind::Conversation, "call-1").await, "-");
    registry.register_conversation(conversation(&other, "call-1")).await.unwrap();
    assert_eq!(ledger.adopt(&adoption(&acme, "call-1")).unwrap_err(), Taken, "registered since");
    assert_eq!(owner(ledger, ClaimKind::Conversation, "call-1").await, "other");
    assert_eq!(ledger.adopt(&adoption(&acme, "call-1")).unwrap_err(), Taken);
    assert_eq!(owner(ledger, ClaimKind::Conversation, "call-2").await, "-");
    let nobody = adoption(&tenant("nobody"), "call-2");
    assert_eq!(ledger.adopt(&nobody).unwrap_err(), Taken, "there is no such tenant");
    registry.add_erasure(ErasureTarget::Tenant(acme.clone()), NOW).await.unwrap();
    assert_eq!(owner(ledger, ClaimKind::Conversation, "call-2").await, "-");
    assert_eq!(ledger.adopt(&adoption(&acme, "call-2")).unwrap_err(), Taken, "it is erased");
}

#[tokio::test]
async fn what_one_tenant_adopted_it_may_register() {
    let bench = Bench::new();
    let (registry, ledger) = (bench.store.registry(), bench.store.ledger());
    let (acme, _) = two_tenants(registry).await;
    let adopting = adopt(ledger, &acme, "call-1").await.unwrap();
    let number = Some("phone-1".to_owned());
    let row = hookgate_store::Conversation {
        phone_number_id: number.clone(),
        ..conversation(&acme, "call-1")
    };
    let made = registry.register_conversation(row).await.unwrap();
    let Written::Created(made) = made else { panic!("it becomes a registered one: {made:?}") };
    assert_eq!((made.agent_id.as_deref(), &made.phone_number_id), (Some("agent-1"), &number));
    // The registration stands, whatever becomes of the event.
    drop(adopting);
    let told = ledger.consult("vapi", &[claim(ClaimKind::Conversation, "call-1")]).await.unwrap();
    let known = told.conversation.unwrap();
    assert_eq!((known.origin, known.agent_id.as_deref()), (Origin::Registered, Some("agent-1")));
}

#[tokio::test]
async fn nothing_belongs_to_a_tenant_that_is_being_erased() {
    let bench = Bench::new();
    let (registry, ledger) = (bench.store.registry(), bench.store.ledger());
    let (acme, other) = two_tenants(registry).await;
    registry.bind(binding(&acme, ClaimKind::Agent, "agent-1")).await.unwrap();
    registry.register_conversation(conversation(&acme, "call-1")).await.unwrap();
    adopt(ledger, &acme, "call-2").await.unwrap().keep(u64::MAX);
    let in_flight = adopt(ledger, &acme, "call-3").await.unwrap();
    adopt(ledger, &other, "call-4").await.unwrap().keep(u64::MAX);
    let claims = [
        claim(ClaimKind::Agent, "agent-1"),
        claim(ClaimKind::Conversation, "call-1"),
        claim(ClaimKind::Conversation, "call-2"),
        claim(ClaimKind::Conversation, "call-3"),
        claim(ClaimKind::Organization, "acme"),
        claim(ClaimKind::Conversation, "call-4"),
    ];
    let before = ledger.consult("vapi", &claims).await.unwrap().owners;
    assert_eq!(before.iter().flatten().count(), 6);
    let target = ErasureTarget::Tenant(acme.clone());
    let erasure = registry.add_erasure(target, NOW).await.unwrap().into_inner();
    let told = ledger.consult("vapi", &claims).await.unwrap();
    assert_eq!(told.owners, [None, None, None, None, None, Some(other.clone())]);
    assert!(told.conversation.is_none() && told.tenants_exist);
    // Others may have what it had; what comes late of it changes nothing.
    registry.bind(binding(&other, ClaimKind::Agent, "agent-1")).await.unwrap();
    adopt(ledger, &other, "call-3").await.unwrap().keep(u64::MAX);
    in_flight.keep(u64::MAX);
    assert_eq!(owner(ledger, ClaimKind::Conversation, "call-3").await, "other");
    registry.finish_erasure(&erasure.id, hookgate_store::Erased::default(), NOW).unwrap();
    add_tenant(registry, "acme").await;
    let told = ledger.consult("vapi", &claims).await.unwrap().owners;
    let o = Some(other);
    assert_eq!(told, [o.clone(), None, None, o.clone(), Some(acme), o]);
}

#[tokio::test]
async fn a_conversation_that_is_erased_is_known_no_more() {
    let bench = Bench::new();
    let (registry, ledger) = (bench.store.registry(), bench.store.ledger());
    let (acme, other) = two_tenants(registry).await;
    registry.register_conversation(conversation(&acme, "call-1")).await.unwrap();
    adopt(ledger, &acme, "call-2").await.unwrap().keep(u64::MAX);
    for id in ["call-1", "call-2"] {
        assert_eq!(owner(ledger, ClaimKind::Conversation, id).await, "acme");
        let (provider, external_id) = ("vapi".to_owned(), id.to_owned());
        let target = ErasureTarget::Conversation { provider, external_id };
        registry.add_erasure(target, NOW).await.unwrap();
        assert_eq!(owner(ledger, ClaimKind::Conversation, id).await, "-");
        registry.register_conversation(conversation(&other, id)).await.unwrap();
        assert_eq!(owner(ledger, ClaimKind::Conversation, id).await, "other");
    }
    // What comes late of it takes nothing from whom it belongs to by then.
    for is_kept in [true, false] {
        let id = format!("call-late-{is_kept}");
        let late = adopt(ledger, &acme, &id).await.unwrap();
        let (provider, external_id) = ("vapi".to_owned(), id.clone());
        let target = ErasureTarget::Conversation { provider, external_id };
        registry.add_erasure(target, NOW).await.unwrap();
        let _newer = adopt(ledger, &other, &id).await.unwrap();
        if is_kept {
            late.keep(0);
        } else {
            drop(late);
        }
        assert_eq!(owner(ledger, ClaimKind::Conversation, &id).await, "other");
    }
}

#[tokio::test]
async fn what_is_in_memory_is_bounded() {
    let bench = Bench::new();
    let (registry, ledger) = (bench.store.registry(), bench.store.ledger());
    let (acme, _) = two_tenants(registry).await;
    registry.bind(binding(&acme, ClaimKind::Agent, "agent-1")).await.unwrap();
    let hot = [claim(ClaimKind::Agent, "agent-1")];
    let mut answers_max = 0;
    for round in 0..90 {
        let id = |number: u32| format!("{round}-{number}");
        let claims: Vec<Claim> =
            (0..1_000).map(|it| claim(ClaimKind::PhoneNumber, &id(it))).collect();
        let told = ledger.consult("vapi", &claims).await.unwrap();
        assert_eq!(told.owners, vec![None; 1_000]);
        assert_eq!(ledger.consult("vapi", &hot).await.unwrap().owners, [Some(acme.clone())]);
        answers_max = answers_max.max(ledger.entries().0);
    }
    assert!((ENTRIES_MAX / 2..=ENTRIES_MAX).contains(&answers_max), "{answers_max}");
    // What is asked all the time was read once.
    assert_eq!(ledger.statements(), 90 * 1_000 + 1);
}

#[tokio::test]
async fn adoptions_leave_memory_when_the_index_has_them_and_stay_known() {
    let bench = Bench::new();
    let (registry, ledger) = (bench.store.registry(), bench.store.ledger());
    let (acme, _) = two_tenants(registry).await;
    let mut in_flight = Vec::new();
    for number in 0..3_000 {
        let adopting = adopt(ledger, &acme, &format!("call-{number}")).await.unwrap();
        match number % 3 {
            // The index has everything up to place 0.
            0 => adopting.keep(0),
            1 => adopting.keep(u64::MAX),
            _ => in_flight.push(adopting),
        }
    }
    let (_, adoptions) = ledger.entries();
    assert!((2_000..3_000).contains(&adoptions), "{adoptions}");
    let statements = ledger.statements();
    for number in 0..3_000 {
        let id = format!("call-{number}");
        assert_eq!(owner(ledger, ClaimKind::Conversation, &id).await, "acme", "{id}");
    }
    assert_eq!(ledger.statements(), statements);
    drop(in_flight);
    assert_eq!(owner(ledger, ClaimKind::Conversation, "call-2").await, "-");
    assert_eq!(owner(ledger, ClaimKind::Conversation, "call-1").await, "acme");
}

/// Runs `work` on two threads at once and gives what both did.
fn race<T: Send>(work: impl Fn(usize) -> T + Sync) -> [T; 2] {
    let barrier = Barrier::new(2);
    let run = |number| {
        barrier.wait();
        work(number)
    };
    std::thread::scope(|scope| {
        let first = scope.spawn(|| run(0));
        let second = run(1);
        [first.join().unwrap(), second]
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_that_adopt_at_once_exactly_one_wins() {
    let bench = Bench::new();
    let (registry, ledger) = (bench.store.registry(), bench.store.ledger());
    let tenants = [add_tenant(registry, "acme").await, add_tenant(registry, "other").await];
    for round in 0..500 {
        let id = format!("call-{round}");
        assert_eq!(owner(ledger, ClaimKind::Conversation, &id).await, "-");
        let outcomes = race(|number| ledger.adopt(&adoption(&tenants[number], &id)));
        let winners: Vec<usize> = (0..2).filter(|it| outcomes[*it].is_ok()).collect();
        let [winner] = winners[..] else { panic!("one wins: {outcomes:?}") };
        let seen = owner(ledger, ClaimKind::Conversation, &id).await;
        assert_eq!(seen, tenants[winner].as_str());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_one_that_adopts_and_one_that_registers_exactly_one_wins() {
    let bench = Bench::new();
    let (registry, ledger) = (bench.store.registry(), bench.store.ledger());
    let (acme, other) = two_tenants(registry).await;
    let runtime = tokio::runtime::Handle::current();
    for round in 0..200 {
        let id = format!("call-{round}");
        assert_eq!(owner(ledger, ClaimKind::Conversation, &id).await, "-");
        let outcomes = tokio::task::block_in_place(|| {
            race(|number| {
                if number == 0 {
                    // Now before, now while, now after the other is at it.
                    for _ in 0..(round % 40) * 20 {
                        let _ = ledger.consult_cached("vapi", &[claim(ClaimKind::Agent, "a")]);
                    }
                    return ledger.adopt(&adoption(&acme, &id)).map(|it| it.keep(u64::MAX)).is_ok();
                }
                let row = conversation(&other, &id);
                runtime.block_on(registry.register_conversation(row)).is_ok()
            })
        });
        let expected = match outcomes {
            [true, false] => "acme",
            [false, true] => "other",
            both => panic!("exactly one: {both:?}"),
        };
        assert_eq!(owner(ledger, ClaimKind::Conversation, &id).await, expected);
    }
}

/// Whose the agent is after so many changes: bound to one, free, bound to the other, free.
fn owner_after(changes: u64) -> &'static str {
    match changes % 4 {
        1 => "acme",
        3 => "other",
        _ => "-",
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_while_it_changes_is_told_what_was_true_meanwhile() {
    const CHANGES: u64 = 400;
    let bench = Bench::new();
    let (registry, ledger) = (bench.store.registry(), bench.store.ledger());
    let (acme, other) = two_tenants(registry).await;
    let (begun, done, asked) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let runtime = tokio::runtime::Handle::current();
    let ask = || {
        while done.load(Ordering::SeqCst) < CHANGES {
            let from = done.load(Ordering::SeqCst);
            let told = runtime.block_on(owner(ledger, ClaimKind::Agent, "agent-1"));
            let to = begun.load(Ordering::SeqCst);
            asked.fetch_add(1, Ordering::SeqCst);
            assert!(
                (from..=to).any(|it| owner_after(it) == told),
                "{told} between {from} and {to}"
            );
        }
    };
    let change = || {
        for number in 0..CHANGES {
            begun.store(number + 1, Ordering::SeqCst);
            runtime.block_on(async {
                match number % 4 {
                    0 => drop(
                        registry.bind(binding(&acme, ClaimKind::Agent, "agent-1")).await.unwrap(),
                    ),
                    2 => drop(
                        registry.bind(binding(&other, ClaimKind::Agent, "agent-1")).await.unwrap(),
                    ),
                    _ => registry.unbind("vapi", ClaimKind::Agent, "agent-1").await.unwrap(),
                }
            });
            done.store(number + 1, Ordering::SeqCst);
        }
    };
    tokio::task::block_in_place(|| {
        std::thread::scope(|scope| {
            let readers = [scope.spawn(ask), scope.spawn(ask)];
            change();
            for reader in readers {
                reader.join().unwrap();
            }
        });
    });
}
