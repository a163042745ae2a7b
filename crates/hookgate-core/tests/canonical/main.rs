//! Canonical events: every sample against a reviewed snapshot, every event against the
//! published schema, and bodies that no provider sends.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test may fail, and reads files"
)]

mod bench;
mod checker;
mod conversation;
mod odd;
mod samples;
