//! A network that fails when a test says so: a proxy in front of a TCP port or a Unix socket.
//!
//! What it does to connections is what networks do: it resets them, lets them hang, is slow,
//! refuses new ones. It waits for nothing but what it simulates.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::net::sockopt::set_socket_linger;

/// How often a writer whose peer takes nothing looks whether it was cut meanwhile.
const LOOK: Duration = Duration::from_millis(20);

/// Where connections go.
#[derive(Clone, Debug)]
pub enum Upstream {
    /// A TCP port.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

/// What happens to bytes and to new connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Well,
    Frozen,
    Delayed(Duration),
    Refusing,
}

/// The proxy. Dropped, it resets everything and ends.
#[derive(Debug)]
pub struct Proxy {
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    address: SocketAddr,
    upstream: Upstream,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    mode: Mode,
    is_listening: bool,
    is_stopping: bool,
    accepted: u64,
    /// Bytes that were passed on, both ways.
    passed: u64,
    pumps: usize,
    open: Vec<Arc<Connection>>,
}

/// One connection: the client's end, and that of the upstream.
#[derive(Debug)]
struct Connection {
    client: Stream,
    upstream: Stream,
    is_cut: Mutex<bool>,
}

#[derive(Debug)]
enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Proxy {
    /// Listens on a free port of the loopback.
    #[must_use]
    pub fn start(upstream: Upstream) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let state = State {
            mode: Mode::Well,
            is_listening: true,
            is_stopping: false,
            accepted: 0,
            passed: 0,
            pumps: 0,
            open: Vec::new(),
        };
        let shared = Arc::new(Shared {
            address: listener.local_addr().unwrap(),
            upstream,
            state: Mutex::new(state),
            changed: Condvar::new(),
        });
        let acceptor = Arc::clone(&shared);
        let acceptor = thread::spawn(move || acceptor.accept(listener));
        Self { shared, acceptor: Some(acceptor) }
    }

    /// Where to connect to.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.shared.address
    }

    /// Connections that were accepted.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.shared.lock().accepted
    }

    /// Bytes that were passed on, both ways.
    #[must_use]
    pub fn passed(&self) -> u64 {
        self.shared.lock().passed
    }

    /// Resets all connections. New ones are taken.
    pub fn cut(&self) {
        let open = std::mem::take(&mut self.shared.lock().open);
        for connection in &open {
            connection.cut();
        }
        drop(open);
        self.shared.changed.notify_all();
        let mut state = self.shared.lock();
        // The last end of a socket is closed, and with it the reset is sent.
        while state.pumps > 0 && state.open.is_empty() {
            state = self.shared.wait(state);
        }
    }

    /// Takes connections, and passes nothing in any direction.
    pub fn freeze(&self) {
        self.set(Mode::Frozen);
    }

    /// Passes everything on this much later.
    pub fn delay(&self, time: Duration) {
        self.set(Mode::Delayed(time));
    }

    /// Resets all connections, and refuses new ones.
    pub fn refuse(&self) {
        self.set(Mode::Refusing);
        self.shared.nudge();
        let mut state = self.shared.lock();
        while state.is_listening {
            state = self.shared.wait(state);
        }
        drop(state);
        self.cut();
    }

    /// Is a good network again. What was held is passed on.
    pub fn heal(&self) {
        self.set(Mode::Well);
        let mut state = self.shared.lock();
        while !state.is_listening {
            state = self.shared.wait(state);
        }
    }

    fn set(&self, mode: Mode) {
        self.shared.lock().mode = mode;
        self.shared.changed.notify_all();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.lock().is_stopping = true;
        self.shared.changed.notify_all();
        self.shared.nudge();
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
        self.cut();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'g>(&self, state: MutexGuard<'g, State>) -> MutexGuard<'g, State> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the acceptor.
    fn nudge(&self) {
        let _ = TcpStream::connect(self.address);
    }

    fn accept(self: &Arc<Self>, mut listener: TcpListener) {
        loop {
            let Ok((client, _)) = listener.accept() else { continue };
            let mut state = self.lock();
            if state.is_stopping {
                return;
            }
            if state.mode == Mode::Refusing {
                drop(state);
                reset(&client);
                drop(client);
                // Closed, new connections are refused by the system.
                drop(listener);
                state = self.lock();
                state.is_listening = false;
                self.changed.notify_all();
                while state.mode == Mode::Refusing && !state.is_stopping {
                    state = self.wait(state);
                }
                if state.is_stopping {
                    return;
                }
                listener = TcpListener::bind(self.address).expect("the port is still free");
                state.is_listening = true;
                self.changed.notify_all();
                continue;
            }
            state.accepted += 1;
            drop(state);
            self.connect(client);
        }
    }

    fn connect(self: &Arc<Self>, client: TcpStream) {
        let upstream = match &self.upstream {
            Upstream::Tcp(address) => TcpStream::connect(address).map(Stream::Tcp),
            Upstream::Unix(path) => UnixStream::connect(path).map(Stream::Unix),
        };
        let Ok(upstream) = upstream else {
            reset(&client);
            return;
        };
        let client = Stream::Tcp(client);
        for end in [&client, &upstream] {
            end.set_write_timeout(LOOK).unwrap();
        }
        let connection = Arc::new(Connection { client, upstream, is_cut: Mutex::new(false) });
        {
            let mut state = self.lock();
            state.open.push(Arc::clone(&connection));
            state.pumps += 2;
        }
        for is_upward in [true, false] {
            let (shared, connection) = (Arc::clone(self), Arc::clone(&connection));
            thread::spawn(move || {
                let ends = (&connection.client, &connection.upstream);
                let (from, to) = if is_upward { ends } else { (ends.1, ends.0) };
                shared.pump(&connection, from, to);
                let was_cut = connection.is_cut();
                if !was_cut {
                    to.shutdown(Shutdown::Write);
                }
                drop(connection);
                let mut state = shared.lock();
                state.pumps -= 1;
                // Both directions ended by themselves.
                state.open.retain(|it| Arc::strong_count(it) > 1);
                drop(state);
                shared.changed.notify_all();
            });
        }
    }

    /// Passes on what `from` sends, until it ends or is cut.
    fn pump(&self, connection: &Connection, mut from: &Stream, mut to: &Stream) {
        let mut buffer = vec![0; 64 << 10];
        loop {
            let count = match from.read(&mut buffer) {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => return,
            };
            // The end of a stream is held as its bytes are.
            if !self.pass(connection) || count == 0 {
                return;
            }
            let mut rest = buffer.get(..count).unwrap();
            while !rest.is_empty() {
                match to.write(rest) {
                    Ok(0) => return,
                    Ok(written) => rest = rest.get(written..).unwrap(),
                    Err(error)
                        if matches!(
                            error.kind(),
                            io::ErrorKind::WouldBlock
                                | io::ErrorKind::TimedOut
                                | io::ErrorKind::Interrupted
                        ) && !connection.is_cut() => {}
                    Err(_) => return,
                }
            }
            self.lock().passed += count as u64;
        }
    }

    /// Waits as long as the network does. False: the connection was cut.
    fn pass(&self, connection: &Connection) -> bool {
        let came = Instant::now();
        let mut state = self.lock();
        loop {
            if connection.is_cut() || state.is_stopping {
                return false;
            }
            state = match state.mode {
                Mode::Well | Mode::Refusing => return true,
                Mode::Frozen => self.wait(state),
                Mode::Delayed(time) => {
                    let rest = time.saturating_sub(came.elapsed());
                    if rest.is_zero() {
                        return true;
                    }
                    let waited = self.changed.wait_timeout(state, rest);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }
}

impl Connection {
    fn is_cut(&self) -> bool {
        *self.is_cut.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cut(&self) {
        *self.is_cut.lock().unwrap_or_else(PoisonError::into_inner) = true;
        for end in [&self.client, &self.upstream] {
            if let Stream::Tcp(stream) = end {
                reset(stream);
            }
            // Wakes who reads, and sends nothing.
            end.shutdown(Shutdown::Read);
        }
    }
}

/// Has the stream end with a reset when it is closed.
fn reset(stream: &TcpStream) {
    let _ = set_socket_linger(stream, Some(Duration::ZERO));
}

impl Stream {
    fn set_write_timeout(&self, time: Duration) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.set_write_timeout(Some(time)),
            Self::Unix(stream) => stream.set_write_timeout(Some(time)),
        }
    }

    fn shutdown(&self, how: Shutdown) {
        // It may be gone already.
        let _ = match self {
            Self::Tcp(stream) => stream.shutdown(how),
            Self::Unix(stream) => stream.shutdown(how),
        };
    }
}

impl Read for &Stream {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => (&mut &*stream).read(bytes),
            Stream::Unix(stream) => (&mut &*stream).read(bytes),
        }
    }
}

impl Write for &Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => (&mut &*stream).write(bytes),
            Stream::Unix(stream) => (&mut &*stream).write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
