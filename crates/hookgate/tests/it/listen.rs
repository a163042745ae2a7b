//! `hookgate listen`: what a gateway receives reaches a developer's own server, through
//! kills of every part of the way.

mod receiver;

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::process::Child;
use std::sync::mpsc::{Receiver, channel};

use hookgate_testpg::{Cluster, Options, Stop};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use self::receiver::{Server, free_port};
use crate::away::node;
use crate::bench::{Bench, Gateway, PATIENCE};

/// A running `hookgate listen`, killed when the test is over.
struct Listen {
    child: Child,
    out: Receiver<String>,
    err: Receiver<String>,
}

fn lines(read: impl std::io::Read + Send + 'static) -> Receiver<String> {
    let (send, lines) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(read).lines().map_while(Result::ok) {
            if send.send(line).is_err() {
                return;
            }
        }
    });
    lines
}

impl Listen {
    /// Starts it in the bench's folder, and waits until it has begun.
    #[track_caller]
    fn start(bench: &Bench, url: &str, more: &[&str]) -> Self {
        let listen = Self::spawn(bench, url, more);
        listen.wait_for("Passing events of");
        listen
    }

    fn spawn(bench: &Bench, url: &str, more: &[&str]) -> Self {
        let arguments = [&["listen", "--forward", url, "--state", "place.json"], more].concat();
        let mut child = bench.command(&arguments).spawn().unwrap();
        let out = lines(child.stdout.take().unwrap());
        let err = lines(child.stderr.take().unwrap());
        Self { child, out, err }
    }

    /// Waits for a remark with this text.
    #[track_caller]
    fn wait_for(&self, text: &str) -> String {
        let mut seen = Vec::new();
        loop {
            let Ok(line) = self.err.recv_timeout(PATIENCE) else {
                panic!("no {text:?} in {seen:#?}")
            };
            if line.contains(text) {
                return line;
            }
            seen.push(line);
        }
    }

