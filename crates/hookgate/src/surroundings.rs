//! What the gateway needs of the world to ask for credentials: the way out, the environment,
//! and what references refer to.

use std::sync::Arc;

use anyhow::Context as _;
use hookgate_console::CheckDestination;
use hookgate_core::address::Policy;
use hookgate_core::secret::Secret;
use hookgate_core::tenant::Scope;
use hookgate_egress::{Egress, EgressError, Reach, Settings, Url};
use hookgate_secrets::{Backend, SecretsSettings, Surroundings, system_clock};

use crate::config;
use crate::environment::Environment;
use crate::exit::Usage;

/// The one way out, under what the operator allows.
pub(crate) fn egress(policy: &Policy) -> anyhow::Result<Egress> {
    let settings = Settings { policy: policy.clone(), authorities: Vec::new() };
    Egress::new(settings).context("cannot prepare requests to others")
}

/// What the operator can do about an address that may not be reached.
const ALLOW: &str = "HOOKGATE_EGRESS_ALLOW (or [egress] allow) lists the networks that may be, as in 127.0.0.0/8, when \
     the gateway starts";

/// Whether a destination may be at a URL, as its name resolves now.
pub(crate) fn destinations(egress: Egress) -> CheckDestination {
    Arc::new(move |url: String, scope| {
        let egress = egress.clone();
        Box::pin(async move {
            let url = Url::parse(&url).map_err(|_| "`url` is no URL".to_owned())?;
            match egress.admits(&url, Reach::Public).await {
                // It may later, and is asked again whenever something is sent.
                Ok(()) | Err(EgressError::Unresolved) => Ok(()),
                // A tenant does not hear what is inside.
                Err(error @ EgressError::Refused(cause)) if scope == Scope::Operator => {
                    Err(format!("{error}: {cause}; {ALLOW}"))
                }
                Err(error) => Err(error.to_string()),
            }
        })
    })
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
