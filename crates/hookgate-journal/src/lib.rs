//! A durable, append-only log of bytes.
//!
//! One [`Journal`] is a folder with a few *logs* (sub-folders) that share one
//! writer thread, one group commit and one sequence. It knows bytes, not events,
//! and no runtime: a [`Ticket`] is a plain future that any executor can poll.
//!
//! What holds:
//!
//! - **Sequence order is commit order**, over all logs of the journal.
//! - **A [`Committed`] of a [`Sync::Durable`] log is on disk.** It is given only
//!   after the `fdatasync` of its batch, never before.
//! - **FIFO.** When a record is committed, every earlier record of the same log is
//!   committed too, or [`Journal::has_failed`] says that it is not.
//! - **Appending never waits for the disk.** It copies, and is refused
//!   ([`AppendError::Full`]) when too much is waiting.
//! - **Nothing is dropped in silence.** [`Journal::open`] says in its [`Recovery`]
//!   what was torn (never acknowledged, moved to `lost/`) and what is corrupt.
//!
//! A record is a small *head* and a *payload*, each with its own checksum, so that
//! a payload can be erased while its head still proves itself. The bytes on disk
//! are described in `docs/journal-format.md`.
//!
//! Reading order: `journal.rs` (the way in), `queue.rs` and `ticket.rs` (before
//! the disk), `writer.rs` and `log.rs` (onto the disk), `format.rs` and `walk.rs`
//! (what is there), `recover.rs`, `reader.rs`.

mod check;
mod content;
mod disk;
mod erase;
mod failures;
mod format;
mod gather;
mod journal;
mod log;
mod lost;
mod prepare;
mod queue;
mod reader;
mod record;
mod recover;
mod recovery;
mod scan;
mod segment;
mod settings;
mod statistics;
mod ticket;
mod view;
mod walk;
mod writer;

pub use check::{CheckError, Progress, Report, check};
#[doc(hidden)]
pub use disk::{Fault, Faults, Operation};
pub use erase::Erased;
pub use journal::{Journal, OpenError, Wake, wake_inline};
pub use queue::{AppendError, Pending};
pub use reader::{ReadError, Reader};
pub use record::{Head, Payload, Position, Record};
pub use recovery::{Corrupt, Recovery, Torn};
pub use scan::{HeadScan, Scan};
pub use settings::{
    BATCH_BYTES_MAX, HEAD_BYTES_MAX, LOGS_MAX, LogId, LogSettings, PENDING_BYTES_MAX,
    RECORD_BYTES_MAX, Retention, SEGMENT_BYTES_FIRST, SEGMENT_BYTES_MAX, Settings, Sync,
};
pub use statistics::{Histogram, LogStatistics, Statistics};
pub use ticket::{CommitError, Committed, Ticket};
pub use view::Health;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks, also after a panic elsewhere: every critical section of this crate
/// leaves its data whole at each step, or is followed by closing the journal.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
