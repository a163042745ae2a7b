//! What of all events a stream passes on.

use hookgate_core::event::Kind;
use hookgate_core::provider;
use hookgate_store::{Event, EventFilter, Status};

use crate::problem::Problem;
use crate::query::{self, Parameters, bad};

/// How many sources or providers one stream may name: more than anybody has at hand.
const NAMES_MAX: usize = 32;

/// What is passed on.
#[derive(Debug)]
pub(super) struct Wanted {
    /// What the store filters.
    pub(super) filter: EventFilter,
    /// Of these sources; empty: the filter decides.
    sources: Vec<String>,
    /// Of these providers; empty: the filter decides.
    providers: Vec<String>,
    /// Whether headers and exact bytes come along.
    pub(super) is_raw: bool,
}

impl Wanted {
    pub(super) fn read(query: &Parameters) -> Result<Self, Problem> {
        let kinds = Kind::ALL.map(|it| (it.name(), it.name().to_owned()));
        let statuses = [Status::Accepted, Status::Quarantined].map(|it| (it.name(), it));
        let (source, sources) = names(query, "source")?;
        let (provider, providers) = names(query, "provider")?;
        for name in provider.iter().chain(&providers) {
            let known = provider::ALL.map(|it| (it.name, ()));
            query::choice("provider", name, known)?;
        }
        let filter = EventFilter {
            provider,
            source,
            tenant: query.text("tenant")?,
            event_type: query.text("type")?,
            kind: query.choice("kind", kinds)?,
            conversation: query.text("conversation")?,
            status: query.choice("status", statuses)?,
            since: None,
            until: None,
            q: query.text("q")?,
        };
        let is_raw = query.choice("payload", [("raw", true)])?.unwrap_or(false);
        Ok(Self { filter, sources, providers, is_raw })
    }

    /// Whether an event that the filter let pass is wanted.
    pub(super) fn takes(&self, event: &Event) -> bool {
        let is_among =
            |names: &[String], name: &str| names.is_empty() || names.iter().any(|it| it == name);
        is_among(&self.sources, &event.source) && is_among(&self.providers, &event.provider)
    }
}

/// The one name of a parameter, for the filter, or several.
fn names(query: &Parameters, name: &'static str) -> Result<(Option<String>, Vec<String>), Problem> {
    let Some(text) = query.raw(name) else { return Ok((None, Vec::new())) };
    let names: Result<Vec<_>, _> = text.split(',').map(|it| query::text(name, it)).collect();
    let mut names = names?;
    if names.len() > NAMES_MAX {
        return Err(bad(name, format!("at most {NAMES_MAX} names")));
    }
    match names.len() {
        1 => Ok((names.pop(), Vec::new())),
        _ => Ok((None, names)),
    }
}
