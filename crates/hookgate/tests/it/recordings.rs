//! Recordings kept by the real program: whole, also over a signal 9, on every node, and gone
//! when erased.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};

use base64::Engine as _;
use hookgate_testpg::Cluster;
use rustix::process::Signal;
use serde_json::Value;

use crate::bench::{Bench, Gateway, PATIENCE};

const TOKEN: &str = "operator-0123456789abcdef";
const SECRET: &str = "vapi-0123456789abcdef0123456789abcdef";

/// Stands in the link, which opens the recording for everybody.
const LINK: &str = "link-canary-6d20";

fn sound() -> Vec<u8> {
    let mut sound = b"RIFF\x24\0\0\0WAVEfmt ".to_vec();
    sound.extend((0..3_000_000_u32).map(|it| it.wrapping_mul(2_654_435_761).to_be_bytes()[0]));
    sound
}

/// A server that gives half of a recording and falls silent, so many times; then all of it. Says
/// when it has begun to answer.
fn server(halves: usize) -> (SocketAddr, Receiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (say, said) = channel();
    std::thread::spawn(move || {
        let mut silent = Vec::new();
        for (n, stream) in listener.incoming().enumerate() {
            let mut reader = BufReader::new(stream.unwrap());
            let mut line = String::new();
            while reader.read_line(&mut line).is_ok_and(|it| it > 2) {
                line.clear();
            }
            let sound = sound();
            let given = if n < halves { &sound[..sound.len() / 2] } else { &sound };
            let stream = reader.get_mut();
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: audio/x-wav\r\ncontent-length: {}\r\n\r\n",
                sound.len()
            );
            // A gateway that was killed does not listen.
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(given));
            if say.send(()).is_err() {
                return;
            }
            silent.push(reader);
        }
    });
    (address, said)
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for shelf in std::fs::read_dir(folder).unwrap() {
        let files = std::fs::read_dir(shelf.unwrap().path()).unwrap();
        found.extend(files.map(|it| it.unwrap().path()));
    }
    found
}

#[test]
fn killed_in_the_middle_of_a_fetch_it_has_the_recording_whole_afterwards() {
    let mut bench = Bench::new();
    bench
        .set("HOOKGATE_ADMIN_TOKEN", TOKEN)
        .set("VAPI_WEBHOOK_SECRET", SECRET)
        .set("HOOKGATE_EGRESS_ALLOW", "127.0.0.0/8");
    bench.file("hookgate.toml", "[recordings]\narchive = true\n");
    let (address, said) = server(2);
    let mut gateway = bench.serve(&[]);
    let body = format!(
        r#"{{"message":{{"type":"end-of-call-report","call":{{"id":"call_1"}},"artifact":{{"recordingUrl":"http://{address}/r.wav?sig={LINK}"}}}}}}"#
    );
    let answer = gateway.post("/webhook/vapi", &[("x-vapi-secret", SECRET)], &body);
    assert_eq!(answer.status, 200, "{answer:?}");
    let folder = bench.path().join("hookgate.data/recordings");
    for _ in 0..2 {
        said.recv_timeout(PATIENCE).unwrap();
        gateway.signal(Signal::KILL);
        drop(gateway);
        assert!(files(&folder).len() <= 1, "at most what was under way");
        gateway = bench.serve(&[]);
    }
    said.recv_timeout(PATIENCE).unwrap();
    gateway.wait_for_metric("hookgate_recording_fetches_total{outcome=\"fetched\"} 1");
    assert_eq!(files(&folder).len(), 1, "and nothing that is unfinished");

    let listed = bench.done(&["recordings", "list", "--state", "fetched", "--json"]);
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let id = listed["data"][0]["id"].as_str().unwrap();
    bench.done(&["recordings", "get", id, "--out", "call.wav"]);
    assert!(std::fs::read(bench.path().join("call.wav")).unwrap() == sound(), "byte by byte");
    let again = bench.run(&["recordings", "get", id, "--out", "call.wav"]);
    assert_eq!(again.code, 1, "a file that is there stays: {again:?}");
    let missing = bench.run(&["recordings", "get", "rec_1", "--out", "no.wav"]);
    assert!(missing.code == 1 && missing.err.contains("recordings list"), "{missing:?}");
    assert!(!bench.path().join("no.wav").exists());
    let table = bench.done(&["recordings", "list"]);
    assert!(table.contains(id) && table.contains("fetched"), "{table}");

    bench.done(&["conversations", "erase", "vapi", "call_1", "--yes"]);
    let token = format!("Bearer {TOKEN}");
    let headers = [("authorization", token.as_str())];
    loop {
        let erasure = gateway.get("/api/v1/erasures", &headers).json();
        if erasure["data"][0]["state"] == "done" {
            break;
        }
        std::thread::yield_now();
    }
    assert_eq!(files(&folder), Vec::<PathBuf>::new());
    assert_eq!(gateway.get(&format!("/api/v1/recordings/{id}"), &headers).status, 404);
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.code(), 0);
    assert!(!gateway.seen().contains(LINK), "{}", gateway.seen());
    assert!(gateway.seen().contains("a recording was fetched"), "{}", gateway.seen());
}

