//! What was refused: contradictions of ownership, and requests without proof.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::finding::{Finding, Report, Severity};
use super::named::Named;
use crate::stored::{moment, text};

/// How many events a finding names as its evidence.
const EVIDENCE_MAX: usize = 3;

/// How wide ids and names may be, in characters.
const CELL_CHARS_MAX: usize = 64;

/// How wide a reason may be.
const REASON_CHARS_MAX: usize = 160;

/// What several records have in common.
#[derive(Default)]
struct Group {
    count: u64,
    /// The newest of them.
    examples: Vec<String>,
}

impl Group {
    fn add(&mut self, example: impl FnOnce() -> String) {
        self.count = self.count.saturating_add(1);
        if self.examples.len() < EVIDENCE_MAX {
            self.examples.push(example());
        }
    }
}

/// Groups violations by source, reason and the tenants that are named.
pub(super) fn contradictions(violations: &[Value], report: &mut Report) {
    let mut groups: BTreeMap<(String, String, Vec<String>), Group> = BTreeMap::new();
    for it in violations {
        let claims = it.get("claims").and_then(Value::as_array).into_iter().flatten();
        let tenants: BTreeSet<String> =
            claims.filter_map(|claim| Some(claim.get("tenant")?.as_str()?.to_owned())).collect();
        let key = (
            text(it, "/source", CELL_CHARS_MAX),
            reason(it),
            tenants.into_iter().collect::<Vec<_>>(),
        );
        let example = || format!("{} at {}", text(it, "/id", CELL_CHARS_MAX), moment(it, "/at"));
        groups.entry(key).or_default().add(example);
    }
    let since = report.since_flag.clone();
    report.add_all(groups.into_iter().map(|((source, reason, tenants), group)| {
        let who = match tenants.as_slice() {
            [] => "ids that are bound to nobody".to_owned(),
            [one] => format!("ids of {one} and of nobody"),
            several => format!("ids of {}", several.join(" and ")),
        };
        let requests = requests(group.count, "proven request", "contradicts", "contradict");
        let what = format!("{requests} ownership, naming {who}: {reason}");
        let advice = format!(
            "`hookgate violations list --source {source} --since {since}`, then `hookgate conversations \
             show`: mend the binding that is wrong; if none is, somebody with the provider's secret \
             tries"
        );
        Finding::of_source(Severity::Human, "contradiction", &source, what, advice)
            .shown_by(group.examples)
    }));
}

/// So many requests, and what they do.
fn requests(count: u64, noun: &str, one: &str, several: &str) -> String {
    match count {
        1 => format!("1 {noun} {one}"),
        count => format!("{count} {noun}s {several}"),
    }
}

/// The sentence and the cause.
fn reason(violation: &Value) -> String {
    let sentence = text(violation, "/text", REASON_CHARS_MAX);
    match text(violation, "/reason", REASON_CHARS_MAX).as_str() {
        "-" => sentence,
        reason => format!("{sentence} ({reason})"),
    }
}

/// Counts refused requests by source and reason.
pub(super) fn refused(rejections: &[Value], named: &Named, report: &mut Report) {
    let mut groups: BTreeMap<(String, String), Group> = BTreeMap::new();
    for it in rejections {
        let key = (
            text(it, "/source", CELL_CHARS_MAX),
            text(it, "/verification/reason", REASON_CHARS_MAX),
        );
        let example =
            || format!("{} at {}", text(it, "/id", CELL_CHARS_MAX), moment(it, "/received_at"));
        groups.entry(key).or_default().add(example);
    }
    report.add_all(groups.into_iter().map(|((source, reason), group)| {
        let requests = requests(group.count, "request", "was refused", "were refused");
        let what = format!("{requests}: {reason}");
        let is_all = named.proven(&source) == 0;
        let (severity, what) = if is_all {
            (Severity::Human, format!("{what}; not one was accepted: its secret may be wrong"))
        } else {
            (Severity::Note, what)
        };
        let advice = format!(
            "`hookgate rejections list --source {source}` and `show` say why; once it is mended, \
             `hookgate rejections retry --source {source}` loses none of them"
        );
        Finding::of_source(severity, "refused", &source, what, advice).shown_by(group.examples)
    }));
}

#[cfg(test)]
mod tests {
    use hookgate_core::time::Timestamp;
    use serde_json::json;

    use super::*;

    fn report() -> Report {
        let at = |text| Timestamp::parse(text).unwrap();
        Report::new(at("2026-11-15T00:00:00Z"), at("2026-11-22T00:00:00Z"), "7d".to_owned())
    }

    #[test]
    fn contradictions_are_grouped_by_source_reason_and_tenants() {
        let violation = |id: &str, tenant: &str| {
            json!({
                "id": id, "at": "2026-11-20T00:00:00.000Z", "source": "vapi", "kind": "contradiction",
                "text": "Security violation: Invalid call ownership", "reason": "agent",
                "claims": [{"kind": "agent", "external_id": "a", "tenant": tenant},
                           {"kind": "conversation", "external_id": "c", "tenant": "acme"}],
            })
        };
        let mut report = report();
        let all: Vec<Value> = (0..5).map(|it| violation(&format!("evt_{it}"), "globex")).collect();
        contradictions(&[all, vec![violation("evt_9", "acme")]].concat(), &mut report);
        let whats: Vec<&str> = report.findings().iter().map(|it| it.what.as_str()).collect();
        assert_eq!(
            whats,
            [
                "1 proven request contradicts ownership, naming ids of acme and of nobody: Security \
                 violation: Invalid call ownership (agent)",
                "5 proven requests contradict ownership, naming ids of acme and globex: Security \
                 violation: Invalid call ownership (agent)",
            ]
        );
        assert_eq!(report.findings()[1].evidence.len(), 3);
        assert!(report.findings().iter().all(|it| it.severity == Severity::Human));
    }

    #[test]
    fn refusals_need_a_human_only_where_nothing_else_came() {
        let refused_by = |source: &str| {
            json!({"id": "rej_1", "received_at": "2026-11-20T00:00:00.000Z", "source": source,
                   "verification": {"reason": "the proof does not match"}})
        };
        let mut named = Named::default();
        named.add(&json!({"source": "vapi", "verification": {"verdict": "verified"}}));
        let mut report = report();
        refused(&[refused_by("vapi"), refused_by("tawk"), refused_by("tawk")], &named, &mut report);
        let found: Vec<(Severity, &str)> =
            report.findings().iter().map(|it| (it.severity, it.what.as_str())).collect();
        assert_eq!(
            found,
            [
                (
                    Severity::Human,
                    "2 requests were refused: the proof does not match; not one was accepted: its \
                     secret may be wrong"
                ),
                (Severity::Note, "1 request was refused: the proof does not match"),
            ]
        );
    }
}
