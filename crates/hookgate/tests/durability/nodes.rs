//! Several nodes on one PostgreSQL: nothing acknowledged is lost, and nothing is there twice,
//! whatever is killed.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use hookgate_testpg::{Cluster, Options, Stop};
use tempfile::TempDir;

use crate::door::{Client, Door, body};
use crate::{Random, seed};

const NODES: usize = 3;

/// Senders of each node: what they store is delivered, too, by a program that is not optimised.
const SENDERS: usize = 2;

/// Faults; `HOOKGATE_SLOW_TESTS` makes it twenty times more.
const FAULTS: usize = 6;

/// How long the end may take: what is spooled is drained, and what is stored delivered.
const END_MAX: Duration = Duration::from_mins(3);

/// What was delivered, by the number in the body.
#[derive(Default)]
struct Delivered {
    numbers: Mutex<HashSet<u64>>,
    more: Condvar,
}

/// An endpoint that takes everything.
fn endpoint() -> (SocketAddr, Arc<Delivered>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let delivered = Arc::new(Delivered::default());
    let all = Arc::clone(&delivered);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, all) = (stream.unwrap(), Arc::clone(&all));
            std::thread::spawn(move || take(BufReader::new(stream), &all));
        }
    });
    (address, delivered)
}

/// Takes the deliveries of one connection.
fn take(mut stream: BufReader<std::net::TcpStream>, all: &Delivered) {
    loop {
        let (mut length, mut line) = (0, String::new());
        while stream.read_line(&mut line).is_ok_and(|it| it > 2) {
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length: ") {
                length = value.trim().parse().unwrap();
            }
            line.clear();
        }
        let mut bytes = vec![0; length];
        if line != "\r\n" || stream.read_exact(&mut bytes).is_err() {
            return;
        }
        let event: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        let call = event["call"]["call_id"].as_str().unwrap();
        all.numbers.lock().unwrap().insert(call.strip_prefix("call_").unwrap().parse().unwrap());
        all.more.notify_all();
        if stream.get_mut().write_all(b"HTTP/1.1 200 x\r\ncontent-length: 0\r\n\r\n").is_err() {
            return;
        }
    }
}

/// What the senders share.
#[derive(Default)]
struct Load {
    next: AtomicU64,
    answers: AtomicUsize,
    acknowledged: Mutex<Vec<u64>>,
    /// Where each node is.
    addresses: Mutex<Vec<String>>,
    is_over: AtomicBool,
}

impl Load {
    /// Sends to one node until it is over; a node that is gone is looked for again.
    fn send(&self, node: usize) {
        while !self.is_over.load(Ordering::Acquire) {
            let address = self.addresses.lock().unwrap()[node].clone();
            let Some(mut client) = Client::connect(&address) else {
                std::thread::yield_now();
                continue;
            };
            while !self.is_over.load(Ordering::Acquire) {
                let number = self.next.fetch_add(1, Ordering::Relaxed);
                match client.send(&body(number)) {
                    Some(200) => {
                        self.acknowledged.lock().unwrap().push(number);
                        self.answers.fetch_add(1, Ordering::Release);
                    }
                    // It says that it cannot: nothing is promised.
                    Some(503) => {}
                    Some(status) => panic!("answered {status}"),
                    None => break,
                }
            }
        }
    }

    /// Waits for so many answers more.
    fn wait_for(&self, more: usize) {
        let wanted = self.answers.load(Ordering::Acquire) + more;
        while self.answers.load(Ordering::Acquire) < wanted {
            std::thread::yield_now();
        }
    }
}

#[test]
fn nodes_and_a_database_that_are_killed_keep_every_event_and_deliver_it() {
    let mut random = Random(seed());
    let faults =
        if std::env::var_os("HOOKGATE_SLOW_TESTS").is_some() { FAULTS * 20 } else { FAULTS };
    let cluster = Cluster::start(&Options { sync: true, ..Options::default() });
    let database = cluster.database();
    let url = database.url();
    let folders: Vec<TempDir> = (0..NODES).map(|_| TempDir::new().unwrap()).collect();
    let open = |node: usize| Door::open_at(folders[node].path(), OsStr::new(&url));
    let mut nodes: Vec<Option<Door>> = (0..NODES).map(|it| Some(open(it))).collect();

    let (address, delivered) = endpoint();
    let wish = format!(r#"{{"kind":"http","url":"http://{address}/","format":"raw"}}"#);
    nodes[0].as_ref().unwrap().ask("POST", "/api/v1/destinations", &wish);

    let load = Arc::new(Load::default());
    *load.addresses.lock().unwrap() = nodes.iter().flatten().map(|it| it.address.clone()).collect();
    let senders: Vec<_> = (0..NODES * SENDERS)
        .map(|it| {
            let load = Arc::clone(&load);
            std::thread::spawn(move || load.send(it % NODES))
        })
        .collect();
    let (mut kills, mut stops) = (0, 0);
    for fault in 0..faults {
        load.wait_for(usize::try_from(random.below(300)).unwrap());
        if fault % 2 == 0 {
            let node = usize::try_from(random.below(NODES as u64)).unwrap();
            nodes[node].take().unwrap().kill();
            load.wait_for(usize::try_from(random.below(100)).unwrap());
            nodes[node] = Some(open(node));
            load.addresses.lock().unwrap()[node] = nodes[node].as_ref().unwrap().address.clone();
            kills += 1;
        } else {
            cluster.stop(Stop::Immediate);
            load.wait_for(usize::try_from(random.below(200)).unwrap());
            cluster.start_again();
            stops += 1;
        }
    }
    load.wait_for(100);
    load.is_over.store(true, Ordering::Release);
    for sender in senders {
        sender.join().unwrap();
    }

    let acknowledged: HashSet<u64> = load.acknowledged.lock().unwrap().iter().copied().collect();
    let missing = |numbers: &mut HashSet<u64>| !acknowledged.is_subset(numbers);
    let numbers = delivered.numbers.lock().unwrap();
    let (numbers, waited) = delivered.more.wait_timeout_while(numbers, END_MAX, missing).unwrap();
    let lost = acknowledged.difference(&numbers).count();
    assert!(!waited.timed_out(), "{lost} of {} events are not delivered", acknowledged.len());
    drop(numbers);

    let mut found: HashMap<u64, usize> = HashMap::new();
    for event in nodes[0].as_ref().unwrap().events() {
        let id = event["conversation_id"].as_str().unwrap();
        *found.entry(id.strip_prefix("call_").unwrap().parse().unwrap()).or_default() += 1;
    }
    for number in &acknowledged {
        assert_eq!(found.get(number), Some(&1), "event {number} was acknowledged");
    }
    assert!(found.values().all(|it| *it == 1), "an event is there twice");
    eprintln!(
        "{NODES} nodes, {kills} of them killed, the database stopped {stops} times: {} events \
         acknowledged, {} found, all delivered",
        acknowledged.len(),
        found.len()
    );
    for node in nodes.into_iter().flatten() {
        node.stop();
    }
}
