//! What the audit found, and how it is printed.

use hookgate_core::mask::visible;
use hookgate_core::time::Timestamp;
use serde_json::{Value, json};

use crate::exit::Outcome;
use crate::output::{counted, line};

/// How many findings of one topic are listed one by one; the rest is counted. More than a
/// person works through in one go.
const TOPIC_MAX: usize = 50;

/// How much a finding wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Severity {
    /// Somebody must look, or decide.
    Human,
    /// Worth knowing; it is so by design or by choice.
    Note,
}

impl Severity {
    /// Its name in JSON.
    const fn name(self) -> &'static str {
        match self {
            Self::Human => "human",
            Self::Note => "note",
        }
    }
}

/// One finding.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    /// How much it wants.
    pub(super) severity: Severity,
    /// Which question of the audit it answers.
    pub(super) topic: &'static str,
    /// The source that it is about, if it is about one.
    pub(super) source: Option<String>,
    /// What is so.
    pub(super) what: String,
    /// How we know: counts, ids of events, times.
    pub(super) evidence: Vec<String>,
    /// What to do about it.
    pub(super) advice: String,
    /// The line of the security checklist for receivers that it departs from.
    pub(super) check: Option<u8>,
}

impl Finding {
    /// A finding about a source.
    pub(super) fn of_source(
        severity: Severity,
        topic: &'static str,
        source: &str,
        what: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self {
            severity,
            topic,
            source: Some(source.to_owned()),
            what: what.into(),
            evidence: Vec::new(),
            advice: advice.into(),
            check: None,
        }
    }

    /// The same with the checklist's line.
    pub(super) fn against(self, check: u8) -> Self {
        Self { check: Some(check), ..self }
    }

    /// The same with what shows it.
    pub(super) fn shown_by(self, evidence: impl IntoIterator<Item = String>) -> Self {
        Self { evidence: evidence.into_iter().collect(), ..self }
    }

    fn json(&self) -> Value {
        json!({
            "severity": self.severity.name(),
            "topic": self.topic,
            "source": self.source,
            "what": self.what,
            "evidence": self.evidence,
            "do": self.advice,
            "check": self.check,
        })
    }

    fn print(&self) -> anyhow::Result<()> {
        let grade = match self.severity {
            Severity::Human => "HUMAN",
            Severity::Note => "note ",
        };
        let about = self.source.as_deref().unwrap_or(self.topic);
        let check = self.check.map(|it| format!(" [checklist {it}]")).unwrap_or_default();
        line(format_args!("{grade}  {}: {}{check}", visible(about), visible(&self.what)))?;
        for evidence in &self.evidence {
            line(format_args!("       {}", visible(evidence)))?;
        }
        line(format_args!("       -> {}", visible(&self.advice)))?;
        Ok(())
    }
}

/// Whether all events of the time were looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// All.
    All,
    /// The newest alone: there are more than the audit reads.
    Newest,
}

/// All findings.
pub(super) struct Report {
    since: Timestamp,
    now: Timestamp,
    /// As the operator wrote it, for the commands in advice.
    pub(super) since_flag: String,
    events: usize,
    extent: Extent,
    findings: Vec<Finding>,
}

impl Report {
    /// An empty one for this time.
    pub(super) fn new(since: Timestamp, now: Timestamp, since_flag: String) -> Self {
        Self { since, now, since_flag, events: 0, extent: Extent::All, findings: Vec::new() }
    }

    /// How many events were looked at.
    pub(super) fn examined(&mut self, events: usize, extent: Extent) {
        (self.events, self.extent) = (events, extent);
    }

    /// Adds a finding.
    pub(super) fn add(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    /// Adds findings. Those beyond [`TOPIC_MAX`] are counted in one.
    pub(super) fn add_all(&mut self, findings: impl IntoIterator<Item = Finding>) {
        let mut left = Vec::new();
        for (number, finding) in findings.into_iter().enumerate() {
            if number < TOPIC_MAX {
                self.add(finding);
            } else {
                left.push(finding);
            }
        }
        if let Some(first) = left.first() {
            let rest = Finding {
                severity: left.iter().map(|it| it.severity).min().unwrap_or(first.severity),
                source: None,
                what: format!("{} more of this topic are not listed", left.len()),
                evidence: Vec::new(),
                ..first.clone()
            };
            self.add(rest);
        }
    }

    #[cfg(test)]
    pub(super) fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// Prints it, what needs a human first. Refused if something does.
    pub(super) fn print(mut self, as_json: bool) -> anyhow::Result<Outcome> {
        self.findings.sort_by_key(|it| it.severity);
        let is_human = |it: &&Finding| it.severity == Severity::Human;
        let humans = self.findings.iter().filter(is_human).count();
        let notes = self.findings.len().saturating_sub(humans);
        if as_json {
            line(json!({
                "since": self.since.to_string(),
                "until": self.now.to_string(),
                "events": self.events,
                "complete": self.extent == Extent::All,
                "humans": humans,
                "notes": notes,
                "findings": self.findings.iter().map(Finding::json).collect::<Vec<_>>(),
            }))?;
        } else {
            line(format_args!(
                "{} since {}.",
                counted(self.events as u64, "event", "events"),
                self.since
            ))?;
            if self.extent == Extent::Newest {
                line(
                    "There are more: these are the newest. A later --since sees all of its time.",
                )?;
            }
            line("")?;
            for finding in &self.findings {
                finding.print()?;
            }
            if !self.findings.is_empty() {
                line("")?;
            }
            line(match (humans, notes) {
                (0, 0) => "Nothing to report.".to_owned(),
                (0, notes) => format!("Nothing needs a human; {notes} to know."),
                (humans, notes) => format!("{humans} for a human; {notes} to know."),
            })?;
        }
        Ok(if humans == 0 { Outcome::Done } else { Outcome::Refused })
    }
}
