//! What there is to tell of a node's spool.
//!
//! Alerts are kept in the database, so that nobody can be told while it is away. What was seen
//! then is remembered, and told when it is back.

use std::time::Duration;

use hookgate_core::alert::{AlertKind, Verdict, disk_filling, span, spool_waiting};
use hookgate_core::time::Timestamp;
use hookgate_store::SpoolState;
use serde_json::json;

use super::{AlertRules, Finding, Told};

/// That the database is away, and that the spool is about to be full, are two things to tell.
const AWAY: &str = "database";
const FILLING: &str = "spool";

/// What was seen of the spool, and is not told yet.
#[derive(Default)]
pub(super) struct Spool {
    away: Option<Seen>,
    filling: Option<Seen>,
}

/// At its worst.
#[derive(Clone, Copy, Default)]
struct Seen {
    waited: Duration,
    entries: u64,
    percent: u8,
}

impl Seen {
    fn worst(self, other: Option<Self>) -> Self {
        let other = other.unwrap_or_default();
        Self {
            waited: self.waited.max(other.waited),
            entries: self.entries.max(other.entries),
            percent: self.percent.max(other.percent),
        }
    }
}

impl Spool {
    /// Looks at the spool; a store without one has nothing to tell.
    pub(super) fn look(
        &mut self,
        spool: Option<&SpoolState>,
        rules: &AlertRules,
        now: Timestamp,
    ) -> Vec<Finding> {
        let Some(spool) = spool else { return Vec::new() };
        let oldest = spool.oldest_at.filter(|_| spool.entries > 0).map(|it| it.age(now));
        let percent = spool.bytes.saturating_mul(100).checked_div(spool.bytes_max).unwrap_or(100);
        let seen = Seen {
            waited: oldest.unwrap_or_default(),
            entries: spool.entries,
            percent: u8::try_from(percent).unwrap_or(u8::MAX),
        };
        let mut find = |subject, verdict| {
            let kept = if subject == AWAY { &mut self.away } else { &mut self.filling };
            if matches!(verdict, Verdict::Raise) {
                *kept = Some(seen.worst(*kept));
            }
            // What nobody could be told of is raised before it is over.
            let verdict = if kept.is_some() { Verdict::Raise } else { verdict };
            finding(subject, verdict, kept.unwrap_or(seen), rules)
        };
        let filling = disk_filling(seen.percent, rules.disk_warn_percent);
        vec![find(AWAY, spool_waiting(oldest)), find(FILLING, filling)]
    }

    /// All of that was told.
    pub(super) fn told(&mut self) {
        *self = Self::default();
    }
}

fn finding(subject: &str, verdict: Verdict, seen: Seen, rules: &AlertRules) -> Finding {
    let Seen { waited, entries, percent } = seen;
    let mark = rules.disk_warn_percent;
    let text = if subject == AWAY {
        format!(
            "the database was away: {entries} events waited in the spool of a node, the oldest \
             for {}. They are stored as soon as it is back; do not remove the node's folder.",
            span(waited)
        )
    } else {
        format!(
            "the spool of a node was {percent} % full, with {entries} events; the mark is {mark} %. \
             When it is full webhooks are answered with 503 until the database is back."
        )
    };
    let facts = json!({
        "events": entries,
        "oldest_seconds": waited.as_secs(),
        "used_percent": percent,
        "mark_percent": mark,
    });
    let told = Told { tenant: None, text, facts };
    Finding { kind: AlertKind::SpoolFilling, subject: subject.to_owned(), verdict, told }
}

#[cfg(test)]
mod tests {
    use hookgate_core::alert::{QUIET, REJECTIONS};

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    const RULES: AlertRules = AlertRules {
        interval: Duration::from_mins(1),
        rejections: REJECTIONS,
        quiet: QUIET,
        disk_warn_percent: 80,
        disk_full_percent: 95,
    };

    fn state(entries: u64, bytes: u64) -> SpoolState {
        SpoolState {
            state: "spooling",
            why: Some("unreachable"),
            entries,
            bytes,
            bytes_max: 1_000,
            oldest_at: (entries > 0).then_some(NOW),
            damaged: 0,
            outages: 1,
            volatile: None,
        }
    }

    /// What it says of both subjects.
    #[track_caller]
    fn says(spool: &mut Spool, state: &SpoolState, after: Duration) -> [(String, Verdict); 2] {
        let found = spool.look(Some(state), &RULES, NOW.plus(after));
        let found: Vec<_> = found.into_iter().map(|it| (it.subject, it.verdict)).collect();
        found.try_into().unwrap()
    }

    fn expected(away: Verdict, filling: Verdict) -> [(String, Verdict); 2] {
        [(AWAY.to_owned(), away), (FILLING.to_owned(), filling)]
    }

    #[test]
    fn what_was_seen_while_nobody_could_be_told_is_told_and_then_over() {
        let mut spool = Spool::default();
        let (raise, hold, clear) = (Verdict::Raise, Verdict::Hold, Verdict::Clear);
        let second = Duration::from_secs(1);
        assert_eq!(says(&mut spool, &state(0, 0), second), expected(clear, clear));
        assert_eq!(says(&mut spool, &state(3, 10), second), expected(hold, clear));
        let minutes = Duration::from_mins(7);
        assert_eq!(says(&mut spool, &state(90, 790), minutes), expected(raise, hold));
        assert_eq!(says(&mut spool, &state(99, 800), minutes), expected(raise, raise));
        // It is back, and everything is drained.
        let found = spool.look(Some(&state(0, 0)), &RULES, NOW.plus(minutes));
        let texts: Vec<_> = found.iter().map(|it| it.told.text.as_str()).collect();
        assert!(texts[0].contains("99 events") && texts[0].contains("7 min"), "{texts:?}");
        assert!(texts[1].contains("80 % full"), "{texts:?}");
        assert!(found.iter().all(|it| it.verdict == raise));
        spool.told();
        assert_eq!(says(&mut spool, &state(0, 0), minutes), expected(clear, clear));
    }

    #[test]
    fn a_store_without_a_spool_says_nothing_of_one() {
        assert!(Spool::default().look(None, &RULES, NOW).is_empty());
    }
}
