//! What endpoints promise: a real server on loopback, a real way out, real credentials.

mod answers;
mod bench;
mod requests;
mod retries;
