//! `hookgate secret`: makes secrets, and seals under another master key.

use anyhow::Context as _;
use hookgate_core::provider;
use hookgate_secrets::Secrets;
use hookgate_store::Registry;
use serde_json::json;

use crate::cli::Anywhere;
use crate::config::{self, Place, provider_names};
use crate::environment::Environment;
use crate::exit::{Outcome, Usage};
use crate::output::line;
use crate::{client, master, random, stored};

/// `secret new`
pub(crate) fn new(provider: Option<&str>) -> anyhow::Result<Outcome> {
    let provider = provider.map(named).transpose()?;
    line(random::secret(provider)?)?;
    Ok(Outcome::Done)
}

/// The provider of this name.
pub(crate) fn named(name: &str) -> anyhow::Result<&'static provider::Provider> {
    provider::named(name).ok_or_else(|| {
        Usage::new(format!("no provider is called `{name}`; there are {}", provider_names())).into()
    })
}

/// `secret rewrap`: wraps every data key under the first master key. No credential is
/// touched, and a gateway may run meanwhile.
pub(crate) fn rewrap(
    at: &Anywhere,
    as_json: bool,
    environment: &Environment,
) -> anyhow::Result<Outcome> {
    let place = stored::place(environment, config::text(at.store.as_ref()))?;
    let folder = match &place {
        Place::Folder(folder) => folder,
        Place::Postgres(settings) => &settings.node_folder,
    };
    let given = environment.value("HOOKGATE_MASTER_KEY")?;
    let keys = master::find(given.as_deref(), folder)?.ok_or_else(|| {
        Usage::new(format!(
            "there is no master key: set HOOKGATE_MASTER_KEY to the new one and the old one, separated \
             by a blank, or put {} into {}",
            master::KEY_FILE,
            folder.display()
        ))
    })?;
    let rewrapped = client::block_on(async {
        let registry = match &place {
            Place::Folder(folder) => hookgate_store::open_registry(folder),
            Place::Postgres(settings) => Registry::open_postgres(settings),
        };
        let registry = registry.with_context(|| format!("cannot open the registry in {place}"))?;
        let secrets = Secrets::open(registry, Some(keys)).await?;
        secrets.rewrap().await.with_context(|| format!("cannot wrap all data keys in {place}"))
    })?;
    if as_json {
        line(json!({ "rewrapped": rewrapped }))?;
        return Ok(Outcome::Done);
    }
    line(match rewrapped {
        0 => "Every data key is under the first master key already.".to_owned(),
        count => format!("{count} data keys are under the first master key now."),
    })?;
    line(
        "The others can be taken out of HOOKGATE_MASTER_KEY. Keep a copy of the first elsewhere.",
    )?;
    Ok(Outcome::Done)
}
