//! The accept loop: connections, their limits, and their orderly end.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use http::header::{CONNECTION, HeaderMap, HeaderValue, TRANSFER_ENCODING};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::metrics::gauge::Gauge;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};

use crate::answer::{BoxBody, Payload, Refusal};
use crate::caught::caught;
use crate::correlation::CORRELATION_ID;
use crate::gate::{Gate, is_reserved};
use crate::ingest::{Visit, receive};
use crate::limits::Limits;
use crate::peer::{Peer, Seat};
use crate::tls::Tls;
use crate::wire::{Notes, Wire};

/// What hyper reads at once. More than a head may measure; the rest is for large bodies.
const READ_BYTES_MAX: usize = 64 * 1024;

/// How long we wait when the system has no more sockets for us.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Answers everything that is not the front door's.
pub type Fallback = Arc<
    dyn Fn(Request<Incoming>, Peer) -> Pin<Box<dyn Future<Output = Response<BoxBody>> + Send>>
        + Send
        + Sync,
>;

/// How a server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Whether all that was accepted was answered within its limit.
    pub complete: bool,
}

/// Serves the front door, and the fallback behind it, until `shutdown` is done; then
/// finishes what it accepted, within [`Limits::shutdown`].
pub async fn serve(
    listeners: Vec<TcpListener>,
    gate: Arc<Gate>,
    fallback: Fallback,
    tls: Option<Tls>,
    shutdown: impl Future<Output = ()>,
) -> Drained {
    run(listeners, House { gate, fallback, tls, has_door: true }, shutdown).await
}

/// The same without a front door: for a listener of the operator's own.
pub async fn serve_fallback(
    listeners: Vec<TcpListener>,
    gate: Arc<Gate>,
    fallback: Fallback,
    tls: Option<Tls>,
    shutdown: impl Future<Output = ()>,
) -> Drained {
    run(listeners, House { gate, fallback, tls, has_door: false }, shutdown).await
}

/// All that a connection needs to know.
struct House {
    gate: Arc<Gate>,
    fallback: Fallback,
    tls: Option<Tls>,
    has_door: bool,
}

/// What connections are told about the server's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Serving,
    /// Finish what you have.
    Draining,
    /// Go now.
    Over,
}

/// Held by all that runs: the server has ended when the last of them is dropped.
type Alive = mpsc::Sender<Infallible>;

async fn run(
    listeners: Vec<TcpListener>,
    house: House,
    shutdown: impl Future<Output = ()>,
) -> Drained {
    let limit = house.gate.limits.shutdown;
    let house = Arc::new(house);
    let (stage, told) = watch::channel(Stage::Serving);
    let (alive, mut ended) = mpsc::channel(1);
    for listener in listeners {
        let accepting = accept(listener, Arc::clone(&house), told.clone(), alive.clone());
        tokio::spawn(accepting);
    }
    let keeping = house.tls.clone().map(|tls| tokio::spawn(tls.keep_current()));
    drop((alive, told));

    shutdown.await;
    stage.send_replace(Stage::Draining);
    let complete = tokio::time::timeout(limit, ended.recv()).await.is_ok();
    if !complete {
        tracing::warn!("connections were cut that did not finish in time");
        stage.send_replace(Stage::Over);
        ended.recv().await;
    }
    if let Some(keeping) = keeping {
        keeping.abort();
    }
    Drained { complete }
}

