//! Stands between a node and the server, and cuts the connection at a commit.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;

/// When the connection is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Cut {
    Never,
    /// The server never hears of the commit.
    Before,
    /// The server commits, and its answer is lost.
    After,
}

/// The proxy. It passes everything on, but for one commit.
pub(super) struct Proxy {
    pub(super) port: u16,
    cut: Arc<AtomicU8>,
}

impl Proxy {
    pub(super) fn to(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let cut = Arc::new(AtomicU8::new(Cut::Never as u8));
        let shared = Arc::clone(&cut);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let server = TcpStream::connect(("127.0.0.1", server)).unwrap();
                let cut = Arc::clone(&shared);
                let (from, to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
                let answers = thread::spawn(move || copy(from, to));
                thread::spawn(move || pass(client, server, &cut, answers));
            }
        });
        Self { port, cut }
    }

    /// Cuts at the next commit.
    pub(super) fn cut(&self, cut: Cut) {
        self.cut.store(cut as u8, Ordering::SeqCst);
    }

    pub(super) fn has_cut(&self) -> bool {
        self.cut.load(Ordering::SeqCst) == Cut::Never as u8
    }
}

fn copy(mut from: TcpStream, mut to: TcpStream) {
    let mut bytes = vec![0; 65_536];
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        if to.write_all(&bytes[..count]).is_err() {
            return;
        }
    }
}

fn pass(
    mut client: TcpStream,
    mut server: TcpStream,
    cut: &AtomicU8,
    answers: thread::JoinHandle<()>,
) {
    let mut bytes = vec![0; 65_536];
    while let Ok(count @ 1..) = client.read(&mut bytes) {
        // That of a batch; not that of who looks at the store of a new connection.
        let ends = [b"); COMMIT".as_slice(), b"'events'; COMMIT", b"'ledger'; COMMIT"];
        let has = |end: &[u8]| bytes[..count].windows(end.len()).any(|it| it == end);
        let is_commit = ends.into_iter().any(has);
        let wanted = if is_commit { cut.swap(Cut::Never as u8, Ordering::SeqCst) } else { 0 };
        if wanted == Cut::After as u8 {
            // The client hears nothing more; the server is asked to end after its commit.
            client.shutdown(Shutdown::Both).unwrap();
            server.write_all(&bytes[..count]).unwrap();
            server.shutdown(Shutdown::Write).unwrap();
            answers.join().unwrap();
            return;
        }
        if wanted == Cut::Before as u8 || server.write_all(&bytes[..count]).is_err() {
            break;
        }
    }
    let _ = client.shutdown(Shutdown::Both);
    let _ = server.shutdown(Shutdown::Both);
}
