//! What the front door lets through, each bound with its reason.

use std::time::Duration;

/// How long a request's head may take. Providers send it in one packet; 10 s is for a
/// lost packet or two on a bad line.
pub const HEADER_READ_MAX: Duration = Duration::from_secs(10);

/// How long a connection may stand idle between requests. Longer than the pools of
/// common clients (Go keeps 90 s): whoever closes first must not be us, because a sender
/// that does not retry loses the event that it just wrote into the closing connection.
pub const IDLE_MAX: Duration = Duration::from_mins(2);

/// How long an answer may wait for its reader to take another byte.
pub const WRITE_STALL_MAX: Duration = Duration::from_mins(1);

/// What a head may measure. The largest that a provider sends has about 2 KiB.
pub const HEADER_BYTES_MAX: usize = 16 * 1024;

/// How many headers a head may have. Providers send about ten, proxies add as many.
pub const HEADERS_MAX: usize = 100;

/// How long we wait for a body before the minimum rate counts.
pub const BODY_GRACE: Duration = Duration::from_secs(10);

/// How long we wait for the bytes of one body in all, whatever its rate.
pub const BODY_DEADLINE_MAX: Duration = Duration::from_mins(10);

/// How slow a body may come: 16 KiB/s is a tenth of a bad mobile line.
pub const BODY_RATE_MIN_BYTES_PER_SECOND: u64 = 16 * 1024;

/// What a body may measure to be held in memory; a larger one goes to a file.
pub const WHOLE_BODY_BYTES_MAX: u64 = 1024 * 1024;

/// What all bodies that are still arriving may hold in memory together.
pub const BODIES_IN_MEMORY_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// How many connections one peer may have.
pub const PEER_CONNECTIONS_MAX: usize = 2048;

/// How many requests one peer may have in flight.
pub const PEER_IN_FLIGHT_MAX: usize = 1024;

/// How many requests one source may have in flight: several peers' worth, and far less
/// than all connections, so that one source's flood leaves room for the others.
pub const SOURCE_IN_FLIGHT_MAX: usize = 4096;

/// How many connections there may be in all. An idle one costs about 15 KB.
pub const CONNECTIONS_MAX: usize = 16_384;

/// How long we go on reading what a refused sender still sends, so that it finds our
/// answer instead of a reset connection.
pub const LINGER_MAX: Duration = Duration::from_secs(10);

/// How long such a sender may pause.
pub const LINGER_PAUSE_MAX: Duration = Duration::from_secs(1);

/// How much of it we read: a little more than the largest body of any provider.
pub const LINGER_BYTES_MAX: u64 = 160 * 1024 * 1024;

/// How long a stopping server waits for what it accepted. Service managers kill after
/// 30 s (Kubernetes) or 90 s (systemd).
pub const SHUTDOWN_MAX: Duration = Duration::from_secs(20);

/// The bounds in force.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How long a request's head may take, TLS handshake apart.
    pub header_read: Duration,
    /// How long a connection may stand idle between requests.
    pub idle: Duration,
    /// How long an answer may wait for its reader.
    pub write_stall: Duration,
    /// What a head may measure.
    pub header_bytes_max: usize,
    /// How many headers it may have.
    pub headers_max: usize,
    /// How long a body may take before the minimum rate counts.
    pub body_grace: Duration,
    /// How long we wait for a body in all.
    pub body_deadline: Duration,
    /// How slow it may come.
    pub body_rate_min_bytes_per_second: u64,
    /// What all arriving bodies may hold in memory together.
    pub bodies_in_memory_bytes_max: u64,
    /// How many connections one peer may have.
    pub peer_connections_max: usize,
    /// How many requests one peer may have in flight.
    pub peer_in_flight_max: usize,
    /// How many requests one source may have in flight.
    pub source_in_flight_max: usize,
    /// How many connections there may be in all.
    pub connections_max: usize,
    /// How long we read on after a refusal.
    pub linger: Duration,
    /// How long the sender may pause meanwhile.
    pub linger_pause: Duration,
    /// How much we read meanwhile.
    pub linger_bytes_max: u64,
    /// How long a stopping server waits for what it accepted.
    pub shutdown: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_read: HEADER_READ_MAX,
            idle: IDLE_MAX,
            write_stall: WRITE_STALL_MAX,
            header_bytes_max: HEADER_BYTES_MAX,
            headers_max: HEADERS_MAX,
            body_grace: BODY_GRACE,
            body_deadline: BODY_DEADLINE_MAX,
            body_rate_min_bytes_per_second: BODY_RATE_MIN_BYTES_PER_SECOND,
            bodies_in_memory_bytes_max: BODIES_IN_MEMORY_BYTES_MAX,
            peer_connections_max: PEER_CONNECTIONS_MAX,
            peer_in_flight_max: PEER_IN_FLIGHT_MAX,
            source_in_flight_max: SOURCE_IN_FLIGHT_MAX,
            connections_max: CONNECTIONS_MAX,
            linger: LINGER_MAX,
            linger_pause: LINGER_PAUSE_MAX,
            linger_bytes_max: LINGER_BYTES_MAX,
            shutdown: SHUTDOWN_MAX,
        }
    }
}

impl Limits {
    /// How long we may have waited for a body of which so many bytes are here.
    pub(crate) fn body_wait_max(&self, bytes: u64) -> Duration {
        let paid = bytes / self.body_rate_min_bytes_per_second.max(1);
        self.body_grace.saturating_add(Duration::from_secs(paid)).min(self.body_deadline)
    }
}
