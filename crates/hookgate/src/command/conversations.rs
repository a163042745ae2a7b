//! `hookgate conversations`: whose a call, chat, thread or ticket is, and what its events tell.

mod content;
mod rebuild;

use serde_json::{Map, Value};

use super::tenant::{self, limit};
use super::{erasure, events, secret};
use crate::cli::registry::{Conversations, Erasing, Listing, WhichConversations};
use crate::client::{self, Api, or_missing, path};
use crate::environment::Environment;
use crate::exit::Outcome;
use crate::input;
use crate::output::{line, table};
use crate::record::{self, CELL_CHARS_MAX, Column};
use crate::stored::{moment, text};

/// Where conversations are.
const PATH: &str = "/api/v1/conversations";

/// Runs the command.
pub(crate) fn run(command: Conversations, environment: &Environment) -> anyhow::Result<Outcome> {
    client::block_on(async {
        let api = Api::here(environment)?;
        match command {
            Conversations::List { which, listing } => list(&api, which, listing).await,
            Conversations::Rebuild { print } => rebuild::run(environment, print.json).await,
            Conversations::Show { provider, id, print } => {
                let provider = secret::named(&provider)?.name;
                let found = api.get(&path(&["conversations", provider, &id])?, &[]).await;
                let found = or_missing(found, &missing(provider, &id))?;
                if print.json {
                    line(found)?;
                } else {
                    show(&found)?;
                }
                Ok(Outcome::Done)
            }
            Conversations::Register { tenant, provider, id, agent, phone_number, print } => {
                let provider = secret::named(&provider)?.name;
                let mut body = Map::new();
                for (name, value) in [
                    ("tenant", Some(tenant.clone())),
                    ("provider", Some(provider.to_owned())),
                    ("external_id", Some(id)),
                    ("agent_id", agent),
                    ("phone_number_id", phone_number),
                ] {
                    body.extend(value.map(|it| (name.to_owned(), Value::from(it))));
                }
                register(&api, &tenant, &body.into(), print.json).await
            }
            Conversations::Erase { provider, id, erasing } => {
                erase(&api, secret::named(&provider)?.name, &id, erasing).await
            }
        }
    })
}

