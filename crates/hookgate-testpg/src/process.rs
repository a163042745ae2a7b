//! A server that is running: what it said, and when it was ready.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// A server that is not ready by then does not start. Two busy cores need some seconds.
const READY_MAX: Duration = Duration::from_mins(1);

/// What is kept of a server's words: enough to see why it failed.
const LINES_MAX: usize = 2000;

/// One process.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    said: Arc<Mutex<Vec<String>>>,
}

impl Process {
    /// Starts it, and waits until it says `ready`. An error is what it said instead.
    pub(crate) fn start(command: &mut Command, ready: &'static str) -> Result<Self, String> {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let words = BufReader::new(child.stderr.take().unwrap());
        let said = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&said);
        let (is_ready, waiting) = mpsc::channel();
        std::thread::spawn(move || {
            for line in words.lines().map_while(Result::ok) {
                if line.contains(ready) {
                    let _ = is_ready.send(());
                }
                let mut kept = kept.lock().unwrap();
                if kept.len() < LINES_MAX {
                    kept.push(line);
                }
            }
        });
        let mut process = Self { child, said };
        if waiting.recv_timeout(READY_MAX).is_ok() {
            return Ok(process);
        }
        let _ = process.child.kill();
        let status = process.child.wait();
        Err(format!("it did not start ({status:?}):\n{}", process.said()))
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let _ = kill_process(Pid::from_child(&self.child), signal);
    }

    /// Sends the signal, and waits for the end.
    pub(crate) fn end(mut self, signal: Signal) -> ExitStatus {
        self.signal(signal);
        // One that is frozen ends only when it runs again.
        self.signal(Signal::CONT);
        self.child.wait().unwrap()
    }

    pub(crate) fn said(&self) -> String {
        self.said.lock().unwrap().join("\n")
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }
}

/// A TCP port of loopback that nobody listens on now.
pub(crate) fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
