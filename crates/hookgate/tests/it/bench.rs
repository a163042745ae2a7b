//! A folder with a gateway in it, and the commands that a user types there.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// How long anything may take that a test waits for. Two busy processors are slow.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// A folder, and the variables of a shell in it.
pub(crate) struct Bench {
    folder: TempDir,
    variables: BTreeMap<String, String>,
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// An answer of the gateway.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

impl Answer {
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("the answer is JSON")
    }
}

impl Bench {
    /// An empty folder, no variables.
    pub(crate) fn new() -> Self {
        Self { folder: TempDir::new().unwrap(), variables: BTreeMap::new() }
    }

    /// Another empty folder, with the same variables: of a node beside this one.
    pub(crate) fn beside(&self) -> Self {
        Self { folder: TempDir::new().unwrap(), variables: self.variables.clone() }
    }

    /// Sets a variable for all commands that follow.
    pub(crate) fn set(&mut self, name: &str, value: &str) -> &mut Self {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    pub(crate) fn unset(&mut self, name: &str) -> &mut Self {
        self.variables.remove(name);
        self
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file into the folder.
    pub(crate) fn file(&self, name: &str, text: &str) {
        fs::write(self.folder.path().join(name), text).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).unwrap()
    }

    /// A command in the folder, with its output piped.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hookgate"));
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env_clear()
            .envs(&self.variables)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs a command to its end.
    #[track_caller]
    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        let child = self.command(arguments).spawn().unwrap();
        ended(wait(child, arguments))
    }

    /// The same with this on standard input.
    #[track_caller]
    pub(crate) fn run_with(&self, arguments: &[&str], input: &[u8]) -> Ended {
        let mut child = self.command(arguments).stdin(Stdio::piped()).spawn().unwrap();
        // A command that refuses its flags does not read.
        let _ = child.stdin.take().unwrap().write_all(input);
        ended(wait(child, arguments))
    }

    /// Runs a command that must do its work, and gives what it printed.
    #[track_caller]
    pub(crate) fn done(&self, arguments: &[&str]) -> String {
        let ended = self.run(arguments);
        assert_eq!(ended.code, 0, "{arguments:?}: {ended:?}");
        ended.out
    }

    /// Starts the gateway on any port, and waits until it is ready.
    #[track_caller]
    pub(crate) fn serve(&mut self, arguments: &[&str]) -> Gateway {
        let arguments = [&["serve", "--listen", "127.0.0.1:0"], arguments].concat();
        self.serve_as(&arguments)
    }

    /// Starts the gateway with just these arguments.
    #[track_caller]
    pub(crate) fn serve_as(&mut self, arguments: &[&str]) -> Gateway {
        let mut child = self.command(arguments).stderr(Stdio::inherit()).spawn().unwrap();
        let (send, lines) = channel();
        let out = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    return;
                }
            }
        });
        let mut gateway = Gateway {
            child,
            lines: Mutex::new(lines),
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            seen: Vec::new(),
        };
        let ready = gateway.wait_for("ready");
        gateway.address = address_in(&ready).expect("the ready line has the address");
        self.set("HOOKGATE_URL", &format!("http://127.0.0.1:{}", gateway.address.port()));
        gateway
    }
}

