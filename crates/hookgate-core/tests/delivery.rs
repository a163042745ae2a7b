//! Deliveries: what a destination wants, when it is tried again, and what a simulated
//! endpoint gets.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]
#![expect(clippy::arithmetic_side_effects, reason = "numbers of a test are small")]

use std::collections::HashMap;
use std::time::Duration;

use hookgate_core::delivery::schedule::{self, DEFAULT};
use hookgate_core::delivery::{
    Again, AttemptOutcome, Breaker, Comparison, DeliveryState, DestinationError,
    DestinationSettings, Disabled, FAILURES_MAX, NextState, Op, PROBE_AFTER, PROBE_AFTER_MAX, Rate,
    settle,
};
use hookgate_core::time::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};

const NOON: Timestamp = Timestamp::from_millis(1_795_348_800_000);
const OK: AttemptOutcome = AttemptOutcome::Delivered { status: 200 };
const DOWN: AttemptOutcome = AttemptOutcome::Broken { reason: "refused" };
const BUSY: AttemptOutcome = AttemptOutcome::Refused { status: 503, retry_after: None };

fn plain() -> Value {
    json!({"kind": "http", "url": "https://hooks.example/in"})
}

fn with(name: &str, value: Value) -> Result<DestinationSettings, DestinationError> {
    let mut settings = plain();
    settings[name] = value;
    DestinationSettings::read(settings)
}

fn after(outcome: &AttemptOutcome, attempts: u32) -> NextState {
    let again = Again { schedule: &DEFAULT, random: 0.5 };
    settle(&DeliveryState { attempts }, &Breaker::CLOSED, outcome, NOON, &again).state
}

#[test]
fn a_destination_says_what_it_wants_and_little_is_needed() {
    let settings = DestinationSettings::read(plain()).unwrap();
    assert!(settings.wants("call.ended", "retell") && settings.wants("other", "tawk"));
    assert!(settings.matches(&json!({})));
    let some = with("events", json!(["call.*", "message.received"])).unwrap();
    let wanted: Vec<_> =
        ["call.ended", "call.started", "message.received", "message.sent", "other"]
            .into_iter()
            .filter(|kind| some.wants(kind, "vapi"))
            .collect();
    assert_eq!(wanted, ["call.ended", "call.started", "message.received"]);
    let of_one = with("providers", json!(["vapi"])).unwrap();
    assert!(of_one.wants("call.ended", "vapi") && !of_one.wants("call.ended", "retell"));
    let again: Value = serde_json::to_value(&of_one).unwrap();
    assert_eq!(DestinationSettings::read(again).unwrap(), of_one);
}

