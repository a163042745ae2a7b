//! The sequence numbers that were given out and then failed.
//!
//! A reader that follows the sequence meets gaps; this says that a gap is not
//! something still on its way.

use std::collections::VecDeque;

#[cfg(test)]
mod tests;

/// Runs of consecutive numbers that are remembered, the oldest forgotten first:
/// 1 MiB. A segment poison is rare, and while a disk stays bad all failures are one
/// run.
const RUNS_MAX: usize = 65_536;

/// Which sequence numbers failed, in this process.
#[derive(Debug, Default)]
pub(crate) struct Failures {
    /// First and last of each run, ascending, not touching.
    runs: VecDeque<(u64, u64)>,
}

impl Failures {
    /// Notes `seqs`, which are in no particular order.
    pub(crate) fn note(&mut self, seqs: impl IntoIterator<Item = u64>) {
        for seq in seqs {
            self.note_one(seq);
        }
        while self.runs.len() > RUNS_MAX {
            self.runs.pop_front();
        }
    }

    fn note_one(&mut self, seq: u64) {
        // The runs before `at` start at or below `seq`.
        let at = self.runs.partition_point(|(first, _)| *first <= seq);
        if let Some((_, last)) = at.checked_sub(1).and_then(|it| self.runs.get_mut(it)) {
            if seq <= *last {
                return;
            }
            if last.checked_add(1) == Some(seq) {
                *last = seq;
                self.merge_with_next(at.saturating_sub(1));
                return;
            }
        }
        match self.runs.get_mut(at) {
            Some((first, _)) if seq.checked_add(1) == Some(*first) => *first = seq,
            _ => self.runs.insert(at, (seq, seq)),
        }
    }

    fn merge_with_next(&mut self, at: usize) {
        let Some((next_first, next_last)) = self.runs.get(at.saturating_add(1)).copied() else {
            return;
        };
        if let Some((_, last)) = self.runs.get_mut(at)
            && last.checked_add(1) == Some(next_first)
        {
            *last = next_last;
            self.runs.remove(at.saturating_add(1));
        }
    }

    /// Whether `seq` failed.
    pub(crate) fn contains(&self, seq: u64) -> bool {
        let at = self.runs.partition_point(|(first, _)| *first <= seq);
        let run = at.checked_sub(1).and_then(|it| self.runs.get(it));
        run.is_some_and(|(_, last)| seq <= *last)
    }
}
