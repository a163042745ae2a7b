//! How long the writer waits for company, and for how much.
//!
//! A sync costs the same for one record and for a thousand, so under load it pays to let a
//! batch grow. How far is tried out: as long as more records come than the last batch had,
//! more are waited for; once they do not come in time, the size that came is kept for a
//! while before more is tried again. A record that follows a lone one waits for nobody.

/// Batches between two trials, once one has failed. A failed trial costs the whole time of
/// waiting, so there is one in this many at the most.
const TRIAL_AFTER: u32 = 16;

/// What the writer has learnt of the load.
#[derive(Debug, Default)]
pub(crate) struct Gathering {
    target: u64,
    settled: u32,
}

impl Gathering {
    /// How many records to wait for, if any.
    pub(crate) fn target(&self) -> Option<u64> {
        (self.target > 1).then_some(self.target)
    }

    /// Takes note of a batch of so many records; of none, when nothing came for a while.
    pub(crate) fn note(&mut self, records: u64) {
        if records <= 1 {
            *self = Self::default();
        } else if records < self.target {
            *self = Self { target: records, settled: TRIAL_AFTER };
        } else if self.settled > 0 {
            *self = Self { target: records, settled: self.settled.saturating_sub(1) };
        } else {
            self.target = records.saturating_add(records / 4).saturating_add(1);
        }
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
                gathering.target().unwrap_or(0)
            })
            .collect();
        assert_eq!(told, expected);
    }

    #[test]
    fn a_lone_record_is_no_company() {
        check(&[1, 1, 1], &[0, 0, 0]);
        check(&[5, 1, 5], &[7, 0, 7]);
        check(&[5, 0], &[7, 0]);
    }

    #[test]
    fn what_comes_in_time_grows() {
        check(&[2, 3, 4, 6, 8, 11], &[3, 4, 6, 8, 11, 14]);
    }

    #[test]
    fn what_does_not_come_is_not_waited_for_again_and_again() {
        let mut come = vec![8, 8];
        come.extend([8; 17]);
        let mut expected = vec![11, 8];
        expected.extend([8; 16]);
        expected.push(11);
        check(&come, &expected);
    }
}