    #[track_caller]
    fn line(&self) -> String {
        self.out.recv_timeout(PATIENCE).expect("a line for the event")
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    fn kill(mut self) {
        self.signal(Signal::KILL);
        self.child.wait().unwrap();
    }
}

impl Drop for Listen {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a Retell event that is told from others by its number.
#[track_caller]
fn send(bench: &Bench, number: u32) {
    let body = body(number);
    let sent = bench.run_with(&["send", "retell", "--body", "-"], body.as_bytes());
    assert_eq!(sent.code, 0, "{sent:?}");
}

/// Odd blanks and escapes: what is parsed and printed anew is other bytes.
fn body(number: u32) -> String {
    format!(
        "{{ \"event\" : \"call_ended\",\n\t\"call\":{{\"call_id\":\"call_{number}\"}}, \"x\":1.50, \
         \"y\":\"\\u0041é\" }}"
    )
}

fn bodies(range: std::ops::RangeInclusive<u32>) -> Vec<String> {
    range.map(body).collect()
}

/// Restarts the gateway where it was.
#[track_caller]
fn again(bench: &mut Bench, address: std::net::SocketAddr) -> Gateway {
    bench.serve_as(&["serve", "--dev", "--listen", &address.to_string()])
}

#[test]
fn an_event_is_passed_on_as_it_came() {
    let mut bench = Bench::new();
    let gateway = bench.serve(&["--dev"]);
    let server = Server::start();
    let listen = Listen::start(&bench, &server.url("/hook?k=v"), &[]);
    send(&bench, 1);
    let got = server.next();
    assert_eq!((got.method.as_str(), got.path.as_str()), ("POST", "/hook?k=v"));
    assert_eq!(got.body, body(1).as_bytes());
    let exported = bench.done(&["events", "export"]);
    let event: Value = serde_json::from_str(exported.trim()).unwrap();
    // Every header of the event, but those of the connection.
    let mut original: Vec<(String, String)> = Vec::new();
    for header in event["headers"].as_array().unwrap() {
        let text = |at: usize| header[at].as_str().unwrap().to_owned();
        if !["host", "content-length", "connection"].contains(&text(0).as_str()) {
            original.push((text(0), text(1)));
        }
    }
    assert!(original.iter().any(|(name, _)| name == "x-retell-signature"), "{original:?}");
    let passed: BTreeSet<(String, String)> = got.headers.iter().cloned().collect();
    for header in &original {
        assert!(passed.contains(header), "{header:?} is not in {passed:?}");
    }
    let ours = ["host", "content-length", "accept", "x-hookgate-event-id", "x-hookgate-seq"];
    for (name, value) in &got.headers {
        let is_original = original.contains(&(name.clone(), value.clone()));
        assert!(is_original || ours.contains(&name.as_str()), "{name} is nobody's");
    }
    assert_eq!(got.header("host"), server.address.to_string());
    assert_eq!(got.header("x-hookgate-event-id"), event["id"]);
    assert_eq!(got.header("x-hookgate-seq"), event["seq"].to_string());
    let line = listen.line();
    assert!(line.contains("call_ended") && line.contains("200 in "), "{line}");

    // Whatever is answered, the next one comes.
    server.answer_with(500);
    send(&bench, 2);
    assert_eq!(server.next().body, body(2).as_bytes());
    assert!(listen.line().contains("500 in "));
    listen.signal(Signal::INT);
    let said = listen.wait_for("Passed on");
    assert!(said.starts_with("Passed on 2 events, 1 of them without a 2xx."), "{said}");
    gateway.stop();
}

#[test]
fn nothing_is_lost_and_the_order_kept_when_the_gateway_is_killed() {
    let mut bench = Bench::new();
    let mut gateway = bench.serve(&["--dev"]);
    let address = gateway.address;
    let server = Server::start();
    let listen = Listen::start(&bench, &server.url("/"), &[]);
    for round in 0..3_u32 {
        for number in 1..=5 {
            send(&bench, round * 5 + number);
        }
        // Killed while some of them are still on their way.
        gateway.signal(Signal::KILL);
        listen.wait_for("No events from");
        drop(gateway);
        gateway = again(&mut bench, address);
    }
    send(&bench, 16);
    let got: Vec<String> = (1..=16).map(|_| server.next().text()).collect();
    assert_eq!(got, bodies(1..=16));
    gateway.stop();
}

#[test]
fn what_came_while_it_was_away_is_passed_on_when_it_starts_again() {
    let mut bench = Bench::new();
    let gateway = bench.serve(&["--dev"]);
    let server = Server::start();
    let listen = Listen::start(&bench, &server.url("/"), &[]);
    send(&bench, 1);
    server.next();
    listen.line();
    listen.signal(Signal::INT);
    listen.wait_for("Passed on 1 event.");
    for number in 2..=4 {
        send(&bench, number);
    }
    let listen = Listen::start(&bench, &server.url("/"), &[]);
    listen.wait_for("missed 3 events while away, forwarding them now");
    let got: Vec<String> = (2..=4).map(|_| server.next().text()).collect();
    assert_eq!(got, bodies(2..=4));

    // Killed at any moment, it repeats at most what it was about to note.
    for _ in 0..3 {
        listen.line();
    }
    listen.kill();
    send(&bench, 5);
    let listen = Listen::start(&bench, &server.url("/"), &[]);
    let next = server.next().text();
    let next = if next == body(4) { server.next().text() } else { next };
    assert_eq!(next, body(5));
    listen.line();
    listen.signal(Signal::TERM);
    listen.wait_for("Passed on");

    // Whoever says where to begin begins there.
    let events: Value = serde_json::from_str(&bench.done(&["events", "list", "--json"])).unwrap();
    let third = events["data"][2]["id"].as_str().unwrap();
    let listen = Listen::start(&bench, &server.url("/"), &["--since", third]);
    listen.wait_for("2 events wait already, forwarding them now");
    let got: Vec<String> = (4..=5).map(|_| server.next().text()).collect();
    assert_eq!(got, bodies(4..=5));
    gateway.stop();
}

#[test]
fn a_server_that_is_down_is_waited_for_with_the_same_event() {
    let mut bench = Bench::new();
    let gateway = bench.serve(&["--dev"]);
    let port = free_port();
    let url = format!("http://localhost:{port}/");
    let listen = Listen::start(&bench, &url, &[]);
    for number in 1..=3 {
        send(&bench, number);
    }
    listen.wait_for("does not answer (it cannot be reached)");
    let server = Server::at(port);
    let got: Vec<String> = (1..=3).map(|_| server.next().text()).collect();
    assert_eq!(got, bodies(1..=3));
    listen.wait_for("answers again");
    for _ in 0..3 {
        assert!(listen.line().contains("200 in"));
    }
    // One that hangs up in the middle gets the same event again.
    server.hang_up_once();
    send(&bench, 4);
    listen.wait_for("does not answer (it hung up)");
    assert_eq!(server.next().body, body(4).as_bytes());
    assert_eq!(server.next().body, body(4).as_bytes(), "once more, and now answered");
    assert!(listen.line().contains("200 in"));
    gateway.stop();
}

#[test]
fn sources_and_providers_are_chosen_and_quarantine_stays_where_it_is() {
    let mut bench = Bench::new();
    let gateway = bench.serve(&["--dev"]);
    let server = Server::start();
    let flags = ["--source", "tawk", "--source", "vapi", "--keep-path", "--json"];
    let listen = Listen::start(&bench, &server.url("/base/"), &flags);
    bench.done(&["send", "retell"]);
    bench.done(&["send", "tawk"]);
    bench.done(&["send", "vapi", "--scheme", "vapi.secret"]);
    assert_eq!(server.next().path, "/base/tawk-webhook");
    let vapi = server.next();
    assert_eq!(vapi.path, "/base/webhook/vapi");
    assert!(vapi.headers.iter().all(|(name, _)| name != "x-vapi-secret"), "{vapi:?}");
    listen.wait_for("x-vapi-secret came as a token");
    let line: Value = serde_json::from_str(&listen.line()).unwrap();
    assert_eq!((&line["source"], &line["status"]), (&json!("tawk"), &json!(200)));
    assert!(line["micros"].is_u64() && line["seq"].is_u64(), "{line}");
    gateway.stop();
}

#[test]
fn a_large_body_arrives_whole() {
    let mut bench = Bench::new();
    let gateway = bench.serve(&["--dev"]);
    let server = Server::start();
    let _listen = Listen::start(&bench, &server.url("/"), &[]);
    for size in [300_000, 1_500_000] {
        let body = format!(
            r#"{{"type":"post_call_transcription","event_timestamp":1,"data":{{"conversation_id":"c{size}","fill":"{}"}}}}"#,
            "x".repeat(size)
        );
        let sent = bench.run_with(&["send", "elevenlabs", "--body", "-"], body.as_bytes());
        assert_eq!(sent.code, 0, "{sent:?}");
        assert!(server.next().text() == body, "{size}");
    }
    gateway.stop();
}

#[test]
fn a_typing_error_sends_nothing_to_strangers() {
    let mut bench = Bench::new();
    bench.set("HOOKGATE_URL", "http://127.0.0.1:1");
    for (flags, said) in [
        (&["--forward", "http://192.0.2.1/"][..], "not this machine"),
        (&["--forward", "https://localhost.example/"], "--anywhere"),
        (&["--forward", "http://127.0.0.1.example:80/"], "not this machine"),
        (&["--forward", "file:///etc/passwd"], "is not a URL"),
        (&["--forward", "localhost:3000"], "is not a URL"),
        (&["--forward", "http://localhost:1/", "--kind", "call.over"], "--kind call.over"),
        (&["--forward", "http://localhost:1/", "--provider", "x"], "--provider x"),
        (&["--forward", "http://localhost:1/", "--name", "../x"], "--name"),
        (&["--forward", "http://localhost:1/"], "name a file with --state"),
    ] {
        let ended = bench.run(&[&["listen"], flags].concat());
        assert_eq!(ended.code, 2, "{ended:?}");
        assert!(ended.err.contains(said), "{ended:?}");
    }
    bench.file("odd.json", "{}");
    let odd = ["listen", "--forward", "http://localhost:1/", "--state", "odd.json"];
    assert_eq!(bench.run(&odd).code, 2);
}

#[test]
fn two_do_not_share_a_place() {
    let mut bench = Bench::new();
    let gateway = bench.serve(&["--dev"]);
    let server = Server::start();
    let url = server.url("/");
    let _one = Listen::start(&bench, &url, &[]);
    let other = bench.run(&["listen", "--forward", &url, "--state", "place.json"]);
    assert_eq!(other.code, 2, "{other:?}");
    assert!(other.err.contains("--name"), "{other:?}");
    // Under another name it is another place, in the user's folder.
    let folder = bench.path().join("state");
    bench.set("XDG_STATE_HOME", folder.to_str().unwrap());
    let mut named = bench
        .command(&["listen", "--forward", &url, "--name", "second", "--since", "start"])
        .spawn()
        .unwrap();
    let err = lines(named.stderr.take().unwrap());
    assert!(err.recv_timeout(PATIENCE).unwrap().contains("Passing"));
    named.kill().unwrap();
    named.wait().unwrap();
    let kept = std::fs::read_dir(folder.join("hookgate/listen")).unwrap();
    let kept: Vec<String> = kept.map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
    assert!(kept.iter().any(|it| it.ends_with("@second.json")), "{kept:?}");
    gateway.stop();
}

#[test]
fn a_gateway_with_another_store_is_told_from_the_one_before() {
    let mut bench = Bench::new();
    let gateway = bench.serve(&["--dev"]);
    let address = gateway.address;
    let server = Server::start();
    let listen = Listen::start(&bench, &server.url("/"), &[]);
    send(&bench, 1);
    server.next();
    listen.line();
    gateway.stop();
    listen.wait_for("No events from");
    // The token is the one of `.env`, so it is still taken.
    let gateway = bench.serve_as(&[
        "serve",
        "--dev",
        "--listen",
        &address.to_string(),
        "--store",
        "other.data",
    ]);
    listen.wait_for("another store");
    listen.wait_for("The gateway is here again");
    send(&bench, 2);
    assert_eq!(server.next().body, body(2).as_bytes());
    gateway.stop();
}

#[test]
fn a_gateway_stops_at_once_although_it_is_listened_to() {
    let mut bench = Bench::new();
    for admin in [false, true] {
        let mut gateway = bench.serve(&["--dev"]);
        let server = Server::start();
        let listen = Listen::start(&bench, &server.url("/"), &[]);
        let tail = bench.command(&["events", "tail"]).spawn().unwrap();
        let mut tail = Killed(tail);
        let waiting = lines(tail.0.stderr.take().unwrap());
        assert!(waiting.recv_timeout(PATIENCE).unwrap().contains("Waiting"));
        gateway.signal(Signal::TERM);
        let ended = gateway.wait_for("stopped");
        assert!(ended.contains("complete=true"), "{ended}");
        assert_eq!(gateway.code(), 0);
        assert!(waiting.recv_timeout(PATIENCE).unwrap().starts_with("No events from"));
        drop(listen);
        if !admin {
            // The same with a listener for the operator alone.
            let port = free_port();
            bench
                .file("hookgate.toml", &format!("[server]\nadmin_listen = \"127.0.0.1:{port}\"\n"));
            let mut gateway = bench.serve(&["--dev"]);
            let public = format!("http://{}", gateway.address);
            bench.set("HOOKGATE_URL", &format!("http://127.0.0.1:{port}"));
            let listen = Listen::start(&bench, &server.url("/"), &[]);
            bench.done(&["send", "retell", "--to", &public]);
            server.next();
            gateway.signal(Signal::TERM);
            let ended = gateway.wait_for("stopped");
            assert!(ended.contains("complete=true"), "{ended}");
            drop(listen);
            std::fs::remove_file(bench.path().join("hookgate.toml")).unwrap();
        }
    }
}

/// A child that is killed when the test is over.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn tail_goes_on_where_it_was_when_the_gateway_is_killed() {
    let mut bench = Bench::new();
    let gateway = bench.serve(&["--dev"]);
    let address = gateway.address;
    let mut tail = Killed(bench.command(&["events", "tail"]).spawn().unwrap());
    let (out, err) = (lines(tail.0.stdout.take().unwrap()), lines(tail.0.stderr.take().unwrap()));
    assert!(err.recv_timeout(PATIENCE).unwrap().contains("Waiting"));
    for number in 1..=3 {
        send(&bench, number);
    }
    gateway.signal(Signal::KILL);
    assert!(err.recv_timeout(PATIENCE).unwrap().starts_with("No events from"));
    drop(gateway);
    let gateway = again(&mut bench, address);
    send(&bench, 4);
    for number in 1..=4 {
        let line = out.recv_timeout(PATIENCE).unwrap();
        assert!(line.contains(&format!("  call_{number}  ")), "{line}");
    }
    gateway.stop();
}

#[test]
fn a_database_that_is_away_is_said_once_and_waited_for() {
    let cluster = Cluster::start(&Options::default());
    let database = cluster.database();
    let mut bench = node(&database);
    bench.set("RETELL_API_KEY", "key_0123456789abcdef");
    let gateway = bench.serve(&[]);
    let server = Server::start();
    let listen = Listen::start(&bench, &server.url("/"), &[]);
    send(&bench, 1);
    assert_eq!(server.next().body, body(1).as_bytes());
    listen.line();
    cluster.stop(Stop::Immediate);
    send(&bench, 2);
    let said = listen.wait_for("it answers 503");
    assert!(said.starts_with("No events from"), "{said}");
    // No stream begins that would break off at once, and no place is called wrong: neither the
    // one that is remembered, nor one of another store, of which nobody can tell that now.
    let place: Value = serde_json::from_str(&bench.read("place.json")).unwrap();
    let elsewhere = "ZmEBAgMEAAAAAAAAAAE";
    for place in [place["place"].as_str().unwrap(), elsewhere, "start"] {
        let headers = [("authorization", "Bearer operator-0123456789abcdef")];
        let path = format!("/api/v1/events/stream?since={place}");
        let answer = gateway.get(&path, &headers);
        assert_eq!(answer.status, 503, "{answer:?}");
    }
    cluster.start_again();
    assert_eq!(server.next().body, body(2).as_bytes());
    assert_eq!(listen.err.recv_timeout(PATIENCE).unwrap(), "The gateway is here again.");
    gateway.stop();
}