async fn list(api: &Api, which: WhichConversations, listing: Listing) -> anyhow::Result<Outcome> {
    let provider = which.provider.map(|it| secret::named(&it)).transpose()?;
    let query = [
        ("tenant", which.tenant),
        ("provider", provider.map(|it| it.name.to_owned())),
        ("channel", which.channel),
        ("status", which.status),
        ("agent", which.agent),
        ("number", which.number),
        ("since", moment_of("--since", which.since)?),
        ("until", moment_of("--until", which.until)?),
        ("q", which.q),
    ];
    let query: Vec<(&'static str, String)> =
        query.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    let rows = api.list(PATH, &query, limit(listing.limit)).await?;
    let none = if query.is_empty() {
        "No conversation is known yet. The first event of one makes it known."
    } else {
        "No conversation is like that."
    };
    record::list(&rows, &COLUMNS, listing.json, none)
}

/// A time as the API takes it.
fn moment_of(flag: &str, text: Option<String>) -> anyhow::Result<Option<String>> {
    let read = |it: String| input::moment(flag, &it, input::now()).map(|it| it.to_string());
    text.map(read).transpose()
}

const COLUMNS: [Column; 9] = [
    ("SINCE", |it| moment(it, "/created_at")),
    ("TENANT", |it| text(it, "/tenant", CELL_CHARS_MAX)),
    ("PROVIDER", |it| text(it, "/provider", CELL_CHARS_MAX)),
    ("CONVERSATION", |it| text(it, "/external_id", CELL_CHARS_MAX)),
    ("CHANNEL", |it| text(it, "/content/channel", CELL_CHARS_MAX)),
    ("STATUS", content::status),
    ("NUMBER", |it| content::number(it, "their_number")),
    ("AGENT", agent),
    ("ORIGIN", |it| text(it, "/origin", CELL_CHARS_MAX)),
];

/// The agent that it is known with; else the one that its events name.
fn agent(record: &Value) -> String {
    let places = ["/agent_id", "/content/agent/id", "/content/agent/name"];
    let found = places.into_iter().map(|it| text(record, it, CELL_CHARS_MAX));
    found.into_iter().find(|it| it != "-").unwrap_or_else(|| "-".to_owned())
}

fn missing(provider: &str, id: &str) -> String {
    let id = hookgate_core::mask::visible(id);
    format!(
        "there is no conversation {id} of {provider}: `hookgate events list --conversation {id}` \
         shows what came of it, `hookgate conversations register` says whose it is"
    )
}

async fn register(api: &Api, tenant: &str, body: &Value, as_json: bool) -> anyhow::Result<Outcome> {
    let made = match api.create(PATH, body).await {
        Err(error) if client::is_problem(&error, "taken") => {
            return Err(error.context("the conversation, its agent or its number is another's"));
        }
        made => or_missing(made, &tenant::missing(tenant))?,
    };
    let id = text(&made.record, "/external_id", CELL_CHARS_MAX);
    let sentence = if made.is_new {
        format!("{id} is {tenant}'s.")
    } else {
        format!("{id} is {tenant}'s already; its agent and number are as given now.")
    };
    record::done(&made.record, as_json, sentence)?;
    Ok(Outcome::Done)
}

/// Prints the owners of the conversation, its agent and its phone number, and the verdict.
fn show(found: &Value) -> anyhow::Result<()> {
    let row = |name: &str, id: &str, owner: &str| {
        let owner = match text(found, owner, CELL_CHARS_MAX).as_str() {
            "-" => "nobody".to_owned(),
            tenant => tenant.to_owned(),
        };
        vec![name.to_owned(), text(found, id, usize::MAX), owner]
    };
    let mut rows = vec![row("conversation", "/external_id", "/owners/conversation")];
    for (name, owner) in [("agent", "agent"), ("phone number", "phone_number")] {
        let is_named = found.pointer(&format!("/owners/{owner}")).is_some_and(|it| !it.is_null());
        if is_named {
            let at = format!("/owners/{owner}");
            rows.push(row(name, &format!("{at}/external_id"), &format!("{at}/tenant")));
        } else {
            rows.push(vec![name.to_owned(), "-".to_owned(), "-".to_owned()]);
        }
    }
    table(&["", "ID", "OWNER"], &rows)?;
    line("")?;
    line(format_args!("Provider  {}", text(found, "/provider", CELL_CHARS_MAX)))?;
    line(format_args!(
        "Origin    {}, {}",
        text(found, "/origin", CELL_CHARS_MAX),
        moment(found, "/created_at")
    ))?;
    let verdict = text(found, "/verdict", CELL_CHARS_MAX);
    line(format_args!("Verdict   {verdict}: {}", meaning(&verdict)))?;
    let events = found.get("events").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    if events.is_empty() {
        return Ok(line("\nNo event of it is stored.")?);
    }
    line("\nThe latest events:")?;
    record::print_table(events, &EVENTS)?;
    content::print(found)
}

/// What a verdict means for the next event, and what to do.
fn meaning(verdict: &str) -> &'static str {
    match verdict {
        "consistent" => "all that are bound are bound to its owner",
        "contradiction" => {
            "they are bound to different tenants, so its events are refused; `hookgate binding list \
             --external-id ID` shows which binding is wrong"
        }
        _ => "nobody owns it; bind its agent or phone number, or register it",
    }
}

const EVENTS: [Column; 7] = [
    ("RECEIVED", |it| moment(it, "/received_at")),
    ("TYPE", |it| text(it, "/type", CELL_CHARS_MAX)),
    ("STATUS", events::status),
    ("VERDICT", |it| text(it, "/attribution/verdict", CELL_CHARS_MAX)),
    ("WHY", |it| text(it, "/attribution/reason", CELL_CHARS_MAX)),
    ("OWNER", record::owner),
    ("ID", |it| text(it, "/id", CELL_CHARS_MAX)),
];

async fn erase(api: &Api, provider: &str, id: &str, erasing: Erasing) -> anyhow::Result<Outcome> {
    let shown = hookgate_core::mask::visible(id);
    let what = format!("the conversation {shown} of {provider} with its events");
    if !erasure::confirm(what, id, erasing)? {
        return Ok(Outcome::Refused);
    }
    let begun = api.delete(&path(&["conversations", provider, id])?, &[]).await;
    let missing = format!("there is no conversation {shown} of {provider}");
    erasure::follow(api, or_missing(begun, &missing)?, erasing).await
}
