//! Runs of failed numbers are exactly the numbers that were noted.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::Failures;

proptest! {
    #[test]
    fn what_was_noted_in_any_order_is_contained_and_nothing_else(
        seqs in proptest::collection::vec(0_u64..60, 0..80),
    ) {
        let mut failures = Failures::default();
        failures.note(seqs.iter().copied());
        let noted: BTreeSet<_> = seqs.into_iter().collect();
        for seq in 0..62 {
            prop_assert_eq!(failures.contains(seq), noted.contains(&seq), "{}", seq);
        }
        let runs: Vec<_> = failures.runs.iter().copied().collect();
        prop_assert!(runs.windows(2).all(|it| it[0].1 + 1 < it[1].0), "{:?}", runs);
    }
}

#[test]
fn a_disk_that_stays_bad_is_one_run() {
    let mut failures = Failures::default();
    failures.note(0..1_000_000);
    assert_eq!(failures.runs, [(0, 999_999)]);
}
