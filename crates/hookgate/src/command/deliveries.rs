//! `hookgate deliveries`: what was passed on, what was not, and trying again.

use hookgate_core::mask::visible;
use hookgate_store::DeliveryStatus;
use serde_json::{Map, Value, json};

use super::tenant::limit;
use crate::cli::deliveries::{Deliveries, Filter, Replay};
use crate::client::{self, Api, or_missing, path};
use crate::environment::Environment;
use crate::exit::{Outcome, Usage};
use crate::input;
use crate::output::{counted, line, remark};
use crate::record::{self, CELL_CHARS_MAX, Column};
use crate::stored::{moment, one_of, text};

/// Where deliveries are.
const PATH: &str = "/api/v1/deliveries";

/// How often the API is asked for the next batch at most.
const BATCHES_MAX: usize = 100_000;

/// Runs the command.
pub(crate) fn run(command: Deliveries, environment: &Environment) -> anyhow::Result<Outcome> {
    client::block_on(async {
        let api = Api::here(environment)?;
        match command {
            Deliveries::List { filter, limit: at_most, print } => {
                let rows = api.list(PATH, &query(filter)?, limit(at_most)).await?;
                record::list(&rows, &COLUMNS, print.json, "No deliveries.")
            }
            Deliveries::Show { id, print } => show(&api, &id, print.json).await,
            Deliveries::Retry { ids, all, filter, dry_run, print } => {
                if ids.is_empty() {
                    let body: Map<String, Value> = query(filter)?
                        .into_iter()
                        .map(|(name, it)| (name.to_owned(), it.into()))
                        .collect();
                    if body.is_empty() && !all {
                        let what = "say which: ids, a filter, or --all";
                        return Err(Usage::new(what).into());
                    }
                    return retry_many(&api, body, dry_run, print.json).await;
                }
                for id in ids {
                    retry(&api, &id, print.json).await?;
                }
                Ok(Outcome::Done)
            }
        }
    })
}

/// The parameters that these flags make. A word that names nothing is an error, so that a
/// typing error does not look as if nothing had been delivered.
fn query(filter: Filter) -> anyhow::Result<Vec<(&'static str, String)>> {
    let now = input::now();
    let time = |flag, text: Option<String>| {
        let moment = text.map(|text| input::moment(flag, &text, now)).transpose()?;
        anyhow::Ok(moment.map(|it| it.to_string()))
    };
    let states = DeliveryStatus::ALL.map(DeliveryStatus::name);
    let query = [
        ("tenant", filter.tenant),
        ("destination", filter.destination),
        ("event", filter.event),
        ("state", one_of("--state", filter.state.as_deref(), &states)?),
        ("kind", filter.kind),
        ("since", time("--since", filter.since)?),
        ("until", time("--until", filter.until)?),
    ];
    Ok(query.into_iter().filter_map(|(name, value)| Some((name, value?))).collect())
}

const COLUMNS: [Column; 8] = [
    ("MADE", |it| moment(it, "/created_at")),
    ("KIND", |it| text(it, "/kind", CELL_CHARS_MAX)),
    ("STATE", state),
    ("ATTEMPTS", |it| text(it, "/attempts", CELL_CHARS_MAX)),
    ("NEXT", |it| moment(it, "/next_attempt_at")),
    ("TENANT", |it| text(it, "/tenant", CELL_CHARS_MAX)),
    ("DESTINATION", |it| text(it, "/destination_id", CELL_CHARS_MAX)),
    ("ID", |it| text(it, "/id", CELL_CHARS_MAX)),
];

/// How far it is, under way or replayed.
fn state(delivery: &Value) -> String {
    let mut state = text(delivery, "/state", CELL_CHARS_MAX);
    if delivery.get("under_way") == Some(&Value::Bool(true)) {
        state.push_str(" (under way)");
    }
    if delivery.get("replay").and_then(Value::as_u64).is_some_and(|it| it > 0) {
        state.push_str(" (replay)");
    }
    state
}

const ATTEMPTS: [Column; 5] = [
    ("  ATTEMPT", |it| format!("  {}", moment(it, "/at"))),
    ("STATUS", |it| text(it, "/status", CELL_CHARS_MAX)),
    ("ERROR", |it| text(it, "/error", CELL_CHARS_MAX)),
    ("MS", |it| text(it, "/duration_ms", CELL_CHARS_MAX)),
    ("ANSWER", |it| text(it, "/response", CELL_CHARS_MAX)),
];

async fn show(api: &Api, id: &str, as_json: bool) -> anyhow::Result<Outcome> {
    let found = api.get(&path(&["deliveries", id])?, &[]).await;
    let delivery = or_missing(found, &missing(id))?;
    if as_json {
        line(delivery)?;
        return Ok(Outcome::Done);
    }
    record::print(&delivery, &["history"])?;
    match delivery.get("history").and_then(Value::as_array) {
        Some(attempts) if !attempts.is_empty() => {
            line("")?;
            record::print_table(attempts, &ATTEMPTS)?;
        }
        _ => line("\nNot tried yet.")?,
    }
    Ok(Outcome::Done)
}

