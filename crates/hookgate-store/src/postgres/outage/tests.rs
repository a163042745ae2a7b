//! The rules, and a small world in which databases fail at every moment.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

fn ms(millis: u64) -> Moment {
    Duration::from_millis(millis)
}

fn index(id: u64) -> usize {
    usize::try_from(id).unwrap()
}

fn live(now: Moment) -> Outage {
    let mut outage = Outage::new(now);
    let probe = outage.begin(Purpose::Probe, now);
    assert!(outage.finished(probe, Ok(()), now));
    outage.drained(0, now);
    assert_eq!(outage.state(), (State::Live, now));
    outage
}

#[test]
fn a_node_that_starts_spools_until_it_has_seen_the_database() {
    let mut outage = Outage::new(ms(5));
    assert_eq!(outage.state().0, State::Spooling(Why::Unreachable));
    assert_eq!(outage.route(), Route::Spool);
    assert_eq!(outage.next(ms(5)), Step::Probe);
}

#[test]
fn a_statement_that_takes_too_long_counts_as_away_and_its_answer_is_not_listened_to() {
    let mut outage = live(ms(0));
    let statement = outage.begin(Purpose::Commit, ms(100));
    assert_eq!(outage.next(ms(100)), Step::Wait(Some(ms(100) + STATEMENT_MAX)));
    assert!(!outage.tick(ms(2_099)));
    assert_eq!(outage.route(), Route::Direct);
    assert!(outage.tick(ms(2_100)));
    assert_eq!(outage.state(), (State::Spooling(Why::Slow), ms(2_100)));
    assert_eq!(outage.route(), Route::Spool);
    assert!(!outage.finished(statement, Ok(()), ms(2_101)));
    assert_eq!(outage.state().0, State::Spooling(Why::Slow));
    assert_eq!(outage.outages(), 1);
}

#[test]
fn a_database_that_is_away_is_looked_for_at_least_every_two_seconds() {
    let mut outage = live(ms(0));
    outage.fail(Why::ReadOnly, ms(0));
    let mut now = ms(0);
    let mut pauses = Vec::new();
    for _ in 0..9 {
        let Step::Wait(Some(at)) = outage.next(now) else { panic!("it is too early") };
        pauses.push(at.saturating_sub(now).as_millis());
        now = at;
        assert_eq!(outage.next(now), Step::Probe);
        let probe = outage.begin(Purpose::Probe, now);
        assert_ne!(outage.next(now), Step::Probe, "one at a time");
        assert!(outage.finished(probe, Err(Why::Unreachable), now));
    }
    assert_eq!(pauses, [100, 200, 400, 800, 1_600, 2_000, 2_000, 2_000, 2_000]);
    assert_eq!(outage.state(), (State::Spooling(Why::Unreachable), ms(0)));
}

#[test]
fn nothing_goes_to_the_database_before_what_is_on_its_way_into_the_spool() {
    let mut outage = live(ms(0));
    outage.fail(Why::Unreachable, ms(0));
    assert_eq!(outage.route(), Route::Spool);
    let probe = outage.begin(Purpose::Probe, ms(100));
    assert!(outage.finished(probe, Ok(()), ms(101)));
    // The spool is empty, but one event is not in it yet.
    outage.drained(0, ms(102));
    assert_eq!(outage.state().0, State::Draining);
    assert_eq!(outage.route(), Route::Spool);
    outage.arrived();
    outage.drained(1, ms(103));
    outage.arrived();
    assert_eq!(outage.state().0, State::Draining);
    outage.drained(0, ms(104));
    assert_eq!(outage.state().0, State::Live);
}

