//! Nothing acknowledged is ever lost: the real program, a real disk, a real signal 9.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail")]
#![expect(
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test may fail, and prints its seed"
)]

mod deliveries;
mod door;
mod nodes;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use door::{Client, Door};

/// Senders at once.
const CONNECTIONS: usize = 64;

/// How often the program is killed; `HOOKGATE_SLOW_TESTS` makes it a hundred times more.
const KILLS: usize = 20;

/// Small random numbers from a seed that is printed (xorshift64*).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % bound
    }
}

fn seed() -> u64 {
    let given = std::env::var("HOOKGATE_TEST_SEED").ok().and_then(|it| it.parse().ok());
    let seed = given.unwrap_or_else(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        now.as_secs().max(1)
    });
    eprintln!("seed: {seed} (HOOKGATE_TEST_SEED={seed} repeats this run)");
    seed
}

#[test]
fn a_killed_program_keeps_every_event_it_acknowledged_and_makes_none_twice() {
    let mut random = Random(seed());
    let folder = tempfile::tempdir().unwrap();
    let kills = if std::env::var_os("HOOKGATE_SLOW_TESTS").is_some() { KILLS * 100 } else { KILLS };
    let next = Arc::new(AtomicU64::new(0));
    let acknowledged: Arc<Mutex<Vec<u64>>> = Arc::default();

    for _ in 0..kills {
        let door = Door::open(folder.path());
        let answers = Arc::new(AtomicUsize::new(0));
        // The moment of the kill is counted in answers, so that it falls anywhere in a
        // batch, whatever the speed of the machine.
        let kill_after = usize::try_from(random.below(3000)).unwrap();
        let senders: Vec<_> = (0..CONNECTIONS)
            .map(|_| {
                let (next, acknowledged, answers) =
                    (Arc::clone(&next), Arc::clone(&acknowledged), Arc::clone(&answers));
                let address = door.address.clone();
                std::thread::spawn(move || {
                    let Some(mut client) = Client::connect(&address) else { return };
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        match client.send(&door::body(number)) {
                            Some(200) => {
                                acknowledged.lock().unwrap().push(number);
                                answers.fetch_add(1, Ordering::Release);
                            }
                            Some(status) => panic!("answered {status}"),
                            None => return,
                        }
                    }
                })
            })
            .collect();
        while answers.load(Ordering::Acquire) < kill_after {
            assert!(senders.iter().any(|it| !it.is_finished()), "every sender has stopped");
            std::thread::yield_now();
        }
        door.kill();
        for sender in senders {
            sender.join().unwrap();
        }
    }

    let door = Door::open(folder.path());
    let mut found: HashMap<u64, usize> = HashMap::new();
    for event in door.events() {
        assert_eq!(event["status"], "accepted");
        let id = event["conversation_id"].as_str().unwrap();
        *found.entry(id.strip_prefix("call_").unwrap().parse().unwrap()).or_default() += 1;
    }
    let acknowledged = acknowledged.lock().unwrap();
    for number in acknowledged.iter() {
        assert_eq!(found.get(number), Some(&1), "event {number} was acknowledged");
    }
    for (number, times) in &found {
        assert!(*times <= 1, "event {number} is there {times} times");
    }
    eprintln!(
        "{kills} kills, {} events acknowledged, {} sent, {} found",
        acknowledged.len(),
        next.load(Ordering::Relaxed),
        found.len()
    );
    assert!(!acknowledged.is_empty());
    door.stop();
}

#[test]
fn a_large_audio_event_comes_back_byte_for_byte_and_is_never_held_in_memory() {
    const AUDIO_BYTES: usize = 90 * 1024 * 1024;
    const MEMORY_KIB_MAX: u64 = 200 * 1024;
    let folder = tempfile::tempdir().unwrap();
    let door = Door::open(folder.path());
    let mut body = br#"{"type":"post_call_audio","event_timestamp":1739537319,"data":{"agent_id":"a","conversation_id":"conv_large","full_audio":""#.to_vec();
    body.extend(
        (0..AUDIO_BYTES).map(|at| b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdef"[(at * 7 + at / 4096) % 32]),
    );
    body.extend_from_slice(br#""}}"#);

    let mut client = Client::connect(&door.address).unwrap();
    assert_eq!(client.send_chunked(&body), Some(200));
    let event = door.events().into_iter().next().expect("the event is listed");
    assert_eq!(event["conversation_id"], "conv_large");
    assert_eq!(event["size"], body.len());
    let raw = door.raw(event["id"].as_str().unwrap());
    assert!(raw == body, "the bytes differ");
    let peak = door.peak_memory_kib();
    assert!(peak < MEMORY_KIB_MAX, "the program took {peak} KiB");
    eprintln!("peak memory: {peak} KiB for a body of {} bytes", body.len());
    door.stop();
}
