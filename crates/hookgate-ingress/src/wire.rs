//! The wire beneath HTTP: watches the bytes of a connection on their way to hyper.
//!
//! hyper reads a head and forgets its bytes, so what it tolerates cannot be seen
//! afterwards: it takes a request with both `Transfer-Encoding` and `Content-Length`
//! and drops the length, and it takes lines that end in a bare LF. A proxy in front of
//! us may read such a request in another way, which is how requests are smuggled (RFC
//! 9112 §11.2). [`Framing`] therefore follows the heads on their way and notes the first
//! that leaves room for two readings; `serve.rs` answers it with 400.
//!
//! [`Wire`] also keeps the times that belong to a connection rather than to a request:
//! how long a head may take, how long it may stand idle, how long an answer may wait for
//! its reader, and how long we read on after a refusal so that the sender finds our answer
//! instead of a reset connection. One timer serves the first two, and it is looked at only
//! when there is nothing to read.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::limits::Limits;

/// What a sender is told whose head does not get complete. hyper would say nothing.
const LATE_HEAD: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\n\
    content-type: application/json\r\ncontent-length: 27\r\n\r\n{\"error\":\"Request timeout\"}";

/// What is read at once of what nobody wants.
const DRAIN_BYTES: usize = 16 * 1024;

/// What the wire tells of its requests.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    /// The number of the first request, from 1 on, whose head can be read in two ways;
    /// zero for none.
    ambiguous: AtomicU64,
}

impl Notes {
    /// Whether the request of this number, from 1 on, can be read in two ways.
    pub(crate) fn is_ambiguous(&self, number: u64) -> bool {
        self.ambiguous.load(Ordering::Relaxed) == number
    }
}

/// Where in a connection's requests we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// In a head, or in front of one.
    Head,
    /// In a body of which so many bytes are to come.
    Body(u64),
    /// Behind a head whose body is chunked or ambiguous. The connection ends with this
    /// request, so what follows is of no interest.
    Last,
}

/// Follows the heads of a connection.
#[derive(Debug)]
struct Framing {
    place: Place,
    /// The beginning of a line whose end is not here yet.
    line: Vec<u8>,
    head_bytes: usize,
    head_bytes_max: usize,
    heads: u64,
    has_begun: bool,
    is_ambiguous: bool,
    is_chunked: bool,
    length: Option<u64>,
    notes: Arc<Notes>,
}

impl Framing {
    fn new(head_bytes_max: usize, notes: Arc<Notes>) -> Self {
        Self {
            place: Place::Head,
            line: Vec::new(),
            head_bytes: 0,
            head_bytes_max,
            heads: 0,
            has_begun: false,
            is_ambiguous: false,
            is_chunked: false,
            length: None,
            notes,
        }
    }

    /// Whether a request may begin with the next byte.
    fn is_between_requests(&self) -> bool {
        self.place == Place::Head && !self.is_in_head()
    }

    fn is_in_head(&self) -> bool {
        self.place == Place::Head && (self.has_begun || !self.line.is_empty())
    }

    fn take(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            match self.place {
                Place::Last => return,
                Place::Body(left) => {
                    let skipped = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                    bytes = bytes.get(skipped..).unwrap_or_default();
                    let left = left.saturating_sub(skipped as u64);
                    self.place = if left == 0 { Place::Head } else { Place::Body(left) };
                }
                Place::Head => bytes = self.take_line(bytes),
            }
        }
    }

    /// Takes the next line, or the beginning of one; gives back what is behind it.
    fn take_line<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        let end = bytes.iter().position(|it| *it == b'\n');
        let taken = end.map_or(bytes.len(), |end| end.saturating_add(1));
        let (line, rest) = bytes.split_at_checked(taken).unwrap_or((bytes, b""));
        self.head_bytes = self.head_bytes.saturating_add(taken);
        if self.head_bytes > self.head_bytes_max {
            // hyper refuses it as well, and closes.
            self.place = Place::Last;
        } else if end.is_none() {
            self.line.extend_from_slice(line);
        } else if self.line.is_empty() {
            self.read_line(line);
        } else {
            self.line.extend_from_slice(line);
            let line = std::mem::take(&mut self.line);
            self.read_line(&line);
        }
        rest
    }

    fn read_line(&mut self, line: &[u8]) {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        self.is_ambiguous |= !line.ends_with(b"\r");
        let text = line.strip_suffix(b"\r").unwrap_or(line);
        if text.is_empty() {
            // Blank lines in front of a request mean nothing (RFC 9112 §2.2).
            if self.has_begun {
                self.end_head();
            }
            return;
        }
        self.is_ambiguous |= text.contains(&b'\r');
        if self.has_begun {
            self.read_header(text);
        }
        self.has_begun = true;
    }

    fn read_header(&mut self, line: &[u8]) {
        // A continued line (RFC 9112 §5.2), which hyper refuses as well.
        self.is_ambiguous |= line.first().is_some_and(|it| matches!(it, b' ' | b'\t'));
        let named = |name: &[u8]| match line.split_at_checked(name.len()) {
            Some((start, [b':', value @ ..])) => {
                start.eq_ignore_ascii_case(name).then(|| value.trim_ascii())
            }
            _ => None,
        };
        if let Some(value) = named(b"content-length") {
            let number = std::str::from_utf8(value).ok().and_then(|it| it.parse::<u64>().ok());
            let is_plain = value.iter().all(u8::is_ascii_digit);
            self.is_ambiguous |= self.length.is_some() || self.is_chunked || !is_plain;
            self.length = number.or(Some(0));
        } else if let Some(value) = named(b"transfer-encoding") {
            let is_chunked = value.eq_ignore_ascii_case(b"chunked");
            self.is_ambiguous |= self.length.is_some() || self.is_chunked || !is_chunked;
            self.is_chunked = true;
        }
    }

    fn end_head(&mut self) {
        self.heads = self.heads.saturating_add(1);
        if self.is_ambiguous {
            self.notes.ambiguous.store(self.heads, Ordering::Relaxed);
        }
        self.place = match self.length {
            _ if self.is_ambiguous || self.is_chunked => Place::Last,
            Some(0) | None => Place::Head,
            Some(bytes) => Place::Body(bytes),
        };
        self.length = None;
        self.has_begun = false;
        self.head_bytes = 0;
    }
}

