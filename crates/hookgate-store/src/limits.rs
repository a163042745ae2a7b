//! Limits that both kinds of store have.

use std::time::Duration;

/// The largest body that comes whole, in bytes; a larger one is written to a file first.
pub(crate) const WHOLE_BODY_BYTES_MAX: u64 = 1 << 20;

/// Reads at once: a dashboard and an export, and never all threads of the runtime, nor all
/// connections that a small PostgreSQL has.
pub(crate) const READS_MAX: usize = 4;

/// How long a read waits for what was stored before it.
pub(crate) const READ_WAIT_MAX: Duration = Duration::from_secs(2);
