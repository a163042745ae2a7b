//! A private PostgreSQL for tests: the real server, started from Debian's package as a
//! user without rights, in a folder of its own, and gone with the process that started it.
//!
//! ```no_run
//! let database = hookgate_testpg::Cluster::shared().database();
//! let url = database.url(); // postgres://…, a database of this test's own
//! ```
//!
//! - [`Cluster::shared`] is one server per test process, started by whoever asks first. A
//!   test that stops, kills or freezes its server starts its own with [`Cluster::start`].
//! - [`Cluster::database`] makes an empty database, dropped with the value.
//! - [`Bouncer`] is pgbouncer in front of it.
//! - [`Proxy`] is a network in front of it that fails when a test says so.
//!
//! Nothing here waits for a fixed time: a server says itself when it is ready.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "a test that has no server fails, and says why"
)]

mod bouncer;
mod certificate;
mod cluster;
mod database;
mod place;
mod process;
mod proxy;

pub use bouncer::{Bouncer, Pooling};
pub use cluster::{Cluster, Options, PASSWORD, Stop};
pub use database::Database;
pub use proxy::{Proxy, Upstream};