/// A connection whose bytes and times are watched.
#[derive(Debug)]
pub(crate) struct Wire<S> {
    stream: S,
    framing: Framing,
    limits: Limits,
    timer: Pin<Box<Sleep>>,
    /// Since when a head is due: since its first byte, or, of the first one, since the
    /// connection began.
    head_since: Option<Instant>,
    idle_since: Option<Instant>,
    /// Since when an answer waits for its reader.
    stalled: Option<Pin<Box<Sleep>>>,
    has_ended: bool,
    farewell: Farewell,
}

/// How far a connection's end has come.
#[derive(Debug)]
enum Farewell {
    None,
    /// Our side is closed, and we read on what the other side still sends.
    Draining {
        until: Instant,
        pause: Pin<Box<Sleep>>,
        bytes: u64,
    },
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub(crate) fn new(stream: S, limits: Limits, notes: Arc<Notes>) -> Self {
        let now = Instant::now();
        let step = limits.header_read.min(limits.idle);
        Self {
            stream,
            framing: Framing::new(limits.header_bytes_max, notes),
            limits,
            timer: Box::pin(sleep_until(now + step)),
            head_since: Some(now),
            idle_since: None,
            stalled: None,
            has_ended: false,
            farewell: Farewell::None,
        }
    }

    /// When the wait for the next byte is over; nothing while a request's own clock
    /// runs.
    fn deadline(&mut self) -> Option<Instant> {
        if let Some(since) = self.head_since {
            Some(since + self.limits.header_read)
        } else if self.framing.is_between_requests() {
            Some(*self.idle_since.get_or_insert_with(Instant::now) + self.limits.idle)
        } else {
            None
        }
    }

    /// Whether the wait for the next byte is over. The timer never lies behind a deadline
    /// that begins later, so it is set again only when it fires.
    fn poll_late(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(deadline) = self.deadline() else { return Poll::Pending };
        loop {
            ready!(self.timer.as_mut().poll(context));
            let now = Instant::now();
            if deadline <= now {
                return Poll::Ready(());
            }
            let step = self.limits.header_read.min(self.limits.idle);
            self.timer.as_mut().reset(deadline.min(now + step));
        }
    }

    fn took(&mut self, bytes: &[u8]) {
        self.idle_since = None;
        if bytes.is_empty() {
            self.has_ended = true;
            return;
        }
        let was_in_head = self.framing.is_in_head();
        self.framing.take(bytes);
        if !self.framing.is_in_head() {
            self.head_since = None;
        } else if !was_in_head && (self.framing.heads > 0 || self.head_since.is_none()) {
            self.head_since = Some(Instant::now());
        }
    }

