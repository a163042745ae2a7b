//! What must not get out: secrets, tokens and bodies, in answers, logs and metrics.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::io::Write;
use std::sync::Once;

use hookgate_core::provider;
use hookgate_core::providers::{elevenlabs, tawk};
use hookgate_core::source::Verification;

use crate::bench::{
    Bench, CALL_ENDED, SECRET, Seen, Setup, genuine, only, request, retell_event, source,
    tawk_signature,
};

thread_local! {
    /// What this thread logs. A test and its gateway run on a thread of their own.
    static LINES: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// The log of this thread.
struct Log;

impl Log {
    /// Everything that is logged from now on. One subscriber serves the whole process,
    /// because tracing caches who is interested in what.
    fn capture() {
        static SUBSCRIBER: Once = Once::new();
        SUBSCRIBER.call_once(|| {
            tracing_subscriber::fmt()
                .with_max_level(tracing::Level::TRACE)
                .with_ansi(false)
                .with_writer(|| Log)
                .init();
        });
        LINES.with_borrow_mut(Vec::clear);
    }

    fn text() -> String {
        LINES.with_borrow(|lines| String::from_utf8(lines.clone()).unwrap())
    }

    /// Of our own crates alone: what hyper says at trace level is not ours, and no
    /// released log shows it.
    fn own() -> String {
        let text = Self::text();
        text.lines().filter(|it| it.contains("hookgate")).collect::<Vec<_>>().join("\n")
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        LINES.with_borrow_mut(|lines| lines.extend_from_slice(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

const CANARY: &str = "canary-b0d9";

#[tokio::test]
async fn no_secret_and_no_body_gets_out() {
    Log::capture();
    let bench = Bench::new().await;
    let body = format!(r#"{{"event":"call_ended","call":{{"call_id":"c1"}},"x":"{CANARY}"}}"#);
    let (signature, body) = retell_event(&body);
    let mut answers = String::new();
    let token = format!("{CANARY}-token");
    let rows: [(&str, Vec<(&str, &str)>); 6] = [
        ("/webhook/retell", vec![("x-retell-signature", &signature)]),
        ("/webhook/retell", vec![("x-retell-signature", &token)]),
        ("/webhook/vapi", vec![("x-vapi-secret", &token)]),
        ("/in/canary-b0d9-path", vec![("authorization", &token)]),
        ("/in/mightycall", vec![("authorization", &token), ("cookie", &token)]),
        ("/tawk-webhook?key=canary-b0d9", vec![("x-tawk-signature", &token)]),
    ];
    for (path, headers) in &rows {
        let answer = bench.send(request("POST", path, headers, &body)).await;
        write!(answers, "{answer:?}").unwrap();
    }
    let log = Log::own();
    assert!(log.contains("event stored"), "{log}");
    assert!(log.contains("Invalid webhook signature"), "{log}");
    for text in [&answers, &log, &bench.metrics()] {
        assert!(!text.contains(CANARY), "{text}");
        assert!(!text.contains(SECRET), "{text}");
        assert!(!text.contains(&signature), "{text}");
    }
}

#[tokio::test]
async fn the_log_says_what_an_operator_must_know() {
    Log::capture();
    let open = source(&elevenlabs::PROVIDER, Verification::Open);
    let record = source(&tawk::PROVIDER, Verification::Record);
    let enforce = source(provider::named("retell").unwrap(), Verification::Enforce);
    let sources = only(vec![open, record, enforce]);
    let bench = Bench::with(Setup { sources, ..Setup::default() }).await;
    for _ in 0..3 {
        bench.send(request("POST", "/in/elevenlabs", &[], b"{}")).await;
    }
    let wrong = tawk_signature("another", b"{}");
    bench.send(request("POST", "/in/tawk", &[("x-tawk-signature", &wrong)], b"{}")).await;
    let id = [("x-correlation-id", "call-me")];
    bench.send(request("POST", "/in/retell", &id, CALL_ENDED.as_bytes())).await;
    let log = Log::own();
    let line = |what: &str| log.lines().filter(|it| it.contains(what)).collect::<Vec<_>>();
    let open = line("⚠️ WARNING: ELEVENLABS_WEBHOOK_SECRET not set");
    assert_eq!(open.len(), 1, "{log}");
    assert!(open[0].contains("WARN"), "{log}");
    let refused = line("correlation_id=\"call-me\"");
    assert!(
        refused.iter().any(|it| it.contains("WARN")
            && it.contains("Invalid webhook signature")
            && it.contains("source.id=\"retell\"")
            && it.contains("verification.reason=")
            && it.contains("peer=127.0.0.1")),
        "{log}"
    );
    assert!(line("source.id=\"tawk\"").iter().any(|it| it.contains("quarantine")), "{log}");
}

#[tokio::test]
async fn a_refusal_does_not_fill_the_log() {
    Log::capture();
    let bench = Bench::new().await;
    let mut line = bench.connect().await;
    for _ in 0..200 {
        line.write(&request("POST", "/webhook/retell", &[], b"{}")).await;
        assert_eq!(line.answer().await.status, 401);
    }
    let count = Log::own().matches("Invalid webhook signature").count();
    assert_eq!(count, 20);
}

#[tokio::test]
async fn tokens_in_headers_are_not_shown_by_an_inspection() {
    let seen = Seen::default();
    let sink = seen.sink();
    let bench = Bench::set(|settings| settings.inspect = Some(sink)).await;
    let body = format!(
        r#"{{"message":{{"type":"hang","call":{{"id":"c1"}}}},"apiKey":"{CANARY}","s":"{SECRET}"}}"#
    );
    let headers = [("x-vapi-secret", SECRET), ("cookie", CANARY), ("x-other", SECRET)];
    let path = format!("/webhook/vapi?secret={SECRET}");
    assert_eq!(bench.send(request("POST", &path, &headers, body.as_bytes())).await.status, 200);
    bench.send(genuine()).await;
    for it in seen.all() {
        let text = hookgate_ingress::render(&it) + &format!("{it:?}");
        assert!(!text.contains(SECRET) && !text.contains(CANARY), "{text}");
    }
}
