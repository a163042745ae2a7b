//! The registry in PostgreSQL: the tests of the one in a file, word for word over another
//! bench, and what only nodes that share one have to show.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail loudly")]

mod bench;
#[path = "../it/deliveries.rs"]
mod deliveries;
#[path = "../it/deliveries_model.rs"]
mod deliveries_model;
#[path = "../it/registry.rs"]
mod registry;
mod rows;
mod several;
mod tenancy;
#[path = "../it/tool_calls.rs"]
mod tool_calls;
#[path = "../it/tool_calls_model.rs"]
mod tool_calls_model;
