//! The gate: all that the front door knows of the sources behind it.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use hookgate_core::provider;
use hookgate_core::received::Token;
use hookgate_core::scheme::{Piece, Proof};
use hookgate_core::source::{Source, Sources, TokenPath};
use hookgate_core::time::Timestamp;
use hookgate_core::verify::Examination;
use hookgate_store::{Quota, Store};
use hookgate_tools::Broker;
use http::Method;
use ipnet::IpNet;
use prometheus_client::metrics::gauge::Gauge;

use crate::body::Budget;
use crate::correlation::Correlations;
use crate::inspect::Inspection;
use crate::limits::Limits;
use crate::metrics::{Metrics, SourceMetrics};
use crate::peer::{Peers, Proxies};
use crate::quota::Quotas;
use crate::throttle::Throttle;

/// Where requests come in that have a source of their own name.
const PREFIX: &str = "/in/";

/// The methods that carry a call, besides POST.
const TOOL_METHODS: [Method; 4] = [Method::GET, Method::PUT, Method::PATCH, Method::DELETE];

/// Gets each judged request, for the operator's console.
pub type Inspector = Arc<dyn Fn(&Inspection) + Send + Sync>;

/// What a gate is made of.
#[derive(Clone)]
pub struct GateSettings {
    /// The sources and their paths.
    pub sources: Arc<Sources>,
    /// Where events go.
    pub store: Store,
    /// The URL that senders see (`https://hooks.example.com`), for schemes that cover
    /// it. Without it those never match: a header is not asked.
    pub public_url: Option<String>,
    /// What time it is.
    pub clock: fn() -> Timestamp,
    /// The proxies whose `X-Forwarded-For` and `X-Forwarded-Proto` count.
    pub trusted_proxies: Vec<IpNet>,
    /// Whether a request in clear is refused.
    pub require_https: bool,
    /// From where a source's requests may come, by the source's name; no entry means
    /// from anywhere.
    pub allow_from: HashMap<String, Vec<IpNet>>,
    /// The limits.
    pub limits: Limits,
    /// What a tenant may have that has no quota of its own.
    pub quota: Quota,
    /// Who answers tool calls.
    pub tools: Broker,
    /// The counters.
    pub metrics: Metrics,
    /// Who sees each request.
    pub inspect: Option<Inspector>,
}

/// The front door's knowledge: sources, limits and counts.
pub struct Gate {
    ways: RwLock<Arc<Ways>>,
    /// Held while the ways are made anew.
    doors: Mutex<HashMap<String, Arc<Door>>>,
    pub(crate) store: Store,
    pub(crate) public_url: Option<String>,
    pub(crate) clock: fn() -> Timestamp,
    pub(crate) proxies: Proxies,
    pub(crate) require_https: bool,
    pub(crate) limits: Limits,
    pub(crate) metrics: Metrics,
    pub(crate) inspect: Option<Inspector>,
    pub(crate) peers: Arc<Peers>,
    pub(crate) memory: Budget,
    pub(crate) correlations: Correlations,
    pub(crate) quotas: Quotas,
    pub(crate) tools: Broker,
}

/// Where all paths lead.
#[derive(Debug, Default)]
struct Ways {
    paths: HashMap<String, Way>,
    /// By the name of the source.
    doors: HashMap<String, Arc<Door>>,
}

/// Where a path leads.
#[derive(Clone, Debug)]
pub(crate) struct Way {
    pub(crate) door: Arc<Door>,
    pub(crate) tool: Option<Arc<str>>,
    /// The URL token in the path.
    pub(crate) token: Option<Token>,
}

/// One source as the front door sees it.
#[derive(Debug)]
pub(crate) struct Door {
    pub(crate) source: Arc<Source>,
    pub(crate) metrics: SourceMetrics,
    /// Nothing: from anywhere.
    allow_from: Option<Vec<IpNet>>,
    /// Whether a scheme of the source covers the URL.
    wants_url: bool,
    /// At most one warning a minute of a missing secret.
    pub(crate) open_warning: Throttle,
    /// Refusals of one source in the log: enough to see what is going on.
    pub(crate) refusals: Throttle,
    /// Violations of one source in the log.
    pub(crate) violations: Throttle,
}

/// One request of a source in flight.
#[derive(Debug)]
pub(crate) struct SourceSlot<'a>(&'a Gauge);

impl Gate {
    /// Makes the gate.
    #[must_use]
    pub fn new(settings: GateSettings) -> Self {
        let GateSettings { sources, allow_from, limits, metrics, .. } = settings;
        let gate = Self {
            ways: RwLock::default(),
            doors: Mutex::default(),
            store: settings.store,
            public_url: settings.public_url,
            clock: settings.clock,
            proxies: Proxies::new(settings.trusted_proxies),
            require_https: settings.require_https,
            limits,
            metrics,
            inspect: settings.inspect,
            peers: Peers::new(),
            memory: Budget::new(limits.bodies_in_memory_bytes_max),
            correlations: Correlations::new(),
            quotas: Quotas::new(settings.quota),
            tools: settings.tools,
        };
        gate.set_sources(&sources, &allow_from);
        gate
    }

