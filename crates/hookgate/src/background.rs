//! The runtime of what nobody waits for: deliveries, and whatever else follows the journal.
//!
//! Its threads have a lower priority than those that answer requests. A drain of a hundred
//! thousand deliveries takes what processor is left, and not what senders and callers need.

use anyhow::Context;
use tokio::runtime::Runtime;

/// Starts it.
pub(crate) fn start() -> anyhow::Result<Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.enable_all().thread_name("background");
    builder.on_thread_start(hookgate_store::lower_priority);
    builder.build().context("cannot start the runtime of deliveries")
}
