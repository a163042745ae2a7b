//! The priority of threads that nobody waits for.

use rustix::process::{getpid, getpriority_process, setpriority_process};

/// How much nicer they are: where others want the same core, they get a tenth of it (sched(7)).
/// Not less, for they too hold locks.
const NICER: i32 = 10;

/// The nicest that a thread can be.
const NICE_MAX: i32 = 19;

/// Lowers the priority of the calling thread, for work that nobody waits for. The threads that
/// it starts begin with it, and are not lowered twice: what counts is how nice the process is.
/// A thread that may not be nicer works all the same.
pub fn lower_priority() {
    if let Ok(nice) = getpriority_process(Some(getpid())) {
        // Without a process the calling thread is meant.
        let _ = setpriority_process(None, nice.saturating_add(NICER).min(NICE_MAX));
    }
}