#[test]
fn what_cannot_be_meant_is_refused_with_what_is_wrong() {
    let cases = [
        ("url", json!("ftp://hooks.example/"), "`url`"),
        ("url", json!("/in"), "`url`"),
        ("url", json!("hooks.example"), "`url`"),
        ("url", json!("https://"), "`url`"),
        ("url", json!("https://ann:secret@hooks.example/"), "`url`"),
        ("url", json!("https://hooks.example/in\r\nX-Evil: 1"), "`url`"),
        ("url", json!("https://hooks.example/a b"), "`url`"),
        ("url", json!("https://hooks.example:0/"), "`url`"),
        ("url", json!("https://hooks.example:99999/"), "`url`"),
        ("url", json!("https://hooks.example:/"), "`url`"),
        ("url", json!("https://hooks.example/#part"), "`url`"),
        ("url", json!("https://hooks.example\\@inside/"), "`url`"),
        ("url", json!(format!("https://hooks.example/{}", "a".repeat(2_048))), "`url`"),
        ("kind", json!("kafka"), "unknown variant"),
        ("format", json!("xml"), "unknown variant"),
        ("colour", json!("red"), "unknown field"),
        ("events", json!([]), "patterns"),
        ("events", json!(vec!["*"; 33]), "patterns"),
        ("events", json!(["call.finished"]), "`call.finished`"),
        ("events", json!(["*.ended"]), "`*.ended`"),
        ("events", json!(["calls*"]), "`calls*`"),
        ("events", json!(["test"]), "`test`"),
        ("providers", json!(["twilio"]), "`twilio`"),
        ("providers", json!(["vapi", "vapi"]), "`vapi`"),
        ("rate_per_second", json!(0), "`rate_per_second` is 1 to 1000"),
        ("rate_per_second", json!(1_001), "`rate_per_second` is 1 to 1000"),
        ("concurrency", json!(0), "`concurrency` is 1 to 64"),
        ("concurrency", json!(65), "`concurrency` is 1 to 64"),
        ("timeout_ms", json!(499), "`timeout_ms` is 500 to 25000"),
        ("timeout_ms", json!(25_001), "`timeout_ms` is 500 to 25000"),
        ("name", json!(" "), "name"),
        ("name", json!("a\u{1b}[2J"), "name"),
        ("template", json!("{{kind}}"), "template"),
        ("filter", json!([{"pointer": "a", "op": "exists"}]), "pointer"),
        ("filter", json!([{"pointer": "/a~2", "op": "exists"}]), "pointer"),
        ("filter", json!([{"pointer": "/a", "op": "gt", "value": true}]), "number"),
        ("filter", json!([{"pointer": "/a", "op": "like", "value": "x"}]), "unknown variant"),
        ("filter", json!(vec![json!({"pointer": "/a", "op": "exists"}); 17]), "comparisons"),
    ];
    for (name, value, says) in cases {
        let error = with(name, value.clone()).expect_err(&format!("{name} {value}")).to_string();
        assert!(error.contains(says), "{name} {value}: {error}");
    }
    assert!(DestinationSettings::read(json!(["http"])).is_err());
    assert!(!DestinationError::Url.to_string().is_empty());
}

#[test]
fn what_can_be_meant_is_taken() {
    let cases = [
        ("url", json!("http://[::1]:8080/in?key=1")),
        ("url", json!("https://hooks.example")),
        ("events", json!(["*"])),
        ("events", json!(["c*", "tool.called"])),
        ("rate_per_second", json!(1_000)),
        ("concurrency", json!(64)),
        ("timeout_ms", json!(25_000)),
        ("name", json!("Büro")),
        ("ordered", json!(true)),
        ("format", json!("cloudevents")),
        ("filter", json!([{"pointer": "", "op": "exists"}])),
    ];
    for (name, value) in cases {
        with(name, value.clone()).unwrap_or_else(|error| panic!("{name} {value}: {error}"));
    }
    let mut slack = plain();
    slack["kind"] = json!("slack");
    slack["template"] = json!("{{kind}}");
    DestinationSettings::read(slack).unwrap();
}

#[test]
fn nothing_that_a_tenant_wrote_is_printed_and_a_secret_url_is_not_shown() {
    let slack = json!({
        "kind": "slack", "url": "https://hooks.slack.com/services/T0/B0/canary",
        "template": "canary", "name": "canary",
        "filter": [{"pointer": "/canary", "op": "eq", "value": "canary"}],
    });
    let slack = DestinationSettings::read(slack).unwrap();
    assert!(!format!("{slack:?}").contains("canary"));
    assert_eq!(slack.shown_url(), "https://hooks.slack.com/…");
    assert_eq!(DestinationSettings::read(plain()).unwrap().shown_url(), "https://hooks.example/in");
}

