//! `hookgate audit`: the regular look at what a human should see.
//!
//! Everything comes over the API: [`run`] gathers, the modules below judge, each one kind of
//! finding, and [`finding::Report`] prints. Nothing is changed.

mod finding;
mod named;
mod refusals;
mod silence;
mod sources;

use std::collections::HashMap;

use hookgate_core::time::Timestamp;
use hookgate_store::{EventFilter, Order, RejectionFilter};
use serde_json::Value;

use self::finding::Report;
use self::named::Named;
use self::sources::{SourceFacts, Tenancy};
use super::{source, violations};
use crate::cli::registry::Audit;
use crate::client::{self, Api, or_missing};
use crate::environment::Environment;
use crate::exit::Outcome;
use crate::input;
use crate::output::remark;
use crate::stored::{List, Stored, Walk};

/// How many events are looked at, the newest first: some minutes of reading.
const EVENTS_MAX: usize = 200_000;

/// How many records one request brings.
const PAGE: usize = 1000;

/// How many violations and refused requests are looked at. The ring of the latter holds
/// 20,000 by default.
const RECORDS_MAX: usize = 50_000;

/// How many bindings and tenants are read: more than any installation has.
const REGISTRY_MAX: usize = 500_000;

/// Runs the command.
pub(crate) fn run(flags: &Audit, environment: &Environment) -> anyhow::Result<Outcome> {
    let now = input::now();
    let since = input::moment("--since", &flags.since, now)?;
    client::block_on(async {
        let api = Api::here(environment)?;
        let mut report = Report::new(since, now, flags.since.clone());
        let facts = Facts::gather(&api, since).await?;
        refusals::contradictions(&facts.violations, &mut report);
        let stored = Stored::Api(api);
        let named = walk(&stored, since, &mut report).await?;
        named.judge(&facts.bindings, &facts.sources, facts.tenancy, &mut report);
        sources::judge(&facts.sources, facts.tenancy, &named, &mut report);
        for source in &facts.sources {
            let times = silence::times(&stored, &source.name).await?;
            report.add_all(silence::judge(source, &times, now));
        }
        let filter = RejectionFilter { since: Some(since), ..RejectionFilter::default() };
        let mut walk = Walk::new(List::Rejections(filter), Order::NewestFirst);
        let refused = walk.take(&stored, RECORDS_MAX).await?;
        refusals::refused(&refused, &named, &mut report);
        report.print(flags.json)
    })
}

/// What the registry and the security log say.
struct Facts {
    sources: Vec<SourceFacts>,
    tenancy: Tenancy,
    bindings: Bindings,
    violations: Vec<Value>,
}

/// Whose an id is: provider, kind and id to tenant.
type Bindings = HashMap<[String; 3], String>;

impl Facts {
    async fn gather(api: &Api, since: Timestamp) -> anyhow::Result<Self> {
        let sources = or_missing(
            source::list(api).await,
            "the audit needs the operator's token: set HOOKGATE_ADMIN_TOKEN to it",
        )?;
        let sources = sources.data.into_iter().map(serde_json::from_value);
        let tenants = api.list("/api/v1/tenants", &[], REGISTRY_MAX).await?;
        let bindings = api.list("/api/v1/bindings", &[], REGISTRY_MAX).await?;
        let since = [("since", since.to_string())];
        let violations = api.list(violations::PATH, &since, RECORDS_MAX).await?;
        Ok(Self {
            sources: sources.collect::<Result<_, _>>()?,
            tenancy: Tenancy { tenants: tenants.data.len() },
            bindings: bindings.data.iter().filter_map(binding).collect(),
            violations: violations.data,
        })
    }
}

fn binding(record: &Value) -> Option<([String; 3], String)> {
    let field = |name: &str| record.get(name).and_then(Value::as_str).map(str::to_owned);
    let id = [field("provider")?, field("kind")?, field("external_id")?];
    Some((id, field("tenant")?))
}

/// Looks at every event since then, and keeps what they name.
async fn walk(stored: &Stored, since: Timestamp, report: &mut Report) -> anyhow::Result<Named> {
    let filter = EventFilter { since: Some(since), ..EventFilter::default() };
    let mut walk = Walk::new(List::Events(filter), Order::NewestFirst);
    let mut named = Named::default();
    let mut seen = 0_usize;
    while seen < EVENTS_MAX {
        let page = walk.next(stored, PAGE).await?;
        if page.is_empty() {
            report.examined(seen, finding::Extent::All);
            return Ok(named);
        }
        for event in &page {
            named.add(event);
        }
        seen = seen.saturating_add(page.len());
        if seen.is_multiple_of(20 * PAGE) {
            remark(format_args!("… {seen} events"));
        }
    }
    report.examined(seen, finding::Extent::Newest);
    Ok(named)
}
