//! `hookgate credential`: what tenants' tools sign in with. Sealed; values are write-only.

use std::io::IsTerminal as _;
use std::path::Path;

use hookgate_secrets::SquareCredential;
use serde_json::{Value, json};

use super::tenant::{self, limit};
use crate::cli::registry::Credential;
use crate::client::{self, Api, or_missing, path};
use crate::environment::Environment;
use crate::exit::Outcome;
use crate::input;
use crate::output::remark;
use crate::record::{self, CELL_CHARS_MAX, Column};
use crate::stored::{moment, text};

/// What is said of a credential by Square's name that no booking can be made with. It may be
/// somebody else's, so it is kept.
const NOT_SQUARE: &str = "No booking can be made with it: for Square it is a JSON object with access_token, \
     location_id and environment (sandbox or production).";

/// Runs the command.
pub(crate) fn run(command: Credential, environment: &Environment) -> anyhow::Result<Outcome> {
    client::block_on(async {
        let api = Api::here(environment)?;
        match command {
            Credential::Set { tenant, name, file, print } => {
                let value = read(file.as_deref())?;
                let at = path(&["tenants", &tenant, "credentials", &name])?;
                or_missing(api.put(&at, &value).await, &tenant::missing(&tenant))?;
                let set = json!({ "tenant": tenant, "name": name });
                record::done(&set, print.json, format!("{name} of {tenant} is sealed."))?;
                if name == SquareCredential::NAME && SquareCredential::read(&value).is_err() {
                    remark(NOT_SQUARE);
                }
                Ok(Outcome::Done)
            }
            Credential::List { tenant, listing } => {
                let at = path(&["tenants", &tenant, "credentials"])?;
                let rows = api.list(&at, &[], limit(listing.limit)).await;
                let rows = or_missing(rows, &tenant::missing(&tenant))?;
                let none =
                    "No credentials. `hookgate credential set TENANT NAME --file F` seals one.";
                record::list(&rows, &COLUMNS, listing.json, none)
            }
            Credential::Remove { tenant, name, print } => {
                let at = path(&["tenants", &tenant, "credentials", &name])?;
                let missing = format!(
                    "there is no such credential: `hookgate credential list {tenant}` shows those \
                     there are"
                );
                or_missing(api.delete(&at, &[]).await, &missing)?;
                let removed = json!({ "removed": name });
                record::done(&removed, print.json, format!("{name} of {tenant} is gone."))?;
                Ok(Outcome::Done)
            }
        }
    })
}

const COLUMNS: [Column; 2] =
    [("NAME", |it| text(it, "/name", CELL_CHARS_MAX)), ("SEALED", |it| moment(it, "/updated_at"))];

/// The credential: a JSON object or text as it is, or else the text without outer white
/// space. Never a flag, where `ps` would show it.
fn read(file: Option<&Path>) -> anyhow::Result<Value> {
    if file.is_none() && std::io::stdin().is_terminal() {
        remark("Give the credential, JSON or text, and end it with Ctrl-D on a line of its own:");
    }
    let text = input::secret("--file", file.unwrap_or(Path::new("-")))?;
    Ok(match serde_json::from_str(&text) {
        Ok(value @ (Value::Object(_) | Value::String(_))) => value,
        _ => Value::String(text),
    })
}
