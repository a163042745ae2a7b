//! Deliveries: what is made of a stored event for a destination, and how it gets there; and
//! recordings: what a stored event names, and how it gets here.
//!
//! [`Dispatcher::run`] is the whole of it. What holds there:
//!
//! - **At least once.** A delivery comes about in the same transaction in which the cursor
//!   moves past its event, and ends in the same in which its last attempt is kept. Between
//!   them a crash repeats an attempt, with the same `webhook-id`.
//! - **Nothing but what was accepted, and to nobody but whose it is.** An event is read within
//!   the scope of its destination's owner, once more at each attempt.
//! - **The journal is the queue.** What is in memory is what is under way; everything that is
//!   told to this crate it would find by itself a second later.
//! - **No redirect is followed, and no address is reached that the operator does not allow.**
//! - **Nothing of a URL but its origin, and nothing of a secret, a body or an answer is in a
//!   log, an error or a metric.**
//!
//! Reading order: `dispatcher.rs` (the loop), `reader.rs` (which events, for whom),
//! `attempt.rs` (one attempt), `render/` (what is sent), `send.rs` (what an answer means),
//! `alerts.rs` (what the operator is told without asking); `archive.rs` and `fetch.rs` for
//! recordings.

pub mod render;

mod alerts;
mod archive;
mod attempt;
mod bodies;
mod dispatcher;
mod document;
mod fetch;
mod metrics;
mod reader;
mod retry_after;
mod send;

pub use self::alerts::{AlertRules, Counts, SourceCounts, Watcher};
pub use self::archive::{Archiving, BYTES_MAX};
pub use self::dispatcher::{Clock, DispatchSettings, Dispatcher, IN_FLIGHT_MAX, STOP_WAIT};
pub use self::metrics::DeliveryMetrics;
