//! `hookgate events release` and `reattribute`: what an operator decides afterwards.

use serde_json::{Map, Value};

use crate::cli;
use crate::client::{self, Api, or_missing, path};
use crate::environment::Environment;
use crate::exit::Outcome;
use crate::output::{self, line};
use crate::record;
use crate::stored::{self, text};

/// How wide ids and verdicts may be, in characters.
const CELL_CHARS_MAX: usize = 40;

/// How often the API is asked for the next batch at most: each judges some hundreds of
/// events, and a store that is larger than this many batches is walked by `--since`.
const BATCHES_MAX: usize = 100_000;

/// How many ids one request may name.
const IDS_MAX: usize = 200;

/// Which events are judged again.
pub(super) struct Wanted {
    /// These; empty: all that the rest leaves.
    pub(super) ids: Vec<String>,
    /// Those of this source.
    pub(super) source: Option<String>,
    /// Those of this provider.
    pub(super) provider: Option<String>,
    /// Those received then or later.
    pub(super) since: Option<String>,
    /// Those received before then.
    pub(super) until: Option<String>,
}

impl Wanted {
    /// The bodies of the first requests: one for some ids each, or one for all that the
    /// filter leaves.
    fn bodies(&self) -> anyhow::Result<Vec<Map<String, Value>>> {
        if self.ids.is_empty() {
            return Ok(vec![self.filter()?]);
        }
        let body = |ids: &[String]| Map::from_iter([("ids".to_owned(), ids.into())]);
        Ok(self.ids.chunks(IDS_MAX).map(body).collect())
    }

    fn filter(&self) -> anyhow::Result<Map<String, Value>> {
        let filter = stored::event_filter(&cli::EventFilter {
            source: self.source.clone(),
            provider: self.provider.clone(),
            since: self.since.clone(),
            until: self.until.clone(),
            ..cli::EventFilter::default()
        })?;
        let mut body = Map::new();
        let rows = [
            ("source", filter.source),
            ("provider", filter.provider),
            ("since", filter.since.map(|it| it.to_string())),
            ("until", filter.until.map(|it| it.to_string())),
        ];
        for (name, value) in rows {
            body.extend(value.map(|it| (name.to_owned(), Value::from(it))));
        }
        Ok(body)
    }
}

/// Accepts an event that stands in quarantine.
pub(super) async fn release(
    id: &str,
    tenant: Option<&str>,
    as_json: bool,
    environment: &Environment,
) -> anyhow::Result<Outcome> {
    let api = Api::here(environment)?;
    let mut body = Map::new();
    body.extend(tenant.map(|it| ("tenant".to_owned(), Value::from(it))));
    let released = api.post(&path(&["events", id, "release"])?, &body.into()).await;
    let released = match released {
        Err(error) if client::is_problem(&error, "not-quarantined") => {
            return Err(error.context("it is accepted already: there is nothing to release"));
        }
        Err(error) if client::is_problem(&error, "unproven") => {
            return Err(error.context(
                "nothing proves who sent it, so it cannot be released: see `hookgate events show`",
            ));
        }
        released => released,
    };
    let missing = "there is no such event, or no such tenant: `hookgate events list` and \
                   `hookgate tenant list` show those there are";
    let event = or_missing(released, missing)?;
    let owner = match text(&event, "/tenant", CELL_CHARS_MAX).as_str() {
        "-" => "the operator alone".to_owned(),
        tenant => tenant.to_owned(),
    };
    let id = text(&event, "/id", CELL_CHARS_MAX);
    let verdict = text(&event, "/attribution/verdict", CELL_CHARS_MAX);
    let sentence =
        format!("{id} is accepted and belongs to {owner}; its verdict stays `{verdict}`.");
    record::done(&event, as_json, sentence)?;
    Ok(Outcome::Done)
}

/// What came of judging again.
#[derive(Default)]
struct Counts {
    judged: u64,
    owned: u64,
    unattributed: u64,
    contradiction: u64,
}

impl Counts {
    fn add(&mut self, report: &Value) {
        let count = |name: &str| report.get(name).and_then(Value::as_u64).unwrap_or(0);
        for (sum, name) in [
            (&mut self.judged, "judged"),
            (&mut self.owned, "owned"),
            (&mut self.unattributed, "unattributed"),
            (&mut self.contradiction, "contradiction"),
        ] {
            *sum = sum.saturating_add(count(name));
        }
    }
}

/// Judges again whose events are, batch by batch.
pub(super) async fn reattribute(
    wanted: &Wanted,
    as_json: bool,
    environment: &Environment,
) -> anyhow::Result<Outcome> {
    let bodies = wanted.bodies()?;
    let api = Api::here(environment)?;
    let mut counts = Counts::default();
    for body in bodies {
        batches(&api, body, &mut counts, as_json).await?;
    }
    if !as_json {
        line(match counts.judged {
            0 => "There was nothing to judge again.".to_owned(),
            judged => format!(
                "{judged} judged: {} owned, {} unattributed, {} contradictory.",
                counts.owned, counts.unattributed, counts.contradiction
            ),
        })?;
    }
    Ok(Outcome::Done)
}

/// Judges what `body` names, as long as there is more.
async fn batches(
    api: &Api,
    mut body: Map<String, Value>,
    counts: &mut Counts,
    as_json: bool,
) -> anyhow::Result<()> {
    for _ in 0..BATCHES_MAX {
        let report = api.post("/api/v1/events/reattribute", &body.clone().into()).await?;
        counts.add(&report);
        for result in report.get("results").and_then(Value::as_array).into_iter().flatten() {
            print(result, as_json)?;
        }
        let Some(cursor) = report.get("next_cursor").filter(|it| it.is_string()) else { break };
        if !as_json {
            let remaining = text(&report, "/remaining", CELL_CHARS_MAX);
            output::remark(format_args!("… {} judged, {remaining} to go", counts.judged));
        }
        body.insert("cursor".to_owned(), cursor.clone());
    }
    Ok(())
}

fn print(result: &Value, as_json: bool) -> anyhow::Result<()> {
    if as_json {
        line(result)?;
    } else {
        line(format_args!(
            "{}  {}  {}",
            text(result, "/id", CELL_CHARS_MAX),
            text(result, "/verdict", CELL_CHARS_MAX),
            text(result, "/tenant", CELL_CHARS_MAX)
        ))?;
    }
    Ok(())
}