#[test]
fn a_comparison_means_what_it_says() {
    let document = json!({
        "duration": 61, "cost": 0.5, "at": "2026-11-22T10:00:00Z", "to": "+15551230000",
        "tags": ["vip", 7], "body": {"a/b": {"~": null}}, "big": 9_007_199_254_740_993_u64,
    });
    let cases = [
        ("/duration", Op::Gt, json!(60), true),
        ("/duration", Op::Gt, json!(61), false),
        ("/duration", Op::Ge, json!(61.0), true),
        ("/duration", Op::Lt, json!("70"), false),
        ("/duration", Op::Eq, json!(61.0), true),
        ("/duration", Op::Eq, json!("61"), false),
        ("/cost", Op::Le, json!(1), true),
        ("/cost", Op::Lt, json!(0.25), false),
        ("/big", Op::Gt, json!(9_007_199_254_740_992_u64), true),
        ("/big", Op::Eq, json!(9_007_199_254_740_992_u64), false),
        ("/at", Op::Ge, json!("2026-11-22"), true),
        ("/at", Op::Gt, json!("2026-12-01"), false),
        ("/to", Op::Contains, json!("555"), true),
        ("/tags", Op::Contains, json!("vip"), true),
        ("/tags", Op::Contains, json!(7.0), true),
        ("/tags", Op::Contains, json!("vi"), false),
        ("/body", Op::Contains, json!("a/b"), true),
        ("/body/a~1b/~0", Op::Exists, Value::Null, true),
        ("/body/a~1b/~0", Op::Exists, json!(false), false),
        ("/body/a~1b/~0", Op::Eq, Value::Null, true),
        ("/tags/1", Op::Eq, json!(7), true),
        ("/tags/2", Op::Exists, json!(true), false),
        ("/nowhere", Op::Exists, json!(false), true),
        ("/nowhere", Op::Eq, Value::Null, false),
        ("/nowhere", Op::Ne, json!(1), true),
        ("/nowhere", Op::Lt, json!(1), false),
        ("/duration", Op::Ne, json!(61), false),
    ];
    for (pointer, op, value, expected) in cases {
        let comparison = Comparison { pointer: pointer.to_owned(), op, value };
        comparison.check().unwrap();
        assert_eq!(comparison.holds(&document), expected, "{comparison:?}");
    }
    let both = json!([
        {"pointer": "/duration", "op": "gt", "value": 60},
        {"pointer": "/cost", "op": "gt", "value": 1},
    ]);
    assert!(!with("filter", both).unwrap().matches(&document), "all of them must hold");
}

#[test]
fn the_waits_are_those_that_are_documented() {
    let waits: Vec<_> = (0..)
        .map_while(|made| schedule::wait(&DEFAULT, made, 0.5))
        .map(|it| it.as_secs())
        .collect();
    let documented = [0, 5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400];
    assert_eq!(waits, documented);
    assert_eq!(schedule::attempts_max(&DEFAULT), 10);
    assert_eq!(schedule::wait(&[], 1, 0.5), None, "what is tried once is not tried again");
}

#[test]
fn an_answer_decides_how_a_delivery_goes_on() {
    let in_seconds = |seconds| NextState::Pending { due: NOON.plus(Duration::from_secs(seconds)) };
    let asked = |seconds| AttemptOutcome::Refused {
        status: 429,
        retry_after: Some(Duration::from_secs(seconds)),
    };
    assert_eq!(after(&OK, 0), NextState::Delivered);
    assert_eq!(after(&DOWN, 0), in_seconds(5));
    assert_eq!(after(&BUSY, 1), in_seconds(300));
    assert_eq!(after(&BUSY, 9), NextState::Failed);
    assert_eq!(after(&DOWN, 9), NextState::Failed);
    assert_eq!(after(&asked(60), 0), in_seconds(60), "longer than the schedule says");
    assert_eq!(after(&asked(1), 1), in_seconds(300), "never sooner than the schedule says");
    assert_eq!(after(&asked(u64::MAX), 0), in_seconds(3_600), "and not for ever");
    assert_eq!(after(&asked(60), 9), NextState::Failed, "asking for more gets no more");
    assert_eq!(after(&AttemptOutcome::Gone, 0), NextState::Failed);
    let ours = |may_pass| AttemptOutcome::Ours { reason: "secret", may_pass };
    assert_eq!(after(&ours(false), 0), NextState::DeadOurs);
    assert_eq!(after(&ours(true), 0), in_seconds(5));
    assert_eq!(after(&ours(true), 9), NextState::DeadOurs);
}

