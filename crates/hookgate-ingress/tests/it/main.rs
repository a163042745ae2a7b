//! The front door as a sender sees it: real sockets, real store, bytes written by hand.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]
#![expect(unreachable_pub, reason = "a test crate has no outside")]

mod accepted;
mod bench;
mod bodies;
mod connections;
mod handshakes;
mod heads;
mod inspection;
mod life;
mod limited;
mod ownership;
mod peers;
mod refused;
mod secrecy;
mod transport;
