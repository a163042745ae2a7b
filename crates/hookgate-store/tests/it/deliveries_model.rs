//! Deliveries beside a model of them: whatever comes, is leased, settled, lost, retried and
//! interrupted, nothing is lost, nothing is tried twice at once, and order holds.

#![expect(clippy::indexing_slicing, reason = "places are drawn within the model")]

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use hookgate_core::delivery::NextState;
use hookgate_core::tenant::Scope;
use hookgate_core::time::Timestamp;
use hookgate_store::{
    DeliveryFilter, DeliveryId, DeliveryStatus, Destination, Leased, NewDelivery, Replaying,
};
use proptest::prelude::*;
use serde_json::json;
use tokio::runtime::Runtime;

use crate::bench::Bench;
use crate::deliveries::{DOWN, OK, add, enqueue, event, lease, seconds, settle_one, settling};

#[derive(Clone, Copy, Debug)]
enum Step {
    /// So many events of a conversation, for this destination.
    Enqueue(u8, u8, u8),
    /// So many are leased.
    Lease(u8),
    /// One that is leased ends, well or badly.
    Settle(u8, bool),
    /// Whoever has it never says what became of it.
    Forget(u8),
    /// So many seconds pass.
    Wait(u16),
    /// The process is killed.
    Crash,
    /// One that was given up, or waits, is to be tried now.
    Retry(u8),
    /// An event is delivered once more.
    Replay(u8),
    /// The destination wants order, or not.
    Order(u8, bool),
}

const CONVERSATIONS: u8 = 3;
const DESTINATIONS: u8 = 2;

fn steps(is_plain: bool) -> impl Strategy<Value = Vec<Step>> {
    let others = u32::from(!is_plain);
    let step = prop_oneof![
        6 => (0..DESTINATIONS, 0..CONVERSATIONS, 1_u8..5)
            .prop_map(|(to, of, count)| Step::Enqueue(to, of, count)),
        8 => (1_u8..12).prop_map(Step::Lease),
        12 => (any::<u8>(), proptest::bool::weighted(0.6))
            .prop_map(|(which, is_well)| Step::Settle(which, is_well)),
        1 => any::<u8>().prop_map(Step::Forget),
        4 => (0_u16..2_000).prop_map(Step::Wait),
        1 => Just(Step::Crash),
        2 * others => any::<u8>().prop_map(Step::Retry),
        2 * others => any::<u8>().prop_map(Step::Replay),
        others => (0..DESTINATIONS, any::<bool>()).prop_map(|(which, is)| Step::Order(which, is)),
    ];
    proptest::collection::vec(step, 1..60)
}

struct Story<'a> {
    runtime: &'a Runtime,
    bench: Option<Bench>,
    destinations: Vec<Destination>,
    is_plain: bool,
    now: Timestamp,
    number: u64,
    made: Vec<NewDelivery>,
    /// How many deliveries there should be.
    count: usize,
    /// Whoever has one: until when.
    leased: Vec<(Leased, Timestamp)>,
    /// What was tried well, in order, by destination and conversation.
    arrived: HashMap<(u128, String), Vec<u64>>,
}

