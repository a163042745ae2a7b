//! `hookgate tool-calls`: what agents asked for, and what came of it.

use hookgate_core::mask::visible;
use hookgate_store::ToolCallState;
use serde_json::Value;

use super::secret;
use super::tenant::limit;
use crate::cli::tool_calls::{Filter, ToolCalls};
use crate::client::{self, Api, or_missing, path};
use crate::environment::Environment;
use crate::exit::Outcome;
use crate::input;
use crate::output::{line, table};
use crate::record::{self, CELL_CHARS_MAX, Column};
use crate::stored::{moment, one_of, text};

/// Where tool calls are.
const PATH: &str = "/api/v1/tool-calls";

/// Runs the command.
pub(crate) fn run(command: ToolCalls, environment: &Environment) -> anyhow::Result<Outcome> {
    match command {
        ToolCalls::List { filter, limit, print } => list(filter, limit, print.json, environment),
        ToolCalls::Show { id, print } => show(&id, print.json, environment),
    }
}

fn list(
    filter: Filter,
    at_most: u32,
    as_json: bool,
    environment: &Environment,
) -> anyhow::Result<Outcome> {
    let query = query(filter)?;
    client::block_on(async {
        let rows = Api::here(environment)?.list(PATH, &query, limit(at_most)).await?;
        record::list(&rows, &COLUMNS, as_json, "No tool calls.")
    })
}

/// The parameters that these flags make. A word that names nothing is an error, so that a
/// typing error does not look as if nothing had been called.
fn query(filter: Filter) -> anyhow::Result<Vec<(&'static str, String)>> {
    let now = input::now();
    let time = |flag, text: Option<String>| {
        let moment = text.map(|text| input::moment(flag, &text, now)).transpose()?;
        anyhow::Ok(moment.map(|it| it.to_string()))
    };
    let states = ToolCallState::ALL.map(ToolCallState::name);
    let provider = filter.provider.map(|it| secret::named(&it)).transpose()?;
    let query = [
        ("tenant", filter.tenant),
        ("tool", filter.tool),
        ("state", one_of("--state", filter.state.as_deref(), &states)?),
        ("provider", provider.map(|it| it.name.to_owned())),
        ("source", filter.source),
        ("conversation", filter.conversation),
        ("since", time("--since", filter.since)?),
        ("until", time("--until", filter.until)?),
    ];
    Ok(query.into_iter().filter_map(|(name, value)| Some((name, value?))).collect())
}

const COLUMNS: [Column; 8] = [
    ("BEGUN", |it| moment(it, "/started_at")),
    ("TENANT", |it| text(it, "/tenant", CELL_CHARS_MAX)),
    ("TOOL", |it| text(it, "/tool", CELL_CHARS_MAX)),
    ("STATE", state),
    ("STATUS", |it| text(it, "/status", CELL_CHARS_MAX)),
    ("MS", |it| text(it, "/times/total_ms", CELL_CHARS_MAX)),
    ("CONVERSATION", |it| text(it, "/conversation_id", CELL_CHARS_MAX)),
    ("ID", |it| text(it, "/id", CELL_CHARS_MAX)),
];

/// The tool calls of an event.
const OF_EVENT: [Column; 5] = [
    ("  TOOL", |it| format!("  {}", text(it, "/tool", CELL_CHARS_MAX))),
    ("STATE", state),
    ("STATUS", |it| text(it, "/status", CELL_CHARS_MAX)),
    ("MS", |it| text(it, "/times/total_ms", CELL_CHARS_MAX)),
    ("ID", |it| text(it, "/id", CELL_CHARS_MAX)),
];

/// How far a call is, repeated or late.
fn state(call: &Value) -> String {
    let mut state = text(call, "/state", CELL_CHARS_MAX);
    if call.get("repeats").is_some_and(Value::is_string) {
        state.push_str(" (repeats)");
    }
    if call.get("late") == Some(&Value::Bool(true)) {
        state.push_str(" (late)");
    }
    state
}

fn show(id: &str, as_json: bool, environment: &Environment) -> anyhow::Result<Outcome> {
    client::block_on(async {
        let at = path(&["tool-calls", id])?;
        let missing = format!(
            "there is no tool call {}: `hookgate tool-calls list` shows those there are",
            visible(id)
        );
        let call = or_missing(Api::here(environment)?.get(&at, &[]).await, &missing)?;
        if as_json {
            line(call)?;
            return Ok(Outcome::Done);
        }
        record::print(&call, &["times", "arguments", "answer"])?;
        line("\nWhere the time went, in ms:")?;
        table(
            &[],
            &TIMES.map(|(what, at)| vec![format!("  {what}"), text(&call, at, usize::MAX)]),
        )?;
        line("\nArguments (masked):")?;
        print(call.get("arguments"))?;
        line("\nAnswer:")?;
        print(call.get("answer"))?;
        Ok(Outcome::Done)
    })
}

/// The parts of a call's time, and where they stand.
const TIMES: [(&str, &str); 4] = [
    ("storing the event", "/times/store_ms"),
    ("keeping the record", "/times/record_ms"),
    ("carrying it out", "/times/connector_ms"),
    ("all of it", "/times/total_ms"),
];

fn print(value: Option<&Value>) -> anyhow::Result<()> {
    let Some(value) = value.filter(|it| !it.is_null()) else {
        return Ok(line("  none")?);
    };
    // JSON escapes line breaks inside of texts, so a line is a line of ours.
    for text in serde_json::to_string_pretty(value)?.lines() {
        line(format_args!("  {}", visible(text)))?;
    }
    Ok(())
}

/// Prints the tool calls of an event, if it has any.
pub(super) fn print_of(event: &Value) -> anyhow::Result<()> {
    match event.get("tool_calls").and_then(Value::as_array) {
        Some(calls) if !calls.is_empty() => {
            line("\nTool calls:")?;
            record::print_table(calls, &OF_EVENT)
        }
        _ => Ok(()),
    }
}
