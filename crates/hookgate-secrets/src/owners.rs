//! Whose a name in a secret store is.
//!
//! The registry knows all tenants and which agents are whose. A secret store knows names
//! only, with fewer letters. Before a store is asked under a name, everybody who could come
//! out under it is looked for: if that is anybody else, nobody gets an answer.

use hookgate_core::event::ClaimKind;
use hookgate_core::tenant::TenantId;
use hookgate_store::{BindingFilter, Registry, RegistryError, Rows};

use crate::error::SecretsError;
use crate::template::Template;

/// Tenants read at a time.
const PAGE: u32 = 1_000;

/// The longest id of an agent that a secret is looked for by, in bytes.
const AGENT_ID_BYTES_MAX: usize = 128;

/// The names that a secret store may be asked under.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    pub(crate) credential: Template,
    pub(crate) agent: Option<Template>,
}

impl Names {
    /// Checks that `rendered` can be of `tenant` alone.
    ///
    /// # Errors
    ///
    /// [`SecretsError::Ambiguous`], or the registry does not answer.
    pub(crate) async fn check_sole(
        &self,
        registry: &Registry,
        tenant: &TenantId,
        rendered: &str,
    ) -> Result<(), SecretsError> {
        if self.agent.is_some() || !self.credential.tells_tenants_apart() {
            self.check_tenants(registry, tenant, rendered).await?;
        }
        let agents = self.agent.iter().flat_map(|it| it.agents(rendered));
        for id in agents {
            if bound_to(registry, &id).await?.iter().any(|it| it != tenant) {
                return Err(SecretsError::Ambiguous);
            }
        }
        Ok(())
    }

    async fn check_tenants(
        &self,
        registry: &Registry,
        tenant: &TenantId,
        rendered: &str,
    ) -> Result<(), SecretsError> {
        let mut after = None;
        loop {
            let page = registry.tenants(Rows { after, limit: PAGE }).await?;
            let could_be = |it: &TenantId| self.credential.could_be_of(it.as_str(), rendered);
            if page.iter().any(|it| it.id != *tenant && could_be(&it.id)) {
                return Err(SecretsError::Ambiguous);
            }
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.row);
        }
    }
}

/// Whether the agent is the tenant's and nobody else's.
pub(crate) async fn is_agent_of(
    registry: &Registry,
    tenant: &TenantId,
    agent_id: &str,
) -> Result<bool, RegistryError> {
    let owners = bound_to(registry, agent_id).await?;
    Ok(!owners.is_empty() && owners.iter().all(|it| it == tenant))
}

/// Whether a secret can be named after the agent: its id has letters, digits, `.`, `_` and
/// `-`, and begins with one of the first two.
pub(crate) fn is_agent_id(text: &str) -> bool {
    let fits = |it: u8| it.is_ascii_alphanumeric() || b"._-".contains(&it);
    let begins = text.bytes().next().is_some_and(|it| it.is_ascii_alphanumeric());
    begins && text.len() <= AGENT_ID_BYTES_MAX && text.bytes().all(fits)
}

/// The tenants that an agent of this id is bound to, at any provider.
async fn bound_to(registry: &Registry, agent_id: &str) -> Result<Vec<TenantId>, RegistryError> {
    let filter = BindingFilter {
        kind: Some(ClaimKind::Agent),
        external_id: Some(agent_id.to_owned()),
        ..BindingFilter::default()
    };
    // One for each provider at most.
    let found = registry.bindings(filter, Rows::ALL).await?;
    Ok(found.into_iter().map(|(_, binding)| binding.tenant).collect())
}
