//! Tool calls: who may call what, once, in time; and the connectors that carry it out.
//!
//! [`Broker::answer`] is the whole way of a call, from the stored event to the answer. What
//! holds there:
//!
//! - **Nothing before the receipt.** It takes an attributed event and its receipt, so a call
//!   that is not proven, owned and on disk reaches no connector.
//! - **The tenant comes from the event**, its credentials from the tenant. Arguments are what
//!   a model wrote: they name bookings, never owners.
//! - **One effect.** A write is recorded as begun before it is sent, under what the caller
//!   wishes (`effect.rs`). The same wish again is answered with what came of it, as long as
//!   that still stands; after a crash it is found out by asking, not by trying.
//! - **In time.** A call has a budget; when it is spent the caller hears a sentence, and
//!   what was begun goes on and is recorded.

mod broker;
mod budget;
mod effect;
mod guidance;
mod http;
mod job;
mod metrics;
mod permit;
mod plan;
mod running;
mod square;
mod words;
mod work;

pub use self::broker::{Broker, BrokerSettings};
pub use self::metrics::ToolMetrics;
