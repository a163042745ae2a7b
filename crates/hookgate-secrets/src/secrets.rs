//! What the rest of the program asks for credentials.

use std::collections::BTreeSet;
use std::sync::Arc;

use hookgate_core::tenant::TenantId;
use hookgate_core::time::Timestamp;
use hookgate_store::{Registry, RegistryError, SealedCredential, SealedKey};

use crate::backend::Backend;
use crate::error::SecretsError;
use crate::key::{Key, MasterId, MasterKeys};
use crate::owners::{is_agent_id, is_agent_of};
use crate::seal::{self, NotOpened, Purpose};
use crate::square::SquareCredential;
use crate::value::{SecretValue, VALUE_BYTES_MAX};

/// The longest name of a credential, in bytes. It stands in paths.
const NAME_BYTES_MAX: usize = 64;

/// The "tenant" whose data key is the installation's own. No tenant's id is empty.
const INSTALLATION: &str = "";

/// Ids of master keys that a message names at most.
const IDS_SHOWN_MAX: usize = 3;

/// Credentials of tenants, wherever they are, and what the installation seals for itself.
///
/// Data keys are unwrapped and credentials opened anew each time: that is some microseconds,
/// and what is open is there no longer than it is used. Sealed, the registry may remember them
/// while they are as they were.
#[derive(Debug)]
pub struct Secrets {
    registry: Registry,
    keys: Option<MasterKeys>,
    backend: Backend,
}

/// Why credentials cannot be used, so that nobody should start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Sealed rows, and no key.
    #[error(
        "the store holds credentials that are sealed ({tenants} data keys), and there is no master key: \
         set HOOKGATE_MASTER_KEY or HOOKGATE_MASTER_KEY_FILE to the one they were sealed with, or put \
         master.key back into the store's folder"
    )]
    NoMasterKey {
        /// How many data keys there are.
        tenants: usize,
    },
    /// Sealed rows, and other keys.
    #[error(
        "none of the given master keys opens {closed} of {tenants} data keys in the store: give the key \
         they were sealed with too (its id is {masters}), behind the new one, in HOOKGATE_MASTER_KEY"
    )]
    WrongMasterKey {
        /// How many data keys do not open.
        closed: usize,
        /// Of how many.
        tenants: usize,
        /// The ids of the keys that are missing.
        masters: String,
    },
    /// The registry does not answer.
    #[error("the sealed data keys cannot be read")]
    Registry(#[source] RegistryError),
}

impl Secrets {
    /// Credentials sealed in the store, under these master keys.
    ///
    /// # Errors
    ///
    /// Something is sealed that these keys do not open. A start with the wrong key would
    /// seal new values that the right one does not open.
    pub async fn open(registry: Registry, keys: Option<MasterKeys>) -> Result<Self, OpenError> {
        let rows = registry.known_data_keys().await.map_err(OpenError::Registry)?;
        let tenants = rows.len();
        let Some(given) = &keys else {
            if tenants > 0 {
                return Err(OpenError::NoMasterKey { tenants });
            }
            return Ok(Self { registry, keys, backend: Backend::default() });
        };
        let mut closed = 0_usize;
        let mut missing = BTreeSet::new();
        for row in &rows {
            let id = MasterId(row.master);
            match given.find(id).map(|it| seal::unwrap(it, &row.tenant, &row.wrapped)) {
                Some(Ok(_)) => {}
                // One damaged row is one tenant's trouble, and no reason to lose events of all.
                Some(Err(_)) => log_damaged(&row.tenant),
                None => {
                    closed = closed.saturating_add(1);
                    missing.insert(id);
                }
            }
        }
        if closed > 0 {
            let masters: Vec<_> =
                missing.iter().take(IDS_SHOWN_MAX).map(ToString::to_string).collect();
            let masters = masters.join(", ");
            return Err(OpenError::WrongMasterKey { closed, tenants, masters });
        }
        Ok(Self { registry, keys, backend: Backend::default() })
    }

    /// The same with credentials from `backend`.
    #[must_use]
    pub fn with_backend(self, backend: Backend) -> Self {
        Self { backend, ..self }
    }