#[test]
fn an_endpoint_that_is_gone_is_told_nothing_more() {
    let again = Again { schedule: &DEFAULT, random: 0.5 };
    let state = DeliveryState { attempts: 0 };
    let settled = |outcome| settle(&state, &Breaker::CLOSED, &outcome, NOON, &again);
    assert_eq!(settled(AttemptOutcome::Gone).disables, Some(Disabled::Gone));
    for other in [OK, DOWN, BUSY, AttemptOutcome::Ours { reason: "secret", may_pass: false }] {
        assert_eq!(settled(other).disables, None);
    }
    for reason in Disabled::ALL {
        assert_eq!(Disabled::named(reason.name()), Some(reason));
    }
}

#[test]
fn twenty_failures_in_a_row_open_the_breaker_and_a_success_closes_it() {
    let mut breaker = Breaker::CLOSED;
    for _ in 1..FAILURES_MAX {
        breaker = breaker.after_failure(NOON);
        assert!(!breaker.is_open());
        assert_eq!(breaker.room(NOON, 3, 8), 5);
    }
    assert!(!breaker.after_success().after_failure(NOON).is_open(), "they are not in a row");
    breaker = breaker.after_failure(NOON);
    assert!(breaker.is_open());
    assert_eq!(breaker.room(NOON, 0, 8), 0);
    let soon = NOON.plus(PROBE_AFTER);
    assert_eq!(breaker.room(soon, 0, 8), 1, "one probe");
    assert_eq!(breaker.room(soon, 1, 8), 0, "and not a second one meanwhile");
    assert_eq!(breaker.after_success(), Breaker::CLOSED);
}

#[test]
fn probes_become_rarer_and_what_was_under_way_is_none() {
    let mut breaker = Breaker::CLOSED;
    let mut now = NOON;
    (0..FAILURES_MAX).for_each(|_| breaker = breaker.after_failure(now));
    let straggler = breaker.after_failure(now.plus(Duration::from_secs(1)));
    assert_eq!(straggler.probe_at, breaker.probe_at, "a straggler does not move the probe");
    let mut waits = Vec::new();
    for _ in 0..9 {
        let at = breaker.probe_at.unwrap();
        waits.push(at.ahead(now).as_secs());
        now = at;
        breaker = breaker.after_failure(now);
    }
    assert_eq!(waits, [5, 10, 20, 40, 60, 60, 60, 60, 60]);
    let set_back = Timestamp::from_millis(now.millis() - 86_400_000);
    assert_eq!(breaker.room(set_back, 0, 8), 1, "a clock that was set back stops nothing");
}

/// An endpoint, what waits for it, and a clock.
struct World {
    now: Timestamp,
    breaker: Breaker,
    rate: Option<Rate>,
    full_at: i64,
    /// Of each delivery that is pending: its due time and its attempts.
    pending: Vec<(Timestamp, u32, usize)>,
    /// When each delivery was tried.
    tried: HashMap<usize, Vec<Timestamp>>,
    delivered: HashMap<usize, Timestamp>,
    failed: Vec<usize>,
}

const CONCURRENCY: u32 = 8;

impl World {
    fn new(deliveries: usize) -> Self {
        Self {
            now: NOON,
            breaker: Breaker::CLOSED,
            rate: None,
            full_at: 0,
            pending: (0..deliveries).map(|it| (NOON, 0, it)).collect(),
            tried: HashMap::new(),
            delivered: HashMap::new(),
            failed: Vec::new(),
        }
    }

