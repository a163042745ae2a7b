//! The broker: what becomes of a stored event that wants an answer. [`Broker::answer`] reads
//! top to bottom; what one call goes through is in `job.rs`.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use hookgate_core::attribution::Attributed;
use hookgate_core::event::{Answer, Asks};
use hookgate_core::received::Body;
use hookgate_core::tenant::TenantId;
use hookgate_core::time::Timestamp;
use hookgate_core::tool::settings::Settings;
use hookgate_core::tool::{Asked, Calls};
use hookgate_egress::{Egress, Url};
use hookgate_secrets::Secrets;
use hookgate_store::{Receipt, Store};
use tokio::sync::watch;

use crate::guidance;
use crate::http::Http;
use crate::job::{Job, Request};
use crate::metrics::ToolMetrics;
use crate::plan::Connectors;
use crate::running::Running;
use crate::square::Square;
use crate::words;

/// What a broker is made of.
pub struct BrokerSettings {
    /// Where calls are recorded.
    pub store: Store,
    /// Where credentials are.
    pub secrets: Arc<Secrets>,
    /// The way out.
    pub egress: Egress,
    /// Where Square is, if not where it always is.
    pub square_url: Option<Url>,
    /// What the agents of a tenant may do that has no settings of its own.
    pub defaults: Settings,
    /// How long a caller is kept waiting, if not as its platform's row says.
    pub patience: Option<Duration>,
    /// The counters.
    pub metrics: ToolMetrics,
    /// What time it is.
    pub clock: fn() -> Timestamp,
}

/// Answers events that want more than to be stored. Clones share it.
#[derive(Clone)]
pub struct Broker(Arc<Inner>);

/// What all clones share, and every job.
pub(crate) struct Inner {
    pub(crate) store: Store,
    pub(crate) connectors: Connectors,
    pub(crate) running: Running,
    pub(crate) metrics: ToolMetrics,
    pub(crate) clock: fn() -> Timestamp,
    defaults: Arc<Settings>,
    patience: Option<Duration>,
    /// How many jobs have not ended.
    pub(crate) jobs: watch::Sender<usize>,
}

impl Broker {
    /// A broker.
    #[must_use]
    pub fn new(settings: BrokerSettings) -> Self {
        let BrokerSettings { secrets, egress, .. } = settings;
        let connectors = Connectors {
            square: Square::new(egress.clone(), Arc::clone(&secrets), settings.square_url),
            http: Http::new(egress, secrets),
        };
        Self(Arc::new(Inner {
            store: settings.store,
            connectors,
            running: Running::default(),
            metrics: settings.metrics,
            clock: settings.clock,
            defaults: Arc::new(settings.defaults),
            patience: settings.patience,
            jobs: watch::Sender::new(0),
        }))
    }

    /// What the sender of a stored event is told, who began to wait at `began`. What was
    /// begun goes on when nobody waits for this any more.
    pub async fn answer(&self, event: &Attributed, receipt: &Receipt, began: Instant) -> Answer {
        let facts = event.facts();
        let asked = match (event.decision().tenant(), &event.received().body) {
            (Some(tenant), Body::Whole(body)) => Some((tenant, body)),
            // Nobody's, where that is no reason to refuse it; or too large for any call.
            _ => None,
        };
        let answer = match (facts.asks, asked) {
            (Asks::Guidance, Some((tenant, body))) => self.guide(event, tenant, body),
            (Asks::Tools, Some((tenant, body))) => {
                self.call(event, receipt, (tenant, body), began).await
            }
            (Asks::Nothing, _) | (_, None) => None,
        };
        answer.unwrap_or_else(|| facts.answer.clone())
    }

    /// Forgets what is remembered of a tenant that is erased.
    pub fn forget(&self, tenant: &TenantId) {
        self.0.connectors.square.forget(tenant);
    }

    /// Waits until every job has ended, also those that nobody waits for, but no longer than
    /// `limit`. False if some have not.
    pub async fn settled(&self, limit: Duration) -> bool {
        let mut jobs = self.0.jobs.subscribe();
        let settled = tokio::time::timeout(limit, jobs.wait_for(|jobs| *jobs == 0)).await;
        settled.is_ok()
    }

    /// What the tenant wrote for such a question.
    fn guide(&self, event: &Attributed, tenant: &TenantId, body: &[u8]) -> Option<Answer> {
        let settings = self.0.settings(tenant)?;
        let provider = event.received().source.provider.name;
        let context = guidance::context(tenant, provider, body);
        guidance::answer(&settings, &event.facts().event_type, &context)
    }

    /// Calls the tools that the event names, all at once, and makes one answer of what came
    /// of them.
    async fn call(
        &self,
        event: &Attributed,
        receipt: &Receipt,
        (tenant, body): (&TenantId, &[u8]),
        began: Instant,
    ) -> Option<Answer> {
        let received = event.received();
        let calls = received.source.provider.calls.as_ref()?;
        let asked = Asked { tool: received.tool.as_deref(), query: received.query(), body };
        let order = (calls.decode)(&asked);
        let until = began.checked_add(self.0.patience(calls))?;
        let request = Arc::new(Request {
            broker: Arc::clone(&self.0),
            event: receipt.id(),
            tenant: tenant.clone(),
            source: received.source.name.clone(),
            provider: received.source.provider.name,
            conversation: event.facts().conversation_id.clone(),
            caller: order.caller.clone(),
            settings: self.0.settings(tenant),
            at: received.at,
            correlation_id: received.correlation_id.clone(),
            began,
            stored: began.elapsed(),
            until,
        });
        let jobs: Vec<_> = (0_u32..)
            .zip(&order.calls)
            .map(|(position, call)| {
                let job = Job::new(Arc::clone(&request), position, call.clone());
                let running = tokio::spawn(Arc::clone(&job).run());
                (job, running)
            })
            .collect();
        let mut replies = Vec::with_capacity(order.calls.len());
        for (job, running) in jobs {
            let ended = tokio::time::timeout_at(until.into(), running).await;
            replies.push(match ended {
                Ok(Ok(reply)) => reply,
                Ok(Err(_)) => {
                    self.0.metrics.panics.inc();
                    tracing::error!(
                        correlation_id = received.correlation_id,
                        "a tool call ended in a panic"
                    );
                    words::broken()
                }
                Err(_) => {
                    job.is_late.store(true, Ordering::Relaxed);
                    words::late(job.writes())
                }
            });
        }
        Some((calls.encode)(&order, &replies))
    }
}

impl Inner {
    fn patience(&self, calls: &Calls) -> Duration {
        self.patience.unwrap_or(calls.patience)
    }

    /// What a tenant lets its agents do; nothing if what is stored cannot be read.
    fn settings(&self, tenant: &TenantId) -> Option<Arc<Settings>> {
        let Some(stored) = self.store.registry().tool_settings(tenant) else {
            return Some(Arc::clone(&self.defaults));
        };
        let read = serde_json::from_str(&stored);
        if read.is_err() {
            tracing::error!(
                tenant.id = tenant.as_str(),
                "the settings of its tools cannot be read"
            );
        }
        read.ok().map(Arc::new)
    }
}

impl fmt::Debug for Broker {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Broker").field("jobs", &*self.0.jobs.borrow()).finish_non_exhaustive()
    }
}

impl fmt::Debug for BrokerSettings {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("BrokerSettings").field("patience", &self.patience).finish_non_exhaustive()
    }
}
