//! A stand-in on a port of its own, and a client that speaks HTTP by hand.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use hookgate_square::{Square, serve};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use crate::schema::Description;

/// How long anything may take that a test waits for.
const PATIENCE: Duration = Duration::from_mins(1);

/// The headers of a request in good form.
pub(crate) const HEADERS: &str = "authorization: Bearer any\r\nsquare-version: 2025-08-20\r\n";

/// What a client of the shop has to name.
pub(crate) const LOCATION: &str = "LSTANDIN00001";
pub(crate) const MEMBER: &str = "TMSTANDIN0001";
pub(crate) const HAIRCUT: &str = "VSTANDINHAIRCUT";

/// It is always Monday, 10 o'clock in New York.
fn now() -> Timestamp {
    "2026-11-23T15:00:00Z".parse().unwrap()
}

/// A running stand-in. It ends with the test.
pub(crate) struct Bench {
    pub(crate) square: Square,
    address: SocketAddr,
    described: Description,
    _runtime: Runtime,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

impl Answer {
    /// Status and code of an error as one text.
    pub(crate) fn refusal(&self) -> String {
        let code = self.body["errors"][0]["code"].as_str().unwrap_or("-");
        format!("{} {code}", self.status)
    }

    /// The booking in an answer that must be a success.
    #[track_caller]
    pub(crate) fn booking(&self) -> &Value {
        assert_eq!(self.status, 200, "{self:?}");
        &self.body["booking"]
    }
}

impl Bench {
    pub(crate) fn new() -> Self {
        let runtime = Runtime::new().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let square = Square::new(now);
        runtime.spawn(serve(listener, square.clone()));
        Self { square, address, described: Description::read(), _runtime: runtime }
    }

    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> Answer {
        self.described_call("GET", path, None)
    }

    #[track_caller]
    pub(crate) fn post(&self, path: &str, body: &Value) -> Answer {
        self.described_call("POST", path, Some(body))
    }

    #[track_caller]
    pub(crate) fn put(&self, path: &str, body: &Value) -> Answer {
        self.described_call("PUT", path, Some(body))
    }

    /// Sets faults over the control path.
    #[track_caller]
    pub(crate) fn faults(&self, faults: &Value) {
        let answer = self.call("POST", "/stand-in/faults", "", &faults.to_string());
        assert_eq!(answer.status, 204, "{answer:?}");
    }

    /// Books a haircut under this key.
    #[track_caller]
    pub(crate) fn book(&self, key: &str, start_at: &str) -> Answer {
        self.post("/v2/bookings", &booking(key, start_at))
    }

    #[track_caller]
    fn described_call(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let text = body.map_or(String::new(), Value::to_string);
        let answer = self.call(method, path, HEADERS, &text);
        self.described.check_answer(method, path, answer.status, &answer.body);
        if let Some(body) = body.filter(|_| answer.status == 200) {
            self.described.check_request(method, path, body);
        }
        answer
    }

    /// Sends a request in good form, and does not wait for the answer.
    #[track_caller]
    pub(crate) fn begin(&self, method: &str, path: &str) -> TcpStream {
        self.sent(method, path, HEADERS, "")
    }

    /// Waits until so many requests have come.
    #[track_caller]
    pub(crate) fn wait_for_requests(&self, count: u64) {
        let until = Instant::now() + PATIENCE;
        while self.square.shown()["requests"] != count {
            assert!(Instant::now() < until, "no {count} requests within {PATIENCE:?}");
            std::thread::yield_now();
        }
    }

    #[track_caller]
    fn sent(&self, method: &str, path: &str, headers: &str, body: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let head = format!("{method} {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n");
        let length = format!("content-length: {}\r\n", body.len());
        stream.write_all(format!("{head}{headers}{length}\r\n{body}").as_bytes()).unwrap();
        stream
    }

    /// Sends just this.
    #[track_caller]
    pub(crate) fn call(&self, method: &str, path: &str, headers: &str, body: &str) -> Answer {
        let mut stream = self.sent(method, path, headers, body);
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let body = if body.is_empty() { Value::Null } else { serde_json::from_str(body).unwrap() };
        Answer { status, body }
    }
}

/// The body that books a haircut.
pub(crate) fn booking(key: &str, start_at: &str) -> Value {
    json!({
        "idempotency_key": key,
        "booking": {
            "location_id": LOCATION,
            "start_at": start_at,
            "customer_id": "CUSTOMER-1",
            "appointment_segments": [{
                "team_member_id": MEMBER,
                "service_variation_id": HAIRCUT,
                "service_variation_version": 1_755_648_000_001_i64,
            }],
        },
    })
}
