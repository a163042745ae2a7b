//! Several nodes on one PostgreSQL, each behind a network of its own: nothing acknowledged is
//! lost, and nothing is there twice, whatever is killed, stopped, cut or frozen.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use hookgate_testpg::{Cluster, Options, Proxy, Stop, Upstream};
use tempfile::TempDir;

use crate::door::{Client, Door, body};
use crate::{Random, seed};

const NODES: usize = 3;

/// Senders of each node: what they store is delivered, too, by a program that is not optimised.
const SENDERS: usize = 2;

/// Faults, as many of each kind; `HOOKGATE_SLOW_TESTS` makes it twenty times more.
const FAULTS: usize = 8;

/// How many answers a node gives beyond those that are waited for: so that every fault comes in
/// the middle of them, and yet what is stored, and has to be delivered by three programs that
/// share two cores, does not grow with the time that a fault takes.
const AHEAD: usize = 50;

/// Deliveries at once: what three nodes try is all to one endpoint.
const CONCURRENCY: usize = 64;

/// How long nothing at all may happen that is waited for: an answer, a delivery, a node that
/// has emptied its spool. What a busy machine does slowly, it still does.
const STALL_MAX: Duration = Duration::from_mins(5);

/// What was delivered, by the number in the body.
#[derive(Default)]
struct Delivered {
    numbers: Mutex<HashSet<u64>>,
    more: Condvar,
}

impl Delivered {
    /// Waits until all of these have come.
    fn wait_for(&self, wanted: &HashSet<u64>) {
        let mut numbers = self.numbers.lock().unwrap();
        let mut missing = wanted.clone();
        loop {
            missing.retain(|it| !numbers.contains(it));
            if missing.is_empty() {
                return;
            }
            let before = numbers.len();
            // Before that they cannot all be there.
            let wanted_len = before + missing.len();
            let too_few = |it: &mut HashSet<u64>| it.len() < wanted_len;
            (numbers, _) = self.more.wait_timeout_while(numbers, STALL_MAX, too_few).unwrap();
            let (left, all) = (missing.len(), wanted.len());
            assert!(numbers.len() > before, "{left} of {all} are not delivered: {missing:?}");
        }
    }
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
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Events that were answered with a success, by the number in the body.
    acknowledged: Vec<u64>,
    /// The same, counted by node.
    answers: [usize; NODES],
    /// So many are waited for, of all nodes together.
    wanted: usize,
    /// How many each of them may give in any case.
    allowed: [usize; NODES],
    /// Where each node is; nothing while it is gone.
    addresses: [Option<String>; NODES],
    is_over: bool,
}

impl State {
    fn all(&self) -> usize {
        self.answers.iter().sum()
    }

    /// Whether events are sent to a node now.
    fn is_wanted(&self, node: usize) -> bool {
        self.answers[node] < self.allowed[node] || self.all() < self.wanted
    }
}

impl Load {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Says where a node is now.
    fn at(&self, node: usize, address: Option<&String>) {
        self.lock().addresses[node] = address.cloned();
        self.changed.notify_all();
    }

    /// Sends to one node until it is over; one that is gone is waited for.
    fn send(&self, node: usize) {
        while let Some(address) = self.address(node) {
            // One that was killed has no address any more.
            let Some(mut client) = Client::connect(&address) else { continue };
            while let Some(number) = self.turn(node) {
                match client.send(&body(number)) {
                    Some(200) => {
                        let mut state = self.lock();
                        state.acknowledged.push(number);
                        state.answers[node] += 1;
                        self.changed.notify_all();
                    }
                    // It says that it cannot: nothing is promised.
                    Some(503) => {}
                    Some(status) => panic!("answered {status}"),
                    None => break,
                }
            }
        }
    }

    /// Where a node is, as soon as it is somewhere; nothing when it is over.
    fn address(&self, node: usize) -> Option<String> {
        let gone = |it: &mut State| it.addresses[node].is_none() && !it.is_over;
        let state = self.changed.wait_while(self.lock(), gone).unwrap();
        state.addresses[node].clone().filter(|_| !state.is_over)
    }

    /// The next event for a node, as soon as it is to get one; nothing when it is over.
    fn turn(&self, node: usize) -> Option<u64> {
        let rests = |it: &mut State| !it.is_wanted(node) && !it.is_over;
        let state = self.changed.wait_while(self.lock(), rests).unwrap();
        (!state.is_over).then(|| self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// Waits for so many answers more, of one node or of all. They go on behind it.
    fn wait_for(&self, more: usize, node: Option<usize>) {
        let count = |state: &State| node.map_or_else(|| state.all(), |it| state.answers[it]);
        let mut state = self.lock();
        let wanted = count(&state) + more;
        match node {
            Some(node) => state.allowed[node] = wanted + AHEAD,
            None => state.wanted = wanted,
        }
        self.changed.notify_all();
        while count(&state) < wanted {
            let (last, before) = (count(&state), Instant::now());
            let same = |it: &mut State| count(it) == last;
            (state, _) = self.changed.wait_timeout_while(state, STALL_MAX, same).unwrap();
            let stalled = before.elapsed();
            assert!(count(&state) > last, "no answer of {node:?} in {stalled:?}");
        }
        for node in 0..NODES {
            let ahead = state.answers[node] + AHEAD;
            state.allowed[node] = state.allowed[node].max(ahead);
        }
        self.changed.notify_all();
    }
}

/// What can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// A node is killed.
    Kill,
    /// The database is stopped as by a power cut, and started.
    Stop,
    /// A node's connections to the database are reset.
    Cut,
    /// A node's network holds every byte, and then passes it on or resets.
    Freeze,
}

const KINDS: [Fault; 4] = [Fault::Kill, Fault::Stop, Fault::Cut, Fault::Freeze];

/// The nodes, and what stands between them and the database.
struct Nodes<'a> {
    doors: Vec<Option<Door>>,
    proxies: Vec<Proxy>,
    folders: Vec<TempDir>,
    urls: Vec<String>,
    cluster: &'a Cluster,
    load: Arc<Load>,
}