#[test]
fn only_the_last_of_the_spool_is_waited_for_and_not_for_long() {
    let mut outage = live(ms(0));
    outage.fail(Why::Unreachable, ms(0));
    let probe = outage.begin(Purpose::Probe, ms(100));
    assert!(outage.finished(probe, Ok(()), ms(100)));
    let batch = |outage: &mut Outage, from: u64, to: u64, left: u64| {
        let statement = outage.begin(Purpose::Drain, ms(from));
        assert!(outage.finished(statement, Ok(()), ms(to)));
        outage.drained(left, ms(to));
    };
    batch(&mut outage, 100, 110, HAND_OVER_ENTRIES + 1);
    assert_eq!(outage.route(), Route::Spool);
    outage.arrived();
    batch(&mut outage, 110, 1_110, HAND_OVER_ENTRIES);
    assert_eq!(outage.route(), Route::Spool, "the database is slow");
    outage.arrived();
    batch(&mut outage, 1_110, 1_120, HAND_OVER_ENTRIES);
    assert_eq!(outage.route(), Route::Hold);
    assert!(!outage.tick(ms(1_120) + HAND_OVER_MAX));
    assert_eq!(outage.route(), Route::Spool, "it takes too long");
    outage.arrived();
    batch(&mut outage, 2_000, 2_010, 3);
    assert_eq!(outage.route(), Route::Hold);
    batch(&mut outage, 2_010, 2_020, 0);
    assert_eq!(outage.route(), Route::Direct);
}

#[test]
fn batches_shrink_when_the_database_is_slow_and_grow_again() {
    let mut outage = live(ms(0));
    let mut now = ms(0);
    for expected in [512, 256, 128, 64, 32, 16, 8, 4, 2, 1, 1] {
        outage.fail(Why::Slow, now);
        let probe = outage.begin(Purpose::Probe, now);
        assert!(outage.finished(probe, Ok(()), now));
        assert_eq!(outage.next(now), Step::Drain(expected));
        outage.begin(Purpose::Drain, now);
        now += DRAIN_MAX;
        assert!(outage.tick(now));
    }
    let probe = outage.begin(Purpose::Probe, now);
    assert!(outage.finished(probe, Ok(()), now));
    let drain = outage.begin(Purpose::Drain, now);
    assert!(outage.finished(drain, Ok(()), now));
    outage.drained(1_000, now);
    assert_eq!(outage.next(now), Step::Drain(2));
}

/// What the database does with a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    Well,
    Away,
    /// It takes six seconds.
    Slow,
    /// Nothing comes back; what was sent lands when the network is well again.
    Frozen,
    /// It is done, and the answer is lost.
    Deaf,
    ReadOnly,
}

#[derive(Clone, Copy, Debug)]
enum Act {
    Arrive,
    Turn(Mood),
    Pass(u64),
    /// With this, the statements that are under way land; without, they do not.
    Crash(bool),
}

/// A statement under way.
#[derive(Debug)]
struct Running {
    statement: Statement,
    ids: Vec<u64>,
    /// When its answer comes, if one comes.
    answer: Option<(Moment, Result<(), Why>)>,
    /// When it takes effect, if that is known.
    lands: Option<Moment>,
    /// It takes effect when the network thaws.
    is_frozen: bool,
    is_answered: bool,
}

#[derive(Debug, Default)]
struct World {
    now: Moment,
    outage: Option<Outage>,
    mood: Option<Mood>,
    /// The event table, in order.
    database: Vec<u64>,
    running: Vec<Running>,
    spool: VecDeque<u64>,
    /// Direct ones that wait for the next commit; held ones.
    waiting: Vec<u64>,
    held: Vec<u64>,
    clock: u64,
    last_id: u64,
    /// By id: when it came, and when it was acknowledged.
    arrived: Vec<u64>,
    acknowledged: Vec<Option<u64>>,
}

impl World {
    fn new() -> Self {
        let mut world = Self { mood: Some(Mood::Well), ..Self::default() };
        world.outage = Some(Outage::new(world.now));
        world
    }

    fn outage(&mut self) -> &mut Outage {
        self.outage.as_mut().unwrap()
    }

    fn acknowledge(&mut self, id: u64) {
        self.clock += 1;
        self.acknowledged[index(id)].get_or_insert(self.clock);
    }

    fn arrive(&mut self) {
        self.clock += 1;
        self.arrived.push(self.clock);
        self.acknowledged.push(None);
        let id = self.last_id;
        self.last_id += 1;
        self.send(id);
    }

    fn send(&mut self, id: u64) {
        match self.outage().route() {
            Route::Direct => self.waiting.push(id),
            Route::Hold => self.held.push(id),
            Route::Spool => {
                self.spool.push_back(id);
                self.outage().arrived();
                self.acknowledge(id);
            }
        }
    }

