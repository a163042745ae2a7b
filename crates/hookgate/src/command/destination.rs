//! `hookgate destination`: where events are passed on to.

use hookgate_core::delivery::{Comparison, DestinationKind, Format};
use hookgate_core::mask::visible;
use serde_json::{Map, Value, json};

use super::tenant::limit;
use crate::cli::deliveries::{Destination, Settings};
use crate::client::{self, Api, or_missing, path};
use crate::environment::Environment;
use crate::exit::{Outcome, Usage};
use crate::input;
use crate::output::{line, remark, table};
use crate::record::{self, CELL_CHARS_MAX, Column};
use crate::stored::{one_of, text};

/// Where destinations are.
const PATH: &str = "/api/v1/destinations";

/// Runs the command.
pub(crate) fn run(command: Destination, environment: &Environment) -> anyhow::Result<Outcome> {
    client::block_on(async {
        let api = Api::here(environment)?;
        match command {
            Destination::Add { tenant, settings, print } => {
                add(&api, tenant.as_deref(), &settings, print.json).await?;
            }
            Destination::List { listing } => {
                let rows = api.list(PATH, &[], limit(listing.limit)).await?;
                let none =
                    "No destinations. `hookgate destination add --kind http --url …` adds one.";
                return record::list(&rows, &COLUMNS, listing.json, none);
            }
            Destination::Show { id, print } => {
                let found = api.get(&path(&["destinations", &id])?, &[]).await;
                record::show(&or_missing(found, &missing(&id))?, print.json)?;
            }
            Destination::Set { id, settings, clear, print } => {
                let mut changes = members(&settings)?;
                changes.extend(clear.into_iter().map(|it| (it, Value::Null)));
                if changes.is_empty() {
                    return Err(Usage::new("say what is to be changed: see --help").into());
                }
                let after = api.patch(&path(&["destinations", &id])?, &changes.into()).await;
                record::show(&or_missing(after, &missing(&id))?, print.json)?;
            }
            Destination::Remove { id, print } => {
                let removed = api.delete(&path(&["destinations", &id])?, &[]).await;
                or_missing(removed, &missing(&id))?;
                let sentence = "The destination is gone, and what waited for it.";
                record::done(&json!({ "removed": id }), print.json, sentence)?;
            }
            Destination::Rotate { id, overlap, print } => {
                let overlap = input::seconds("--overlap", &overlap)?;
                let body = json!({ "overlap_seconds": overlap });
                let made = act(&api, &id, "rotate", &body).await?;
                print_secret(&made, print.json)?;
                if !print.json && overlap > 0 {
                    remark(format_args!("The old one signs too for another {overlap} s."));
                } else if !print.json {
                    remark(format_args!("The old one signs no more."));
                }
            }
            Destination::Test { id, print } => {
                let made = act(&api, &id, "test", &json!({})).await?;
                let delivery = text(&made, "/id", CELL_CHARS_MAX);
                let sentence = format!(
                    "A test is on its way: `hookgate deliveries show {delivery}` says what became of it."
                );
                record::done(&made, print.json, sentence)?;
            }
            Destination::Enable { id, print } => {
                let now = act(&api, &id, "enable", &json!({})).await?;
                record::done(&now, print.json, "The destination gets events.")?;
            }
            Destination::Disable { id, print } => {
                let now = act(&api, &id, "disable", &json!({})).await?;
                let sentence = "The destination gets no events: what waits goes on waiting, what \
                                comes is skipped.";
                record::done(&now, print.json, sentence)?;
            }
        }
        Ok(Outcome::Done)
    })
}

const COLUMNS: [Column; 7] = [
    ("ID", |it| text(it, "/id", CELL_CHARS_MAX)),
    ("NAME", |it| text(it, "/name", CELL_CHARS_MAX)),
    ("TENANT", |it| text(it, "/tenant", CELL_CHARS_MAX)),
    ("KIND", |it| text(it, "/kind", CELL_CHARS_MAX)),
    ("URL", |it| text(it, "/url", CELL_CHARS_MAX)),
    ("EVENTS", |it| words(it, "/events")),
    ("STATE", state),
];

/// Whether it gets anything, and why not.
fn state(destination: &Value) -> String {
    let mut state = text(destination, "/state", CELL_CHARS_MAX);
    if let Some(reason) = destination.get("disabled_reason").and_then(Value::as_str) {
        state = format!("{state} ({})", visible(reason));
    }
    if destination.pointer("/breaker/open") == Some(&Value::Bool(true)) {
        state.push_str(" (down)");
    }
    state
}

