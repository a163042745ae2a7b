//! The store as its users see it.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail loudly")]

mod adoption;
mod archive;
mod bench;
mod blobs;
mod duplicates;
mod durability;
mod events;
mod failures;
mod index;
mod ledger;
mod ledger_model;
mod maintenance;
mod registry;
mod registry_files;
mod rejections;
mod unproven;
mod views;