impl Story<'_> {
    fn bench(&self) -> &Bench {
        self.bench.as_ref().unwrap()
    }

    fn enqueue(&mut self, to: u8, of: u8, count: u8) {
        let destination = &self.destinations[to as usize];
        let mut made = Vec::new();
        for _ in 0..count {
            self.number += 1;
            let conversation = Some(format!("conversation-{of}"));
            made.push(NewDelivery { conversation, ..event(destination, self.number) });
        }
        self.count += made.len();
        self.made.extend(made.iter().cloned());
        self.runtime.block_on(enqueue(self.bench().store.registry(), made, self.now));
    }

    fn lease(&mut self, limit: u32) -> usize {
        let leased = self.runtime.block_on(lease(self.bench().store.registry(), self.now, limit));
        let until = self.now.plus(Duration::from_secs(30));
        self.leased.retain(|(_, until)| *until > self.now);
        let held: HashSet<DeliveryId> = self.leased.iter().map(|(it, _)| it.delivery).collect();
        for one in &leased {
            assert!(!held.contains(&one.delivery), "{one:?} is leased twice at once");
        }
        let distinct: HashSet<_> = leased.iter().map(|it| it.delivery).collect();
        assert_eq!(distinct.len(), leased.len());
        let count = leased.len();
        assert!(count <= limit as usize);
        self.leased.extend(leased.into_iter().map(|it| (it, until)));
        if self.is_plain {
            let mut lanes = HashSet::new();
            for (one, _) in &self.leased {
                let lane = (one.destination, self.conversation(one));
                assert!(lanes.insert(lane), "two of a conversation are under way");
            }
        }
        count
    }

    fn conversation(&self, leased: &Leased) -> String {
        let made = self.made.iter().find(|it| it.seq == leased.seq).unwrap();
        made.conversation.clone().unwrap()
    }

    fn settle(&mut self, which: u8, is_well: bool) {
        if self.leased.is_empty() {
            return;
        }
        let (leased, until) = self.leased.remove(which as usize % self.leased.len());
        let outcome = if is_well { OK } else { DOWN };
        let settling = settling(&leased, outcome, self.now);
        let settled = settle_one(self.bench().store.registry(), settling);
        let settled = self.runtime.block_on(settled);
        assert!(settled.is_some() || until <= self.now, "{leased:?} was lost within its lease");
        if settled.is_some_and(|it| it.state == NextState::Delivered) {
            let lane = (leased.destination.0.as_u128(), self.conversation(&leased));
            self.arrived.entry(lane).or_default().push(leased.seq);
        }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Enqueue(to, of, count) => self.enqueue(to, of, count),
            Step::Lease(limit) => drop(self.lease(u32::from(limit))),
            Step::Settle(which, is_well) => self.settle(which, is_well),
            Step::Forget(which) => {
                if !self.leased.is_empty() {
                    self.leased.remove(which as usize % self.leased.len());
                }
            }
            Step::Wait(seconds) => self.now = self.now.plus(Duration::from_secs(seconds.into())),
            Step::Crash => {
                self.bench = self.bench.take().map(Bench::reopen);
                for (lost, _) in std::mem::take(&mut self.leased) {
                    let settling = settling(&lost, OK, self.now);
                    let settled = settle_one(self.bench().store.registry(), settling);
                    assert_eq!(self.runtime.block_on(settled), None);
                }
            }
            Step::Retry(which) => {
                let registry = self.bench().store.registry();
                let any = DeliveryFilter::default();
                let all = registry.deliveries(&Scope::Operator, any, None, 10_000);
                let all = self.runtime.block_on(all).unwrap();
                let Some(one) = (!all.is_empty()).then(|| &all[which as usize % all.len()]) else {
                    return;
                };
                let retried = registry.retry_delivery(&Scope::Operator, one.id, self.now);
                self.runtime.block_on(retried).unwrap();
            }
            Step::Replay(which) => {
                let Some(made) =
                    (!self.made.is_empty()).then(|| &self.made[which as usize % self.made.len()])
                else {
                    return;
                };
                let made = vec![made.clone()];
                let registry = self.bench().store.registry();
                let replayed = registry.replay_deliveries(
                    &Scope::Operator,
                    made,
                    Replaying::default(),
                    self.now,
                );
                assert_eq!(self.runtime.block_on(replayed).unwrap(), Some(1));
                self.count += 1;
            }
            Step::Order(which, ordered) => {
                let id = self.destinations[which as usize].id;
                let settings = crate::deliveries::settings(&json!({"ordered": ordered}));
                let registry = self.bench().store.registry();
                let changed = registry.change_destination(&Scope::Operator, id, settings, self.now);
                self.runtime.block_on(changed).unwrap();
            }
        }
    }

    /// The endpoint is well from now on: everything arrives.
    fn end(mut self) {
        self.leased.clear();
        for _ in 0..2_000 {
            while self.lease(100) > 0 {
                while !self.leased.is_empty() {
                    self.settle(0, true);
                }
            }
            let next = self.bench().store.registry().next_delivery();
            let Some(next) = self.runtime.block_on(next).unwrap() else { break };
            // Whoever looked found nothing, so it is later; or it was too early, and mended.
            self.now = next.max(self.now);
        }
        let any = DeliveryFilter::default();
        let all = self.bench().store.registry().deliveries(&Scope::Operator, any, None, 10_000);
        let all = self.runtime.block_on(all).unwrap();
        assert_eq!(all.len(), self.count, "none is lost and none is made up");
        for delivery in &all {
            let is_over = [DeliveryStatus::Delivered, DeliveryStatus::Failed];
            assert!(is_over.contains(&delivery.status), "{delivery:?} is stuck");
        }
        if self.is_plain {
            for arrived in self.arrived.values() {
                assert!(arrived.is_sorted(), "out of order: {arrived:?}");
            }
        }
    }
}

fn check(is_plain: bool, cases: u32) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases,
        failure_persistence: None,
        max_shrink_iters: 200,
        ..ProptestConfig::default()
    });
    let result = runner.run(&steps(is_plain), |steps| {
        let bench = Bench::new();
        let mut destinations = Vec::new();
        for number in 0..DESTINATIONS {
            let settings = json!({"ordered": is_plain || number == 0});
            let registry = bench.store.registry();
            destinations.push(runtime.block_on(add(
                registry,
                None,
                u128::from(number) + 1,
                &settings,
            )));
        }
        let mut story = Story {
            runtime: &runtime,
            bench: Some(bench),
            destinations,
            is_plain,
            now: seconds(0),
            number: 0,
            made: Vec::new(),
            count: 0,
            leased: Vec::new(),
            arrived: HashMap::new(),
        };
        for step in steps {
            story.take(step);
        }
        story.end();
        Ok(())
    });
    result.unwrap();
}

#[test]
fn whatever_happens_everything_arrives_in_order() {
    check(true, 24);
}

#[test]
fn whatever_happens_with_replays_and_retries_nothing_is_lost_or_stuck() {
    check(false, 24);
}
