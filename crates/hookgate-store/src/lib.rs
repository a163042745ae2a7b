//! Where Hookgate keeps what it accepted: the journal with the exact bytes, and an index
//! that can be rebuilt from it.

mod filter;
mod receipt;
mod record;
mod store;

pub use filter::{EventFilter, Order, Page, RejectionFilter};
pub use receipt::Receipt;
pub use record::{Event, EventId, Rejection, Status};
pub use store::{BlobWriter, Body, OpenError, Options, ReadError, Snapshot, Store, Unavailable, Wake};
