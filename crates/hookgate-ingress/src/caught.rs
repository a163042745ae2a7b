//! Turns a panic inside a future into a value, so that it ends one request and nothing
//! else.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::Poll;

/// The future panicked. What it said is not kept: it may quote a body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Panicked;

/// Runs `work`, and answers for it if it panics. It comes pinned: an async function that
/// took it by value would be twice its size.
pub(crate) fn caught<F: Future>(
    mut work: Pin<&mut F>,
) -> impl Future<Output = Result<F::Output, Panicked>> {
    poll_fn(move |context| {
        // Unwind safety: a future that panicked is never polled again.
        match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(value)) => Poll::Ready(Ok(value)),
            Err(_) => Poll::Ready(Err(Panicked)),
        }
    })
}
