//! The broker with a real store and the stand-in Square, while things go wrong.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail loudly")]

mod desk;
mod faults;
