//! How long the writer waits for company, and for how much.
//!
//! A sync costs the same for one record and for a thousand, so under load it pays to let a
//! batch grow. How far is tried out: as long as more records come than the last batch had,
//! more are waited for; once they do not come in time, the size that came is kept for a
//! while before more is tried again. A record that follows two lone ones waits for nobody.

use std::time::Duration;

/// Batches between two trials, once one has failed. A failed trial costs the whole time of
/// waiting, so there is one in this many at the most.
const TRIAL_AFTER: u32 = 16;

/// How long is waited for each record that is waited for. Of sixty senders that were just
/// answered most come back within a millisecond; where there are few, waiting longer than
/// that only delays the answers of those that are here.
const WAIT_PER_RECORD: Duration = Duration::from_micros(32);

/// What the writer has learnt of the load.
#[derive(Debug, Default)]
pub(crate) struct Gathering {
    target: u64,
    settled: u32,
    /// The last batch had one record.
    is_lonely: bool,
}

impl Gathering {
    /// How many records to wait for, if any, and how long.
    pub(crate) fn target(&self, time_max: Duration) -> Option<(u64, Duration)> {
        let records = u32::try_from(self.target).unwrap_or(u32::MAX);
        let time = WAIT_PER_RECORD.saturating_mul(records).min(time_max);
        (self.target > 1 && !time.is_zero()).then_some((self.target, time))
    }

    /// Takes note of a batch of so many records; of none, when nothing came for a while.
    pub(crate) fn note(&mut self, records: u64) {
        let is_lonely = records <= 1;
        *self = if records == 0 || is_lonely && (self.is_lonely || self.target <= 1) {
            Self { is_lonely, ..Self::default() }
        } else if records < self.target {
            // A busy machine has hiccups: one of them does not undo what was learnt.
            let target = records.max(self.target.saturating_sub(self.target / 4));
            Self { target, settled: TRIAL_AFTER, is_lonely }
        } else if self.settled > 0 {
            Self { target: records, settled: self.settled.saturating_sub(1), is_lonely }
        } else {
            let target = records.saturating_add(records / 4).saturating_add(1);
            Self { target, settled: 0, is_lonely }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is waited for, batch by batch, when so many records come in time at the most.
    #[track_caller]
    fn check(come: &[u64], expected: &[u64]) {
        let mut gathering = Gathering::default();
        let told: Vec<u64> = come
            .iter()
            .map(|records| {
                gathering.note(*records);
                gathering.target(Duration::MAX).map_or(0, |(records, _)| records)
            })
            .collect();
        assert_eq!(told, expected);
    }

    #[test]
    fn a_lone_record_is_no_company() {
        check(&[1, 1, 1], &[0, 0, 0]);
        check(&[5, 1, 1, 5], &[7, 6, 0, 7]);
        check(&[5, 0], &[7, 0]);
    }

    #[test]
    fn what_comes_in_time_grows() {
        check(&[2, 3, 4, 6, 8, 11], &[3, 4, 6, 8, 11, 14]);
    }

    #[test]
    fn what_does_not_come_is_not_waited_for_again_and_again() {
        let mut come = vec![8, 8, 8];
        come.extend([8; 17]);
        let mut expected = vec![11, 9, 8];
        expected.extend([8; 16]);
        expected.push(11);
        check(&come, &expected);
    }

    #[test]
    fn few_are_waited_for_less_long_than_many() {
        let after = |records| {
            let mut gathering = Gathering::default();
            gathering.note(records);
            gathering.target(Duration::from_millis(2)).map(|(_, time)| time.as_micros())
        };
        assert_eq!(after(3), Some(128));
        assert_eq!(after(1_000), Some(2_000));
        assert_eq!(Gathering { target: 9, ..Gathering::default() }.target(Duration::ZERO), None);
    }

    #[test]
    fn one_small_batch_does_not_undo_what_was_learnt() {
        check(&[80, 3, 60], &[101, 76, 60]);
    }
}
