//! Everything is passed on: the program is killed at random before a receiver that fails at
//! random.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use serde_json::Value;

use crate::door::{self, Client, Door};
use crate::{Random, seed};

/// Events that are passed on, and kills meanwhile; `HOOKGATE_SLOW_TESTS` makes it 10 000 and 40.
const EVENTS: u64 = 400;
const KILLS: u64 = 6;

/// Senders at once.
const SENDERS: usize = 4;

/// How long all may take, a slow machine included.
const END_MAX: Duration = Duration::from_mins(15);

/// What came to the receiver.
#[derive(Default)]
struct Arrived {
    /// The `webhook-id` of each event, and how often it was taken.
    taken: Mutex<HashMap<String, (String, u64)>>,
    more: Condvar,
    requests: AtomicUsize,
    failures: AtomicUsize,
}

/// A receiver that takes most of what comes, refuses some, and hangs up on some.
fn receiver(seed: u64) -> (SocketAddr, Arc<Arrived>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let arrived = Arc::new(Arrived::default());
    let shared = Arc::clone(&arrived);
    std::thread::spawn(move || {
        let mut random = Random(seed | 1);
        for stream in listener.incoming().map_while(Result::ok) {
            let (arrived, random) = (Arc::clone(&shared), Random(random.below(u64::MAX) | 1));
            std::thread::spawn(move || serve(stream, &arrived, random));
        }
    });
    (address, arrived)
}

/// Serves one connection until it ends or the receiver hangs up.
fn serve(stream: TcpStream, arrived: &Arrived, mut random: Random) {
    let mut reader = BufReader::new(stream);
    loop {
        let (mut headers, mut line) = (BTreeMap::new(), String::new());
        while reader.read_line(&mut line).is_ok_and(|it| it > 2) {
            if let Some((name, value)) = line.trim_end().split_once(": ") {
                headers.insert(name.to_ascii_lowercase(), value.to_owned());
            }
            line.clear();
        }
        let length = headers.get("content-length").map_or(0, |it| it.parse().unwrap());
        let mut body = vec![0; length];
        // A program that is killed leaves half a request.
        if line != "\r\n" || reader.read_exact(&mut body).is_err() {
            return;
        }
        arrived.requests.fetch_add(1, Ordering::Release);
        let status = match random.below(10) {
            0 => 500,
            1 => 404,
            2 => 429,
            3 => 0,
            _ => 200,
        };
        if status == 200 {
            let (event, id) = (headers["x-hookgate-event"].clone(), headers["webhook-id"].clone());
            let mut taken = arrived.taken.lock().unwrap();
            let (known, times) = taken.entry(event).or_insert_with(|| (id.clone(), 0));
            assert_eq!(*known, id, "a repetition has the same id");
            *times += 1;
            arrived.more.notify_all();
        } else {
            arrived.failures.fetch_add(1, Ordering::Relaxed);
        }
        let text = format!("HTTP/1.1 {status} x\r\ncontent-length: 0\r\n\r\n");
        if status == 0 || reader.get_mut().write_all(text.as_bytes()).is_err() {
            return;
        }
    }
}

/// Sends events to wherever the program listens, until so many are acknowledged.
#[derive(Default)]
struct Load {
    address: Mutex<String>,
    next: AtomicU64,
    acknowledged: Mutex<HashSet<u64>>,
    is_over: AtomicBool,
}

impl Load {
    fn send(&self, events: u64) {
        let is_over = || self.is_over.load(Ordering::Acquire);
        while !is_over() {
            let address = self.address.lock().unwrap().clone();
            let Some(mut client) = Client::connect(&address) else {
                std::thread::yield_now();
                continue;
            };
            while !is_over() {
                let number = self.next.fetch_add(1, Ordering::Relaxed);
                match client.send(&door::body(number)) {
                    Some(200) => {
                        let mut acknowledged = self.acknowledged.lock().unwrap();
                        acknowledged.insert(number);
                        if acknowledged.len() as u64 >= events {
                            self.is_over.store(true, Ordering::Release);
                        }
                    }
                    Some(status) => panic!("answered {status}"),
                    None => break,
                }
            }
        }
    }
}

