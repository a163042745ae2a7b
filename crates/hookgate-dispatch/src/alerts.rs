//! Looking after everything else: [`Watcher::look`] asks what there is to know, lets the rules
//! of [`hookgate_core::alert`] judge it, and raises or clears alerts. Who is told is decided
//! here; telling is a delivery like any other.
//!
//! What holds:
//!
//! - **Told once.** An alert and its deliveries are one transaction, and what is raised is on
//!   disk: neither a restart nor a second gateway tells it again.
//! - **What cannot be read changes nothing.**
//! - **A destination is not told of itself.**

mod destinations;
mod sources;
mod spool;
mod store;

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use hookgate_core::alert::{AlertKind, Episode, INTERVAL_MIN, Step, Verdict, step};
use hookgate_core::tenant::TenantId;
use hookgate_core::time::Timestamp;
use hookgate_store::{Alert, Destination, DestinationId, NewAlert, RegistryError, Rows, Store};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use serde_json::Value;

use self::destinations::Failures;
use self::sources::Sources;
use self::spool::Spool;
use crate::dispatcher::{Clock, failed};

type Label = [(&'static str, &'static str); 1];

/// What was counted of a source since the process started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceCounts {
    /// Its name.
    pub name: String,
    /// Its provider.
    pub provider: &'static str,
    /// Requests that proved nothing and were refused.
    pub refused: u64,
    /// Answers that were a success.
    pub successes: u64,
    /// Answers since the last success that were none.
    pub failures_in_row: u64,
}

/// Gives what was counted of every source in force.
pub type Counts = Arc<dyn Fn() -> Vec<SourceCounts> + Send + Sync>;

/// When what is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AlertRules {
    /// How often it is looked.
    pub interval: Duration,
    /// Refused requests of a source from which on there may be an alert.
    pub rejections: u64,
    /// No source is silent within this.
    pub quiet: Duration,
    /// The disk's mark from which on it fills up, in per cent.
    pub disk_warn_percent: u8,
    /// The disk's mark from which on nothing is accepted, in per cent.
    pub disk_full_percent: u8,
}

/// Looks after everything else.
pub struct Watcher {
    store: Store,
    rules: AlertRules,
    counts: Counts,
    clock: Clock,
    raised: Family<Label, Gauge>,
    sources: Sources,
    failures: Failures,
    spool: Spool,
}

/// What a rule says of a subject, and what is told of it if it is raised.
struct Finding {
    kind: AlertKind,
    subject: String,
    verdict: Verdict,
    told: Told,
}

/// What is told.
#[derive(Default)]
struct Told {
    tenant: Option<TenantId>,
    text: String,
    facts: Value,
}

impl Finding {
    /// Nothing is known of it now.
    fn unknown(kind: AlertKind, subject: &str) -> Self {
        let verdict = Verdict::Hold;
        Self { kind, subject: subject.to_owned(), verdict, told: Told::default() }
    }
}

impl Watcher {
    /// One that has looked at nothing yet. Make it when the counts begin.
    #[must_use]
    pub fn new(
        store: Store,
        rules: AlertRules,
        counts: Counts,
        clock: Clock,
        registry: &mut Registry,
    ) -> Self {
        let raised = Family::<Label, Gauge>::default();
        registry.register("hookgate_alerts", "Alerts that are raised", raised.clone());
        let sources = Sources::new(clock());
        let failures = Failures::default();
        let spool = Spool::default();
        Self { store, rules, counts, clock, raised, sources, failures, spool }
    }

    /// Looks again and again until `stop` is done.
    pub async fn run(mut self, stop: impl Future<Output = ()> + Send) {
        tokio::pin!(stop);
        loop {
            tokio::select! {
                () = &mut stop => return,
                () = tokio::time::sleep(self.rules.interval) => {}
            }
            // What is half done is looked at anew after the next start.
            tokio::select! {
                () = &mut stop => return,
                () = self.look() => {}
            }
        }
    }

    /// Looks once.
    pub async fn look(&mut self) {
        let now = (self.clock)();
        let spooled = self.spool.look(self.store.spool().as_ref(), &self.rules, now);
        let is_raised = |it: &&Finding| matches!(it.verdict, Verdict::Raise);
        let raised = i64::try_from(spooled.iter().filter(is_raised).count()).unwrap_or(i64::MAX);
        match self.try_to_look(spooled, now).await {
            Ok(()) => self.spool.told(),
            // While the database is away nobody can be told; who reads the metric sees it.
            Err(error) => {
                let kind = AlertKind::SpoolFilling.name();
                self.raised.get_or_create(&[("kind", kind)]).set(raised);
                failed(&error, "alerts cannot be looked after");
            }
        }
    }

