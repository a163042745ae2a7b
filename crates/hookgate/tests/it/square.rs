//! The stand-in Square as the program runs it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::bench::{Bench, PATIENCE};

/// It is killed when the test is over.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_stand_in_says_where_it_listens_answers_there_and_ends() {
    let bench = Bench::new();
    let mut child = Running(
        Command::new(env!("CARGO_BIN_EXE_hookgate"))
            .args(["dev", "square", "--listen", "127.0.0.1:0"])
            .current_dir(bench.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    let mut lines = BufReader::new(child.0.stdout.take().unwrap()).lines().map_while(Result::ok);
    let line = lines.find(|it| it.contains("HOOKGATE_SQUARE_URL=")).unwrap();
    let address = line.trim().strip_prefix("HOOKGATE_SQUARE_URL=http://").unwrap();

    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let head = "GET /v2/bookings/BOOKING%23123 HTTP/1.1\r\nhost: test\r\nconnection: close\r\n";
    let proof = "authorization: Bearer any\r\nsquare-version: 2025-08-20\r\n";
    stream.write_all(format!("{head}{proof}\r\n").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.contains("\"status\":\"ACCEPTED\""), "{answer}");

    // One that says nothing does not keep it.
    let _idle = TcpStream::connect(address).unwrap();
    kill_process(Pid::from_child(&child.0), Signal::INT).unwrap();
    // Its output ends with it.
    lines.for_each(drop);
    assert_eq!(child.0.wait().unwrap().code(), Some(0));
}

#[test]
fn a_stand_in_that_cannot_listen_says_so() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let ended = Bench::new().run(&["dev", "square", "--listen", &address]);
    assert_eq!(ended.code, 1);
    assert!(ended.err.contains("--listen") && ended.err.contains(&address), "{ended:?}");
}