impl<'a> Nodes<'a> {
    fn start(cluster: &'a Cluster, database: &hookgate_testpg::Database<'_>) -> Self {
        let new = |_| Proxy::start(Upstream::Tcp(cluster.address()));
        let proxies: Vec<Proxy> = (0..NODES).map(new).collect();
        let mut nodes = Self {
            doors: (0..NODES).map(|_| None).collect(),
            folders: (0..NODES).map(|_| TempDir::new().unwrap()).collect(),
            urls: proxies.iter().map(|it| database.url_through(it)).collect(),
            proxies,
            cluster,
            load: Arc::default(),
        };
        for node in 0..NODES {
            nodes.open(node);
        }
        nodes
    }

    fn door(&self, node: usize) -> &Door {
        self.doors[node].as_ref().unwrap()
    }

    fn open(&mut self, node: usize) {
        let door = Door::open_at(self.folders[node].path(), OsStr::new(&self.urls[node]));
        self.load.at(node, Some(&door.address));
        self.doors[node] = Some(door);
    }

    /// Lets something fail, lets the others go on meanwhile, and mends it.
    fn suffer(&mut self, fault: Fault, random: &mut Random) {
        let node = usize::try_from(random.below(NODES as u64)).unwrap();
        let meanwhile = usize::try_from(random.below(200)).unwrap();
        let (load, proxy) = (Arc::clone(&self.load), &self.proxies[node]);
        match fault {
            Fault::Kill => {
                load.at(node, None);
                self.doors[node].take().unwrap().kill();
                load.wait_for(meanwhile, None);
                self.open(node);
            }
            Fault::Stop => {
                self.cluster.stop(Stop::Immediate);
                // Every node takes requests without it.
                (0..NODES).for_each(|it| load.wait_for(1, Some(it)));
                load.wait_for(meanwhile, None);
                self.cluster.start_again();
            }
            Fault::Cut => {
                proxy.cut();
                load.wait_for(meanwhile, None);
            }
            Fault::Freeze => {
                proxy.freeze();
                // So does the one that hears nothing of it.
                load.wait_for(1 + meanwhile / 2, Some(node));
                load.wait_for(meanwhile, None);
                if random.below(2) == 0 {
                    proxy.cut();
                }
                proxy.heal();
            }
        }
    }

    /// Waits until no node has anything in its spool, and stops them: that they end well says
    /// that nothing is left there.
    fn stop(self) {
        for door in self.doors.into_iter().flatten() {
            let began = Instant::now();
            loop {
                let ready: serde_json::Value =
                    serde_json::from_slice(&door.get("/readyz")).unwrap();
                if ready["store"] == "ok" {
                    break;
                }
                assert!(began.elapsed() < STALL_MAX, "{ready}");
                std::thread::yield_now();
            }
            door.stop();
        }
    }
}

#[test]
fn nodes_whose_database_fails_in_every_way_keep_every_event_and_deliver_it() {
    let mut random = Random(seed());
    let faults =
        if std::env::var_os("HOOKGATE_SLOW_TESTS").is_some() { FAULTS * 20 } else { FAULTS };
    let cluster = Cluster::start(&Options { sync: true, ..Options::default() });
    let database = cluster.database();
    let mut nodes = Nodes::start(&cluster, &database);

    let (address, delivered) = endpoint();
    let wish = format!(
        r#"{{"kind":"http","url":"http://{address}/","format":"raw","concurrency":{CONCURRENCY}}}"#
    );
    nodes.door(0).ask("POST", "/api/v1/destinations", &wish);

    let load = Arc::clone(&nodes.load);
    let senders: Vec<_> = (0..NODES * SENDERS)
        .map(|it| {
            let load = Arc::clone(&load);
            std::thread::spawn(move || load.send(it % NODES))
        })
        .collect();
    // Each kind as often, in an order that differs from round to round.
    let mut kinds = KINDS;
    for fault in 0..faults {
        let place = fault % KINDS.len();
        let left = u64::try_from(KINDS.len() - place).unwrap();
        kinds.swap(place, place + usize::try_from(random.below(left)).unwrap());
        load.wait_for(usize::try_from(random.below(300)).unwrap(), None);
        eprintln!("fault {fault}: {:?} after {} answers", kinds[place], load.lock().all());
        nodes.suffer(kinds[place], &mut random);
    }
    load.wait_for(100, None);
    load.lock().is_over = true;
    load.changed.notify_all();
    for sender in senders {
        sender.join().unwrap();
    }

    let acknowledged: HashSet<u64> = load.lock().acknowledged.iter().copied().collect();
    delivered.wait_for(&acknowledged);
    let mut found: HashMap<u64, usize> = HashMap::new();
    for event in nodes.door(0).events() {
        let id = event["conversation_id"].as_str().unwrap();
        *found.entry(id.strip_prefix("call_").unwrap().parse().unwrap()).or_default() += 1;
    }
    for number in &acknowledged {
        assert_eq!(found.get(number), Some(&1), "event {number} was acknowledged");
    }
    assert!(found.values().all(|it| *it == 1), "an event is there twice");
    eprintln!(
        "{NODES} nodes, {faults} faults, as many of each of {KINDS:?}: {} events acknowledged, \
         {} found, all delivered",
        acknowledged.len(),
        found.len()
    );
    nodes.stop();
}
