//! What there is to tell of sources: from what was counted since the start, and from the store
//! for the time before.

use std::collections::HashMap;

use hookgate_core::alert::{
    AlertKind, ELEVENLABS_FAILURES, RHYTHM_EVENTS_MAX, Rhythm, Rise, Verdict, auto_disable,
    source_silent, span,
};
use hookgate_core::providers::elevenlabs;
use hookgate_core::tenant::Scope;
use hookgate_core::time::Timestamp;
use hookgate_store::{EventFilter, Order, Page, ReadError, RejectionFilter, Status, Store};
use serde_json::json;

use super::{AlertRules, Finding, SourceCounts, Told};
use crate::dispatcher::failed;

/// How many of the latest events are looked at for one that is proven.
const NEWEST_MAX: usize = 50;

/// How many refused requests of the time before the start are read: enough to know what is
/// usual where it is not calm.
const REJECTIONS_MAX: usize = 1_000;

/// What is remembered of sources.
pub(super) struct Sources {
    started: Timestamp,
    known: HashMap<String, Known>,
}

/// What is remembered of one.
struct Known {
    refused: u64,
    rise: Rise,
    successes: u64,
    /// When an answer was a success last.
    succeeded_at: Option<Timestamp>,
    /// Failures since, before the process started.
    failures_before: u64,
    /// When the latest proven event came.
    last: Option<Timestamp>,
    /// Its rhythm, read when it matters.
    rhythm: Option<Rhythm>,
    /// It cannot be silent before.
    silent_from: Option<Timestamp>,
}

/// The three things that are told of a source.
const KINDS: [AlertKind; 3] =
    [AlertKind::RejectionsRising, AlertKind::ElevenLabsAutoDisable, AlertKind::SourceSilent];

impl Sources {
    pub(super) fn new(started: Timestamp) -> Self {
        Self { started, known: HashMap::new() }
    }

    /// Looks at a source now; `is_silent` says whether it is told to be.
    pub(super) async fn look(
        &mut self,
        store: &Store,
        rules: &AlertRules,
        counts: &SourceCounts,
        (now, is_silent): (Timestamp, bool),
    ) -> Vec<Finding> {
        let found = self.try_to_look(store, rules, counts, (now, is_silent)).await;
        found.unwrap_or_else(|error| {
            failed(&error, "a source cannot be looked after");
            KINDS.map(|kind| Finding::unknown(kind, &counts.name)).into()
        })
    }

    async fn try_to_look(
        &mut self,
        store: &Store,
        rules: &AlertRules,
        counts: &SourceCounts,
        (now, is_silent): (Timestamp, bool),
    ) -> Result<Vec<Finding>, ReadError> {
        let name = &counts.name;
        if !self.known.contains_key(name) {
            let known = Known::read(store, counts, self.started).await?;
            self.known.insert(name.clone(), known);
        }
        let up = self.started.age(now);
        let Some(known) = self.known.get_mut(name) else { return Ok(Vec::new()) };
        known.rise.note(counts.refused.saturating_sub(known.refused), now);
        known.refused = counts.refused;
        if counts.successes != known.successes {
            known.successes = counts.successes;
            known.succeeded_at = Some(now);
            known.failures_before = 0;
        }
        let mut findings = vec![known.rejections(name, rules, now)];
        if counts.provider == elevenlabs::PROVIDER.name {
            findings.push(known.auto_disable(counts, now));
        }
        if is_silent || known.silent_from.is_none_or(|it| it <= now) {
            known.listen(store, name, rules, now).await?;
        }
        findings.push(known.silence(name, rules, now, up));
        Ok(findings)
    }
}

impl Known {
    /// What the store knows of the time before the process started.
    async fn read(
        store: &Store,
        counts: &SourceCounts,
        started: Timestamp,
    ) -> Result<Self, ReadError> {
        let name = &counts.name;
        let mut rise = Rise::default();
        for at in rejected(store, name, None, (started, REJECTIONS_MAX)).await?.into_iter().rev() {
            rise.note(1, at);
        }
        let mut succeeded_at = None;
        let mut failures_before = 0;
        if counts.provider == elevenlabs::PROVIDER.name {
            let filter = EventFilter {
                source: Some(name.clone()),
                status: Some(Status::Accepted),
                until: Some(started),
                ..EventFilter::default()
            };
            let page = Page { order: Order::NewestFirst, after: None, limit: 1 };
            let newest = store.events(&Scope::Operator, filter, page).await?;
            succeeded_at = newest.first().map(|it| it.received_at);
            let enough = usize::try_from(ELEVENLABS_FAILURES).unwrap_or(usize::MAX);
            let since = rejected(store, name, succeeded_at, (started, enough)).await?;
            failures_before = since.len() as u64;
        }
        Ok(Self {
            refused: 0,
            rise,
            successes: 0,
            succeeded_at,
            failures_before,
            last: None,
            rhythm: None,
            silent_from: None,
        })
    }

