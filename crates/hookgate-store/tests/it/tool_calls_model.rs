//! Tool calls beside a model of them: whatever begins, takes over and ends, and in whatever
//! order, an effect has one attempt at a time.

#![expect(clippy::indexing_slicing, reason = "places are drawn within the model")]

use std::sync::atomic::{AtomicU64, Ordering};

use hookgate_core::tenant::{Scope, TenantId};
use hookgate_store::{Begun, NewToolCall, Registry, RegistryError, ToolCallId, ToolCallState};
use proptest::prelude::*;
use tokio::runtime::Runtime;
use uuid::Uuid;

use crate::bench::Bench;
use crate::registry::add_tenant;
use crate::tool_calls::{finished, new_call};

const EFFECTS: u8 = 2;
const ENDS: [ToolCallState; 4] = [
    ToolCallState::Succeeded,
    ToolCallState::Refused,
    ToolCallState::Failed,
    ToolCallState::Unknown,
];

#[derive(Clone, Copy, Debug)]
enum Step {
    /// With this effect, or none.
    Begin(Option<u8>),
    /// A call that is there, by its number, begins again under its id.
    BeginAgain(u8),
    /// A call that is there takes over from another.
    Take(u8, u8),
    /// A call that is there ends.
    Finish(u8, ToolCallState),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => proptest::option::weighted(0.9, 0..EFFECTS).prop_map(Step::Begin),
        1 => any::<u8>().prop_map(Step::BeginAgain),
        4 => any::<(u8, u8)>().prop_map(|(own, of)| Step::Take(own, of)),
        4 => (any::<u8>(), proptest::sample::select(&ENDS[..]))
            .prop_map(|(which, state)| Step::Finish(which, state)),
    ];
    proptest::collection::vec(step, 1..40)
}

/// What should be kept of one.
#[derive(Clone, Debug, PartialEq)]
struct Row {
    id: ToolCallId,
    /// What it began with.
    wanted: Option<u8>,
    effect: Option<u8>,
    generation: u32,
    state: ToolCallState,
    repeats: Option<ToolCallId>,
}

struct Story<'a> {
    registry: &'a Registry,
    runtime: &'a Runtime,
    tenant: &'a TenantId,
    /// Its ids and effects are its own, so that all of them share a store.
    name: u64,
    rows: Vec<Row>,
    begun: u64,
}

impl Story<'_> {
    fn effect(&self, effect: u8) -> [u8; 32] {
        let mut bytes = [effect; 32];
        bytes[..8].copy_from_slice(&self.name.to_be_bytes());
        bytes
    }

    fn call(&self, id: ToolCallId, effect: Option<u8>) -> NewToolCall {
        let event = hookgate_store::EventId(Uuid::from_u64_pair(self.name, 0));
        let effect = effect.map(|it| self.effect(it));
        NewToolCall { id, event, effect, ..new_call(self.tenant, 0) }
    }

    fn pick(&self, which: u8) -> Option<usize> {
        (!self.rows.is_empty()).then(|| which as usize % self.rows.len())
    }

    fn latest(&self, effect: Option<u8>) -> Option<&Row> {
        self.rows.iter().rev().find(|it| it.effect.is_some() && it.effect == effect)
    }

    fn begin(&mut self, id: ToolCallId, effect: Option<u8>) {
        let call = self.call(id, effect);
        let begun = self.runtime.block_on(self.registry.begin_tool_call(call)).unwrap();
        let mut row = Row {
            id,
            wanted: effect,
            effect,
            generation: 0,
            state: ToolCallState::Started,
            repeats: None,
        };
        match self.latest(effect) {
            Some(it) if [ToolCallState::Failed, ToolCallState::Refused].contains(&it.state) => {
                row.generation = it.generation + 1;
            }
            Some(it) => {
                let Begun::Earlier(found) = &begun else { panic!("{begun:?}") };
                assert_eq!(found.id, it.id);
                (row.effect, row.repeats) = (None, Some(it.id));
            }
            None => row.generation = u32::from(effect.is_some()),
        }
        if row.repeats.is_none() {
            assert_eq!(begun, Begun::Fresh { generation: row.generation });
        }
        self.rows.push(row);
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Begin(effect) => {
                self.begun += 1;
                self.begin(ToolCallId(Uuid::from_u64_pair(self.name, self.begun)), effect);
            }
            Step::BeginAgain(which) => {
                let Some(place) = self.pick(which) else { return };
                let row = self.rows[place].clone();
                if row.repeats.is_some() && row.state == ToolCallState::Started {
                    self.rows.remove(place);
                    self.begin(row.id, row.wanted);
                } else {
                    let call = self.call(row.id, None);
                    let done = self.runtime.block_on(self.registry.begin_tool_call(call));
                    assert!(matches!(done, Err(RegistryError::Taken)), "{done:?}");
                }
            }
            Step::Take(own, of) => {
                let (Some(own), Some(of)) = (self.pick(own), self.pick(of)) else { return };
                let (row, of) = (self.rows[own].clone(), self.rows[of].clone());
                let Some(wanted) = row.wanted else { return };
                let effect = self.effect(wanted);
                let next = of.generation + 1;
                let taking = self.registry.take_tool_effect(row.id, of.id, effect, next);
                let took = self.runtime.block_on(taking);
                let is_latest = self.latest(Some(wanted)).is_some_and(|it| it.id == of.id);
                let may_take = row.repeats == Some(of.id) && row.state == ToolCallState::Started;
                match (took, is_latest, may_take) {
                    (Ok(false), false, _) | (Err(RegistryError::NotFound), true, false) => {}
                    (Ok(true), true, true) => {
                        let row = &mut self.rows[own];
                        row.effect = Some(wanted);
                        (row.generation, row.repeats) = (next, None);
                    }
                    other => panic!("{other:?}"),
                }
            }
            Step::Finish(which, state) => {
                let Some(place) = self.pick(which) else { return };
                let end = finished(self.rows[place].id, state);
                self.runtime.block_on(self.registry.finish_tool_call(end)).unwrap();
                self.rows[place].state = state;
            }
        }
    }

    /// That what is kept is what the model says.
    fn look(&self) {
        let event = self.call(ToolCallId(Uuid::nil()), None).event;
        let kept = self.registry.tool_calls_of(&Scope::Operator, event);
        let kept = self.runtime.block_on(kept).unwrap();
        assert_eq!(kept.len(), self.rows.len());
        for (kept, row) in kept.iter().zip(&self.rows) {
            let effect = row.effect.map(|it| self.effect(it));
            assert_eq!((kept.id, kept.effect, kept.generation), (row.id, effect, row.generation));
            assert_eq!((kept.state, kept.repeats), (row.state, row.repeats));
        }
        for effect in 0..EFFECTS {
            let attempts = self.rows.iter().filter(|it| it.effect == Some(effect));
            let attempts: Vec<_> = attempts.map(|it| it.generation).collect();
            assert!(attempts.is_sorted_by(|one, next| one < next), "{attempts:?}");
        }
    }
}

#[test]
fn whatever_happens_an_effect_is_as_the_model_says() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let bench = Bench::new();
    let acme = runtime.block_on(add_tenant(bench.store.registry(), "acme"));
    let names = AtomicU64::new(1);
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 96,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let result = runner.run(&steps(), |steps| {
        let mut story = Story {
            registry: bench.store.registry(),
            runtime: &runtime,
            tenant: &acme,
            name: names.fetch_add(1, Ordering::Relaxed),
            rows: Vec::new(),
            begun: 0,
        };
        for step in steps {
            story.take(step);
        }
        story.look();
        Ok(())
    });
    result.unwrap();
}