/// What a gateway gives of a recording, from one byte to another.
fn part(gateway: &Gateway, id: &str, (first, last): (usize, usize)) -> Vec<u8> {
    let mut stream = gateway.connect();
    write!(
        stream,
        "GET /api/v1/recordings/{id} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\
         authorization: Bearer {TOKEN}\r\nrange: bytes={first}-{last}\r\n\r\n"
    )
    .unwrap();
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap();
    assert!(all.starts_with(b"HTTP/1.1 206 "), "{}", String::from_utf8_lossy(&all[..100]));
    let head = all.windows(4).position(|it| it == b"\r\n\r\n").unwrap();
    all.split_off(head + 4)
}

#[test]
fn what_one_node_fetches_every_node_serves_until_it_is_erased_in_the_database() {
    let database = Cluster::shared().database();
    let (address, said) = server(0);
    let mut benches = [Bench::new(), Bench::new()];
    let nodes = benches.each_mut().map(|bench| {
        bench
            .set("HOOKGATE_ADMIN_TOKEN", TOKEN)
            .set("HOOKGATE_MASTER_KEY", "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=")
            .set("HOOKGATE_STORE", &database.url())
            .set("VAPI_WEBHOOK_SECRET", SECRET)
            .set("ELEVENLABS_WEBHOOK_SECRET", "wsec_0123456789abcdef0123456789abcdef")
            .set("HOOKGATE_EGRESS_ALLOW", "127.0.0.0/8");
        bench.file("hookgate.toml", "[recordings]\narchive = true\n");
        bench.serve(&[])
    });
    let [one, other] = &benches;
    let body = format!(
        r#"{{"message":{{"type":"end-of-call-report","call":{{"id":"call_1"}},"artifact":{{"recordingUrl":"http://{address}/r.wav?sig={LINK}"}}}}}}"#
    );
    let answer = nodes[0].post("/webhook/vapi", &[("x-vapi-secret", SECRET)], &body);
    assert_eq!(answer.status, 200, "{answer:?}");
    // Three megabytes of sound inside of a body, which no node has in memory.
    let audio = base64::engine::general_purpose::STANDARD.encode(sound());
    let body = format!(
        r#"{{"type":"post_call_audio","event_timestamp":1739537319,"data":{{"agent_id":"agent_1","conversation_id":"conv_1","full_audio":"{audio}"}}}}"#
    );
    let sent = other.run_with(&["send", "elevenlabs", "--body", "-"], body.as_bytes());
    assert_eq!(sent.code, 0, "{sent:?}");

    let token = format!("Bearer {TOKEN}");
    let headers = [("authorization", token.as_str())];
    let fetched = |node: &Gateway| {
        let listed = node.get("/api/v1/recordings?state=fetched", &headers).json();
        listed["data"].as_array().unwrap().clone()
    };
    while fetched(&nodes[1]).len() < 2 {
        std::thread::yield_now();
    }
    said.recv_timeout(PATIENCE).unwrap();
    assert!(said.try_recv().is_err(), "nodes do not fetch one twice");
    assert_eq!(fetched(&nodes[0]), fetched(&nodes[1]));
    for recording in fetched(&nodes[0]) {
        let id = recording["id"].as_str().unwrap();
        for (bench, node) in [one, other].into_iter().zip(&nodes) {
            let out = format!("{id}.wav");
            bench.done(&["recordings", "get", id, "--out", &out]);
            assert!(std::fs::read(bench.path().join(out)).unwrap() == sound(), "byte by byte");
            let middle = part(node, id, (1_500_000, 2_500_000));
            assert!(middle == sound()[1_500_000..=2_500_000], "a part of it");
        }
    }

    let gone = fetched(&nodes[0]);
    one.done(&["conversations", "erase", "vapi", "call_1", "--yes"]);
    other.done(&["conversations", "erase", "elevenlabs", "conv_1", "--yes"]);
    loop {
        let erasures = nodes[1].get("/api/v1/erasures", &headers).json();
        if erasures["data"].as_array().unwrap().iter().all(|it| it["state"] == "done") {
            break;
        }
        std::thread::yield_now();
    }
    for recording in gone {
        let path = format!("/api/v1/recordings/{}", recording["id"].as_str().unwrap());
        assert_eq!(nodes.each_ref().map(|it| it.get(&path, &headers).status), [404, 404]);
    }
    let left = "SELECT count(*) FROM hookgate.recording_pieces";
    let left: i64 = database.connect().query_one(left, &[]).unwrap().get(0);
    assert_eq!(left, 0);
    for (bench, mut node) in benches.iter().zip(nodes) {
        assert!(files(&bench.path().join("hookgate.data/recordings")).is_empty());
        node.signal(Signal::TERM);
        assert_eq!(node.code(), 0);
        assert!(!node.seen().contains(LINK), "{}", node.seen());
    }
}

#[test]
fn the_sample_of_a_recording_is_one_that_can_be_kept() {
    let mut bench = Bench::new();
    bench.file("hookgate.toml", "[recordings]\narchive = true\n");
    let mut gateway = bench.serve(&["--dev"]);
    bench.done(&["send", "elevenlabs", "--event", "post_call_audio"]);
    gateway.wait_for("recording was ");
    let listed: Value =
        serde_json::from_str(&bench.done(&["recordings", "list", "--json"])).unwrap();
    let recording = &listed["data"][0];
    assert_eq!(recording["state"], "fetched", "{recording}");
    let id = recording["id"].as_str().unwrap();
    bench.done(&["recordings", "get", id, "--out", "call.mp3"]);
    let sound = std::fs::read(bench.path().join("call.mp3")).unwrap();
    assert!(sound.starts_with(b"ID3"), "{sound:?}");
    gateway.stop();
}
