//! The console as an operator, a supervisor and a stranger see it: real requests to the
//! router over a real store in a folder of its own.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on should say so and stop"
)]

mod access;
mod bench;
mod destinations;
mod document;
mod events;
mod examples;
mod following;
mod idempotency;
mod isolation;
mod ownership;
mod paging;
mod recordings;
mod rejections;
mod retry;
mod rights;
mod schema;
mod secrecy;
mod sources;
mod status;
mod stream;
mod tenants;
mod tool_calls;
mod tools;
mod world;
