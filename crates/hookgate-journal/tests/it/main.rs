//! The journal as its owner sees it: what is promised is kept, whatever the disk
//! does.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a helper that meets something unexpected fails the test"
)]

mod append;
mod bench;
mod corruption;
mod erasure;
mod failure;
mod opening;
mod reading;
mod ring;
mod rotation;
mod torn;
