//! Credentials as the rest of the program sees them: a real store, and servers over real
//! sockets that behave as the secret stores' documentation says.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]
#![expect(unreachable_pub, reason = "a test crate has no outside")]

mod agents;
mod azure;
mod bench;
mod fake_azure;
mod fake_vault;
mod local;
mod sealed;
mod secrecy;
mod server;
mod vault;
