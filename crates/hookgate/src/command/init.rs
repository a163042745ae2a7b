//! `hookgate init`: secrets to begin with.

use std::path::Path;

use hookgate_core::provider::{self, Provider};

use crate::dotenv;
use crate::environment::Environment;
use crate::exit::Outcome;
use crate::output::{line, table};
use crate::random;

/// A variable that the gateway reads, and how a value for it is made.
struct Row {
    /// The names that will do; the first is written.
    names: Vec<&'static str>,
    make: Make,
    about: String,
}

enum Make {
    Secret(Option<&'static Provider>),
    Uuid,
    Key,
}

/// What was there already and what was written.
pub(crate) struct Written {
    /// Each variable, and what became of it.
    pub(crate) rows: Vec<(String, String)>,
    /// How many are new.
    pub(crate) added: usize,
}

/// Every secret that a gateway needs, the providers' first.
fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for provider in provider::ALL {
        rows.push(Row {
            names: provider.secret_variables.to_vec(),
            make: Make::Secret(Some(provider)),
            about: format!("proves webhooks of {}", provider.title),
        });
        rows.extend(provider.account_key_variable.map(|name| Row {
            names: vec![name],
            make: Make::Uuid,
            about: format!("the account key inside bodies of {}", provider.title),
        }));
    }
    rows.push(Row {
        names: vec!["HOOKGATE_ADMIN_TOKEN"],
        make: Make::Secret(None),
        about: "opens the API".to_owned(),
    });
    rows.push(Row {
        names: vec!["HOOKGATE_MASTER_KEY"],
        make: Make::Key,
        about: "seals stored credentials; keep a copy of it elsewhere".to_owned(),
    });
    rows
}

/// Runs the command.
pub(crate) fn run(environment: &Environment) -> anyhow::Result<Outcome> {
    let written = write_missing(environment)?;
    match written.added {
        0 => line(format_args!("{} is complete: nothing was changed.", dotenv::FILE))?,
        added => line(format_args!(
            "{} has {added} new values. Nobody but you can read it; do not commit it.",
            dotenv::FILE
        ))?,
    }
    line("")?;
    table(
        &[],
        &written
            .rows
            .iter()
            .map(|(name, state)| vec![name.clone(), state.clone()])
            .collect::<Vec<_>>(),
    )?;
    line("")?;
    line("Next:")?;
    line("  hookgate serve              runs the gateway with them")?;
    line("  hookgate send elevenlabs    posts a signed sample, from another terminal")?;
    line("  hookgate doctor             says what to paste into each dashboard")?;
    line("")?;
    line("A platform that makes its own secret (ElevenLabs, Retell, Tawk.to) shows it in its")?;
    line("dashboard: put that one in the place of the random one.")?;
    Ok(Outcome::Done)
}

/// Adds the missing secrets to `.env`. What has a value keeps it.
pub(crate) fn write_missing(environment: &Environment) -> anyhow::Result<Written> {
    let mut new = Vec::new();
    let mut states = Vec::new();
    for row in rows() {
        let Some(&name) = row.names.first() else { continue };
        if let Some(variable) = environment.first(&row.names)? {
            states.push((name.to_owned(), format!("kept     ({})", variable.origin)));
            continue;
        }
        let value = match row.make {
            Make::Secret(provider) => random::secret(provider)?,
            Make::Uuid => random::uuid()?.to_string(),
            Make::Key => random::key()?,
        };
        new.push((name, value));
        states.push((name.to_owned(), format!("written  {}", row.about)));
    }
    if !new.is_empty() {
        dotenv::add(Path::new(dotenv::FILE), &new)?;
    }
    Ok(Written { rows: states, added: new.len() })
}
