//! The ledger beside a model of it: whatever is registered, bound, adopted, undone and
//! erased, and in whatever order, it says what the model says.

use std::collections::HashMap;
use std::mem::discriminant;
use std::sync::atomic::{AtomicU64, Ordering};

use hookgate_core::attribution::{self, Adoption, Consulted, Origin};
use hookgate_core::event::{Claim, ClaimKind};
use hookgate_core::tenant::TenantId;
use hookgate_store::{
    Adopting, Binding, Conversation, Erased, ErasureTarget, Ledger, Registry, RegistryError,
    Written,
};
use proptest::prelude::*;
use tokio::runtime::Runtime;

use crate::bench::Bench;
use crate::registry::{NOW, tenant};

const TENANTS: u8 = 3;
const IDS: u8 = 3;
const KINDS: [ClaimKind; 2] = [ClaimKind::Agent, ClaimKind::PhoneNumber];
const PROVIDERS: [&str; 2] = ["vapi", "retell"];

#[derive(Clone, Copy, Debug)]
enum Step {
    Add(u8),
    Bind(u8, Id),
    Unbind(Id),
    Register(u8, Call, Option<u8>),
    Adopt(u8, Call),
    Keep(u8),
    Undo(u8),
    EraseTenant(u8),
    Finish(u8),
    EraseConversation(Call),
    /// Some of all claims, by the bits.
    Ask(u32),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Id(&'static str, ClaimKind, u8);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Call(&'static str, u8);

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let provider = || proptest::sample::select(&PROVIDERS[..]);
    let kind = || proptest::sample::select(&KINDS[..]);
    let id = move || (provider(), kind(), 0..IDS).prop_map(|(at, kind, id)| Id(at, kind, id));
    let call = move || (provider(), 0..IDS).prop_map(|(at, id)| Call(at, id));
    let step = prop_oneof![
        2 => (0..TENANTS).prop_map(Step::Add),
        6 => (0..TENANTS, id()).prop_map(|(tenant, id)| Step::Bind(tenant, id)),
        4 => id().prop_map(Step::Unbind),
        4 => (0..TENANTS, call(), proptest::option::of(0..IDS))
            .prop_map(|(tenant, call, agent)| Step::Register(tenant, call, agent)),
        8 => (0..TENANTS, call()).prop_map(|(tenant, call)| Step::Adopt(tenant, call)),
        3 => any::<u8>().prop_map(Step::Keep),
        3 => any::<u8>().prop_map(Step::Undo),
        1 => (0..TENANTS).prop_map(Step::EraseTenant),
        1 => (0..TENANTS).prop_map(Step::Finish),
        1 => call().prop_map(Step::EraseConversation),
        12 => any::<u32>().prop_map(Step::Ask),
    ];
    proptest::collection::vec(step, 1..60)
}

/// What should be known.
#[derive(Default)]
struct Model {
    /// Whether each is being erased.
    tenants: HashMap<u8, bool>,
    owners: HashMap<Id, u8>,
    calls: HashMap<Call, Known>,
    adoptions: u64,
}

#[derive(Clone, Debug)]
struct Known {
    tenant: u8,
    agent: Option<u8>,
    /// The number of its adoption; nothing: registered.
    adoption: Option<u64>,
}

/// One history: its names are its own, so that all of them share a store.
struct Story<'a> {
    registry: &'a Registry,
    ledger: &'a Ledger,
    runtime: &'a Runtime,
    name: u64,
    model: Model,
    in_flight: Vec<(Adopting, Call, u64)>,
}