    /// What people call the place that credentials come from.
    #[must_use]
    pub fn place(&self) -> &'static str {
        self.backend.name()
    }

    /// Seals a credential and keeps it.
    ///
    /// # Errors
    ///
    /// A [`SecretsError`]; `ReadOnly` where credentials are kept elsewhere.
    pub async fn put(
        &self,
        tenant: &TenantId,
        name: &str,
        value: &[u8],
        now: Timestamp,
    ) -> Result<(), SecretsError> {
        check_name(name)?;
        if value.len() > VALUE_BYTES_MAX {
            return Err(SecretsError::TooLarge);
        }
        if let Backend::External(_) = &self.backend {
            return Err(SecretsError::ReadOnly(self.backend.name()));
        }
        let key = self.key_or_new(tenant.as_str()).await?;
        let purpose = Purpose::Credential { tenant: tenant.as_str(), name };
        let sealed = seal::seal(&key, purpose, value).map_err(random)?;
        let credential = SealedCredential {
            tenant: tenant.clone(),
            name: name.to_owned(),
            sealed,
            updated_at: now,
        };
        Ok(self.registry.put_credential(credential).await?)
    }

    /// A credential of a tenant, or nothing if there is none.
    ///
    /// # Errors
    ///
    /// A [`SecretsError`].
    pub async fn get(
        &self,
        tenant: &TenantId,
        name: &str,
    ) -> Result<Option<SecretValue>, SecretsError> {
        check_name(name)?;
        match &self.backend {
            Backend::Db(_) => self.sealed(tenant, name).await,
            Backend::External(external) => external.credential(&self.registry, tenant, name).await,
        }
    }

    /// A credential for a call of one agent: the tenant's; for `square`, else the agent's
    /// own, where the operator keeps one secret for each agent. That takes an agent that is
    /// bound to this tenant and to no other.
    ///
    /// # Errors
    ///
    /// A [`SecretsError`].
    pub async fn get_for_agent(
        &self,
        tenant: &TenantId,
        agent_id: &str,
        name: &str,
    ) -> Result<Option<SecretValue>, SecretsError> {
        let of_tenant = self.get(tenant, name).await?;
        if of_tenant.is_some() || name != SquareCredential::NAME || !is_agent_id(agent_id) {
            return Ok(of_tenant);
        }
        if !self.has_agent_template() || !is_agent_of(&self.registry, tenant, agent_id).await? {
            return Ok(None);
        }
        match &self.backend {
            Backend::External(external) => external.agent(&self.registry, tenant, agent_id).await,
            Backend::Db(db) => {
                let named = db.agent.as_ref().map(|it| it.render("", agent_id));
                match named.filter(|it| check_name(it).is_ok()) {
                    Some(name) => self.sealed(tenant, &name).await,
                    None => Ok(None),
                }
            }
        }
    }

    /// Seals something of the installation itself, for the row that `label` names.
    ///
    /// # Errors
    ///
    /// A [`SecretsError`].
    pub async fn seal_for_installation(
        &self,
        label: &str,
        value: &[u8],
    ) -> Result<Vec<u8>, SecretsError> {
        let key = self.key_or_new(INSTALLATION).await?;
        seal::seal(&key, Purpose::Installation { label }, value).map_err(random)
    }

    /// Opens what was sealed for the same label.
    ///
    /// # Errors
    ///
    /// A [`SecretsError`].
    pub async fn open_for_installation(
        &self,
        label: &str,
        sealed: &[u8],
    ) -> Result<SecretValue, SecretsError> {
        let key = self.key(INSTALLATION).await?;
        let key = key.ok_or(SecretsError::NotOpened(NotOpened::Wrong))?;
        let opened = seal::open(&key, Purpose::Installation { label }, sealed)?;
        Ok(SecretValue::new(opened))
    }

    /// Wraps every data key with the first master key, so that the others can be taken away.
    /// Says how many were wrapped anew. Broken off, it goes on where it was; done again, it
    /// does nothing.
    ///
    /// # Errors
    ///
    /// A [`SecretsError`]; what was done stays. With `NotOpened` all was done but what is
    /// damaged, which the log names.
    pub async fn rewrap(&self) -> Result<u64, SecretsError> {
        let keys = self.keys.as_ref().ok_or(SecretsError::NoMasterKey)?;
        let first = keys.first();
        let (mut rewrapped, mut damage) = (0_u64, None);
        for row in self.registry.data_keys().await? {
            if MasterId(row.master) == first.id {
                continue;
            }
            let key = match self.unwrap(&row) {
                Ok(key) => key,
                Err(SecretsError::NotOpened(cause)) => {
                    log_damaged(&row.tenant);
                    damage = Some(cause);
                    continue;
                }
                Err(error) => return Err(error),
            };
            let wrapped = seal::wrap(first, &row.tenant, &key).map_err(random)?;
            let row = SealedKey { master: first.id.0, wrapped, ..row };
            match self.registry.replace_data_key(row).await {
                Ok(()) => rewrapped = rewrapped.saturating_add(1),
                // The tenant is being erased, and its key with it.
                Err(RegistryError::NotFound | RegistryError::NoSuchTenant) => {}
                Err(error) => return Err(error.into()),
            }
        }
        damage.map_or(Ok(rewrapped), |cause| Err(cause.into()))
    }

    /// Forgets what is remembered of a tenant that is erased.
    pub fn forget(&self, tenant: &TenantId) {
        if let Backend::External(external) = &self.backend {
            external.cache.forget(tenant);
        }
    }

    fn has_agent_template(&self) -> bool {
        match &self.backend {
            Backend::Db(db) => db.agent.is_some(),
            Backend::External(external) => external.names.agent.is_some(),
        }
    }

    async fn sealed(
        &self,
        tenant: &TenantId,
        name: &str,
    ) -> Result<Option<SecretValue>, SecretsError> {
        let Some((row, key)) = self.registry.credential_and_key(tenant, name).await? else {
            return Ok(None);
        };
        let key = self.unwrap(&key.ok_or(SecretsError::NotOpened(NotOpened::Wrong))?)?;
        let purpose = Purpose::Credential { tenant: tenant.as_str(), name };
        Ok(Some(SecretValue::new(seal::open(&key, purpose, &row.sealed)?)))
    }

    async fn key(&self, tenant: &str) -> Result<Option<Key>, SecretsError> {
        let row = self.registry.data_key(tenant).await?;
        row.map(|row| self.unwrap(&row)).transpose()
    }

    /// The data key of a tenant; where it has none, a new one. Of two that are made at once
    /// the first stays, and both callers get that.
    async fn key_or_new(&self, tenant: &str) -> Result<Key, SecretsError> {
        let first = self.keys.as_ref().ok_or(SecretsError::NoMasterKey)?.first();
        if let Some(key) = self.key(tenant).await? {
            return Ok(key);
        }
        let wrapped =
            Key::draw().and_then(|key| seal::wrap(first, tenant, &key)).map_err(random)?;
        let row = SealedKey { tenant: tenant.to_owned(), master: first.id.0, wrapped };
        self.unwrap(&self.registry.add_data_key(row).await?)
    }

    fn unwrap(&self, row: &SealedKey) -> Result<Key, SecretsError> {
        let keys = self.keys.as_ref().ok_or(SecretsError::NoMasterKey)?;
        let id = MasterId(row.master);
        let master = keys.find(id);
        let unknown = || SecretsError::UnknownMasterKey { master: id.to_string() };
        Ok(seal::unwrap(master.ok_or_else(unknown)?, &row.tenant, &row.wrapped)?)
    }
}

fn check_name(name: &str) -> Result<(), SecretsError> {
    let fits = |it: u8| matches!(it, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.');
    let begins =
        name.bytes().next().is_some_and(|it| it.is_ascii_lowercase() || it.is_ascii_digit());
    let is_name = begins && name.len() <= NAME_BYTES_MAX && name.bytes().all(fits);
    if is_name { Ok(()) } else { Err(SecretsError::Name) }
}

fn log_damaged(tenant: &str) {
    tracing::error!(
        tenant.id = tenant,
        "the data key of a tenant was damaged: its credentials cannot be used; restore the registry from a \
         backup"
    );
}

fn random(cause: std::io::Error) -> SecretsError {
    SecretsError::Random(Arc::new(cause))
}
