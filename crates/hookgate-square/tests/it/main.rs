//! The stand-in as a client of Square sees it, over real sockets. The bench holds every
//! answer, and every request that succeeds, against Square's description.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

mod availability;
mod bench;
mod bookings;
mod faults;
mod oauth;
mod schema;
mod shop;