    /// Begins a statement as the database is now.
    fn run(&mut self, purpose: Purpose, ids: Vec<u64>) {
        let now = self.now;
        let statement = self.outage().begin(purpose, now);
        let quick = now + ms(20);
        let slow = now + ms(6_000);
        let (answer, lands) = match self.mood.unwrap() {
            Mood::Well => (Some((quick, Ok(()))), Some(quick)),
            Mood::Away => (Some((now + ms(1), Err(Why::Unreachable))), None),
            Mood::ReadOnly => (Some((quick, Err(Why::ReadOnly))), None),
            Mood::Slow => (Some((slow, Ok(()))), Some(slow)),
            Mood::Deaf => (Some((quick, Err(Why::Unreachable))), Some(quick)),
            Mood::Frozen => (None, None),
        };
        let is_frozen = self.mood == Some(Mood::Frozen);
        self.running.push(Running { statement, ids, answer, lands, is_frozen, is_answered: false });
    }

    /// As the unique id in the table has it: what is there is not stored again.
    fn store(&mut self, ids: &[u64]) {
        for id in ids {
            if !self.database.contains(id) {
                self.database.push(*id);
            }
        }
    }

    /// Does all that is due now.
    fn settle(&mut self) {
        loop {
            for at in 0..self.running.len() {
                if self.running[at].lands.is_some_and(|it| it <= self.now) {
                    self.running[at].lands = None;
                    let ids = self.running[at].ids.clone();
                    self.store(&ids);
                }
            }
            let now = self.now;
            let before = self.outage().state().0;
            let is_answered =
                |it: &Running| !it.is_answered && it.answer.is_some_and(|(at, _)| at <= now);
            if let Some(at) = self.running.iter().position(is_answered) {
                self.running[at].is_answered = true;
                let (statement, ids) = (self.running[at].statement, self.running[at].ids.clone());
                let outcome = self.running[at].answer.unwrap().1;
                let counts = self.outage().finished(statement, outcome, now);
                if counts && outcome.is_ok() {
                    self.succeeded(statement.purpose, &ids);
                } else if counts {
                    self.reroute(before);
                }
                continue;
            }
            if self.outage().tick(now) {
                self.reroute(before);
                continue;
            }
            let held = std::mem::take(&mut self.held);
            for id in held {
                self.send(id);
            }
            self.running.retain(|it| !it.is_answered || it.lands.is_some());
            let commits = self.outage().statements.iter();
            let is_committing = commits.clone().any(|it| it.purpose == Purpose::Commit);
            if !is_committing && !self.waiting.is_empty() {
                let ids = std::mem::take(&mut self.waiting);
                if self.outage().state().0 == State::Live {
                    self.run(Purpose::Commit, ids);
                } else {
                    for id in ids {
                        self.send(id);
                    }
                }
                continue;
            }
            match self.outage().next(now) {
                Step::Wait(_) => return,
                Step::Probe => self.run(Purpose::Probe, Vec::new()),
                Step::Drain(many) if self.spool.is_empty() => {
                    assert!(many > 0);
                    self.outage().drained(0, now);
                    assert_eq!(self.outage().state().0, State::Live);
                }
                Step::Drain(many) => {
                    let ids = self.spool.iter().take(many).copied().collect();
                    self.run(Purpose::Drain, ids);
                }
            }
        }
    }

    fn succeeded(&mut self, purpose: Purpose, ids: &[u64]) {
        match purpose {
            Purpose::Probe => {}
            Purpose::Commit => ids.iter().for_each(|it| self.acknowledge(*it)),
            Purpose::Drain => {
                for id in ids {
                    assert_eq!(self.spool.pop_front(), Some(*id));
                }
                let (left, now) = (self.spool.len() as u64, self.now);
                self.outage().drained(left, now);
            }
        }
    }

    /// The database went away: who waited for it goes another way, under the same ids.
    fn reroute(&mut self, before: State) {
        if before != State::Live {
            return;
        }
        let running = self.running.iter().filter(|it| it.statement.purpose == Purpose::Commit);
        let mut ids: Vec<u64> = running.flat_map(|it| it.ids.clone()).collect();
        ids.append(&mut self.waiting);
        for id in ids {
            if self.acknowledged[index(id)].is_none() {
                self.send(id);
            }
        }
    }