    /// Tries what may be tried now; what is tried at once ends at once.
    fn step(&mut self, outcome: &mut impl FnMut(Timestamp, usize) -> (AttemptOutcome, f64)) {
        self.pending.sort_by_key(|(due, ..)| *due);
        let due = self.pending.iter().filter(|(due, ..)| *due <= self.now).count();
        let mut room = self.breaker.room(self.now, 0, CONCURRENCY);
        room = room.min(u32::try_from(due).unwrap());
        if let Some(rate) = self.rate {
            (room, self.full_at) = rate.grant(self.full_at, self.now, room);
        }
        for (_, attempts, which) in self.pending.drain(..room as usize).collect::<Vec<_>>() {
            self.tried.entry(which).or_default().push(self.now);
            let (outcome, random) = outcome(self.now, which);
            let again = Again { schedule: &DEFAULT, random };
            let state = DeliveryState { attempts };
            let settled = settle(&state, &self.breaker, &outcome, self.now, &again);
            self.breaker = settled.breaker;
            assert_eq!(settled.attempts, attempts + 1);
            match settled.state {
                NextState::Delivered => {
                    assert!(self.delivered.insert(which, self.now).is_none());
                }
                NextState::Pending { due } => self.pending.push((due, settled.attempts, which)),
                NextState::Failed | NextState::DeadOurs => self.failed.push(which),
            }
        }
    }

    /// Moves the clock to where something may happen, or by the least there is.
    fn wait(&mut self) {
        let least = self.now.plus(Duration::from_millis(1));
        let Some(due) = self.pending.iter().map(|(due, ..)| *due).min() else { return };
        let mut next = due.max(least);
        if let Some(at) = self.breaker.probe_at {
            next = next.max(at);
        }
        if let Some(rate) = self.rate {
            next = next.max(rate.next(self.full_at, self.now));
        }
        self.now = next;
    }

