//! `hookgate alerts`: what the gateway has to say of itself, of its sources and destinations.

use super::tenant::limit;
use crate::cli::alerts::Alerts;
use crate::client::{self, Api};
use crate::environment::Environment;
use crate::exit::Outcome;
use crate::record::{self, CELL_CHARS_MAX, Column};
use crate::stored::{moment, text};

/// Where alerts are.
const PATH: &str = "/api/v1/alerts";

/// So much of an alert's text fits a line of a list.
const TEXT_CHARS_MAX: usize = 100;

/// Runs the command.
pub(crate) fn run(command: &Alerts, environment: &Environment) -> anyhow::Result<Outcome> {
    let Alerts::List { limit: at_most, print } = command;
    client::block_on(async {
        let rows = Api::here(environment)?.list(PATH, &[], limit(*at_most)).await?;
        record::list(&rows, &COLUMNS, print.json, "No alerts.")
    })
}

const COLUMNS: [Column; 5] = [
    ("RAISED", |it| moment(it, "/raised_at")),
    ("CLEARED", |it| moment(it, "/cleared_at")),
    ("KIND", |it| text(it, "/kind", CELL_CHARS_MAX)),
    ("SUBJECT", |it| text(it, "/subject", CELL_CHARS_MAX)),
    ("TEXT", |it| text(it, "/text", TEXT_CHARS_MAX)),
];
