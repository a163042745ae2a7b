//! A server that does what a test says, byte by byte, and calls to send it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use hookgate_core::address::Policy;
use hookgate_egress::{Call, Egress, Reach, Settings, Url};
use http::{HeaderMap, Method};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Barrier, mpsc};

/// The longest that any test waits for anything.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// What a server does with each request.
#[derive(Clone)]
pub enum Act {
    /// Writes these bytes and waits for the next request.
    Say(Bytes),
    /// Waits until so many requests are there at once, and writes these bytes to each.
    SayTogether(Bytes, Arc<Barrier>),
    /// Writes these bytes and closes.
    SayAndClose(Bytes),
    /// Writes these bytes and then nothing, for ever.
    SayAndHang(Bytes),
    /// Answers with a body that never ends.
    Endless,
}

/// A server on loopback.
pub struct Server {
    pub address: SocketAddr,
    connections: Arc<AtomicUsize>,
    requests: mpsc::UnboundedReceiver<String>,
}

impl Server {
    pub async fn start(act: Act) -> Self {
        Self::on("127.0.0.1:0", act).await
    }

    pub async fn on(address: &str, act: Act) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let (seen, requests) = mpsc::unbounded_channel();
        let count = Arc::clone(&connections);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(stream, act.clone(), seen.clone()));
            }
        });
        Self { address, connections, requests }
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The next request, as it came.
    pub async fn request(&mut self) -> String {
        let next = tokio::time::timeout(PATIENCE, self.requests.recv()).await;
        next.expect("no request came").unwrap()
    }

    pub fn is_untouched(&mut self) -> bool {
        self.connections() == 0 && self.requests.try_recv().is_err()
    }
}

async fn serve(mut stream: TcpStream, act: Act, seen: mpsc::UnboundedSender<String>) {
    let mut buffer = Vec::new();
    while let Some(request) = read_request(&mut stream, &mut buffer).await {
        let _ = seen.send(request);
        match &act {
            Act::Say(bytes) => stream.write_all(bytes).await.unwrap(),
            Act::SayTogether(bytes, all) => {
                all.wait().await;
                stream.write_all(bytes).await.unwrap();
            }
            Act::SayAndClose(bytes) => {
                let _ = stream.write_all(bytes).await;
                return;
            }
            Act::SayAndHang(bytes) => {
                stream.write_all(bytes).await.unwrap();
                std::future::pending::<()>().await;
            }
            Act::Endless => {
                let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
                stream.write_all(head).await.unwrap();
                let chunk = [b"400\r\n".as_slice(), &[b'x'; 0x400], b"\r\n"].concat();
                while stream.write_all(&chunk).await.is_ok() {}
                return;
            }
        }
    }
}

async fn read_request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<String> {
    loop {
        let text = String::from_utf8_lossy(buffer).into_owned();
        if let Some((head, rest)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "))
                .map_or(0, |it| it.parse().unwrap());
            if rest.len() >= length {
                buffer.drain(..head.len() + 4 + length);
                return Some(format!("{head}\r\n\r\n{}", &rest[..length]));
            }
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
}

pub fn answer(status: &str, body: &str) -> Bytes {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into()
}

/// A way out for which these networks are allowed.
pub fn egress(allow: &[&str]) -> Egress {
    let policy = Policy::new(allow.iter().map(|it| it.parse().unwrap()).collect());
    Egress::new(Settings { policy, authorities: Vec::new() }).unwrap()
}

pub fn call(url: &str) -> Call {
    Call {
        method: Method::GET,
        url: Url::parse(url).unwrap(),
        headers: HeaderMap::new(),
        body: Bytes::new(),
        deadline: PATIENCE,
        answer_bytes_max: 1024,
        reach: Reach::Public,
    }
}