    /// Whether an answer waits too long for its reader.
    fn poll_stall(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let until = || Box::pin(sleep_until(Instant::now() + self.limits.write_stall));
        let stalled = self.stalled.get_or_insert_with(until);
        ready!(stalled.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    /// The outcome of a write. A wait is bounded.
    fn written<T>(
        &mut self,
        context: &mut Context<'_>,
        outcome: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.stalled = None;
            return outcome;
        }
        ready!(self.poll_stall(context))?;
        Poll::Pending
    }

    /// Reads on until the other side has closed too, or a limit is reached.
    fn poll_drain(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Farewell::Draining { until, pause, bytes } = &mut self.farewell else {
            return Poll::Ready(());
        };
        let mut scratch = [0_u8; DRAIN_BYTES];
        let mut has_moved = false;
        loop {
            let mut buffer = ReadBuf::new(&mut scratch);
            let read = Pin::new(&mut self.stream).poll_read(context, &mut buffer);
            match read {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    *bytes = bytes.saturating_add(buffer.filled().len() as u64);
                    has_moved = true;
                    if *bytes > self.limits.linger_bytes_max || *until <= Instant::now() {
                        return Poll::Ready(());
                    }
                }
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => break,
            }
        }
        if has_moved {
            pause.as_mut().reset((Instant::now() + self.limits.linger_pause).min(*until));
        }
        pause.as_mut().poll(context)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Wire<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let wire = self.get_mut();
        let before = buffer.filled().len();
        match Pin::new(&mut wire.stream).poll_read(context, buffer) {
            Poll::Ready(Ok(())) => {
                wire.took(buffer.filled().get(before..).unwrap_or_default());
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(cause)) => {
                wire.has_ended = true;
                Poll::Ready(Err(cause))
            }
            Poll::Pending => {
                ready!(wire.poll_late(context));
                if wire.framing.is_in_head() {
                    // Nothing else is on its way to the sender, so this fits the socket.
                    let _ = Pin::new(&mut wire.stream).poll_write(context, LATE_HEAD);
                    let _ = Pin::new(&mut wire.stream).poll_flush(context);
                }
                // To hyper the sender has hung up.
                let _ = Pin::new(&mut wire.stream).poll_shutdown(context);
                Poll::Ready(Ok(()))
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let wire = self.get_mut();
        let outcome = Pin::new(&mut wire.stream).poll_write(context, bytes);
        wire.written(context, outcome)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wire = self.get_mut();
        let outcome = Pin::new(&mut wire.stream).poll_write_vectored(context, slices);
        wire.written(context, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let wire = self.get_mut();
        let outcome = Pin::new(&mut wire.stream).poll_flush(context);
        wire.written(context, outcome)
    }

    /// Closes our side, and reads on for a while what the other side still sends. A
    /// socket that is closed on unread bytes is reset, and takes our answer with it.
    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let wire = self.get_mut();
        if matches!(wire.farewell, Farewell::None) {
            let outcome = Pin::new(&mut wire.stream).poll_shutdown(context);
            ready!(wire.written(context, outcome))?;
            if wire.has_ended || wire.framing.is_between_requests() {
                return Poll::Ready(Ok(()));
            }
            let now = Instant::now();
            let until = now + wire.limits.linger;
            let pause = now + Duration::min(wire.limits.linger_pause, wire.limits.linger);
            let pause = Box::pin(sleep_until(pause));
            wire.farewell = Farewell::Draining { until, pause, bytes: 0 };
        }
        wire.poll_drain(context).map(Ok)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which request of the bytes is ambiguous, fed whole and byte by byte; zero for
    /// none.
    #[track_caller]
    fn check(bytes: &str, expected: u64) {
        for step in [1, 3, bytes.len()] {
            let notes = Arc::new(Notes::default());
            let mut framing = Framing::new(1024, Arc::clone(&notes));
            bytes.as_bytes().chunks(step).for_each(|chunk| framing.take(chunk));
            assert_eq!(notes.ambiguous.load(Ordering::Relaxed), expected, "{bytes:?} by {step}");
        }
    }

    #[test]
    fn a_request_that_can_be_read_in_two_ways_is_noted_by_its_number() {
        let plain = "POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\nabcd";
        let both = "POST / HTTP/1.1\r\nContent-Length: 4\r\ntransfer-encoding: chunked\r\n\r\n";
        check(plain, 0);
        check(&format!("{plain}\r\n{plain}{plain}"), 0);
        check(both, 1);
        check(&format!("{plain}{both}"), 2);
        check("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n", 1);
        check("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 0);
        check("POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 1);
        check("POST / HTTP/1.1\r\nContent-Length: 4\r\nContent-Length: 4\r\n\r\n", 1);
        check("POST / HTTP/1.1\r\nContent-Length: +4\r\n\r\n", 1);
        check("POST / HTTP/1.1\nContent-Length: 4\n\n", 1);
        check("POST / HTTP/1.1\r\nA: b\r\n c: d\r\n\r\n", 1);
        check("POST / HTTP/1.1\r\nA: b\rc\r\n\r\n", 1);
        check("POST / HTTP/1.1\r\nX-Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n", 0);
    }

    #[test]
    fn a_body_is_not_read_as_a_head() {
        let inner = "POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n";
        check(&format!("POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n{inner}", inner.len()), 0);
    }
}
