//! `hookgate events`: what is stored.

mod decisions;
mod tail;

use hookgate_core::canonical;
use hookgate_core::mask::visible;
use hookgate_store::Order;
use serde_json::{Value, json};

use self::decisions::Wanted;
use super::{deliveries, tool_calls};
use crate::cli::{EventFilter, Events, From};
use crate::client;
use crate::environment::Environment;
use crate::exit::Outcome;
use crate::output::{self, line, table};
use crate::record;
use crate::stored::{self, List, Stored, Walk, text, time};

/// How many records are read at once.
const PAGE: usize = 500;

/// How wide ids and types may be in a table, in characters: those of the providers fit.
const CELL_CHARS_MAX: usize = 40;

/// Runs the command.
pub(crate) fn run(command: Events, environment: &Environment) -> anyhow::Result<Outcome> {
    client::block_on(async {
        match command {
            Events::List { filter, limit, from } => list(&filter, limit, &from, environment).await,
            Events::Show { id, from } => show(&id, &from, environment).await,
            Events::Tail { filter, from_start, from } => {
                tail::run(&filter, from_start, &from, environment).await
            }
            Events::Release { id, tenant, json } => {
                decisions::release(&id, tenant.as_deref(), json, environment).await
            }
            Events::Reattribute { ids, source, provider, since, until, json } => {
                let wanted = Wanted { ids, source, provider, since, until };
                decisions::reattribute(&wanted, json, environment).await
            }
            Events::Schema => {
                let schema = serde_json::to_string_pretty(&canonical::schema::schema())?;
                output::line(schema)?;
                Ok(Outcome::Done)
            }
            Events::Replay(wanted) => deliveries::replay(*wanted, environment).await,
            Events::Export { filter, limit, from } => {
                export(&filter, limit.unwrap_or(u64::MAX), &from, environment).await
            }
        }
    })
}

async fn list(
    filter: &EventFilter,
    limit: u32,
    from: &From,
    environment: &Environment,
) -> anyhow::Result<Outcome> {
    let filter = stored::event_filter(filter)?;
    let stored = Stored::open(from, environment).await?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let is_filtered = !stored::event_query(&filter).is_empty();
    let events = Walk::new(List::Events(filter), Order::NewestFirst).take(&stored, limit).await?;
    if from.json {
        line(json!({ "data": events }))?;
        return Ok(Outcome::Done);
    }
    if events.is_empty() {
        output::remark(if is_filtered {
            "No event is like that."
        } else {
            "No events. `hookgate send elevenlabs` posts one."
        });
        return Ok(Outcome::Done);
    }
    let rows: Vec<Vec<String>> = events.iter().map(row).collect();
    table(&HEAD, &rows)?;
    Ok(Outcome::Done)
}

const HEAD: [&str; 8] =
    ["RECEIVED", "SOURCE", "TYPE", "CONVERSATION", "VERDICT", "OWNER", "STATUS", "ID"];

/// An event's status, late or repeated or decided upon.
pub(super) fn status(event: &Value) -> String {
    let mut status = text(event, "/status", CELL_CHARS_MAX);
    if event.get("late") == Some(&Value::Bool(true)) {
        status.push_str(" (late)");
    }
    match event.pointer("/decision/kind").and_then(Value::as_str) {
        Some("release") => status.push_str(" (released)"),
        Some("reattribute") => status.push_str(" (judged again)"),
        _ => {}
    }
    match event.get("duplicates").and_then(Value::as_u64) {
        None | Some(0) => {}
        Some(duplicates) => status.extend([" +".to_owned(), duplicates.to_string()]),
    }
    status
}

fn row(event: &Value) -> Vec<String> {
    vec![
        time(event),
        text(event, "/source", CELL_CHARS_MAX),
        text(event, "/type", CELL_CHARS_MAX),
        text(event, "/conversation_id", CELL_CHARS_MAX),
        text(event, "/verification/verdict", CELL_CHARS_MAX),
        record::owner(event),
        status(event),
        text(event, "/id", CELL_CHARS_MAX),
    ]
}

async fn show(id: &str, from: &From, environment: &Environment) -> anyhow::Result<Outcome> {
    let stored = Stored::open(from, environment).await?;
    let Some(event) = stored.event(id).await? else {
        anyhow::bail!(
            "there is no event {}: `hookgate events list` shows those there are",
            visible(id)
        );
    };
    if from.json {
        line(event)?;
        return Ok(Outcome::Done);
    }
    record::print(&event, &["tool_calls", "recordings"])?;
    tool_calls::print_of(&event)?;
    Ok(Outcome::Done)
}

/// Prints each event with its exact body, oldest first.
async fn export(
    filter: &EventFilter,
    limit: u64,
    from: &From,
    environment: &Environment,
) -> anyhow::Result<Outcome> {
    let filter = stored::event_filter(filter)?;
    let stored = Stored::open(from, environment).await?;
    let mut walk = Walk::new(List::Events(filter), Order::OldestFirst);
    let mut exported = 0_u64;
    loop {
        let page = walk.next(&stored, PAGE).await?;
        if page.is_empty() {
            return Ok(Outcome::Done);
        }
        for event in page {
            if exported == limit {
                return Ok(Outcome::Done);
            }
            let id = event.get("id").and_then(Value::as_str).unwrap_or_default();
            let Some(mut event) = stored.event(id).await? else { continue };
            let body = stored.body(id).await?;
            if let Value::Object(fields) = &mut event {
                // The exact bytes say it all, and the parsed form has credentials masked.
                fields.remove("payload");
                fields.remove("canonical");
                // What was done about it is no part of what came.
                fields.remove("tool_calls");
                fields.remove("recordings");
                fields.insert("body_base64".to_owned(), body.map(|it| stored::base64(&it)).into());
            }
            line(event)?;
            exported = exported.saturating_add(1);
        }
    }
}
