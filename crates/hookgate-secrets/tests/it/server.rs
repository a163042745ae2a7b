//! An HTTP/1.1 server on loopback, of a few lines, that answers as a function says.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// A request as it came. Header names are in lower case.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    pub path: String,
    pub query: String,
    pub headers: HashMap<String, String>,
    pub body: String,
}

/// What the server does.
pub enum Reply {
    /// Answers with a status and JSON.
    Json(u16, String),
    /// Sends the caller elsewhere.
    Redirect(String),
    /// Answers when there is a permit.
    When(Arc<Semaphore>, Box<Reply>),
    /// Never answers.
    Hang,
    /// Closes the connection.
    Close,
}

pub type Handler = Arc<dyn Fn(&Request) -> Reply + Send + Sync>;

/// Starts a server.
pub async fn start(handler: Handler) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, Arc::clone(&handler)));
        }
    });
    address
}

async fn serve(mut stream: TcpStream, handler: Handler) {
    let mut buffer = Vec::new();
    while let Some(request) = read(&mut stream, &mut buffer).await {
        let mut reply = handler(&request);
        while let Reply::When(permit, then) = reply {
            permit.acquire().await.unwrap().forget();
            reply = *then;
        }
        let text = match reply {
            Reply::Json(status, body) => format!(
                "HTTP/1.1 {status} Status\r\ncontent-type: application/json\r\ncontent-length: \
                 {}\r\n\r\n{body}",
                body.len()
            ),
            Reply::Redirect(to) => format!(
                "HTTP/1.1 307 Temporary Redirect\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n"
            ),
            Reply::Hang => std::future::pending().await,
            Reply::Close | Reply::When(..) => return,
        };
        if stream.write_all(text.as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn read(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Request> {
    loop {
        let text = String::from_utf8(buffer.clone()).unwrap();
        if let Some((head, rest)) = text.split_once("\r\n\r\n") {
            let mut lines = head.lines();
            let mut first = lines.next().unwrap().split(' ');
            let (method, target) = (first.next().unwrap(), first.next().unwrap());
            let (path, query) = target.split_once('?').unwrap_or((target, ""));
            let headers: HashMap<_, _> = lines
                .filter_map(|line| line.split_once(": "))
                .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
                .collect();
            let length = headers.get("content-length").map_or(0, |it| it.parse().unwrap());
            if rest.len() >= length {
                let request = Request {
                    method: method.to_owned(),
                    path: path.to_owned(),
                    query: query.to_owned(),
                    headers,
                    body: rest[..length].to_owned(),
                };
                buffer.drain(..head.len() + 4 + length);
                return Some(request);
            }
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
}
