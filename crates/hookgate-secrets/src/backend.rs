//! Where credentials are: in the store itself, or in one secret store of the operator's.

mod azure;
mod local;
mod remote;
mod session;
mod vault;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hookgate_core::secret::Secret;
use hookgate_core::tenant::TenantId;
use hookgate_egress::{Egress, EgressError};
use hookgate_store::Registry;

pub(crate) use self::azure::{Azure, Identity};
pub(crate) use self::local::{Env, Files};
pub(crate) use self::remote::Remote;
pub(crate) use self::session::Session;
pub(crate) use self::vault::{SignIn, Vault};
use crate::cache::Cache;
use crate::error::{BackendError, SecretsError};
use crate::owners::Names;
use crate::template::Template;
use crate::value::SecretValue;

/// Time that only goes on, for ages and ends. Tests bring their own.
pub type Clock = Arc<dyn Fn() -> Instant + Send + Sync>;

/// The variables of the environment by name: passed in, so that nothing here reads it.
pub type Variables = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// What a reference as `env:NAME` or `file:/path` refers to, or a sentence that says why it
/// refers to nothing (and does not repeat a value). Asked anew at each sign-in, so that a
/// secret that is replaced in its file takes effect.
pub type References = Arc<dyn Fn(&str) -> Result<Secret, String> + Send + Sync>;

/// What a backend needs from the program around it.
#[derive(Clone)]
pub struct Surroundings {
    /// The way out.
    pub egress: Egress,
    /// The environment.
    pub variables: Variables,
    /// What references refer to.
    pub references: References,
    /// Time.
    pub clock: Clock,
}

/// The operating system's clock.
#[must_use]
pub fn system_clock() -> Clock {
    Arc::new(Instant::now)
}

/// Where credentials are. Made by [`crate::SecretsSettings::backend`].
#[derive(Debug)]
pub enum Backend {
    /// Sealed in the store.
    Db(Db),
    /// In a secret store of the operator's.
    External(Box<External>),
}

/// The store itself.
#[derive(Debug, Default)]
pub struct Db {
    /// The name of the credential that holds an agent's settings.
    pub(crate) agent: Option<Template>,
}

/// A secret store, the names that it is asked under, and what is remembered of it.
pub struct External {
    pub(crate) place: Place,
    pub(crate) names: Names,
    pub(crate) cache: Cache,
    /// How long one question may take, signing in included.
    pub(crate) deadline: Duration,
}

/// The secret stores.
pub(crate) enum Place {
    Env(Env),
    File(Files),
    VaultKv2(Vault),
    AzureKeyVault(Azure),
}

impl Default for Backend {
    fn default() -> Self {
        Self::Db(Db::default())
    }
}

impl Backend {
    /// What people call it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Db(_) => "the store",
            Self::External(external) => external.place.name(),
        }
    }
}

impl External {
    /// The credential called `name` of `tenant`.
    pub(crate) async fn credential(
        &self,
        registry: &Registry,
        tenant: &TenantId,
        name: &str,
    ) -> Result<Option<SecretValue>, SecretsError> {
        let rendered = self.names.credential.render(tenant.as_str(), name);
        self.named(registry, tenant, rendered).await
    }

    /// The settings of an agent, if the operator keeps one secret for each.
    pub(crate) async fn agent(
        &self,
        registry: &Registry,
        tenant: &TenantId,
        agent_id: &str,
    ) -> Result<Option<SecretValue>, SecretsError> {
        let Some(template) = &self.names.agent else { return Ok(None) };
        if !template.takes_agent(agent_id) {
            return Err(SecretsError::Ambiguous);
        }
        let rendered = template.render("", agent_id);
        self.named(registry, tenant, rendered).await
    }

    async fn named(
        &self,
        registry: &Registry,
        tenant: &TenantId,
        rendered: String,
    ) -> Result<Option<SecretValue>, SecretsError> {
        let key = (tenant.clone(), rendered.clone());
        self.cache
            .get(key, async || {
                self.names.check_sole(registry, tenant, &rendered).await?;
                let asked = tokio::time::timeout(self.deadline, self.place.ask(&rendered)).await;
                let late = Err(BackendError::Unreachable(EgressError::TimedOut));
                let place = self.place.name();
                asked.unwrap_or(late).map_err(|cause| SecretsError::Backend { place, cause })
            })
            .await
    }
}

impl Place {
    fn name(&self) -> &'static str {
        match self {
            Self::Env(_) => "the environment",
            Self::File(_) => "the secret files",
            Self::VaultKv2(_) => "Vault",
            Self::AzureKeyVault(_) => "Azure Key Vault",
        }
    }

    async fn ask(&self, name: &str) -> Result<Option<SecretValue>, BackendError> {
        match self {
            Self::Env(env) => env.ask(name),
            Self::File(files) => files.ask(name).await,
            Self::VaultKv2(vault) => vault.ask(name).await,
            Self::AzureKeyVault(azure) => azure.ask(name).await,
        }
    }
}

impl fmt::Debug for External {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("External").field("place", &self.place.name()).finish_non_exhaustive()
    }
}
