//! The front door: accepts connections, holds them to their limits, and takes each
//! request the way of an event.
//!
//! Read `ingest.rs` first: one life on one screen. What holds here:
//!
//! - **No success without a receipt.** `acknowledge` is the only place that answers an
//!   event with a success, and it takes a [`hookgate_store::Receipt`] to do it.
//! - **Limits before bytes.** Connections, heads, bodies, waits and requests in flight
//!   are all counted (see [`Limits`]), by peer and by source, before anything is read.
//! - **A complete body outlives its connection.** Once its last byte is here, the event
//!   is on its way to the disk whether or not the sender still listens.
//! - **HTTP/1.1 alone.** Webhook senders speak it, one request stands on a connection at
//!   a time, and there is one framing to reason about: no streams to reset, no
//!   header compression to inflate. A request that leaves its framing open to two
//!   readings is refused (see `wire.rs`).
//! - **One answer for every cause.** A refused sender never learns why.

mod answer;
mod body;
mod caught;
mod correlation;
mod gate;
mod ingest;
mod inspect;
pub mod limits;
mod metrics;
mod peer;
mod quota;
mod serve;
mod throttle;
mod tls;
mod wire;

pub use answer::{BoxBody, BoxError};
pub use gate::{Gate, GateSettings, Inspector};
pub use inspect::{Inspection, render};
pub use limits::Limits;
pub use metrics::{Metrics, Tally};
pub use peer::Peer;
pub use serve::{Drained, Fallback, serve, serve_fallback};
pub use tls::{Tls, TlsError};
