//! `hookgate key`: keys with which tenants read their own data.

use serde_json::{Map, json};

use super::tenant::{self, limit};
use crate::cli::registry::Key;
use crate::client::{self, Api, or_missing, path};
use crate::environment::Environment;
use crate::exit::Outcome;
use crate::output::{line, remark};
use crate::record::{self, CELL_CHARS_MAX, Column};
use crate::stored::{moment, text};

/// Runs the command.
pub(crate) fn run(command: Key, environment: &Environment) -> anyhow::Result<Outcome> {
    client::block_on(async {
        let api = Api::here(environment)?;
        match command {
            Key::Add { tenant, print } => {
                let made =
                    api.post(&path(&["tenants", &tenant, "keys"])?, &Map::new().into()).await;
                let made = or_missing(made, &tenant::missing(&tenant))?;
                if print.json {
                    line(&made)?;
                    return Ok(Outcome::Done);
                }
                remark(format_args!(
                    "{} reads what is {tenant}'s, as HOOKGATE_ADMIN_TOKEN or `Authorization: Bearer`. \
                     It is shown once:",
                    text(&made, "/id", CELL_CHARS_MAX)
                ));
                // Alone on standard output, so that a script can take it.
                line(text(&made, "/key", usize::MAX))?;
                Ok(Outcome::Done)
            }
            Key::List { tenant, listing } => {
                let at = path(&["tenants", &tenant, "keys"])?;
                let rows = api.list(&at, &[], limit(listing.limit)).await;
                let rows = or_missing(rows, &tenant::missing(&tenant))?;
                let none = "No keys. `hookgate key add TENANT` makes one.";
                record::list(&rows, &COLUMNS, listing.json, none)
            }
            Key::Remove { tenant, id, print } => {
                let removed = api.delete(&path(&["tenants", &tenant, "keys", &id])?, &[]).await;
                let missing = format!(
                    "there is no such key: `hookgate key list {tenant}` shows those there are"
                );
                or_missing(removed, &missing)?;
                let sentence = format!("{id} opens nothing any more.");
                record::done(&json!({ "removed": id }), print.json, sentence)?;
                Ok(Outcome::Done)
            }
        }
    })
}

const COLUMNS: [Column; 3] = [
    ("ID", |it| text(it, "/id", CELL_CHARS_MAX)),
    ("ENDS WITH", |it| text(it, "/hint", CELL_CHARS_MAX)),
    ("MADE", |it| moment(it, "/created_at")),
];