    fn turn(&mut self, mood: Mood) {
        self.mood = Some(mood);
        if mood != Mood::Frozen {
            for it in &mut self.running {
                if std::mem::take(&mut it.is_frozen) {
                    it.lands = Some(self.now + ms(1));
                    it.answer = Some((self.now + ms(1), Ok(())));
                }
            }
        }
    }

    fn pass(&mut self, millis: u64) {
        let end = self.now + ms(millis);
        loop {
            self.settle();
            let now = self.now;
            let Step::Wait(next) = self.outage().next(now) else { panic!("it is settled") };
            let answers = self.running.iter().filter(|it| !it.is_answered);
            let answers = answers.filter_map(|it| it.answer.map(|(at, _)| at));
            let lands = self.running.iter().filter_map(|it| it.lands);
            let next = next.into_iter().chain(answers).chain(lands).min();
            let Some(next) = next.filter(|it| *it <= end) else { break };
            assert!(next > now, "time goes on");
            self.now = next;
        }
        self.now = end;
        self.settle();
    }

    /// The process ends; what it had told the database may still happen.
    fn crash(&mut self, lands: bool) {
        for it in std::mem::take(&mut self.running) {
            if lands {
                let ids = it.ids;
                self.store(&ids);
            }
        }
        self.waiting.clear();
        self.held.clear();
        self.outage = Some(Outage::new(self.now));
    }
}

fn act() -> impl Strategy<Value = Act> {
    let mood = prop_oneof![
        3 => Just(Mood::Well),
        1 => Just(Mood::Away),
        1 => Just(Mood::Slow),
        1 => Just(Mood::Frozen),
        1 => Just(Mood::Deaf),
        1 => Just(Mood::ReadOnly),
    ];
    prop_oneof![
        8 => Just(Act::Arrive),
        3 => mood.prop_map(Act::Turn),
        6 => prop_oneof![0..40_u64, 40..3_000_u64, 3_000..15_000_u64].prop_map(Act::Pass),
        1 => any::<bool>().prop_map(Act::Crash),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn every_acknowledged_event_is_stored_once_and_in_order_whatever_fails_when(
        acts in proptest::collection::vec(act(), 1..120)
    ) {
        let mut world = World::new();
        for act in acts {
            match act {
                Act::Arrive => world.arrive(),
                Act::Turn(mood) => world.turn(mood),
                Act::Pass(millis) => world.pass(millis),
                Act::Crash(lands) => world.crash(lands),
            }
            world.settle();
            // Whoever is not answered waits for a statement that has a deadline.
            prop_assert!(world.waiting.is_empty() || !world.running.is_empty());
        }
        world.turn(Mood::Well);
        world.pass(60_000);
        prop_assert_eq!(world.outage().state().0, State::Live);
        prop_assert!(world.spool.is_empty() && world.waiting.is_empty() && world.held.is_empty());
        let place = |id: u64| world.database.iter().position(|it| *it == id);
        let acknowledged = (0..world.last_id).filter_map(|id| {
            let at = world.acknowledged[index(id)]?;
            Some((id, world.arrived[index(id)], at))
        });
        let acknowledged: Vec<_> = acknowledged.collect();
        for (id, ..) in &acknowledged {
            prop_assert_eq!(world.database.iter().filter(|it| *it == id).count(), 1);
        }
        for (first, _, done) in &acknowledged {
            for (second, came, _) in &acknowledged {
                if done < came {
                    prop_assert!(place(*first) < place(*second), "{} before {}", first, second);
                }
            }
        }
    }

}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    #[test]
    fn a_steady_stream_leaves_the_spool_when_the_database_is_well(
        pause in 3..15_u64, away in 100..4_000_u64
    ) {
        let mut world = World::new();
        world.pass(1_000);
        prop_assert_eq!(world.outage().state().0, State::Live);
        let mut stream = |mood: Mood, millis: u64| {
            world.turn(mood);
            for _ in 0..millis / pause {
                world.arrive();
                world.pass(pause);
            }
            (world.outage().state().0, world.spool.len())
        };
        let (state, spooled) = stream(Mood::Away, away);
        prop_assert_eq!(state, State::Spooling(Why::Unreachable));
        prop_assert!(spooled > 0);
        prop_assert_eq!(stream(Mood::Well, 5_000), (State::Live, 0), "under load");
    }
}