fn ended(output: Output) -> Ended {
    Ended {
        code: output.status.code().expect("it was not killed"),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Waits for a command that ends by itself.
#[track_caller]
fn wait(child: Child, arguments: &[&str]) -> Output {
    let id = rustix::process::Pid::from_child(&child);
    let (send, done) = channel();
    std::thread::spawn(move || send.send(child.wait_with_output()));
    let Ok(output) = done.recv_timeout(PATIENCE) else {
        let _ = rustix::process::kill_process(id, rustix::process::Signal::KILL);
        panic!("{arguments:?} did not end within {PATIENCE:?}");
    };
    output.unwrap()
}

/// The address in a log line, human or JSON.
fn address_in(line: &str) -> Option<SocketAddr> {
    if let Ok(line) = serde_json::from_str::<Value>(line) {
        return line["address"].as_str()?.parse().ok();
    }
    line.split("address=").nth(1)?.split_whitespace().next()?.parse().ok()
}

/// A running gateway. It is killed when the test is over.
pub(crate) struct Gateway {
    child: Child,
    /// Behind a lock so that threads can share the gateway.
    lines: Mutex<Receiver<String>>,
    pub(crate) address: SocketAddr,
    seen: Vec<String>,
}

impl Gateway {
    /// The threads of its process: the name of each, and how much nicer it is than the first.
    pub(crate) fn threads(&self) -> Vec<(String, i64)> {
        let nice = |stat: &str| {
            let (_, fields) = stat.rsplit_once(") ").unwrap();
            fields.split(' ').nth(16).unwrap().parse::<i64>().unwrap()
        };
        let process = format!("/proc/{}", self.child.id());
        let first = nice(&std::fs::read_to_string(format!("{process}/stat")).unwrap());
        let tasks = std::fs::read_dir(format!("{process}/task")).unwrap();
        tasks
            .filter_map(|task| {
                // It may end meanwhile.
                let task = task.ok()?.path();
                let name = std::fs::read_to_string(task.join("comm")).ok()?;
                let stat = std::fs::read_to_string(task.join("stat")).ok()?;
                Some((name.trim_end().to_owned(), nice(&stat) - first))
            })
            .collect()
    }

    /// Waits for a line of its output that has this text.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, text: &str) -> String {
        let until = Instant::now() + PATIENCE;
        loop {
            match self
                .lines
                .get_mut()
                .unwrap()
                .recv_timeout(until.saturating_duration_since(Instant::now()))
            {
                Ok(line) => {
                    self.seen.push(line.clone());
                    if line.contains(text) {
                        return line;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    panic!("no {text:?} within {PATIENCE:?} in {:#?}", self.seen)
                }
                Err(RecvTimeoutError::Disconnected) => {
                    panic!("ended without {text:?}: {:#?}", self.seen)
                }
            }
        }
    }

    /// All of its output up to the line that was waited for last.
    pub(crate) fn seen(&self) -> String {
        self.seen.join("\n")
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), signal)
            .unwrap();
    }

    /// Waits for its end, and gives its exit code.
    #[track_caller]
    pub(crate) fn code(&mut self) -> i32 {
        // Its output ends with it.
        let until = Instant::now() + PATIENCE;
        loop {
            match self
                .lines
                .get_mut()
                .unwrap()
                .recv_timeout(until.saturating_duration_since(Instant::now()))
            {
                Ok(line) => self.seen.push(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    panic!("it did not end within {PATIENCE:?}: {:#?}", self.seen)
                }
            }
        }
        self.child.wait().unwrap().code().expect("it was not killed")
    }

    /// Stops it as a service manager does.
    #[track_caller]
    pub(crate) fn stop(mut self) {
        self.signal(rustix::process::Signal::TERM);
        assert_eq!(self.code(), 0, "{:#?}", self.seen);
    }

    /// Posts a body.
    #[track_caller]
    pub(crate) fn post(&self, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        self.request("POST", path, headers, body)
    }

    #[track_caller]
    pub(crate) fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.request("GET", path, headers, "")
    }

    #[track_caller]
    pub(crate) fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        request_to(&format!("127.0.0.1:{}", self.address.port()), method, path, headers, body)
    }

    /// Waits until it has its store, with nothing left in a spool.
    #[track_caller]
    pub(crate) fn wait_for_store(&self) {
        let until = Instant::now() + PATIENCE;
        loop {
            let ready = self.get("/readyz", &[]).body;
            if ready.contains(r#""store":"ok""#) {
                return;
            }
            assert!(Instant::now() < until, "not within {PATIENCE:?}: {ready}");
            std::thread::yield_now();
        }
    }

    /// Asks for the metrics until one of them reads so.
    #[track_caller]
    pub(crate) fn wait_for_metric(&self, line: &str) {
        let until = Instant::now() + PATIENCE;
        loop {
            let metrics = self.get("/metrics", &[]).body;
            if metrics.lines().any(|it| it == line) {
                return;
            }
            assert!(Instant::now() < until, "no {line:?} within {PATIENCE:?} in {metrics}");
            std::thread::yield_now();
        }
    }

    #[track_caller]
    pub(crate) fn connect(&self) -> TcpStream {
        connect_to(&format!("127.0.0.1:{}", self.address.port()))
    }
}

/// One request to whoever listens there.
#[track_caller]
pub(crate) fn request_to(
    address: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Answer {
    let mut stream = connect_to(address);
    let mut head = format!(
        "{method} {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-length: {}\r\n",
        body.len()
    );
    for (name, value) in headers {
        let _ = write!(head, "{name}: {value}\r\n");
    }
    stream.write_all(format!("{head}\r\n{body}").as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").expect("the answer has a head");
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, body: body.to_owned() }
}

#[track_caller]
fn connect_to(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The value of a variable in the text of an `.env`.
#[track_caller]
pub(crate) fn variable<'a>(text: &'a str, name: &str) -> &'a str {
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    value.unwrap_or_else(|| panic!("{name} is not in {text}"))
}
