//! The connector against the stand-in, over real sockets, with real credentials in a real
//! store. The bench holds every request that succeeds, and every answer, against Square's
//! description of its API.

mod accounts;
mod bench;
mod cancel;
mod create;
mod customers;
mod listing;
mod reschedule;
mod retries;
mod times;

#[path = "../../../../hookgate-square/tests/it/schema.rs"]
mod schema;