impl Story<'_> {
    fn tenant(&self, number: u8) -> TenantId {
        tenant(&format!("s{}-t{number}", self.name))
    }

    fn text(&self, number: u8) -> String {
        format!("s{}-{number}", self.name)
    }

    fn is_alive(&self, tenant: u8) -> bool {
        self.model.tenants.get(&tenant) == Some(&false)
    }

    fn known(&self, known: &Known) -> attribution::Conversation {
        attribution::Conversation {
            tenant: self.tenant(known.tenant),
            agent_id: known.agent.map(|it| self.text(it)),
            phone_number_id: None,
            origin: if known.adoption.is_some() { Origin::Adopted } else { Origin::Registered },
        }
    }

    /// Every claim there is, and whose it should be.
    fn claims(&self) -> Vec<(&'static str, Claim, Option<TenantId>)> {
        let mut claims = Vec::new();
        for provider in PROVIDERS {
            for id in 0..IDS {
                for kind in KINDS {
                    let owner = self.model.owners.get(&Id(provider, kind, id));
                    let claim = Claim::new(kind, Some(self.text(id)));
                    claims.push((provider, claim, owner.map(|it| self.tenant(*it))));
                }
                let known = self.model.calls.get(&Call(provider, id));
                let claim = Claim::new(ClaimKind::Conversation, Some(self.text(id)));
                claims.push((provider, claim, known.map(|it| self.tenant(it.tenant))));
            }
            for number in 0..TENANTS {
                let id = self.tenant(number);
                let claim = Claim::new(ClaimKind::Organization, Some(id.to_string()));
                claims.push((provider, claim, self.is_alive(number).then_some(id)));
            }
        }
        claims
    }

    fn ask(&self, mask: u32) {
        for provider in PROVIDERS {
            let asked: Vec<_> = (0..32)
                .zip(self.claims())
                .filter(|(bit, (of, ..))| *of == provider && mask & (1 << bit) != 0)
                .map(|(_, (_, claim, owner))| (claim, owner))
                .collect();
            let claims: Vec<Claim> = asked.iter().map(|(claim, _)| claim.clone()).collect();
            let call = claims.iter().find(|it| it.kind == ClaimKind::Conversation);
            let call =
                call.and_then(|it| it.external_id.as_ref()?.rsplit('-').next()?.parse().ok());
            let call = call.and_then(|it| self.model.calls.get(&Call(provider, it)));
            let expected = Consulted {
                tenants_exist: self.registry.has_tenants(),
                owners: asked.into_iter().map(|(_, owner)| owner).collect(),
                conversation: call.map(|it| self.known(it)),
            };
            if let Some(told) = self.ledger.consult_cached(provider, &claims) {
                assert_eq!(told, expected, "from memory");
            }
            let told = self.runtime.block_on(self.ledger.consult(provider, &claims)).unwrap();
            assert_eq!(told, expected);
            let told = self.ledger.consult_cached(provider, &claims);
            assert_eq!(told, Some(expected), "it is in memory now");
        }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Add(number) => self.add(number),
            Step::Bind(number, id) => self.bind(number, id),
            Step::Unbind(Id(provider, kind, id)) => {
                let is_there = self.model.owners.remove(&Id(provider, kind, id)).is_some();
                let id = self.text(id);
                let done = self.runtime.block_on(self.registry.unbind(provider, kind, &id));
                assert_eq!(done.is_ok(), is_there, "{done:?}");
            }
            Step::Register(number, call, agent) => self.register(number, call, agent),
            Step::Adopt(number, call) => self.adopt(number, call),
            Step::Keep(which) => {
                if let Some((adopting, ..)) = self.pick(which) {
                    adopting.keep(u64::MAX);
                }
            }
            Step::Undo(which) => {
                if let Some((adopting, call, number)) = self.pick(which) {
                    drop(adopting);
                    let known = self.model.calls.get(&call);
                    if known.is_some_and(|it| it.adoption == Some(number)) {
                        self.model.calls.remove(&call);
                    }
                }
            }
            Step::EraseTenant(number) => {
                let target = ErasureTarget::Tenant(self.tenant(number));
                let done = self.runtime.block_on(self.registry.add_erasure(target, NOW));
                let expected = self.model.tenants.get(&number).copied();
                match (done, expected) {
                    (Ok(Written::Created(_)), Some(false))
                    | (Ok(Written::Present(_)), Some(true)) => {
                        self.model.tenants.insert(number, true);
                        self.model.owners.retain(|_, it| *it != number);
                        self.model.calls.retain(|_, it| it.tenant != number);
                    }
                    (Err(RegistryError::NoSuchTenant), None) => {}
                    other => panic!("{other:?}"),
                }
            }
            Step::Finish(number) => self.finish(number),
            Step::EraseConversation(call) => {
                let (provider, external_id) = self.place(call);
                let target = ErasureTarget::Conversation { provider, external_id };
                let erasure = self.runtime.block_on(self.registry.add_erasure(target, NOW));
                let erasure = erasure.unwrap().into_inner();
                self.registry.finish_erasure(&erasure.id, Erased::default(), NOW).unwrap();
                self.model.calls.remove(&call);
            }
            Step::Ask(mask) => self.ask(mask),
        }
    }

    fn place(&self, Call(provider, id): Call) -> (String, String) {
        (provider.to_owned(), self.text(id))
    }

    fn pick(&mut self, which: u8) -> Option<(Adopting, Call, u64)> {
        let count = self.in_flight.len();
        (count > 0).then(|| self.in_flight.swap_remove(which as usize % count))
    }

    fn add(&mut self, number: u8) {
        let id = self.tenant(number);
        let done = self.runtime.block_on(self.registry.add_tenant(id, "T".to_owned(), NOW));
        match (done, self.model.tenants.get(&number)) {
            (Ok(Written::Created(_)), None) => {
                self.model.tenants.insert(number, false);
            }
            (Ok(Written::Present(_)), Some(false)) | (Err(RegistryError::Taken), Some(true)) => {}
            other => panic!("{other:?}"),
        }
    }

    fn bind(&mut self, number: u8, id: Id) {
        let done = self.runtime.block_on(self.registry.bind(Binding {
            tenant: self.tenant(number),
            provider: id.0.to_owned(),
            kind: id.1,
            external_id: self.text(id.2),
            created_at: NOW,
        }));
        match (done, self.is_alive(number), self.model.owners.get(&id).copied()) {
            (Ok(Written::Created(_)), true, None) => {
                self.model.owners.insert(id, number);
            }
            (Ok(Written::Present(_)), true, Some(owner)) if owner == number => {}
            (Err(RegistryError::Taken), true, Some(owner)) if owner != number => {}
            (Err(RegistryError::NoSuchTenant), false, _) => {}
            other => panic!("{other:?}"),
        }
    }

    fn register(&mut self, number: u8, call: Call, agent: Option<u8>) {
        let (provider, external_id) = self.place(call);
        let done = self.runtime.block_on(self.registry.register_conversation(Conversation {
            tenant: self.tenant(number),
            provider,
            external_id,
            agent_id: agent.map(|it| self.text(it)),
            phone_number_id: None,
            origin: Origin::Registered,
            created_at: NOW,
        }));
        let known = self.model.calls.get(&call).cloned();
        let expected = match &known {
            _ if !self.is_alive(number) => Err(RegistryError::NoSuchTenant),
            Some(it) if it.tenant != number => Err(RegistryError::Taken),
            it => Ok(it.as_ref().is_some_and(|it| it.adoption.is_none())),
        };
        match (done, expected) {
            (Ok(done), Ok(is_present)) => {
                assert_eq!(matches!(done, Written::Present(_)), is_present);
                let agent = agent.or(known.and_then(|it| it.agent));
                let registered = Known { tenant: number, agent, adoption: None };
                assert_eq!(done.into_inner().agent_id, agent.map(|it| self.text(it)));
                self.model.calls.insert(call, registered);
            }
            (Err(refused), Err(expected)) => {
                assert_eq!(discriminant(&refused), discriminant(&expected), "{refused:?}");
            }
            other => panic!("{other:?}"),
        }
    }

    fn adopt(&mut self, number: u8, call: Call) {
        let provider = call.0;
        let external_id = self.text(call.1);
        let claim = Claim::new(ClaimKind::Conversation, Some(external_id.clone()));
        self.runtime.block_on(self.ledger.consult(provider, &[claim])).unwrap();
        self.model.adoptions += 1;
        let adoption = Some(self.model.adoptions);
        let known = Known { tenant: number, agent: Some(0), adoption };
        let conversation = self.known(&known);
        let done = self.ledger.adopt(&Adoption { provider, external_id, conversation });
        let is_free = self.is_alive(number) && !self.model.calls.contains_key(&call);
        assert_eq!(done.is_ok(), is_free);
        if let Ok(adopting) = done {
            self.model.calls.insert(call, known);
            self.in_flight.push((adopting, call, self.model.adoptions));
        }
    }

    fn finish(&mut self, number: u8) {
        if self.model.tenants.get(&number) != Some(&true) {
            return;
        }
        let target = ErasureTarget::Tenant(self.tenant(number));
        let running = self.registry.running_erasures().unwrap();
        let erasure = running.into_iter().find(|it| it.target == target).unwrap();
        self.registry.finish_erasure(&erasure.id, Erased::default(), NOW).unwrap();
        self.model.tenants.remove(&number);
    }
}

#[test]
fn whatever_happens_the_ledger_says_what_the_model_says() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let bench = Bench::new();
    let names = AtomicU64::new(0);
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 96,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let result = runner.run(&steps(), |steps| {
        let mut story = Story {
            registry: bench.store.registry(),
            ledger: bench.store.ledger(),
            runtime: &runtime,
            name: names.fetch_add(1, Ordering::Relaxed),
            model: Model::default(),
            in_flight: Vec::new(),
        };
        // Most stories need tenants to tell anything.
        story.take(Step::Add(0));
        story.take(Step::Add(1));
        for step in steps {
            story.take(step);
        }
        story.ask(u32::MAX);
        Ok(())
    });
    result.unwrap();
}
