//! What the gateway needs of the world to ask for credentials: the way out, the environment,
//! and what references refer to.

use std::sync::Arc;

use anyhow::Context as _;
use hookgate_core::address::Policy;
use hookgate_core::secret::Secret;
use hookgate_egress::{Egress, Settings};
use hookgate_secrets::{Backend, SecretsSettings, Surroundings, system_clock};

use crate::config;
use crate::environment::Environment;
use crate::exit::Usage;

/// The one way out, under what the operator allows.
pub(crate) fn egress(policy: &Policy) -> anyhow::Result<Egress> {
    let settings = Settings { policy: policy.clone(), authorities: Vec::new() };
    Egress::new(settings).context("cannot prepare requests to others")
}

/// The place of tenants' credentials that the settings describe. Nothing is asked yet.
pub(crate) fn backend(
    settings: &SecretsSettings,
    egress: Egress,
    environment: &Arc<Environment>,
) -> anyhow::Result<Backend> {
    let (variables, references) = (Arc::clone(environment), Arc::clone(environment));
    let around = Surroundings {
        egress,
        variables: Arc::new(move |name| variables.value(name).ok().flatten()),
        references: Arc::new(move |reference| {
            let found = config::resolve(reference, &references);
            found.map(|it| Secret::new(it.value)).map_err(|error| format!("{error:#}"))
        }),
        clock: system_clock(),
    };
    settings.backend(&around).map_err(|error| Usage::new(error.to_string()).into())
}
