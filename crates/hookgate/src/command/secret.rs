//! `hookgate secret`: makes secrets.

use hookgate_core::provider;

use crate::config::provider_names;
use crate::exit::{Outcome, Usage};
use crate::output::line;
use crate::random;

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
