//! Recordings kept by the real program: whole, also over a signal 9, and gone when erased.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};

use rustix::process::Signal;
use serde_json::Value;

use crate::bench::{Bench, PATIENCE};

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
