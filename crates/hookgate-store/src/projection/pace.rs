//! When it is folded: a thread follows in batches and rests between them, and who reads asks
//! it to hurry.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::FoldError;
use crate::lock;

/// How often it is looked for new events while nobody asks.
const POLL: Duration = Duration::from_secs(1);

/// How long it rests after a batch that nobody waits for, in times of what the batch took: it
/// takes a quarter of one core at most, and intake has the rest.
const RESTS: u32 = 3;

/// The same while more comes in than could be folded with those rests: whoever falls behind
/// anyway leaves the machine to intake, and catches up when there is less of it.
const RESTS_OUTRUN: u32 = 19;

/// The longest of those rests: a step that a busy database makes long is followed by one that
/// is. Who reads asks, and ends it.
const REST_OUTRUN_MAX: Duration = Duration::from_secs(10);

/// How long nothing is done after something failed.
pub(crate) const PAUSE: Duration = Duration::from_secs(1);

/// How long it waits for another node that folds.
const TURN: Duration = Duration::from_millis(20);

/// How long a read waits for the conversations. What is missing then, it says.
const FOLD_WAIT_MAX: Duration = Duration::from_secs(2);

/// Who waits for the thread, and how far it is.
#[derive(Debug)]
pub(crate) struct Pace {
    bell: Mutex<Bell>,
    rung: Condvar,
    done: watch::Sender<Done>,
}

/// What the thread has done.
#[derive(Clone, Copy, Debug, Default)]
struct Done {
    /// The last question that it has heard, with every decision made before.
    answered: u64,
    /// The cursor.
    through: u64,
}

/// How far things were when a step was done.
#[derive(Clone, Copy, Debug)]
struct Reached {
    /// When the step began.
    begun: Instant,
    /// How far there was to go.
    end: u64,
    /// How far it was folded.
    through: u64,
}

impl Reached {
    /// Whether more came since the step before than is folded in that time by steps like this
    /// one, which took so long, with the shorter rests between.
    fn is_outrun(self, before: Self, took: Duration) -> bool {
        let came = self.end.saturating_sub(before.end);
        let folded = self.through.saturating_sub(before.through);
        let passed = self.begun.saturating_duration_since(before.begun);
        let cycle = took.saturating_mul(RESTS.saturating_add(1));
        let product =
            |count: u64, time: Duration| u128::from(count).saturating_mul(time.as_nanos());
        product(came, cycle) > product(folded, passed)
    }
}

#[derive(Debug, Default)]
struct Bell {
    asked: u64,
    /// Until everything is in: nobody rests.
    is_rebuilding: bool,
    is_stopping: bool,
}

impl Pace {
    pub(crate) fn new(through: u64) -> Self {
        let done = watch::Sender::new(Done { answered: 0, through });
        Self { bell: Mutex::default(), rung: Condvar::new(), done }
    }

    /// Takes steps until it is stopped. A step gives how far it has come; nothing, if another
    /// node folds. `end` says how far there is to go, and `recover` what to do about an error
    /// before it is tried again.
    pub(crate) fn follow(
        &self,
        end: impl Fn() -> u64,
        step: impl Fn() -> Result<Option<u64>, FoldError>,
        recover: impl Fn(&FoldError),
    ) {
        let mut before: Option<Reached> = None;
        loop {
            let (asked, is_stopping) = {
                let bell = lock(&self.bell);
                (bell.asked, bell.is_stopping)
            };
            if is_stopping {
                return;
            }
            let begun = Instant::now();
            match step() {
                Ok(Some(through)) => {
                    let now = Reached { begun, end: end(), through };
                    let is_done = through >= now.end;
                    if is_done {
                        lock(&self.bell).is_rebuilding = false;
                    }
                    self.done.send_modify(|it| *it = Done { answered: asked, through });
                    let took = begun.elapsed();
                    let is_outrun = before.replace(now).is_some_and(|it| now.is_outrun(it, took));
                    let rest = if is_done { POLL } else { rest_after(took, is_outrun) };
                    // Who asks while it is behind does not wait for its rests.
                    let is_wanted = self.done.receiver_count() > 0;
                    if is_done || !is_wanted {
                        self.rest(asked, rest);
                    }
                }
                Ok(None) => self.pause(TURN),
                Err(error) => {
                    if !self.is_stopping() {
                        recover(&error);
                        self.pause(PAUSE);
                    }
                }
            }
        }
    }

