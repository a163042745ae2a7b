//! The priority of threads that nobody waits for.

use rustix::process::{getpriority_process, setpriority_process};

/// How much nicer they are: where others want the same core, they get a tenth of it (sched(7)).
const NICER: i32 = 10;

/// The nicest that a thread can be.
const NICE_MAX: i32 = 19;

/// Lowers the priority of the calling thread. One that may not be nicer works all the same.
pub(crate) fn lower() {
    // Without a process the calling thread is meant.
    if let Ok(nice) = getpriority_process(None) {
        let _ = setpriority_process(None, nice.saturating_add(NICER).min(NICE_MAX));
    }
}
