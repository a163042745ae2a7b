//! The store as its users see it.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test may fail loudly"
)]

mod adoption;
mod alerts;
mod archive;
mod bench;
mod blobs;
mod conversations;
mod copying;
mod database;
mod decisions;
mod deliveries;
mod deliveries_model;
mod duplicates;
mod durability;
mod erasure;
mod events;
mod failures;
mod index;
mod ledger;
mod ledger_model;
mod maintenance;
mod node;
mod outage;
mod overdue;
mod recordings;
mod registry;
mod registry_files;
mod rejections;
mod retention;
mod scope;
mod tenancy;
mod tool_calls;
mod tool_calls_model;
mod unproven;
mod views;