    fn run(&mut self, mut outcome: impl FnMut(Timestamp, usize) -> (AttemptOutcome, f64)) {
        while !self.pending.is_empty() {
            self.step(&mut outcome);
            self.wait();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_endpoint_that_was_down_for_30_hours_gets_everything(
        deliveries in 1_usize..400,
        randoms in proptest::collection::vec(0.0..1.0_f64, 1..50),
    ) {
        let mut world = World::new(deliveries);
        let back = NOON.plus(Duration::from_hours(30));
        let mut drawn = randoms.iter().cycle();
        world.run(|now, _| (if now < back { DOWN } else { OK }, *drawn.next().unwrap()));
        prop_assert_eq!(world.delivered.len(), deliveries);
        prop_assert!(world.failed.is_empty());
        for tried in world.tried.values() {
            // The eighth is 31.6 hours after the first, or up to a tenth sooner.
            prop_assert!(tried.len() <= 9, "{} attempts", tried.len());
            for (made, pair) in tried.windows(2).enumerate() {
                let least = DEFAULT[made].mul_f64(0.899);
                prop_assert!(pair[1].age(pair[0]).is_zero() && pair[0].age(pair[1]) >= least);
            }
        }
    }

    #[test]
    fn attempts_never_exceed_the_schedule(
        deliveries in 1_usize..40,
        kinds in proptest::collection::vec((0_u8..5, 0.0..1.0_f64, 0_u64..10_000), 1..200),
    ) {
        let mut world = World::new(deliveries);
        let mut drawn = kinds.iter().cycle();
        world.run(|_, _| {
            let (kind, random, seconds) = *drawn.next().unwrap();
            let retry_after = Some(Duration::from_secs(seconds));
            let outcome = match kind {
                0 => OK,
                1 => DOWN,
                2 => BUSY,
                3 => AttemptOutcome::Refused { status: 429, retry_after },
                _ => AttemptOutcome::Ours { reason: "secret", may_pass: true },
            };
            (outcome, random)
        });
        prop_assert_eq!(world.delivered.len() + world.failed.len(), deliveries);
        prop_assert!(world.tried.values().all(|it| it.len() <= 10));
        prop_assert!(world.failed.iter().all(|it| world.tried[it].len() == 10));
    }

    #[test]
    fn a_flapping_endpoint_never_gets_more_than_its_rate(
        rate in 1_u32..300,
        deliveries in 1_usize..600,
        kinds in proptest::collection::vec((any::<bool>(), 0.0..1.0_f64), 1..200),
    ) {
        let mut world = World::new(deliveries);
        world.rate = Some(Rate::per_second(rate));
        let mut drawn = kinds.iter().cycle();
        world.run(|_, _| {
            let (is_up, random) = *drawn.next().unwrap();
            (if is_up { OK } else { BUSY }, random)
        });
        let mut times: Vec<_> = world.tried.into_values().flatten().collect();
        times.sort_unstable();
        for (first, begins) in times.iter().enumerate() {
            let within = |it: &&Timestamp| begins.age(**it) < Duration::from_secs(1);
            let count = times[first..].iter().take_while(within).count();
            prop_assert!(count <= rate as usize, "{count} in a second of {rate}");
        }
    }

    #[test]
    fn a_rate_is_kept_however_often_it_is_asked_and_nearly_used_up(
        rate in 1_u32..1_000,
        steps in proptest::collection::vec((0_u64..200, 0_u32..400), 1..300),
    ) {
        let bucket = Rate::per_second(rate);
        let (mut now, mut full_at) = (NOON, 0);
        let mut granted: Vec<(Timestamp, u32)> = Vec::new();
        for (wait, wanted) in steps {
            now = now.plus(Duration::from_millis(wait));
            let (some, kept) = bucket.grant(full_at, now, wanted);
            prop_assert!(some <= wanted);
            let next = bucket.next(kept, now);
            prop_assert!(bucket.grant(kept, next, 1).0 == 1, "the next one may go when it is said");
            full_at = kept;
            granted.push((now, some));
        }
        for (first, (begins, _)) in granted.iter().enumerate() {
            let within = granted[first..].iter().take_while(|(at, _)| begins.age(*at) < Duration::from_secs(1));
            let count: u32 = within.map(|(_, some)| some).sum();
            prop_assert!(count <= rate, "{count} in a second of {rate}");
        }
        let mut whole = 0;
        for tenth in 0..100 {
            let at = now.plus(Duration::from_secs(10) + Duration::from_millis(tenth * 100));
            let (some, kept) = bucket.grant(full_at, at, u32::MAX);
            full_at = kept;
            whole += some;
        }
        prop_assert!(whole >= rate * 10 * 8 / 10, "{whole} in ten seconds of {rate}");
    }

    #[test]
    fn failures_of_ours_leave_the_breaker_alone_and_others_obey_its_laws(
        steps in proptest::collection::vec((0_u8..4, 0_u64..400_000), 1..200),
    ) {
        let again = Again { schedule: &DEFAULT, random: 0.5 };
        let (mut breaker, mut now, mut in_row) = (Breaker::CLOSED, NOON, 0);
        for (kind, wait) in steps {
            now = now.plus(Duration::from_millis(wait));
            let outcome = match kind {
                0 => OK,
                1 => AttemptOutcome::Ours { reason: "erased", may_pass: false },
                _ => DOWN,
            };
            let next = settle(&DeliveryState { attempts: 0 }, &breaker, &outcome, now, &again).breaker;
            match kind {
                0 => { prop_assert_eq!(next, Breaker::CLOSED); in_row = 0; }
                1 => prop_assert_eq!(next, breaker),
                _ => in_row += 1,
            }
            prop_assert_eq!(next.is_open(), in_row >= FAILURES_MAX);
            let most = if next.is_open() { 1 } else { 8 };
            prop_assert!(next.room(now, 0, 8) <= most);
            if let Some(at) = next.probe_at {
                prop_assert!(at.ahead(now) <= PROBE_AFTER_MAX);
                prop_assert_eq!(next.room(now.plus(PROBE_AFTER_MAX), 0, 8), 1, "a probe is always near");
            }
            breaker = next;
        }
    }

    #[test]
    fn jitter_is_a_tenth_at_most_whatever_is_drawn(made in 1_u32..10, random in any::<f64>()) {
        let wait = schedule::wait(&DEFAULT, made, random).unwrap();
        let documented = DEFAULT[made as usize - 1];
        prop_assert!(wait >= documented.mul_f64(0.9) && wait <= documented.mul_f64(1.1));
    }
}