/// The words of a list.
fn words(record: &Value, at: &str) -> String {
    let words = record.pointer(at).and_then(Value::as_array).into_iter().flatten();
    let words: Vec<&str> = words.filter_map(Value::as_str).collect();
    crate::output::cell(&words.join(" "), CELL_CHARS_MAX)
}

async fn add(
    api: &Api,
    tenant: Option<&str>,
    settings: &Settings,
    as_json: bool,
) -> anyhow::Result<()> {
    let mut body = members(settings)?;
    if !body.contains_key("kind") || !body.contains_key("url") {
        return Err(Usage::new("a destination needs --kind, and --url or --url-file").into());
    }
    body.extend(tenant.map(|it| ("tenant".to_owned(), Value::from(it))));
    let absent = super::tenant::missing(tenant.unwrap_or_default());
    let made = or_missing(api.post(PATH, &body.into()).await, &absent)?;
    print_secret(&made, as_json)?;
    if !as_json {
        let id = text(&made, "/id", CELL_CHARS_MAX);
        remark(format_args!("`hookgate destination test {id}` sends a test."));
    }
    Ok(())
}

/// Does something to a destination.
async fn act(api: &Api, id: &str, what: &str, body: &Value) -> anyhow::Result<Value> {
    match api.post(&path(&["destinations", id, what])?, body).await {
        Err(error) if client::is_problem(&error, "destination-disabled") => {
            let first = format!("`hookgate destination enable {}` comes first", visible(id));
            Err(error.context(first))
        }
        done => or_missing(done, &missing(id)),
    }
}

/// Prints id and secret, and remarks that the secret is shown once. Slack, Discord and ntfy
/// check none.
fn print_secret(made: &Value, as_json: bool) -> anyhow::Result<()> {
    if as_json {
        return Ok(line(made)?);
    }
    let is_signed = made.get("kind").is_none_or(|it| it == DestinationKind::Http.name());
    let shown: &[&str] = if is_signed { &["id", "secret"] } else { &["id"] };
    if is_signed {
        remark(
            "The secret is shown once. Its receiver checks signatures with it (Standard Webhooks).",
        );
    }
    let row = |it: &&str| vec![(*it).to_owned(), text(made, &format!("/{it}"), 200)];
    Ok(table(&[], &shown.iter().map(row).collect::<Vec<_>>())?)
}

/// The members that flags give.
fn members(settings: &Settings) -> anyhow::Result<Map<String, Value>> {
    let kinds = DestinationKind::ALL.map(DestinationKind::name);
    let formats = Format::ALL.map(Format::name);
    let url = match &settings.url_file {
        Some(file) => Some(input::secret("--url-file", file)?),
        None => settings.url.clone(),
    };
    let mut filter = Vec::new();
    for text in &settings.filter {
        let comparison = serde_json::from_str::<Comparison>(text).map_err(|error| {
            let wanted =
                r#"--filter is a JSON object: {"pointer":"/kind","op":"eq","value":"call.ended"}"#;
            Usage::new(format!("{wanted} ({error})"))
        })?;
        filter.push(serde_json::to_value(comparison)?);
    }
    let list = |it: &Vec<String>| (!it.is_empty()).then(|| Value::from(it.clone()));
    let members = [
        ("kind", one_of("--kind", settings.kind.as_deref(), &kinds)?.map(Value::from)),
        ("url", url.map(Value::from)),
        ("events", list(&settings.events)),
        ("providers", list(&settings.providers)),
        ("format", one_of("--format", settings.format.as_deref(), &formats)?.map(Value::from)),
        ("filter", (!filter.is_empty()).then(|| Value::from(filter))),
        ("template", settings.template.clone().map(Value::from)),
        ("rate_per_second", settings.rate_per_second.map(Value::from)),
        ("concurrency", settings.concurrency.map(Value::from)),
        ("ordered", settings.ordered.map(Value::from)),
        ("timeout_ms", settings.timeout_ms.map(Value::from)),
        ("name", settings.name.clone().map(Value::from)),
    ];
    Ok(members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect())
}

fn missing(id: &str) -> String {
    let id = visible(id);
    format!("there is no destination {id}: `hookgate destination list` shows those there are")
}
