//! Reads a body as it comes: into memory while it is small, into a file of its own when
//! it is large, against the clock, and never past its limit.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hookgate_store::{BlobWriter, Store, Unavailable};
use hyper::body::{Body, Frame, Incoming};
use tokio::time::Instant;

use crate::answer::Refusal;
use crate::limits::{Limits, WHOLE_BODY_BYTES_MAX};

/// What is set aside for a body in memory at first. It grows with what arrives, not with
/// what is announced.
const FIRST_ROOM_BYTES: u64 = 64 * 1024;

/// A complete body.
#[derive(Debug)]
pub(crate) enum Content<'a> {
    /// In memory, with what it takes of the budget.
    Whole(Bytes, Share<'a>),
    /// In a file that is not finished yet.
    Blob(BlobWriter),
}

/// How a body is read.
pub(crate) struct Reading<'a> {
    pub(crate) store: &'a Store,
    pub(crate) memory: &'a Budget,
    pub(crate) limits: &'a Limits,
    /// What it may measure.
    pub(crate) bytes_max: u64,
}

impl<'a> Reading<'a> {
    /// Reads all of `body`; `see` gets every byte of it, in order.
    ///
    /// Nothing is awaited behind the last byte of a body that stays in memory.
    pub(crate) async fn read(
        &self,
        body: &mut Incoming,
        mut see: impl FnMut(&[u8]),
    ) -> Result<Content<'a>, Refusal> {
        let announced = body.size_hint().lower();
        let share = self.memory.share();
        let mut pace = Pace::new(self.limits);
        let Some(first) = pace.next(body).await? else {
            return Ok(Content::Whole(Bytes::new(), share));
        };
        self.check(pace.received)?;
        see(&first);
        if body.is_end_stream() {
            return Ok(Content::Whole(first, share));
        }
        // Most bodies come in one piece. What the others need would make every
        // connection larger, so it has a place of its own.
        Box::pin(self.read_on(body, see, Begun { announced, first, share, pace })).await
    }

    /// Reads what comes behind the first piece.
    async fn read_on(
        &self,
        body: &mut Incoming,
        mut see: impl FnMut(&[u8]),
        begun: Begun<'a>,
    ) -> Result<Content<'a>, Refusal> {
        let Begun { announced, first, mut share, mut pace } = begun;
        let begun = first.len() as u64;
        let room = announced.clamp(begun, FIRST_ROOM_BYTES.max(begun));
        let mut whole = BytesMut::with_capacity(usize::try_from(room).unwrap_or(first.len()));
        share.take(begun)?;
        whole.extend_from_slice(&first);
        drop(first);
        while announced.max(pace.received) <= WHOLE_BODY_BYTES_MAX {
            if body.is_end_stream() {
                return Ok(Content::Whole(whole.freeze(), share));
            }
            let Some(chunk) = pace.next(body).await? else {
                return Ok(Content::Whole(whole.freeze(), share));
            };
            self.check(pace.received)?;
            see(&chunk);
            share.take(chunk.len() as u64)?;
            whole.extend_from_slice(&chunk);
        }

        let mut file = self.store.begin_blob().await?;
        file.write(whole.freeze()).await?;
        drop(share);
        while !body.is_end_stream() {
            let Some(chunk) = pace.next(body).await? else { break };
            self.check(pace.received)?;
            see(&chunk);
            file.write(chunk).await?;
        }
        Ok(Content::Blob(file))
    }

    fn check(&self, received: u64) -> Result<(), Refusal> {
        if received > self.bytes_max { Err(Refusal::TooLarge) } else { Ok(()) }
    }
}

/// A body whose first piece is here.
struct Begun<'a> {
    announced: u64,
    first: Bytes,
    share: Share<'a>,
    pace: Pace<'a>,
}

/// The clock of one body. Only the time that we wait for the sender counts: a slow disk
/// of ours is not its fault.
struct Pace<'a> {
    limits: &'a Limits,
    waited: Duration,
    received: u64,
}

impl<'a> Pace<'a> {
    fn new(limits: &'a Limits) -> Self {
        Self { limits, waited: Duration::ZERO, received: 0 }
    }

    /// The next bytes, or nothing behind the last. A timer is set only when they are not
    /// there already.
    async fn next(&mut self, body: &mut Incoming) -> Result<Option<Bytes>, Refusal> {
        loop {
            let frame = if let Some(frame) = ready(body).await {
                frame
            } else {
                let since = Instant::now();
                let left = self.limits.body_wait_max(self.received).saturating_sub(self.waited);
                let frame = tokio::time::timeout(left, frame(body)).await;
                self.waited = self.waited.saturating_add(since.elapsed());
                frame.map_err(|_| Refusal::TooSlow)?
            };
            // A body that breaks off or is badly framed.
            let Some(frame) = frame.transpose().map_err(|_| Refusal::Framing)? else {
                return Ok(None);
            };
            // Trailers are passed over: no provider signs them.
            if let Ok(chunk) = frame.into_data() {
                self.received = self.received.saturating_add(chunk.len() as u64);
                return Ok(Some(chunk));
            }
        }
    }
}

type Next = Option<Result<Frame<Bytes>, hyper::Error>>;

async fn frame(body: &mut Incoming) -> Next {
    poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await
}

/// The next frame if it is there already.
async fn ready(body: &mut Incoming) -> Option<Next> {
    let mut frame = pin!(frame(body));
    poll_fn(|context| match frame.as_mut().poll(context) {
        Poll::Ready(frame) => Poll::Ready(Some(frame)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

/// The memory that arriving bodies may take together.
#[derive(Debug)]
pub(crate) struct Budget {
    taken: AtomicU64,
    bytes_max: u64,
}

/// What one body takes of it, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Share<'a> {
    budget: &'a Budget,
    bytes: u64,
}

impl Budget {
    pub(crate) fn new(bytes_max: u64) -> Self {
        Self { taken: AtomicU64::new(0), bytes_max }
    }

    fn share(&self) -> Share<'_> {
        Share { budget: self, bytes: 0 }
    }
}

impl Share<'_> {
    fn take(&mut self, bytes: u64) -> Result<(), Refusal> {
        let taken = self.budget.taken.fetch_add(bytes, Ordering::Relaxed);
        self.bytes = self.bytes.saturating_add(bytes);
        if taken.saturating_add(bytes) > self.budget.bytes_max {
            return Err(Refusal::Unavailable(Unavailable::Behind));
        }
        Ok(())
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.budget.taken.fetch_sub(self.bytes, Ordering::Relaxed);
        }
    }
}