    /// Puts these sources in force, instead of those before. Requests that are under way
    /// end under what they began with; a source that did not change keeps its door.
    pub fn set_sources(&self, sources: &Sources, allow_from: &HashMap<String, Vec<IpNet>>) {
        let mut doors = self.doors.lock().unwrap_or_else(PoisonError::into_inner);
        let mut ways = Ways::default();
        for source in sources.iter() {
            let name = &source.name;
            let kept = doors.get(name).filter(|door| Arc::ptr_eq(&door.source, source));
            let door = kept.cloned().unwrap_or_else(|| {
                Arc::new(Door {
                    source: Arc::clone(source),
                    metrics: self.metrics.of(name),
                    allow_from: allow_from.get(name).cloned(),
                    wants_url: covers_url(source),
                    open_warning: Throttle::new(1, 60_000),
                    refusals: Throttle::new(20, 10_000),
                    violations: Throttle::new(20, 10_000),
                })
            });
            for path in sources.paths(source) {
                let tool = sources.route(path).and_then(|route| route.tool.clone());
                let way = Way { door: Arc::clone(&door), tool, token: None };
                ways.paths.insert(path.to_owned(), way);
            }
            ways.doors.insert(name.clone(), door);
        }
        doors.clone_from(&ways.doors);
        *self.ways.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(ways);
    }

    fn ways(&self) -> Arc<Ways> {
        Arc::clone(&self.ways.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Where a path leads; nothing if there is no source. Then the path may still be one
    /// of the front door's ([`is_reserved`]).
    pub(crate) fn way(&self, path: &str) -> Option<Way> {
        let ways = self.ways();
        if let Some(way) = ways.paths.get(path) {
            return Some(way.clone());
        }
        let TokenPath { source, token, tool } = TokenPath::read(path)?;
        let found = self.store.registry().token(source, token.as_bytes(), (self.clock)());
        // Both are looked for, so that an unknown source takes as long as a wrong token.
        let (found, door) = (found?, ways.doors.get(source)?);
        if tool.is_some() && door.source.provider.calls.is_none() {
            return None;
        }
        let token = Token { id: found.id.clone(), tenant: found.tenant.clone() };
        Some(Way { door: Arc::clone(door), tool: tool.map(Arc::from), token: Some(token) })
    }

    /// The limits in force.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The public URL of a request, where a scheme of the source covers it.
    pub(crate) fn url(&self, door: &Door, target: &str) -> String {
        match &self.public_url {
            Some(base) if door.wants_url => format!("{}{target}", base.trim_end_matches('/')),
            _ => String::new(),
        }
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Gate").field("paths", &self.ways().paths.len()).finish_non_exhaustive()
    }
}

impl fmt::Debug for GateSettings {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("GateSettings").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl Door {
    /// Whether a peer may come to this source.
    pub(crate) fn admits(&self, peer: IpAddr) -> bool {
        self.allow_from.as_ref().is_none_or(|nets| nets.iter().any(|net| net.contains(&peer)))
    }

    /// A place in flight, unless there are `max` already.
    pub(crate) fn enter(&self, max: usize) -> Option<SourceSlot<'_>> {
        let slot = SourceSlot(&self.metrics.in_flight);
        let before = self.metrics.in_flight.inc();
        usize::try_from(before).is_ok_and(|before| before < max).then_some(slot)
    }

    /// What a body may measure: more than usual only where the provider sends such
    /// bodies and the head leaves a proof possible.
    pub(crate) fn body_bytes_max(&self, examination: &Examination) -> u64 {
        let large = self.source.large_body_bytes_max;
        if large > self.source.body_bytes_max && examination.is_plausible() {
            large
        } else {
            self.source.body_bytes_max
        }
    }

    /// The variable that a person would set the source's secret in.
    pub(crate) fn secret_variable(&self) -> &'static str {
        self.source.provider.secret_variables.first().copied().unwrap_or("its secret")
    }

    pub(crate) fn refusal(&self) -> provider::Refusal {
        self.source.provider.refusal
    }
}

impl Way {
    /// Whether a request of this method may come. The path of a tool under a URL token takes
    /// any that carries a call: some platforms let people choose.
    pub(crate) fn takes(&self, method: &Method) -> bool {
        let is_tool = self.tool.is_some() && self.token.is_some();
        *method == Method::POST || is_tool && TOOL_METHODS.contains(method)
    }
}

impl Drop for SourceSlot<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Whether a path is the front door's, be there a source or not.
pub(crate) fn is_reserved(path: &str) -> bool {
    path.starts_with(PREFIX)
}

fn covers_url(source: &Source) -> bool {
    source.policy.schemes().iter().any(|scheme| match &scheme.proof {
        Proof::Mac(mac) => mac.covers(&Piece::Url),
        Proof::Token(_) | Proof::BodyKey(_) => false,
    })
}
