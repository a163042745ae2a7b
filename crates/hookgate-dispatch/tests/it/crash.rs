//! A dispatcher that is cut off wherever it is, before receivers that fail at random.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::json;

use crate::bench::Bench;
use crate::receiver::{Got, Receiver, status};

/// Numbers that look random and are the same with each run (`SplitMix64`).
struct Seeded(AtomicU64);

impl Seeded {
    fn draw(&self) -> u64 {
        let mut it = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        it = (it ^ (it >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        it = (it ^ (it >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        it ^ (it >> 31)
    }
}

/// An event's id and the `webhook-id`s it came under, with the times that it was taken.
fn arrivals(taken: impl Iterator<Item = Got>) -> HashMap<String, Vec<String>> {
    let mut arrivals: HashMap<String, Vec<String>> = HashMap::new();
    for got in taken {
        let event = got.header("x-hookgate-event").to_owned();
        arrivals.entry(event).or_default().push(got.id().to_owned());
    }
    arrivals
}

#[tokio::test]
async fn a_receiver_that_fails_at_random_gets_everything() {
    let bench = Bench::new().await;
    let seeded = Seeded(AtomicU64::new(1));
    let refused = Mutex::new(HashMap::<String, u32>::new());
    let receiver = Receiver::new(move |_, got| {
        let mut refused = refused.lock().unwrap();
        let times = refused.entry(got.id().to_owned()).or_default();
        // The tenth attempt is the last.
        let answer = match seeded.draw() % 5 {
            0 | 1 if *times < 9 => 500,
            2 if *times < 9 => 429,
            3 if *times < 9 => 404,
            _ => 200,
        };
        *times += u32::from(answer != 200);
        status(answer)
    })
    .await;
    let settings = json!({"kind": "http", "url": receiver.url("/"), "concurrency": 64});
    bench.destination(None, settings).await;
    bench.start();
    let mut stored = HashSet::new();
    for n in 0..500 {
        stored.insert(bench.event("ada", &format!("call_{n}"), "x").await.to_string());
    }
    bench.idle().await;
    for _ in 0..2_000 {
        if bench.states().await.iter().all(|it| !it.starts_with("pending")) {
            break;
        }
        bench.pass(Duration::from_mins(30));
        bench.idle().await;
    }
    let states = bench.states().await;
    assert_eq!(states.len(), 500);
    assert!(states.iter().all(|it| !it.starts_with("pending")), "nothing is stuck");
    assert!(states.iter().all(|it| it.starts_with("delivered")));
    let arrivals = arrivals(receiver.got().into_iter());
    assert_eq!(arrivals.keys().cloned().collect::<HashSet<_>>(), stored);
    for ids in arrivals.values() {
        assert!(ids.iter().all(|it| *it == ids[0]));
    }
}

#[tokio::test]
async fn what_a_crash_cuts_off_arrives_afterwards_under_the_same_id() {
    let mut bench = Bench::new().await;
    let seeded = Seeded(AtomicU64::new(7));
    let answer = move || if seeded.draw().is_multiple_of(3) { 500 } else { 200 };
    let receiver = Receiver::new(move |_, _| status(answer())).await;
    let settings = json!({"kind": "http", "url": receiver.url("/"), "concurrency": 32});
    bench.destination(None, settings).await;
    let mut stored = HashSet::new();
    for n in 0..300 {
        stored.insert(bench.event("ada", &format!("call_{n}"), "x").await.to_string());
    }
    for crash in 1..=6 {
        bench.start();
        // In the middle of it: more requests are on their way than were answered.
        receiver.wait_for(crash * 40).await;
        bench = bench.crash().await;
    }
    bench.start();
    bench.idle().await;
    for _ in 0..2_000 {
        let states = bench.states().await;
        if states.len() == 300 && states.iter().all(|it| !it.starts_with("pending")) {
            break;
        }
        bench.pass(Duration::from_mins(30));
        bench.idle().await;
    }
    let states = bench.states().await;
    assert_eq!(states.len(), 300, "each event came about once");
    assert!(states.iter().all(|it| it.starts_with("delivered")), "{states:?}");
    let arrivals = arrivals(receiver.got().into_iter());
    assert_eq!(arrivals.keys().cloned().collect::<HashSet<_>>(), stored);
    for ids in arrivals.values() {
        assert!(ids.iter().all(|it| *it == ids[0]), "a repetition has the same id");
    }
}

#[tokio::test]
async fn a_stop_waits_for_what_is_under_way() {
    let (bench, receiver) = (Bench::new().await, Receiver::willing().await);
    bench.destination(None, json!({"kind": "http", "url": receiver.url("/")})).await;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let dispatcher = bench.dispatcher.clone();
    let running =
        tokio::spawn(async move { dispatcher.run(async move { drop(stopped.await) }).await });
    bench.event("ada", "call_1", "first").await;
    receiver.wait_for(1).await;
    stop.send(()).unwrap();
    assert!(running.await.unwrap(), "nothing was cut off");
    assert_eq!(bench.states().await, ["delivered 1"]);
}
