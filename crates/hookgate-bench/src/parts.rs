//! What the steps of a request cost, in one thread of one process.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hookgate_core::attribution::{Consulted, read};
use hookgate_core::digest::hmac_sha256;
use hookgate_core::headers::Headers;
use hookgate_core::received::{Body, Received, Verified};
use hookgate_core::secret::Secrets;
use hookgate_core::source::{Source, Verification};
use hookgate_core::time::Timestamp;
use hookgate_core::verify::{Envelope, Examination};
use hookgate_core::{named, providers};

use crate::body;

/// Requests in one measurement.
const REQUESTS: u32 = 50_000;

/// Prints the cost of judging, and of reading and attributing, a request; and beside it that of
/// the digest alone, which no verification is without: how fast this machine is just now.
pub(crate) fn measure() {
    let Some(source) = source() else { return };
    let [mut digested, mut judged, mut attributed] = [Duration::ZERO; 3];
    let nobody = Consulted::default();
    for _ in 0..REQUESTS {
        let raw = Bytes::from(body::fresh());
        let signed = body::request(&raw);
        let received = receive(&source, &raw, &signed);
        let begin = Instant::now();
        black_box(hmac_sha256(body::SECRET.as_bytes(), &raw));
        digested += begin.elapsed();
        let begin = Instant::now();
        let Some(verified) = judge(received) else { return };
        judged += begin.elapsed();
        let begin = Instant::now();
        let event = read(verified).map(|it| it.decide(&nobody).conclude());
        attributed += begin.elapsed();
        drop(event);
    }
    let micros = |total: Duration| total.as_secs_f64() * 1e6 / f64::from(REQUESTS);
    println!("{} requests of {} bytes, one thread", REQUESTS, body::BODY_BYTES);
    println!("the digest alone (HMAC-SHA256): {:.2} us", micros(digested));
    println!("verify:                         {:.2} us", micros(judged));
    println!("parse and attribute:            {:.2} us", micros(attributed));
}

/// The source of the requests of this benchmark.
pub(crate) fn source() -> Option<Arc<Source>> {
    let provider = &providers::retell::PROVIDER;
    let policy = named::policy(provider.policy, &serde_json::json!({})).ok()?;
    let secrets = Secrets::from_text(body::SECRET, "");
    Some(Arc::new(Source::new("retell", provider, policy, secrets, Verification::Enforce)))
}

/// A request whose signature is good, with the proof of that.
pub(crate) fn judge(received: Received) -> Option<Verified> {
    let Body::Whole(raw) = &received.body else { return None };
    let source = &received.source;
    let envelope = Envelope { method: "POST", url: "", headers: &received.headers, mask_key: None };
    let mut examination = Examination::open(&source.policy, &source.secrets, envelope, received.at);
    examination.update(raw);
    received.judge(examination).ok()
}

/// A request as the gateway has it before it is judged.
pub(crate) fn receive(source: &Arc<Source>, raw: &Bytes, signed: &[u8]) -> Received {
    let head = String::from_utf8_lossy(signed);
    let mut headers = Headers::new();
    for line in head.lines().skip(1).take_while(|line| !line.is_empty()) {
        if let Some((name, value)) = line.split_once(": ")
            && let Ok(name) = name.parse()
        {
            headers.push_plain(name, value.to_owned());
        }
    }
    let now =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Received {
        source: Arc::clone(source),
        method: "POST".to_owned(),
        target: "/webhook/retell".to_owned(),
        tool: None,
        token: None,
        headers,
        body: Body::Whole(raw.clone()),
        peer: std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST),
        at: Timestamp::from_millis(i64::try_from(now.as_millis()).unwrap_or(i64::MAX)),
        late: false,
        correlation_id: "bench".to_owned(),
    }
}
