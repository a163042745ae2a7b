//! `hookgate rejections`: what was refused, why, and once more.

use std::collections::BTreeMap;

use hookgate_core::mask::visible;
use hookgate_store::{Order, RejectionFilter};
use serde_json::{Value, json};

use crate::cli::{From, Rejections};
use crate::client::{self, Api};
use crate::environment::Environment;
use crate::exit::{Outcome, Usage};
use crate::input;
use crate::output::{self, line, table};
use crate::record;
use crate::stored::{self, List, Stored, Walk, text, time};

/// How wide a reason may be in a table, in characters.
const REASON_CHARS_MAX: usize = 70;

/// How wide other cells may be.
const CELL_CHARS_MAX: usize = 40;

/// How often the API is asked for the next batch of a retry at most: 200 refused requests
/// a batch, and the ring holds 20,000 by default.
const BATCHES_MAX: usize = 10_000;

/// Runs the command.
pub(crate) fn run(command: Rejections, environment: &Environment) -> anyhow::Result<Outcome> {
    client::block_on(async {
        match command {
            Rejections::List { source, since, limit, from } => {
                let filter = filter(source, since.as_deref())?;
                list(filter, limit, &from, environment).await
            }
            Rejections::Show { id, from } => show(&id, &from, environment).await,
            Rejections::Retry { ids, all, source, since, json } => {
                let filter = filter(source, since.as_deref())?;
                let is_bounded =
                    !ids.is_empty() || filter.source.is_some() || filter.since.is_some();
                if !all && !is_bounded {
                    let text = "say which: ids, --source, --since, or --all";
                    return Err(Usage::new(text).into());
                }
                retry(ids, filter, json, environment).await
            }
        }
    })
}

fn filter(source: Option<String>, since: Option<&str>) -> anyhow::Result<RejectionFilter> {
    let now = input::now();
    let since = since.map(|text| input::moment("--since", text, now)).transpose()?;
    Ok(RejectionFilter { source, since, ..RejectionFilter::default() })
}

async fn list(
    filter: RejectionFilter,
    limit: u32,
    from: &From,
    environment: &Environment,
) -> anyhow::Result<Outcome> {
    let stored = Stored::open(from, environment).await?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut walk = Walk::new(List::Rejections(filter), Order::NewestFirst);
    let rejections = walk.take(&stored, limit).await?;
    if from.json {
        line(json!({ "data": rejections }))?;
        return Ok(Outcome::Done);
    }
    if rejections.is_empty() {
        output::remark("Nothing was refused.");
        return Ok(Outcome::Done);
    }
    let row = |it: &Value| {
        vec![
            time(it),
            text(it, "/source", CELL_CHARS_MAX),
            text(it, "/status", CELL_CHARS_MAX),
            text(it, "/verification/reason", REASON_CHARS_MAX),
            text(it, "/id", CELL_CHARS_MAX),
        ]
    };
    let rows: Vec<Vec<String>> = rejections.iter().map(row).collect();
    table(&["RECEIVED", "SOURCE", "ANSWER", "WHY", "ID"], &rows)?;
    output::remark(
        "`hookgate rejections show ID` says what would explain it; `retry` judges again.",
    );
    Ok(Outcome::Done)
}

async fn show(id: &str, from: &From, environment: &Environment) -> anyhow::Result<Outcome> {
    let stored = Stored::open(from, environment).await?;
    let Some(rejection) = stored.rejection(id).await? else {
        anyhow::bail!(
            "there is no refused request {}: `hookgate rejections list` shows those there are",
            visible(id)
        );
    };
    if from.json {
        line(rejection)?;
        return Ok(Outcome::Done);
    }
    record::print(&rejection, &["diagnosis"])?;
    let Some(diagnosis) = rejection.get("diagnosis") else {
        line("\nA running gateway, which has the secrets, says what would explain it.")?;
        return Ok(Outcome::Done);
    };
    line(format_args!("\nUnder the present secrets: {}", text(diagnosis, "/reason", usize::MAX)))?;
    for mistake in diagnosis.get("mistakes").and_then(Value::as_array).into_iter().flatten() {
        line(format_args!("It would match: {}", visible(mistake.as_str().unwrap_or_default())))?;
    }
    Ok(Outcome::Done)
}

/// Judges refused requests again, batch by batch.
async fn retry(
    ids: Vec<String>,
    filter: RejectionFilter,
    as_json: bool,
    environment: &Environment,
) -> anyhow::Result<Outcome> {
    let api = Api::new(environment, &stored::node_folder(environment)?)?;
    let mut wanted = json!({});
    if let Value::Object(fields) = &mut wanted {
        if !ids.is_empty() {
            fields.insert("ids".to_owned(), ids.into());
        }
        if let Some(source) = filter.source {
            fields.insert("source".to_owned(), source.into());
        }
        if let Some(since) = filter.since {
            fields.insert("since".to_owned(), since.to_string().into());
        }
    }
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    let mut all_accepted = true;
    for _ in 0..BATCHES_MAX {
        let report = api.post("/api/v1/rejections/retry", &wanted).await?;
        for result in report.get("results").and_then(Value::as_array).into_iter().flatten() {
            let outcome = text(result, "/outcome", CELL_CHARS_MAX);
            all_accepted &= outcome != "refused";
            let count = counts.entry(outcome).or_default();
            *count = count.saturating_add(1);
            print(result, as_json)?;
        }
        let Some(cursor) = report.get("next_cursor").filter(|it| it.is_string()) else { break };
        if !as_json {
            output::remark(format_args!("… {} to go", text(&report, "/remaining", CELL_CHARS_MAX)));
        }
        if let Value::Object(fields) = &mut wanted {
            fields.insert("cursor".to_owned(), cursor.clone());
        }
    }
    if !as_json {
        let counted: Vec<String> =
            counts.iter().map(|(outcome, count)| format!("{count} {outcome}")).collect();
        match counted.as_slice() {
            [] => line("There was nothing to judge again.")?,
            counted => line(counted.join(", "))?,
        }
    }
    Ok(if all_accepted { Outcome::Done } else { Outcome::Refused })
}

fn print(result: &Value, as_json: bool) -> anyhow::Result<()> {
    if as_json {
        line(result)?;
    } else {
        line(format_args!(
            "{}  {}  {}",
            text(result, "/id", CELL_CHARS_MAX),
            text(result, "/outcome", CELL_CHARS_MAX),
            match text(result, "/event_id", CELL_CHARS_MAX).as_str() {
                "-" => text(result, "/reason", REASON_CHARS_MAX),
                event => event.to_owned(),
            }
        ))?;
    }
    Ok(())
}