    async fn try_to_look(
        &mut self,
        spooled: Vec<Finding>,
        now: Timestamp,
    ) -> Result<(), RegistryError> {
        let registry = self.store.registry();
        let all = registry.destinations(&hookgate_core::tenant::Scope::Operator, Rows::ALL).await?;
        let since = Timestamp::from_millis(
            now.millis().saturating_sub(i64::try_from(INTERVAL_MIN.as_millis()).unwrap_or(0)),
        );
        let known = registry.alerts_since(since).await?;
        let mut findings = store::look(&self.store.snapshot(), &self.rules);
        findings.extend(spooled);
        findings.extend(self.failures.look(&all, now));
        let is_silent = |source: &str| {
            known.iter().any(|it| {
                let is_raised = it.cleared_at.is_none() && it.kind == AlertKind::SourceSilent;
                is_raised && it.subject == source
            })
        };
        for counts in (self.counts)() {
            let is_silent = is_silent(&counts.name);
            let looking = self.sources.look(&self.store, &self.rules, &counts, (now, is_silent));
            findings.extend(looking.await);
        }
        self.follow(known, findings, &all, now).await
    }

    /// Raises and clears what follows of the findings.
    async fn follow(
        &self,
        known: Vec<Alert>,
        findings: Vec<Finding>,
        all: &[Destination],
        now: Timestamp,
    ) -> Result<(), RegistryError> {
        let registry = self.store.registry();
        // The latest of each subject comes last.
        let latest: BTreeMap<(AlertKind, &str), &Alert> =
            known.iter().map(|it| ((it.kind, it.subject.as_str()), it)).collect();
        let mut raised: BTreeMap<AlertKind, i64> = AlertKind::ALL.map(|it| (it, 0)).into();
        let seen: HashSet<_> = findings.iter().map(|it| (it.kind, it.subject.clone())).collect();
        let is_gone = |it: &&&Alert| {
            it.cleared_at.is_none() && !seen.contains(&(it.kind, it.subject.clone()))
        };
        // What there is no more is over: a source that was removed, a destination.
        for alert in latest.values().filter(is_gone) {
            self.clear(alert, now).await?;
        }
        for finding in findings {
            let key = (finding.kind, finding.subject.as_str());
            let before = latest.get(&key);
            let episode = before
                .map(|it| Episode { raised_at: it.raised_at, is_over: it.cleared_at.is_some() });
            let is_raised = match step(episode, finding.verdict, now) {
                Step::Stay => episode.is_some_and(|it| !it.is_over),
                Step::Clear => {
                    if let Some(alert) = before {
                        self.clear(alert, now).await?;
                    }
                    false
                }
                Step::Raise => {
                    let told = destinations_told(&finding, all);
                    let kind = finding.kind;
                    tracing::warn!(
                        alert.kind = kind.name(),
                        alert.subject = finding.subject,
                        destinations = told.len(),
                        "an alert is raised"
                    );
                    let new = NewAlert {
                        kind,
                        subject: finding.subject,
                        tenant: finding.told.tenant,
                        text: finding.told.text,
                        facts: finding.told.facts.to_string(),
                        at: now,
                    };
                    registry.raise_alert(new, told).await?;
                    if let Some(count) = raised.get_mut(&kind) {
                        *count = count.saturating_add(1);
                    }
                    continue;
                }
            };
            if let Some(count) = raised.get_mut(&finding.kind).filter(|_| is_raised) {
                *count = count.saturating_add(1);
            }
        }
        for (kind, count) in raised {
            self.raised.get_or_create(&[("kind", kind.name())]).set(count);
        }
        Ok(())
    }

    async fn clear(&self, alert: &Alert, now: Timestamp) -> Result<(), RegistryError> {
        tracing::info!(
            alert.kind = alert.kind.name(),
            alert.subject = alert.subject,
            "an alert is over"
        );
        self.store.registry().clear_alert(alert.id, now).await
    }
}

/// Who is told: of the operator's destinations those that want it; of the owner's those too,
/// where it is about a destination. None is told of itself: it would not hear it.
fn destinations_told(finding: &Finding, all: &[Destination]) -> Vec<DestinationId> {
    let is_told = |it: &&Destination| {
        let is_its = it.tenant.is_none()
            || finding.kind.is_of_destination() && it.tenant == finding.told.tenant;
        let is_itself = finding.kind.is_of_destination() && it.id.to_string() == finding.subject;
        is_its && !is_itself && it.disabled.is_none() && it.settings.wants_alert(finding.kind)
    };
    all.iter().filter(is_told).map(|it| it.id).collect()
}

impl fmt::Debug for Watcher {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Watcher").field("rules", &self.rules).finish_non_exhaustive()
    }
}
