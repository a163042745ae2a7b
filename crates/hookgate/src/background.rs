//! The runtime of what nobody waits for: deliveries, and whatever else follows the journal.
//!
//! Its threads have a lower priority than those that answer requests. A drain of a hundred
//! thousand deliveries takes what processor is left, and not what senders and callers need.

use anyhow::Context;
use rustix::process::{getpriority_process, setpriority_process};
use tokio::runtime::Runtime;

/// How much nicer its threads are: where both want a core, they get a tenth of it (sched(7)).
/// Not less, for they too hold locks.
const NICER: i32 = 10;

/// The nicest that a thread can be.
const NICE_MAX: i32 = 19;

/// Starts it.
pub(crate) fn start() -> anyhow::Result<Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.enable_all().thread_name("background").on_thread_start(|| {
        // Without a process the calling thread is meant. One that may not be nicer works all
        // the same.
        if let Ok(nice) = getpriority_process(None) {
            let _ = setpriority_process(None, nice.saturating_add(NICER).min(NICE_MAX));
        }
    });
    builder.build().context("cannot start the runtime of deliveries")
}
