//! Deliveries as a receiver sees them: a real store, real servers on loopback, real bytes.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod alerts;
mod bench;
mod crash;
mod delivery;
mod receiver;
mod recordings;
mod render;
mod tenants;
