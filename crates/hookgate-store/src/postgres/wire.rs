//! The wire to the database: asks for TLS, and gives up on a server that is silent.
//!
//! A server that was frozen, or a network that swallows packets, closes nothing: without a
//! limit of our own a thread would wait for it until the machine is switched off. So the
//! messages on the wire are counted (their kinds and lengths, nothing of what they say):
//! while an answer is owed and no byte comes for [`Limits::silence`], the connection is
//! broken.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use postgres::Socket;
use postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::time::{Instant, Sleep};
use tokio_postgres_rustls::MakeRustlsConnect;

/// The request for TLS: its length and its number (PostgreSQL's protocol 3, `SSLRequest`).
const TLS_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

/// Encrypted, as `tokio-postgres-rustls` makes it.
type Encrypted = <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream;

/// Whether a connection is encrypted.
#[derive(Clone)]
pub(super) enum Encryption {
    /// Never.
    Off,
    /// If the server offers it.
    Offered(MakeRustlsConnect),
    /// Always.
    Always(MakeRustlsConnect),
}

/// How long anything may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// The handshake of TLS.
    pub(super) handshake: Duration,
    /// Silence while an answer is owed.
    pub(super) silence: Duration,
}

/// Why a wire is of no use.
#[derive(Debug, thiserror::Error)]
pub(super) enum WireFault {
    #[error("the server has no TLS")]
    NoTls,
    #[error("the server has not answered in time")]
    Silent,
    #[error("TLS failed")]
    Tls(#[source] io::Error),
    #[error("the connection broke")]
    Broken(#[source] io::Error),
}

/// Makes wires.
#[derive(Clone)]
pub(super) struct WireMaker {
    pub(super) encryption: Encryption,
    pub(super) limits: Limits,
}

impl MakeTlsConnect<Socket> for WireMaker {
    type Stream = Wire;
    type TlsConnect = Connecting;
    type Error = std::convert::Infallible;

    fn make_tls_connect(&mut self, host: &str) -> Result<Connecting, Self::Error> {
        Ok(Connecting { maker: self.clone(), host: host.to_owned() })
    }
}

/// A wire to one host, to come.
pub(super) struct Connecting {
    maker: WireMaker,
    host: String,
}

impl TlsConnect<Socket> for Connecting {
    type Stream = Wire;
    type Error = WireFault;
    type Future = Pin<Box<dyn Future<Output = Result<Wire, WireFault>> + Send>>;

    fn connect(self, socket: Socket) -> Self::Future {
        Box::pin(async move {
            let Limits { handshake, silence } = self.maker.limits;
            let layer = tokio::time::timeout(handshake, self.encrypt(socket));
            let layer = layer.await.map_err(|_| WireFault::Silent)??;
            Ok(Wire { layer, silence, pulse: None, owed: Owed::new() })
        })
    }
}

impl Connecting {
    async fn encrypt(self, mut socket: Socket) -> Result<Layer, WireFault> {
        let (mut maker, must) = match self.maker.encryption {
            Encryption::Off => return Ok(Layer::Plain(socket)),
            Encryption::Offered(maker) => (maker, false),
            Encryption::Always(maker) => (maker, true),
        };
        socket.write_all(&TLS_REQUEST).await.map_err(WireFault::Broken)?;
        socket.flush().await.map_err(WireFault::Broken)?;
        match socket.read_u8().await.map_err(WireFault::Broken)? {
            b'S' => {}
            b'N' if !must => return Ok(Layer::Plain(socket)),
            _ => return Err(WireFault::NoTls),
        }
        let Ok(connector) =
            <MakeRustlsConnect as MakeTlsConnect<Socket>>::make_tls_connect(&mut maker, &self.host);
        let encrypted = connector.connect(socket).await.map_err(WireFault::Tls)?;
        Ok(Layer::Encrypted(Box::new(encrypted)))
    }
}

enum Layer {
    Plain(Socket),
    Encrypted(Box<Encrypted>),
}

/// A connection to the server, as the driver reads and writes it.
pub(super) struct Wire {
    layer: Layer,
    silence: Duration,
    /// Rings when the server has been silent for too long.
    pulse: Option<Pin<Box<Sleep>>>,
    owed: Owed,
}

impl Wire {
    /// Something moved: the server has its time anew.
    fn moved(&mut self, context: &mut Context<'_>) {
        if !self.owed.is_any() {
            self.pulse = None;
            return;
        }
        let until = Instant::now() + self.silence;
        match &mut self.pulse {
            Some(pulse) => pulse.as_mut().reset(until),
            None => self.pulse = Some(Box::pin(tokio::time::sleep_until(until))),
        }
        // Registers who is to be woken; it cannot have rung yet.
        let _ = self.is_over(context);
    }

    fn is_over(&mut self, context: &mut Context<'_>) -> bool {
        self.pulse.as_mut().is_some_and(|it| it.as_mut().poll(context).is_ready())
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        let read = match &mut self.layer {
            Layer::Plain(socket) => Pin::new(socket).poll_read(context, into),
            Layer::Encrypted(stream) => Pin::new(stream).poll_read(context, into),
        };
        match &read {
            Poll::Pending if self.is_over(context) => {
                Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, WireFault::Silent)))
            }
            Poll::Ready(Ok(())) => {
                self.owed.read(into.filled().get(before..).unwrap_or_default());
                self.moved(context);
                read
            }
            _ => read,
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = match &mut self.layer {
            Layer::Plain(socket) => Pin::new(socket).poll_write(context, bytes),
            Layer::Encrypted(stream) => Pin::new(stream).poll_write(context, bytes),
        };
        if let Poll::Ready(Ok(count)) = written {
            self.owed.written(bytes.get(..count).unwrap_or_default());
            self.moved(context);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.layer {
            Layer::Plain(socket) => Pin::new(socket).poll_flush(context),
            Layer::Encrypted(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.layer {
            Layer::Plain(socket) => Pin::new(socket).poll_shutdown(context),
            Layer::Encrypted(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

impl TlsStream for Wire {
    fn channel_binding(&self) -> ChannelBinding {
        match &self.layer {
            Layer::Plain(_) => ChannelBinding::none(),
            Layer::Encrypted(stream) => stream.channel_binding(),
        }
    }
}

/// How many answers the server owes. It ends each with `ReadyForQuery`.
struct Owed {
    count: u64,
    sent: Frames,
    received: Frames,
}

impl Owed {
    fn new() -> Self {
        // The first message, which has no kind, is answered like any other.
        Self {
            count: 1,
            sent: Frames { have: 1, ..Frames::default() },
            received: Frames::default(),
        }
    }

    fn is_any(&self) -> bool {
        self.count > 0
    }

    fn written(&mut self, bytes: &[u8]) {
        let count = &mut self.count;
        self.sent.follow(bytes, |kind| {
            // Query, Sync, FunctionCall.
            if matches!(kind, b'Q' | b'S' | b'F') {
                *count = count.saturating_add(1);
            }
        });
    }

    fn read(&mut self, bytes: &[u8]) {
        let count = &mut self.count;
        self.received.follow(bytes, |kind| {
            // ReadyForQuery; and CopyInResponse: the Sync before it goes unanswered.
            if matches!(kind, b'Z' | b'G') {
                *count = count.saturating_sub(1);
            }
        });
    }
}

/// Follows messages: a byte for the kind, four for the length, which counts itself.
#[derive(Default)]
struct Frames {
    kind: u8,
    have: usize,
    length: u32,
    skip: usize,
}

impl Frames {
    fn follow(&mut self, mut bytes: &[u8], mut seen: impl FnMut(u8)) {
        while let Some((first, rest)) = bytes.split_first() {
            if self.skip > 0 {
                let skipped = self.skip.min(bytes.len());
                self.skip -= skipped;
                bytes = bytes.get(skipped..).unwrap_or_default();
                continue;
            }
            bytes = rest;
            if self.have == 0 {
                self.kind = *first;
            } else {
                self.length = (self.length << 8) | u32::from(*first);
            }
            self.have += 1;
            if self.have == 5 {
                self.skip = usize::try_from(self.length).unwrap_or(usize::MAX).saturating_sub(4);
                seen(self.kind);
                *self = Self { skip: self.skip, ..Self::default() };
            }
        }
    }
}
