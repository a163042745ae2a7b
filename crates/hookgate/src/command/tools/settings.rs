//! `hookgate tools show` and `set`: what a tenant's agents may do.

use std::path::Path;

use hookgate_core::mask::visible;
use serde_json::{Value, json};

use crate::client::{self, Api, or_missing, path};
use crate::command::tenant::missing;
use crate::environment::Environment;
use crate::exit::{Outcome, Usage};
use crate::input;
use crate::output::line;
use crate::record;

/// Prints a tenant's settings, fit to be changed and set again.
pub(super) fn show(
    tenant: &str,
    as_json: bool,
    environment: &Environment,
) -> anyhow::Result<Outcome> {
    client::block_on(async {
        let at = path(&["tenants", tenant, "tools"])?;
        let settings = or_missing(Api::here(environment)?.get(&at, &[]).await, &missing(tenant))?;
        if as_json {
            line(settings)?;
        } else {
            // JSON escapes line breaks inside of texts, so a line is a line of ours.
            for text in serde_json::to_string_pretty(&settings)?.lines() {
                line(visible(text))?;
            }
        }
        Ok(Outcome::Done)
    })
}

/// Sets a tenant's settings to those in `file`, or removes them without one.
pub(super) fn set(
    tenant: &str,
    file: Option<&Path>,
    as_json: bool,
    environment: &Environment,
) -> anyhow::Result<Outcome> {
    let settings = file.map(read).transpose()?;
    client::block_on(async {
        let api = Api::here(environment)?;
        let at = path(&["tenants", tenant, "tools"])?;
        let name = visible(tenant);
        let said = if let Some(settings) = &settings {
            or_missing(api.put(&at, settings).await, &missing(tenant))?;
            format!("What {name}'s agents may do is set, from the next call on.")
        } else {
            or_missing(api.delete(&at, &[]).await, &missing(tenant))?;
            format!("What was set for {name}'s agents is gone: what holds for everybody holds.")
        };
        let done = json!({ "tenant": tenant, "cleared": settings.is_none() });
        record::done(&done, as_json, said)?;
        Ok(Outcome::Done)
    })
}

fn read(file: &Path) -> anyhow::Result<Value> {
    // Headers of endpoints may hold what is secret: what is wrong is not repeated.
    let text = input::secret("--file", file)?;
    serde_json::from_str(&text).map_err(|error| {
        let (at, column) = (error.line(), error.column());
        let fault = format!("--file {}: line {at}, column {column}: no JSON", file.display());
        Usage::new(fault).into()
    })
}
