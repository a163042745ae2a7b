//! A developer's server: takes requests one after the other, and shows what it got.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

use crate::bench::PATIENCE;

/// A request.
#[derive(Debug)]
pub(super) struct Got {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Got {
    #[track_caller]
    pub(super) fn header(&self, name: &str) -> String {
        let mut found = self.headers.iter().filter(|(it, _)| it == name);
        let (_, value) = found.next().unwrap_or_else(|| panic!("no {name}: {self:?}"));
        assert!(found.next().is_none(), "{name} is there twice");
        value.clone()
    }

    pub(super) fn text(self) -> String {
        String::from_utf8(self.body).unwrap()
    }
}

/// The server. It ends with the process.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    got: Receiver<Got>,
    status: Arc<AtomicU16>,
    hangs_up: Arc<AtomicBool>,
}

impl Server {
    pub(super) fn start() -> Self {
        Self::at(0)
    }

    pub(super) fn at(port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let address = listener.local_addr().unwrap();
        let (send, got) = channel();
        let (status, hangs_up) = (Arc::new(AtomicU16::new(200)), Arc::new(AtomicBool::new(false)));
        let manner = (Arc::clone(&status), Arc::clone(&hangs_up));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (send, manner) = (send.clone(), manner.clone());
                std::thread::spawn(move || serve(stream, &send, &manner));
            }
        });
        Self { address, got, status, hangs_up }
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The next request.
    #[track_caller]
    pub(super) fn next(&self) -> Got {
        self.got.recv_timeout(PATIENCE).expect("a request")
    }

    pub(super) fn answer_with(&self, status: u16) {
        self.status.store(status, Ordering::Relaxed);
    }

    /// The next request is taken and not answered.
    pub(super) fn hang_up_once(&self) {
        self.hangs_up.store(true, Ordering::Relaxed);
    }
}

/// Serves a connection until the other side has enough.
fn serve(
    stream: TcpStream,
    send: &Sender<Got>,
    (status, hangs_up): &(Arc<AtomicU16>, Arc<AtomicBool>),
) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut writer = stream;
    while let Some(got) = read(&mut reader) {
        if send.send(got).is_err() || hangs_up.swap(false, Ordering::Relaxed) {
            return;
        }
        let status = status.load(Ordering::Relaxed);
        let answer = format!("HTTP/1.1 {status} Whatever\r\ncontent-length: 2\r\n\r\nok");
        if writer.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

fn read(reader: &mut BufReader<TcpStream>) -> Option<Got> {
    let mut line = || {
        let mut line = Vec::new();
        reader.read_until(b'\n', &mut line).ok()?;
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        (!line.is_empty()).then_some(text)
    };
    let first = line()?;
    let mut words = first.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = Vec::new();
    let mut length = 0;
    loop {
        let header = line()?;
        let Some((name, value)) = header.split_once(':') else { break };
        let (name, value) = (name.to_ascii_lowercase(), value.trim().to_owned());
        if name == "content-length" {
            length = value.parse().unwrap();
        }
        headers.push((name, value));
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Got { method, path, headers, body })
}

/// A port on which nobody listens.
pub(super) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