async fn retry(api: &Api, id: &str, as_json: bool) -> anyhow::Result<()> {
    let retried = match api.post(&path(&["deliveries", id, "retry"])?, &json!({})).await {
        Err(error) if client::is_problem(&error, "delivered") => {
            return Err(error.context("`hookgate events replay` delivers its event once more"));
        }
        retried => or_missing(retried, &missing(id))?,
    };
    record::done(&retried, as_json, format!("{} is due now.", visible(id)))
}

async fn retry_many(
    api: &Api,
    mut body: Map<String, Value>,
    is_dry: bool,
    as_json: bool,
) -> anyhow::Result<Outcome> {
    body.insert("dry_run".to_owned(), is_dry.into());
    let counts = batches(api, &format!("{PATH}/retry"), body, as_json).await?;
    let said = if is_dry { "Would be tried again" } else { "Due now" };
    let sentence = format!("{said}: {}.", deliveries(counts.deliveries));
    record::done(&json!({ "deliveries": counts.deliveries }), as_json, sentence)?;
    Ok(Outcome::Done)
}

/// What came of a run.
#[derive(Default)]
struct Counts {
    events: u64,
    deliveries: u64,
}

/// Asks for a batch as long as there is more.
async fn batches(
    api: &Api,
    at: &str,
    mut body: Map<String, Value>,
    as_json: bool,
) -> anyhow::Result<Counts> {
    let mut counts = Counts::default();
    for _ in 0..BATCHES_MAX {
        let report = or_missing(
            api.post(at, &body.clone().into()).await,
            "there is no such destination: `hookgate destination list` shows those there are",
        )?;
        let count = |name: &str| report.get(name).and_then(Value::as_u64).unwrap_or(0);
        counts.events = counts.events.saturating_add(count("events"));
        counts.deliveries = counts.deliveries.saturating_add(count("deliveries"));
        let Some(cursor) = report.get("next_cursor").filter(|it| it.is_string()) else { break };
        if !as_json {
            remark(format_args!("… {} so far", counts.deliveries));
        }
        body.insert("cursor".to_owned(), cursor.clone());
    }
    Ok(counts)
}

/// Delivers events again: these, or those that a filter leaves.
pub(super) async fn replay(wanted: Replay, environment: &Environment) -> anyhow::Result<Outcome> {
    let api = Api::here(environment)?;
    let destination = wanted.destination.clone().map(|it| ("destination".to_owned(), it.into()));
    if wanted.ids.is_empty() {
        return replay_many(&api, wanted, destination).await;
    }
    let body: Map<String, Value> = destination.into_iter().collect();
    for id in &wanted.ids {
        let done = api.post(&path(&["events", id, "replay"])?, &body.clone().into()).await;
        let absent = "there is no such event, or no such destination: `hookgate events list` and \
                      `hookgate destination list` show those there are";
        let done = or_missing(done, absent)?;
        let count = done.get("deliveries").and_then(Value::as_u64).unwrap_or(0);
        let sentence = format!("{} is delivered again: {}.", visible(id), deliveries(count));
        record::done(&done, wanted.json, sentence)?;
    }
    Ok(Outcome::Done)
}

async fn replay_many(
    api: &Api,
    wanted: Replay,
    destination: Option<(String, Value)>,
) -> anyhow::Result<Outcome> {
    let filter = crate::stored::event_filter(&crate::cli::EventFilter {
        source: wanted.source,
        provider: wanted.provider,
        tenant: wanted.tenant,
        kind: wanted.kind,
        conversation: wanted.conversation,
        since: wanted.since,
        until: wanted.until,
        ..crate::cli::EventFilter::default()
    })?;
    let rows = [
        ("source", filter.source),
        ("provider", filter.provider),
        ("tenant", filter.tenant),
        ("kind", filter.kind),
        ("conversation", filter.conversation),
        ("since", filter.since.map(|it| it.to_string())),
        ("until", filter.until.map(|it| it.to_string())),
    ];
    let rows = rows.into_iter().filter_map(|(name, it)| Some((name.to_owned(), it?.into())));
    let mut body: Map<String, Value> = rows.collect();
    if body.is_empty() && !wanted.all {
        return Err(Usage::new("say which: ids, a filter, or --all").into());
    }
    body.extend(destination);
    body.extend(wanted.run.map(|it| ("run".to_owned(), it.into())));
    body.insert("dry_run".to_owned(), wanted.dry_run.into());
    let counts = batches(api, "/api/v1/events/replay", body, wanted.json).await?;
    let said = if wanted.dry_run { "Would be delivered again" } else { "Delivered again" };
    let events = counted(counts.events, "event", "events");
    let sentence = format!("{said}: {events}, {}.", deliveries(counts.deliveries));
    let record = json!({ "events": counts.events, "deliveries": counts.deliveries });
    record::done(&record, wanted.json, sentence)?;
    Ok(Outcome::Done)
}

fn deliveries(count: u64) -> String {
    counted(count, "delivery", "deliveries")
}

fn missing(id: &str) -> String {
    let id = visible(id);
    format!("there is no delivery {id}: `hookgate deliveries list` shows those there are")
}
