//! Random faults of Square, random wishes, on two nodes at once.

use std::fmt::Write as _;

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, RngSeed, TestRunner};
use serde_json::{Value, json};

use crate::desk::Desk;

/// Days that are played. They run beside each other: most of their time is spent waiting
/// before a request is sent again.
const DAYS: u64 = 24;

/// What a caller says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    Book,
    Cancel,
}

/// A wish, on which nodes it is said, and what befalls Square's next requests.
#[derive(Clone, Debug)]
struct Step {
    wish: Wish,
    nodes: Vec<usize>,
    faults: Vec<Value>,
}

fn step() -> impl Strategy<Value = Step> {
    let fault = prop_oneof![
        Just(json!(429)),
        Just(json!(500)),
        Just(json!(409)),
        Just(json!("commit-then-500")),
        Just(json!("commit-then-500")),
    ];
    let wish = prop_oneof![2 => Just(Wish::Book), 1 => Just(Wish::Cancel)];
    let nodes = prop::collection::vec(0_usize..2, 1..4);
    (wish, nodes, prop::collection::vec(fault, 0..3)).prop_map(|(wish, nodes, faults)| Step {
        wish,
        nodes,
        faults,
    })
}

/// One day at the shop. Whatever goes wrong, an answer tells the truth, and at no moment is
/// there a second booking of the same wish.
async fn play(steps: Vec<Step>, log: &mut String) {
    let desk = Desk::open().await;
    let start = json!("2026-11-25T10:00");
    let mut booked: Option<Value> = None;
    for step in steps {
        let (tool, arguments) = match (step.wish, &booked) {
            (Wish::Book, _) => {
                ("bookings_create", json!({"start_at": start, "service": "Haircut"}))
            }
            (Wish::Cancel, Some(id)) => ("bookings_cancel", json!({ "booking_id": id })),
            (Wish::Cancel, None) => continue,
        };
        desk.square.set_faults(&json!({ "next": step.faults })).unwrap();
        let saying = step.nodes.iter().map(|node| desk.say(*node, tool, &arguments));
        let said = join_all(saying).await;
        writeln!(log, "{step:?} -> {said:?}").unwrap();
        desk.square.set_faults(&json!({})).unwrap();

        let bookings = desk.bookings();
        let active: Vec<&Value> = bookings.iter().filter(|it| it["status"] == "ACCEPTED").collect();
        assert!(active.len() <= 1, "two bookings of one wish: {active:?}\n{log}");
        for reply in said.iter().filter(|it| it["ok"] == true) {
            let id = &reply["booking_id"];
            match step.wish {
                Wish::Book => {
                    assert!(active.iter().any(|it| it["id"] == *id), "{reply} is not so\n{log}");
                    booked = Some(id.clone());
                }
                Wish::Cancel => {
                    let booking = bookings.iter().find(|it| it["id"] == *id).unwrap();
                    assert_eq!(booking["status"], "CANCELLED_BY_CUSTOMER", "{reply}\n{log}");
                }
            }
        }
    }
    // With nothing in the way any more, what was not answered well is settled, and said.
    let said =
        desk.say(0, "bookings_create", &json!({"start_at": start, "service": "Haircut"})).await;
    assert_eq!(said["ok"], true, "{said}\n{log}");
    let active = desk.bookings().into_iter().filter(|it| it["status"] == "ACCEPTED").count();
    assert_eq!(active, 1, "{log}");
}

/// All of them beside each other.
async fn join_all<T>(futures: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut futures: Vec<_> = futures.map(|it| (Box::pin(it), None)).collect();
    std::future::poll_fn(|context| {
        let mut is_ready = true;
        for (future, done) in &mut futures {
            if done.is_none() {
                match future.as_mut().poll(context) {
                    std::task::Poll::Ready(value) => *done = Some(value),
                    std::task::Poll::Pending => is_ready = false,
                }
            }
        }
        if is_ready { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    futures.into_iter().filter_map(|(_, done)| done).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_square_does_a_wish_is_done_once_and_answers_are_true() {
    let base: u64 = rand_seed();
    let days = (0..DAYS).map(|day| async move {
        let seed = base.wrapping_add(day);
        let config = Config { rng_seed: RngSeed::Fixed(seed), ..Config::default() };
        let mut runner = TestRunner::new(config);
        let steps = prop::collection::vec(step(), 1..6).new_tree(&mut runner).unwrap().current();
        let mut log = format!("seed {seed}\n");
        play(steps, &mut log).await;
    });
    join_all(days).await;
}

/// Another one each time; a failure prints it.
fn rand_seed() -> u64 {
    use std::hash::{BuildHasher as _, RandomState};
    RandomState::new().hash_one(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_that_are_told_at_once_make_one_booking() {
    let desk = Desk::open().await;
    let wish = json!({"start_at": "2026-11-25T10:00", "service": "Haircut"});
    let said = join_all((0..20).map(|turn| desk.say(turn % 2, "bookings_create", &wish))).await;
    let bookings = desk.bookings();
    assert_eq!(bookings.len(), 1, "{bookings:?}");
    for reply in &said {
        assert_eq!((&reply["ok"], &reply["booking_id"]), (&json!(true), &bookings[0]["id"]));
    }
    // One call did it; the others say which.
    let calls = desk.calls().await;
    let whole: Vec<_> = calls.iter().filter(|it| it.repeats.is_none()).collect();
    assert!(whole.len() <= 2, "one for each node at most: {whole:?}");
}
