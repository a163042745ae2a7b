//! What there is to tell of the store and its disk.

use hookgate_core::alert::{AlertKind, disk_filling, store_failing};
use hookgate_store::{Health, Snapshot};
use serde_json::json;

use super::{AlertRules, Finding, Told};

/// A disk past the first mark and past the second are two things to tell.
const FILLING: &str = "disk";
const FULL: &str = "disk full";

const STORE: &str = "store";

pub(super) fn look(snapshot: &Snapshot, rules: &AlertRules) -> Vec<Finding> {
    let marks = [
        (FILLING, rules.disk_warn_percent, "make room, or keep less"),
        (FULL, rules.disk_full_percent, "nothing is accepted until there is room"),
    ];
    let disk = &snapshot.disk;
    // A system that does not say how large its disk is knows nothing of it.
    let is_known = disk.total_bytes > 0;
    let mut findings: Vec<Finding> = marks
        .into_iter()
        .map(|(subject, mark, advice)| {
            if !is_known {
                return Finding::unknown(AlertKind::DiskFilling, subject);
            }
            let (used, free) = (disk.used_percent, disk.free_bytes >> 20);
            let text = format!(
                "the store's disk is {used} % used, {free} MiB are free; the mark is {mark} %: {advice}."
            );
            let facts = json!({"used_percent": used, "mark_percent": mark, "free_bytes": disk.free_bytes});
            Finding {
                kind: AlertKind::DiskFilling,
                subject: subject.to_owned(),
                verdict: disk_filling(used, mark),
                told: Told { tenant: None, text, facts },
            }
        })
        .collect();
    let text = "the store does not take what is written: webhooks are answered with 503 until it \
                does.";
    findings.push(Finding {
        kind: AlertKind::StoreFailing,
        subject: STORE.to_owned(),
        verdict: store_failing(snapshot.health == Health::Healthy),
        told: Told { tenant: None, text: text.to_owned(), facts: json!({}) },
    });
    findings
}
