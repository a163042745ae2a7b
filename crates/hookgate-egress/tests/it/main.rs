//! The way out as the other side sees it: real servers on loopback, bytes written by hand.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]
#![expect(unreachable_pub, reason = "a test crate has no outside")]

mod answers;
mod bench;
mod policy;
mod tls;
