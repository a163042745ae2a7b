//! Events passed on by the real program: until they arrive, also over a signal 9.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{Receiver, channel};

use hookgate_core::digest::hmac_sha256;
use rustix::process::Signal;
use serde_json::Value;

use crate::bench::{Bench, Gateway, PATIENCE};

pub(crate) const TOKEN: &str = "operator-0123456789abcdef";
pub(crate) const SECRET: &str = "vapi-0123456789abcdef0123456789abcdef";

/// A delivery as it came: its headers and its body.
pub(crate) struct Arrived {
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

/// A receiver that answers the n-th request with what `answer` says; 0 hangs up.
pub(crate) fn receiver(
    answer: impl Fn(usize) -> u16 + Send + 'static,
) -> (SocketAddr, Receiver<Arrived>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (send, arrived) = channel();
    std::thread::spawn(move || {
        for (n, stream) in listener.incoming().enumerate() {
            let mut reader = BufReader::new(stream.unwrap());
            let (mut headers, mut line) = (BTreeMap::new(), String::new());
            while reader.read_line(&mut line).is_ok_and(|it| it > 2) {
                if let Some((name, value)) = line.trim_end().split_once(": ") {
                    headers.insert(name.to_owned(), value.to_owned());
                }
                line.clear();
            }
            // A gateway that is killed leaves half a request.
            if line != "\r\n" {
                continue;
            }
            let length = headers.get("content-length").map_or(0, |it| it.parse().unwrap());
            let mut body = vec![0; length];
            if reader.read_exact(&mut body).is_err() {
                continue;
            }
            let body = String::from_utf8(body).unwrap();
            let status = answer(n);
            if status != 0 {
                let text = format!(
                    "HTTP/1.1 {status} x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
                );
                // Nobody may be there any more.
                let _ = reader.get_mut().write_all(text.as_bytes());
            }
            if send.send(Arrived { headers, body }).is_err() {
                return;
            }
        }
    });
    (address, arrived)
}

fn gateway(bench: &mut Bench) -> Gateway {
    bench
        .set("HOOKGATE_ADMIN_TOKEN", TOKEN)
        .set("VAPI_WEBHOOK_SECRET", SECRET)
        .set("HOOKGATE_EGRESS_ALLOW", "127.0.0.0/8");
    // Waits of this size are over before a test is tired.
    bench.file("hookgate.toml", "[delivery]\nretry = [\"1s\", \"1s\", \"1s\", \"1s\", \"1s\"]\n");
    bench.serve(&[])
}

pub(crate) fn send(gateway: &Gateway, number: usize) -> String {
    let body = format!(
        r#"{{"message":{{"type":"end-of-call-report","call":{{"id":"call_{number}"}},"n":{number}}}}}"#
    );
    let answer = gateway.post("/webhook/vapi", &[("x-vapi-secret", SECRET)], &body);
    assert_eq!(answer.status, 200, "{answer:?}");
    body
}

#[test]
fn an_event_comes_signed_and_again_after_a_failure_under_the_same_id() {
    let mut bench = Bench::new();
    let gateway = gateway(&mut bench);
    let (address, arrived) = receiver(|n| if n == 0 { 500 } else { 200 });
    let url = format!("http://{address}/hooks");
    let made = bench.done(&[
        "destination",
        "add",
        "--kind",
        "http",
        "--url",
        &url,
        "--format",
        "raw",
        "--json",
    ]);
    let made: Value = serde_json::from_str(&made).unwrap();
    let body = send(&gateway, 1);
    let first = arrived.recv_timeout(PATIENCE).unwrap();
    let second = arrived.recv_timeout(PATIENCE).unwrap();
    assert_eq!(first.body, body);
    assert_eq!(second.body, body);
    assert_eq!(first.headers["webhook-id"], second.headers["webhook-id"]);
    for delivery in [first, second] {
        let secret = made["secret"].as_str().unwrap().strip_prefix("whsec_").unwrap();
        let key = base64_of(secret);
        let (id, at) = (&delivery.headers["webhook-id"], &delivery.headers["webhook-timestamp"]);
        let digest = hmac_sha256(&key, format!("{id}.{at}.{}", delivery.body).as_bytes());
        let expected = format!("v1,{}", base64(&digest));
        assert_eq!(delivery.headers["webhook-signature"], expected);
        assert!(!delivery.headers.contains_key("x-vapi-secret"));
    }
    gateway.stop();
}

#[test]
fn what_a_sender_waits_for_is_never_done_with_the_priority_of_a_delivery() {
    let mut bench = Bench::new();
    let gateway = gateway(&mut bench);
    let (address, arrived) = receiver(|_| 200);
    let url = format!("http://{address}/hooks");
    bench.done(&["destination", "add", "--kind", "http", "--url", &url]);
    send(&gateway, 1);
    arrived.recv_timeout(PATIENCE).unwrap();
    let threads = gateway.threads();
    for (names, nicer) in [
        (&["hookgate", "journal", "registry"][..], 0),
        (&["background", "conversations", "checkpoint"], 10),
    ] {
        for name in names {
            let all: Vec<_> = threads.iter().filter(|it| it.0 == *name).collect();
            assert!(!all.is_empty(), "no thread is called {name}: {threads:?}");
            assert!(all.iter().all(|it| it.1 == nicer), "{threads:?}");
        }
    }
    gateway.stop();
}

#[test]
fn killed_again_and_again_before_a_receiver_that_fails_everything_arrives_and_keeps_its_id() {
    const EVENTS: usize = 60;
    let mut bench = Bench::new();
    let mut gateway = gateway(&mut bench);
    let (address, arrived) = receiver(|n| match n % 5 {
        1 => 500,
        3 => 0,
        _ => 200,
    });
    let url = format!("http://{address}/hooks");
    bench.done(&["destination", "add", "--kind", "http", "--url", &url, "--format", "raw"]);
    let mut sent = Vec::new();
    let mut ids: BTreeMap<String, String> = BTreeMap::new();
    let mut note = |delivery: Arrived| {
        let id = delivery.headers["webhook-id"].clone();
        let known = ids.entry(delivery.body).or_insert_with(|| id.clone());
        assert_eq!(*known, id, "a repetition has the same id");
        ids.len()
    };
    for round in 0..6 {
        sent.extend((0..EVENTS / 6).map(|n| send(&gateway, round * 100 + n)));
        // Some of them are under way.
        note(arrived.recv_timeout(PATIENCE).unwrap());
        gateway.signal(Signal::KILL);
        drop(gateway);
        gateway = bench.serve(&[]);
    }
    while note(arrived.recv_timeout(PATIENCE).expect("everything arrives")) < EVENTS {}
    assert!(sent.iter().all(|body| ids.contains_key(body)));
    gateway.stop();
}

#[test]
fn after_a_rotation_old_and_new_secret_verify_until_the_overlap_is_over() {
    let mut bench = Bench::new();
    let gateway = gateway(&mut bench);
    let (address, arrived) = receiver(|_| 200);
    let url = format!("http://{address}/hooks");
    let json = |bench: &Bench, line: &[&str]| -> Value {
        serde_json::from_str(&bench.done(&[line, &["--json"]].concat())).unwrap()
    };
    let made = json(&bench, &["destination", "add", "--kind", "http", "--url", &url]);
    let (id, old) = (made["id"].as_str().unwrap(), made["secret"].as_str().unwrap());
    // What the crate of Standard Webhooks says of each secret.
    let verify = |number: usize, secrets: [&str; 3]| {
        send(&gateway, number);
        let delivery = arrived.recv_timeout(PATIENCE).unwrap();
        let headers: http::HeaderMap = delivery
            .headers
            .iter()
            .map(|(name, value)| {
                (http::HeaderName::try_from(name).unwrap(), value.parse().unwrap())
            })
            .collect();
        secrets.map(|it| {
            let webhook = standardwebhooks::Webhook::new(it).unwrap();
            webhook.verify(delivery.body.as_bytes(), &headers).is_ok()
        })
    };
    let stranger = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
    assert_eq!(verify(1, [old, stranger, stranger]), [true, false, false]);
    let rotated = json(&bench, &["destination", "rotate", id, "--overlap", "1h"]);
    let new = rotated["secret"].as_str().unwrap();
    assert_ne!(old, new);
    assert_eq!(verify(2, [old, new, stranger]), [true, true, false], "both sign meanwhile");
    let rotated = json(&bench, &["destination", "rotate", id, "--overlap", "0s"]);
    let newest = rotated["secret"].as_str().unwrap();
    assert_eq!(verify(3, [old, new, newest]), [false, false, true], "without overlap at once");
    gateway.stop();
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

fn base64_of(text: &str) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(text).unwrap()
}
