//! `hookgate violations`: proven requests that contradict ownership.

use serde_json::Value;

use super::secret;
use super::tenant::limit;
use crate::cli::registry::Violations;
use crate::client::{self, Api};
use crate::environment::Environment;
use crate::exit::Outcome;
use crate::input;
use crate::record::{self, CELL_CHARS_MAX, Column};
use crate::stored::{moment, text};

/// Where violations are.
pub(super) const PATH: &str = "/api/v1/violations";

/// How wide the ids and their owners may be together, in characters.
const CLAIMS_CHARS_MAX: usize = 120;

/// Runs the command.
pub(crate) fn run(command: Violations, environment: &Environment) -> anyhow::Result<Outcome> {
    let Violations::List { tenant, source, provider, since, until, listing } = command;
    let now = input::now();
    let time = |flag, text: Option<String>| {
        let moment = text.map(|text| input::moment(flag, &text, now)).transpose()?;
        anyhow::Ok(moment.map(|it| it.to_string()))
    };
    let provider = provider.map(|it| secret::named(&it)).transpose()?;
    let query = [
        ("tenant", tenant),
        ("source", source),
        ("provider", provider.map(|it| it.name.to_owned())),
        ("since", time("--since", since)?),
        ("until", time("--until", until)?),
    ];
    let query: Vec<(&'static str, String)> =
        query.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    client::block_on(async {
        let rows = Api::here(environment)?.list(PATH, &query, limit(listing.limit)).await?;
        record::list(&rows, &COLUMNS, listing.json, "No violations.")
    })
}

const COLUMNS: [Column; 6] = [
    ("RECEIVED", |it| moment(it, "/at")),
    ("SOURCE", |it| text(it, "/source", CELL_CHARS_MAX)),
    ("WHAT", |it| text(it, "/text", usize::MAX)),
    ("WHY", |it| text(it, "/reason", usize::MAX)),
    ("WHO IS NAMED", |it| crate::output::cell(&named(it), CLAIMS_CHARS_MAX)),
    ("EVENT", |it| text(it, "/id", CELL_CHARS_MAX)),
];

/// The ids that a request named, and whose they are.
fn named(violation: &Value) -> String {
    let claims = violation.get("claims").and_then(Value::as_array);
    let one = |it: &Value| {
        format!(
            "{} {} of {}",
            text(it, "/kind", CELL_CHARS_MAX),
            text(it, "/external_id", CELL_CHARS_MAX),
            match text(it, "/tenant", CELL_CHARS_MAX).as_str() {
                "-" => "nobody",
                tenant => tenant,
            }
        )
    };
    claims.into_iter().flatten().map(one).collect::<Vec<_>>().join(", ")
}