async fn accept(
    listener: TcpListener,
    house: Arc<House>,
    told: watch::Receiver<Stage>,
    alive: Alive,
) {
    let mut ending = told.clone();
    let mut ending = pin!(ending.wait_for(|stage| *stage != Stage::Serving));
    loop {
        let accepted = tokio::select! {
            biased;
            _ = &mut ending => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, addr)) => {
                if let Some(guest) = house.welcome(addr) {
                    let house = Arc::clone(&house);
                    let (told, alive) = (told.clone(), alive.clone());
                    tokio::spawn(async move {
                        house.host(stream, guest, told).await;
                        drop(alive);
                    });
                }
            }
            Err(cause) if is_of_one_connection(&cause) => {}
            Err(cause) => {
                tracing::error!(error = %cause, "no connection can be accepted: raise the limit of open files");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Whether accepting failed because of the other side.
fn is_of_one_connection(cause: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(cause.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// A connection that was let in.
struct Guest {
    seat: Seat,
    addr: IpAddr,
    /// Whether it is a proxy that speaks for others.
    is_proxy: bool,
    _open: Open,
}

/// One open connection in the count.
struct Open(Gauge);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl House {
    /// Lets a connection in, unless there are too many, in all or of this peer. A trusted
    /// proxy has many clients, so its connections are not counted against it.
    fn welcome(&self, addr: SocketAddr) -> Option<Guest> {
        let gate = &self.gate;
        let addr = addr.ip().to_canonical();
        let is_proxy = gate.proxies.trusts(addr);
        let open = Open(gate.metrics.connections.clone());
        let before = gate.metrics.connections.inc();
        let limits = &gate.limits;
        let seats_max = if is_proxy { usize::MAX } else { limits.peer_connections_max };
        let has_room = usize::try_from(before).is_ok_and(|it| it < limits.connections_max);
        let seat = gate.peers.seat(addr, seats_max).filter(|_| has_room);
        if seat.is_none() {
            gate.metrics.refused_connections.inc();
        }
        Some(Guest { seat: seat?, addr, is_proxy, _open: open })
    }

    async fn host(self: Arc<Self>, stream: TcpStream, guest: Guest, told: watch::Receiver<Stage>) {
        // An answer is one small packet: waiting for more to send only delays it.
        let _ = stream.set_nodelay(true);
        let Some(tls) = &self.tls else { return self.talk(stream, guest, told).await };
        let handshake = tls.acceptor().accept(stream);
        match tokio::time::timeout(self.gate.limits.header_read, handshake).await {
            Ok(Ok(stream)) => self.talk(stream, guest, told).await,
            Ok(Err(cause)) => tracing::debug!(peer = %guest.addr, error = %cause, "no TLS"),
            Err(_) => tracing::debug!(peer = %guest.addr, "no TLS handshake in time"),
        }
    }

    /// Talks HTTP on a connection until either side has enough.
    async fn talk<S>(self: &Arc<Self>, stream: S, guest: Guest, mut told: watch::Receiver<Stage>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let limits = self.gate.limits;
        let notes = Arc::new(Notes::default());
        let addr = guest.addr;
        let stream = TokioIo::new(Wire::new(stream, limits, Arc::clone(&notes)));
        let talk =
            Arc::new(Talk { house: Arc::clone(self), guest, notes, requests: AtomicU64::new(0) });
        let service = service_fn(move |request| {
            let talk = Arc::clone(&talk);
            async move { Ok::<_, Infallible>(talk.answer(request).await) }
        });
        let mut connection = pin!(http(&limits).serve_connection(stream, service));
        for stage in [Stage::Draining, Stage::Over] {
            let ended = {
                let mut waiting = pin!(told.wait_for(|it| *it == stage || *it == Stage::Over));
                poll_fn(|context| {
                    if let Poll::Ready(ended) = connection.as_mut().poll(context) {
                        return Poll::Ready(Some(ended));
                    }
                    waiting.as_mut().poll(context).map(|_| None)
                })
                .await
            };
            match ended {
                Some(Ok(())) => return,
                Some(Err(cause)) => {
                    tracing::debug!(peer = %addr, error = %cause, "a connection broke off");
                    return;
                }
                None => connection.as_mut().graceful_shutdown(),
            }
        }
    }
}

/// How hyper is set: our own times stand in `wire.rs`.
fn http(limits: &Limits) -> http1::Builder {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        // Its clock would run for an idle connection too.
        .header_read_timeout(None)
        .max_headers(limits.headers_max)
        .max_header_size(limits.header_bytes_max)
        .max_buf_size(READ_BYTES_MAX.max(limits.header_bytes_max))
        // Without this a sender that closes its side behind its request has the request
        // dropped before it is looked at.
        .half_close(true);
    http
}

/// One connection's requests.
struct Talk {
    house: Arc<House>,
    guest: Guest,
    notes: Arc<Notes>,
    requests: AtomicU64,
}

impl Talk {
    async fn answer(&self, request: Request<Incoming>) -> Response<Payload> {
        let number = self.requests.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        let House { gate, fallback, tls, has_door } = &*self.house;
        let id = gate.correlations.of(request.headers());
        if self.notes.is_ambiguous(number) {
            tracing::info!(
                peer = %self.guest.addr, correlation_id = id,
                "a request was refused whose head can be read in two ways"
            );
            let reply = Refusal::Framing.reply().closing(true);
            gate.metrics.answered(reply.status());
            return reply.into_response(HeaderMap::new(), &id);
        }

        let peer = gate.proxies.peer(self.guest.addr, tls.is_some(), request.headers());
        // What follows a chunked body is not watched (see `wire.rs`).
        let is_last = request.headers().contains_key(TRANSFER_ENCODING);
        let path = request.uri().path();
        let way = if *has_door { gate.way(path) } else { None };
        let mut response = if way.is_some() || *has_door && is_reserved(path) {
            let seat =
                self.guest.is_proxy.then(|| gate.peers.seat(peer.addr, usize::MAX)).flatten();
            let visit = Visit { gate, seat: seat.as_ref().unwrap_or(&self.guest.seat), peer, id };
            receive(visit, way, request).await
        } else {
            fall_back(gate, pin!(async { fallback(request, peer).await }), id).await
        };
        if is_last {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// Answers by what stands behind the front door.
async fn fall_back(
    gate: &Gate,
    answer: Pin<&mut impl Future<Output = Response<BoxBody>>>,
    id: String,
) -> Response<Payload> {
    let Ok(response) = caught(answer).await else {
        gate.metrics.panics.inc();
        tracing::error!(correlation_id = id, "a request ended in a panic");
        return Refusal::Internal.reply().closing(true).into_response(HeaderMap::new(), &id);
    };
    let mut response = response.map(Payload::Other);
    if let Ok(id) = HeaderValue::try_from(id) {
        response.headers_mut().entry(CORRELATION_ID).or_insert(id);
    }
    response
}