    /// Reads how its latest events came, if the last one lies back far enough to matter.
    async fn listen(
        &mut self,
        store: &Store,
        name: &str,
        rules: &AlertRules,
        now: Timestamp,
    ) -> Result<(), ReadError> {
        let newest = proven(store, name, NEWEST_MAX).await?;
        self.last = newest.iter().max().copied();
        if self.last.is_some_and(|it| it.age(now) <= rules.quiet) {
            self.silent_from = self.last.map(|it| it.plus(rules.quiet));
            return Ok(());
        }
        if self.last.is_none() || self.last != self.rhythm.map(|it| it.last) {
            self.rhythm = Rhythm::of(proven(store, name, RHYTHM_EVENTS_MAX).await?);
            self.last = self.rhythm.map(|it| it.last);
        }
        // One that never spoke is asked again after a while.
        self.silent_from = self.last.is_none().then(|| now.plus(rules.quiet));
        Ok(())
    }

    fn silence(
        &self,
        name: &str,
        rules: &AlertRules,
        now: Timestamp,
        up: std::time::Duration,
    ) -> Finding {
        let (verdict, silence) = match self.last {
            Some(last) if last.age(now) <= rules.quiet => (Verdict::Clear, last.age(now)),
            _ => source_silent(self.rhythm.as_ref(), now, rules.quiet, up),
        };
        let longest = self.rhythm.and_then(|it| it.longest).unwrap_or_default();
        let events = self.rhythm.map_or(0, |it| it.events);
        let text = format!(
            "nothing came to the source {name} for {}; the longest pause among its latest {events} \
             events was {}. See whether its platform turned the webhook off, or its URL changed.",
            span(silence),
            span(longest),
        );
        let last = self.rhythm.map(|it| it.last.to_string());
        let facts = json!({
            "source": name,
            "last_event_at": last,
            "silent_seconds": silence.as_secs(),
            "longest_pause_seconds": longest.as_secs(),
        });
        told(AlertKind::SourceSilent, name, verdict, (text, facts))
    }

    fn rejections(&self, name: &str, rules: &AlertRules, now: Timestamp) -> Finding {
        let (latest, usual) = (self.rise.latest(now), self.rise.usual(now));
        let text = format!(
            "the source {name} refused {latest} requests within 20 minutes; usually it is {usual}. \
             A secret may be wrong: 'hookgate rejections list --source {name}' shows why, and \
             nothing is lost until the ring of refused requests is full."
        );
        let facts = json!({"source": name, "refused": latest, "usual": usual});
        let verdict = self.rise.verdict(now, rules.rejections);
        told(AlertKind::RejectionsRising, name, verdict, (text, facts))
    }

    fn auto_disable(&self, counts: &SourceCounts, now: Timestamp) -> Finding {
        let name = &counts.name;
        let before = if counts.successes == 0 { self.failures_before } else { 0 };
        let failures = counts.failures_in_row.saturating_add(before);
        let ago = match self.succeeded_at {
            Some(at) => format!("the last success lies {} back", span(at.age(now))),
            None => "there was no success yet".to_owned(),
        };
        let text = format!(
            "ElevenLabs may soon turn the webhook of the source {name} off: at least {failures} \
             answers in a row were no success, and {ago}. It does so after ten failures in a row \
             without a success in seven days, and a human has to turn it on again."
        );
        let facts = json!({
            "source": name,
            "failures_in_row": failures,
            "last_success_at": self.succeeded_at.map(|it| it.to_string()),
        });
        let verdict = auto_disable(failures, self.succeeded_at, now);
        told(AlertKind::ElevenLabsAutoDisable, name, verdict, (text, facts))
    }
}

fn told(
    kind: AlertKind,
    name: &str,
    verdict: Verdict,
    (text, facts): (String, serde_json::Value),
) -> Finding {
    Finding { kind, subject: name.to_owned(), verdict, told: Told { tenant: None, text, facts } }
}

/// When the latest proven events of a source came. What nobody proved may come from anybody,
/// so it is no sign of life.
async fn proven(store: &Store, source: &str, limit: usize) -> Result<Vec<Timestamp>, ReadError> {
    let filter = EventFilter { source: Some(source.to_owned()), ..EventFilter::default() };
    let mut times = Vec::new();
    let (mut after, mut left) = (None, limit);
    while left > 0 {
        let page = Page { order: Order::NewestFirst, after, limit: left };
        let events = store.events(&Scope::Operator, filter.clone(), page).await?;
        let Some(last) = events.last() else { break };
        after = Some(last.seq);
        left = left.saturating_sub(events.len());
        let proven = events.iter().filter(|it| it.verdict == "verified");
        times.extend(proven.map(|it| it.received_at));
    }
    Ok(times)
}

/// When the latest requests were refused that a source got before a moment, newest first.
async fn rejected(
    store: &Store,
    source: &str,
    since: Option<Timestamp>,
    (until, limit): (Timestamp, usize),
) -> Result<Vec<Timestamp>, ReadError> {
    let filter = RejectionFilter {
        source: Some(source.to_owned()),
        since,
        until: Some(until),
        settled: true,
    };
    let page = Page { order: Order::NewestFirst, after: None, limit };
    let found = store.rejections(filter, page).await?;
    Ok(found.into_iter().map(|it| it.received_at).collect())
}
