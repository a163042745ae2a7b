//! The real binary, as its users meet it: each test in a folder and on a port of its own.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test may fail loudly"
)]

mod alerts;
mod audit;
mod away;
mod bench;
mod bundle;
mod canary;
mod conversations;
mod deliveries;
mod environment;
mod help;
mod listen;
mod listening;
mod mightycall;
mod passed_on;
mod postgres;
mod reading;
mod recordings;
mod retry;
mod sealing;
mod square;
mod tawk;
mod tenants;
mod tools;
mod tour;
mod verify;
mod wrong;