#[test]
fn killed_at_random_before_a_receiver_that_fails_at_random_everything_is_passed_on() {
    let seed = seed();
    let mut random = Random(seed);
    let is_slow = std::env::var_os("HOOKGATE_SLOW_TESTS").is_some();
    let (events, kills) = if is_slow { (10_000, 40) } else { (EVENTS, KILLS) };
    let folder = tempfile::tempdir().unwrap();
    // Four of ten attempts fail, so that hardly any event needs all of these.
    let waits = vec!["\"1s\""; 30].join(", ");
    std::fs::write(folder.path().join("hookgate.toml"), format!("[delivery]\nretry = [{waits}]\n"))
        .unwrap();
    let (address, arrived) = receiver(seed);
    let mut door = Door::open(folder.path());
    let wish = format!(r#"{{"kind":"http","url":"http://{address}/","concurrency":32}}"#);
    door.ask("POST", "/api/v1/destinations", &wish);

    let load = Arc::new(Load::default());
    load.address.lock().unwrap().clone_from(&door.address);
    let senders: Vec<_> = (0..SENDERS)
        .map(|_| {
            let load = Arc::clone(&load);
            std::thread::spawn(move || load.send(events))
        })
        .collect();
    for _ in 0..kills {
        // Anywhere on the way of an event, counted in requests to the receiver: fewer than it
        // gets from here on, whatever the speed of the machine.
        let part = usize::try_from(random.below(events / kills)).unwrap();
        let wanted = arrived.requests.load(Ordering::Acquire) + part;
        while arrived.requests.load(Ordering::Acquire) < wanted {
            std::thread::yield_now();
        }
        door.kill();
        door = Door::open(folder.path());
        load.address.lock().unwrap().clone_from(&door.address);
    }
    for sender in senders {
        sender.join().unwrap();
    }

    let stored: HashSet<String> = door
        .events()
        .iter()
        .filter(|it| it["duplicate_of"].is_null())
        .map(|it| it["id"].as_str().unwrap().to_owned())
        .collect();
    let acknowledged = load.acknowledged.lock().unwrap().len();
    assert!(stored.len() >= acknowledged, "{} of {acknowledged} are stored", stored.len());
    let missing = |taken: &mut HashMap<String, (String, u64)>| {
        !stored.iter().all(|it| taken.contains_key(it))
    };
    let taken = arrived.taken.lock().unwrap();
    let (taken, waited) = arrived.more.wait_timeout_while(taken, END_MAX, missing).unwrap();
    assert!(!waited.timed_out(), "{} of {} events arrived", taken.len(), stored.len());
    let ids: HashSet<_> = taken.values().map(|(id, _)| id).collect();
    assert_eq!(ids.len(), taken.len(), "two events have one id");
    let repetitions: u64 = taken.values().map(|(_, times)| times - 1).sum();
    let arrivals = taken.len();
    drop(taken);

    // What was taken twice may be under way for a third time: nothing stays so.
    while !none(&door, "pending") {
        std::thread::yield_now();
    }
    for state in ["failed", "dead_ours", "skipped"] {
        assert!(none(&door, state), "some are {state}");
    }
    eprintln!(
        "{kills} kills, {acknowledged} events acknowledged, {arrivals} of {} stored arrived, \
         {repetitions} repetitions under the same id, {} failures of the receiver",
        stored.len(),
        arrived.failures.load(Ordering::Relaxed)
    );
    door.stop();
}

/// Whether there is no delivery in this state.
fn none(door: &Door, state: &str) -> bool {
    let page = door.get(&format!("/api/v1/deliveries?state={state}&limit=1"));
    let page: Value = serde_json::from_slice(&page).unwrap();
    page["data"].as_array().unwrap().is_empty()
}
