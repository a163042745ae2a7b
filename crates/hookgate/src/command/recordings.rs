//! `hookgate recordings`: what is kept of what was said.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::Context as _;
use hookgate_core::mask::visible;
use hookgate_store::RecordingState;

use super::secret;
use super::tenant::limit;
use crate::cli::recordings::{Filter, Recordings};
use crate::client::{self, Api, or_missing, path};
use crate::environment::Environment;
use crate::exit::Outcome;
use crate::output;
use crate::record::{self, CELL_CHARS_MAX, Column};
use crate::stored::{moment, one_of, text};

/// Where recordings are.
const PATH: &str = "/api/v1/recordings";

/// Runs the command.
pub(crate) fn run(command: Recordings, environment: &Environment) -> anyhow::Result<Outcome> {
    match command {
        Recordings::List { filter, limit, print } => list(filter, limit, print.json, environment),
        Recordings::Get { id, out } => get(&id, &out, environment),
    }
}

fn list(
    filter: Filter,
    at_most: u32,
    as_json: bool,
    environment: &Environment,
) -> anyhow::Result<Outcome> {
    let states = RecordingState::ALL.map(RecordingState::name);
    let provider = filter.provider.map(|it| secret::named(&it)).transpose()?;
    let query = [
        ("tenant", filter.tenant),
        ("event", filter.event),
        ("provider", provider.map(|it| it.name.to_owned())),
        ("conversation", filter.conversation),
        ("state", one_of("--state", filter.state.as_deref(), &states)?),
    ];
    let query: Vec<(&'static str, String)> =
        query.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    client::block_on(async {
        let rows = Api::here(environment)?.list(PATH, &query, limit(at_most)).await?;
        let none = "No recordings. `[recordings] archive = true` keeps those that events name.";
        record::list(&rows, &COLUMNS, as_json, none)
    })
}

const COLUMNS: [Column; 8] = [
    ("RECEIVED", |it| moment(it, "/received_at")),
    ("TENANT", |it| text(it, "/tenant", CELL_CHARS_MAX)),
    ("CONVERSATION", |it| text(it, "/conversation_id", CELL_CHARS_MAX)),
    ("KIND", |it| text(it, "/kind", CELL_CHARS_MAX)),
    ("STATE", |it| text(it, "/state", CELL_CHARS_MAX)),
    ("BYTES", |it| text(it, "/size", CELL_CHARS_MAX)),
    ("ID", |it| text(it, "/id", CELL_CHARS_MAX)),
    ("REASON", |it| text(it, "/reason", usize::MAX)),
];

/// Writes the sound into a file as it comes.
fn get(id: &str, out: &Path, environment: &Environment) -> anyhow::Result<Outcome> {
    client::block_on(async {
        let at = path(&["recordings", id])?;
        let missing = format!(
            "there is no recording {}: `hookgate recordings list` shows those there are",
            visible(id)
        );
        let mut answer = or_missing(Api::here(environment)?.stream(&at).await, &missing)?;
        let failed = || format!("cannot write {}", out.display());
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(out)
            .with_context(failed)?;
        let written = async {
            let mut bytes = 0_u64;
            while let Some(piece) = answer.chunk().await.context("the recording broke off")? {
                file.write_all(&piece).with_context(failed)?;
                bytes = bytes.saturating_add(piece.len() as u64);
            }
            file.sync_all().with_context(failed)?;
            anyhow::Ok(bytes)
        };
        match written.await {
            Ok(bytes) => {
                output::remark(format_args!("Saved {bytes} bytes to {}.", out.display()));
                Ok(Outcome::Done)
            }
            Err(error) => {
                // Nobody takes a part for the whole.
                let _ = std::fs::remove_file(out);
                Err(error)
            }
        }
    })
}