    /// It begins anew.
    pub(crate) fn begin_anew(&self) {
        self.reset();
        lock(&self.bell).is_rebuilding = true;
        self.ask();
    }

    /// Nothing is folded.
    pub(crate) fn reset(&self) {
        self.done.send_modify(|it| it.through = 0);
    }

    /// How far it is.
    pub(crate) fn through(&self) -> u64 {
        self.done.borrow().through
    }

    /// Asks the thread not to rest; gives what it answers once it has heard of it.
    pub(crate) fn ask(&self) -> u64 {
        let mut bell = lock(&self.bell);
        bell.asked = bell.asked.wrapping_add(1);
        let asked = bell.asked;
        drop(bell);
        self.rung.notify_all();
        asked
    }

    /// Waits for what was stored up to a place, and for what was decided before; gives how
    /// much is missing.
    pub(crate) async fn catch_up(&self, target: u64) -> u64 {
        let mut done = self.done.subscribe();
        let asked = self.ask();
        let is_done = |it: &Done| it.through >= target && reached(it.answered, asked);
        let waiting = async { done.wait_for(is_done).await.is_ok() };
        match tokio::time::timeout(FOLD_WAIT_MAX, waiting).await {
            Ok(_) => 0,
            Err(_) => target.saturating_sub(self.through()).max(1),
        }
    }

    pub(crate) fn stop(&self) {
        lock(&self.bell).is_stopping = true;
        self.rung.notify_all();
    }

    pub(crate) fn is_stopping(&self) -> bool {
        lock(&self.bell).is_stopping
    }

    /// Rests until somebody asks, for so long at most.
    fn rest(&self, answered: u64, time: Duration) {
        let bell = lock(&self.bell);
        let rested = self.rung.wait_timeout_while(bell, time, |it| {
            it.asked == answered && !it.is_rebuilding && !it.is_stopping
        });
        drop(rested.unwrap_or_else(PoisonError::into_inner));
    }

    /// Rests for so long, whoever asks.
    pub(crate) fn pause(&self, time: Duration) {
        let bell = lock(&self.bell);
        let rested = self.rung.wait_timeout_while(bell, time, |it| !it.is_stopping);
        drop(rested.unwrap_or_else(PoisonError::into_inner));
    }
}

/// How long it rests after a step that took so long.
fn rest_after(took: Duration, is_outrun: bool) -> Duration {
    let (rests, max) = if is_outrun { (RESTS_OUTRUN, REST_OUTRUN_MAX) } else { (RESTS, POLL) };
    took.saturating_mul(rests).min(max)
}

/// Whether a counter that wraps has reached another.
const fn reached(counter: u64, other: u64) -> bool {
    counter.wrapping_sub(other) < u64::MAX / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_faster_than_it_is_folded_is_left_for_later() {
        let (begun, took) = (Instant::now(), Duration::from_millis(25));
        let before = Reached { begun, end: 1_000, through: 100 };
        // Within 250 ms, ten steps of 25 ms or two and a half with their rests.
        let now = |end| Reached { begun: begun + took * 10, end, through: 200 };
        assert!(!now(1_250).is_outrun(before, took));
        assert!(now(1_251).is_outrun(before, took));
        // Folding begins anew.
        assert!(!Reached { through: 0, ..now(1_000) }.is_outrun(before, took));
    }

    #[test]
    fn whoever_is_outrun_takes_a_twentieth_of_the_time_however_long_a_step_is() {
        for millis in [1, 50, 300, 500] {
            let took = Duration::from_millis(millis);
            assert_eq!(rest_after(took, true), took * 19);
        }
        assert_eq!(rest_after(Duration::from_mins(1), true), REST_OUTRUN_MAX);
        assert_eq!(rest_after(Duration::from_millis(300), false), Duration::from_millis(900));
        assert_eq!(rest_after(Duration::from_mins(1), false), POLL);
    }
}
