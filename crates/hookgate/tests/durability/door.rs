//! The program, started on a free port over a store, and a plain client for it.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hookgate_core::digest::hmac_sha256;
use serde_json::Value;

/// How long the program may take for anything, on a machine that has much else to do.
const PATIENCE: Duration = Duration::from_mins(5);

/// What is kept of its log, in lines.
const LINES_MAX: usize = 100;

pub(crate) const SECRET: &str = "a-secret-of-this-test";

/// 32 bytes in base64, the same on every node.
const MASTER_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// The running program.
pub(crate) struct Door {
    pub(crate) address: String,
    child: Child,
    /// The last lines of its log.
    said: Arc<Mutex<Vec<String>>>,
}

impl Door {
    /// Starts it over the store in `folder` and waits until it listens.
    pub(crate) fn open(folder: &Path) -> Self {
        Self::open_at(folder, folder.join("store").as_os_str())
    }

    /// The same over a store elsewhere; `folder` is the node's own.
    pub(crate) fn open_at(folder: &Path, store: &OsStr) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_hookgate"))
            .args(["serve", "--listen", "127.0.0.1:0", "--store"])
            .arg(store)
            .current_dir(folder)
            .env_clear()
            .env("RETELL_API_KEY", SECRET)
            .env("ELEVENLABS_WEBHOOK_SECRET", SECRET)
            .env("HOOKGATE_ADMIN_TOKEN", SECRET)
            .env("HOOKGATE_MASTER_KEY", MASTER_KEY)
            .env("HOOKGATE_EGRESS_ALLOW", "127.0.0.0/8")
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let output = BufReader::new(child.stdout.take().unwrap());
        let (found, address) = mpsc::channel();
        let said = Arc::new(Mutex::new(Vec::new()));
        // Reads on after the address, so that the program never waits for a reader.
        let log = Arc::clone(&said);
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                let mut log = log.lock().unwrap();
                log.push(line.clone());
                // The end of it is enough to see why a program ended.
                let spare = log.len().saturating_sub(LINES_MAX);
                log.drain(..spare);
                drop(log);
                if let Some(at) = line.find("127.0.0.1:").filter(|_| line.contains("istening")) {
                    let end =
                        line[at..].find(|it: char| !it.is_ascii_digit() && !".:".contains(it));
                    let _ = found.send(line[at..][..end.unwrap_or(line.len() - at)].to_owned());
                }
            }
        });
        let address = address.recv_timeout(PATIENCE).unwrap_or_else(|error| {
            panic!("the program does not listen: {error}: {:#?}", said.lock().unwrap())
        });
        Self { address, child, said }
    }

    /// Signal 9.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Ends it as an operator would, and expects that it ends well.
    pub(crate) fn stop(mut self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").arg(&pid).status().unwrap().success());
        let ended = self.child.wait().unwrap();
        assert!(ended.success(), "{ended}: {:#?}", self.said.lock().unwrap());
    }

    /// All events, newest first.
    pub(crate) fn events(&self) -> Vec<Value> {
        let (mut events, mut cursor) = (Vec::new(), String::new());
        loop {
            let answer = self.get(&format!("/api/v1/events?limit=1000{cursor}"));
            let page: Value = serde_json::from_slice(&answer).unwrap();
            events.extend(page["data"].as_array().unwrap().iter().cloned());
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return events,
            }
        }
    }

    /// The exact bytes of an event.
    pub(crate) fn raw(&self, id: &str) -> Vec<u8> {
        self.get(&format!("/api/v1/events/{id}/raw"))
    }

    /// An answer's body. It must be a success.
    pub(crate) fn get(&self, target: &str) -> Vec<u8> {
        self.ask("GET", target, "")
    }

    /// The same to any request of the operator.
    pub(crate) fn ask(&self, method: &str, target: &str, body: &str) -> Vec<u8> {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let request = format!(
            "{method} {target} HTTP/1.0\r\nHost: x\r\nAuthorization: Bearer {SECRET}\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let head = answer.windows(4).position(|it| it == b"\r\n\r\n").unwrap() + 4;
        let status = String::from_utf8_lossy(&answer[..head]).into_owned();
        let is_success = status.split(' ').nth(1).is_some_and(|it| it.starts_with('2'));
        assert!(is_success, "{status}");
        answer.split_off(head)
    }

    /// The most memory the program has had, in KiB (`VmHWM`, proc(5)).
    pub(crate) fn peak_memory_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|it| it.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }
}

/// The body of event `number`.
pub(crate) fn body(number: u64) -> Vec<u8> {
    let filler = "x".repeat(usize::try_from(number % 700).unwrap());
    format!(r#"{{"event":"call_ended","call":{{"call_id":"call_{number}","agent_id":"a","note":"{filler}"}}}}"#)
        .into_bytes()
}

/// One connection.
pub(crate) struct Client(TcpStream);

impl Client {
    /// Connects, if the program is there.
    pub(crate) fn connect(address: &str) -> Option<Self> {
        let stream = TcpStream::connect(address).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        stream.set_nodelay(true).ok()?;
        Some(Self(stream))
    }

    /// Sends a Retell event and returns the answer's status; nothing if none came.
    pub(crate) fn send(&mut self, body: &[u8]) -> Option<u16> {
        let millis = now().as_millis();
        let mut covered = body.to_vec();
        covered.extend_from_slice(millis.to_string().as_bytes());
        let digest = hex::encode(hmac_sha256(SECRET.as_bytes(), &covered));
        let mut request = format!(
            "POST /webhook/retell HTTP/1.1\r\nHost: x\r\nX-Retell-Signature: v={millis},d={digest}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        )
        .into_bytes();
        request.extend_from_slice(body);
        self.0.write_all(&request).ok()?;
        self.answer()
    }

    /// Sends an ElevenLabs event in chunks, without a length.
    pub(crate) fn send_chunked(&mut self, body: &[u8]) -> Option<u16> {
        let seconds = now().as_secs().to_string();
        let mut covered = format!("{seconds}.").into_bytes();
        covered.extend_from_slice(body);
        let digest = hex::encode(hmac_sha256(SECRET.as_bytes(), &covered));
        let head = format!(
            "POST /webhook/post_conversation HTTP/1.1\r\nHost: x\r\nElevenLabs-Signature: t={seconds},v0={digest}\r\nTransfer-Encoding: chunked\r\n\r\n"
        );
        self.0.write_all(head.as_bytes()).ok()?;
        for chunk in body.chunks(64 * 1024) {
            self.0.write_all(format!("{:x}\r\n", chunk.len()).as_bytes()).ok()?;
            self.0.write_all(chunk).ok()?;
            self.0.write_all(b"\r\n").ok()?;
        }
        self.0.write_all(b"0\r\n\r\n").ok()?;
        self.answer()
    }

    fn answer(&mut self) -> Option<u16> {
        let mut answer = Vec::new();
        let mut buffer = [0; 2048];
        loop {
            let read = self.0.read(&mut buffer).ok().filter(|&it| it > 0)?;
            answer.extend_from_slice(&buffer[..read]);
            let text = String::from_utf8_lossy(&answer).into_owned();
            let Some((head, rest)) = text.split_once("\r\n\r\n") else { continue };
            let length = head.lines().find_map(|line| {
                line.to_ascii_lowercase()
                    .strip_prefix("content-length: ")
                    .and_then(|it| it.parse::<usize>().ok())
            });
            if rest.len() >= length.unwrap_or(0) {
                return head.split(' ').nth(1)?.parse().ok();
            }
        }
    }
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap()
}
