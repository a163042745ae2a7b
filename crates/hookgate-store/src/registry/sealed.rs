//! Sealed rows: data keys and tenants' credentials. Who seals them is another crate; here
//! they are bytes.
//!
//! Each tool call asks for a credential, so those that were asked for are remembered, sealed as
//! they are, until they change. Another process changes no more of them than which master key
//! wraps a data key, and what this one has opened it can go on opening. Where there are other
//! nodes nothing is remembered.

use std::collections::HashMap;
use std::fmt;

use crate::sql::{self, Connection, OptionalExtension, Row, params};
use hookgate_core::tenant::{Scope, TenantId};
use hookgate_core::time::Timestamp;

use super::error::Stop;
use super::memory::Effect;
use super::{Registry, RegistryError, columns, tenants, text};

/// Credentials of one tenant at most: one for each agent that has its own.
pub const CREDENTIALS_PER_TENANT_MAX: u64 = 1_000;

/// The longest sealed value, in bytes: one of 64 KiB, and what sealing adds.
pub const SEALED_BYTES_MAX: usize = 128 << 10;

/// The "tenant" whose data key is the installation's own. No tenant's id is empty.
pub(super) const INSTALLATION: &str = "";

/// Credentials that are remembered: as many as tenants are called at the same time. Past this
/// all are forgotten.
const REMEMBERED_MAX: usize = 1_024;

/// The longest sealed value that is remembered, in bytes: all of them take 4 MiB at most.
const REMEMBERED_BYTES_MAX: usize = 4 << 10;

/// A data key, wrapped.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedKey {
    /// Whose values it seals; empty: the installation's own.
    pub tenant: String,
    /// Which master key wraps it.
    pub master: [u8; 8],
    /// The wrapped key.
    pub wrapped: Vec<u8>,
}

/// A tenant's credential, sealed.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedCredential {
    /// Whose it is.
    pub tenant: TenantId,
    /// Its name.
    pub name: String,
    /// The sealed value.
    pub sealed: Vec<u8>,
    /// When it was last set.
    pub updated_at: Timestamp,
}

/// A credential, and the data key of its tenant if that is there.
pub type CredentialAndKey = (SealedCredential, Option<SealedKey>);

impl fmt::Debug for SealedKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = out.debug_struct("SealedKey");
        out.field("tenant", &self.tenant).finish_non_exhaustive()
    }
}

impl fmt::Debug for SealedCredential {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = out.debug_struct("SealedCredential");
        out.field("tenant", &self.tenant).field("name", &self.name).finish_non_exhaustive()
    }
}

impl Registry {
    /// A data key; that of the installation under an empty name, from memory.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Unavailable`].
    pub async fn data_key(&self, tenant: &str) -> Result<Option<SealedKey>, RegistryError> {
        if tenant == INSTALLATION
            && let Some(key) = self.installation_key()
        {
            return Ok(Some(key));
        }
        let tenant = tenant.to_owned();
        self.read("reading a data key", move |connection| Ok(find_key(connection, &tenant)?)).await
    }

    /// Keeps a data key, unless there is one: the first wins, and is given back.
    ///
    /// # Errors
    ///
    /// A [`RegistryError`].
    pub async fn add_data_key(&self, key: SealedKey) -> Result<SealedKey, RegistryError> {
        self.write("adding a data key", move |connection| {
            check_key(connection, &key)?;
            if let Some(present) = find_key(connection, &key.tenant)? {
                return Ok((present, Vec::new()));
            }
            connection.execute(
                "INSERT INTO data_keys (tenant, master, wrapped) VALUES (?1, ?2, ?3)",
                params![key.tenant, key.master, key.wrapped],
            )?;
            let effects = effects_of(&key);
            Ok((key, effects))
        })
        .await
    }

    /// The data keys that are known; all of them, unless the database is away that nodes
    /// share: then that of the installation.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Unavailable`]: files cannot be read.
    pub async fn known_data_keys(&self) -> Result<Vec<SealedKey>, RegistryError> {
        match self.data_keys().await {
            Err(RegistryError::Unavailable { .. }) if self.shared.has_others() => {
                Ok(self.installation_key().into_iter().collect())
            }
            read => read,
        }
    }

    fn installation_key(&self) -> Option<SealedKey> {
        self.shared.memory().installation_key.clone()
    }

    /// All data keys, by tenant.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Unavailable`].
    pub async fn data_keys(&self) -> Result<Vec<SealedKey>, RegistryError> {
        self.read("listing data keys", |connection| {
            let select = "SELECT tenant, master, wrapped FROM data_keys ORDER BY tenant";
            let mut statement = connection.prepare_cached(select)?;
            let rows = statement.query_map([], key)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// Puts a data key in the place of the one that is there: the same key, wrapped by
    /// another master key.
    ///
    /// # Errors
    ///
    /// A [`RegistryError`]; `NotFound` when there is none.
    pub async fn replace_data_key(&self, key: SealedKey) -> Result<(), RegistryError> {
        self.write("replacing a data key", move |connection| {
            check_key(connection, &key)?;
            let replaced = connection.execute(
                "UPDATE data_keys SET master = ?2, wrapped = ?3 WHERE tenant = ?1",
                params![key.tenant, key.master, key.wrapped],
            )?;
            if replaced == 0 {
                return Err(RegistryError::NotFound.into());
            }
            Ok(((), effects_of(&key)))
        })
        .await
    }

    /// Keeps a credential, instead of the one of this name that is there.
    ///
    /// # Errors
    ///
    /// A [`RegistryError`].
    pub async fn put_credential(&self, credential: SealedCredential) -> Result<(), RegistryError> {
        self.write("keeping a credential", move |connection| {
            text::check_credential_name(&credential.name)?;
            check_sealed(&credential.sealed)?;
            let tenant = credential.tenant.as_str();
            tenants::check_alive(connection, &credential.tenant)?;
            let others = "SELECT count(*) FROM credentials WHERE tenant = ?1 AND name <> ?2";
            let others: i64 =
                connection.query_row(others, [tenant, &credential.name], |row| row.get(0))?;
            if u64::try_from(others).unwrap_or(0) >= CREDENTIALS_PER_TENANT_MAX {
                let max = CREDENTIALS_PER_TENANT_MAX;
                return Err(RegistryError::TooMany { what: "credentials of a tenant", max }.into());
            }
            connection.execute(
                "INSERT INTO credentials (tenant, name, sealed, updated_at) \
                 VALUES (?1, ?2, ?3, ?4) ON CONFLICT (tenant, name) \
                 DO UPDATE SET sealed = excluded.sealed, updated_at = excluded.updated_at",
                params![tenant, credential.name, credential.sealed, credential.updated_at.millis()],
            )?;
            Ok(((), vec![Effect::Sealed(tenant.to_owned())]))
        })
        .await
    }

    /// One credential of a tenant.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Unavailable`].
    pub async fn credential(
        &self,
        tenant: &TenantId,
        name: &str,
    ) -> Result<Option<SealedCredential>, RegistryError> {
        Ok(self.credential_and_key(tenant, name).await?.map(|(credential, _)| credential))
    }

    /// The same with the data key of its tenant, in one go: calls of tools wait for it. From
    /// memory, if it was asked for before.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Unavailable`].
    pub async fn credential_and_key(
        &self,
        tenant: &TenantId,
        name: &str,
    ) -> Result<Option<CredentialAndKey>, RegistryError> {
        let remembers = self.shared.nodes.is_none();
        let version = {
            let sealed = &self.shared.memory().sealed;
            if let Some(found) = sealed.find(tenant, name).filter(|_| remembers) {
                return Ok(Some(found.clone()));
            }
            sealed.version
        };
        let scope = Scope::Tenant(tenant.clone());
        let (tenant, name) = (tenant.clone(), name.to_owned());
        let find = move |connection: &Connection| {
            let select = "SELECT sealed, updated_at FROM credentials \
                          WHERE tenant = ?1 AND name = ?2";
            let mut statement = connection.prepare_cached(select)?;
            let found = statement.query_row([tenant.as_str(), &name], |row| {
                Ok(SealedCredential {
                    tenant: tenant.clone(),
                    name: name.clone(),
                    sealed: row.get("sealed")?,
                    updated_at: columns::time(row, "updated_at")?,
                })
            });
            let Some(credential) = found.optional()? else { return Ok(None) };
            Ok(Some((credential, find_key(connection, tenant.as_str())?)))
        };
        let found = self.read_scoped("reading a credential", &scope, find).await?;
        if let Some(found) = found.as_ref().filter(|_| remembers) {
            self.shared.memory_mut().sealed.keep(version, found);
        }
        Ok(found)
    }

    /// The names of a tenant's credentials, in order, and when each was last set.
    ///
    /// # Errors
    ///
    /// A [`RegistryError`].
    pub async fn credentials(
        &self,
        tenant: &TenantId,
    ) -> Result<Vec<(String, Timestamp)>, RegistryError> {
        let tenant = tenant.clone();
        let scope = Scope::Tenant(tenant.clone());
        self.read_scoped("listing credentials", &scope, move |connection| {
            tenants::found(connection, &tenant)?;
            let mut statement = connection.prepare_cached(
                "SELECT name, updated_at FROM credentials WHERE tenant = ?1 ORDER BY name",
            )?;
            let rows = statement.query_map([tenant.as_str()], |row| {
                Ok((row.get("name")?, columns::time(row, "updated_at")?))
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// Removes a credential.
    ///
    /// # Errors
    ///
    /// A [`RegistryError`].
    pub async fn remove_credential(
        &self,
        tenant: &TenantId,
        name: &str,
    ) -> Result<(), RegistryError> {
        let (tenant, name) = (tenant.clone(), name.to_owned());
        self.write("removing a credential", move |connection| {
            tenants::found(connection, &tenant)?;
            let delete = "DELETE FROM credentials WHERE tenant = ?1 AND name = ?2";
            if connection.execute(delete, [tenant.as_str(), &name])? == 0 {
                return Err(RegistryError::NotFound.into());
            }
            Ok(((), vec![Effect::Sealed(tenant.to_string())]))
        })
        .await
    }
}

/// What is remembered, by tenant and name.
#[derive(Debug, Default)]
pub(crate) struct Remembered {
    credentials: HashMap<String, HashMap<String, CredentialAndKey>>,
    count: usize,
    /// Grows with each change: what was read before one is not remembered behind it.
    version: u64,
}

impl Remembered {
    fn find(&self, tenant: &TenantId, name: &str) -> Option<&CredentialAndKey> {
        self.credentials.get(tenant.as_str())?.get(name)
    }

    /// Remembers what was read at this version.
    fn keep(&mut self, version: u64, found: &CredentialAndKey) {
        let (credential, _) = found;
        if version != self.version || credential.sealed.len() > REMEMBERED_BYTES_MAX {
            return;
        }
        if self.count >= REMEMBERED_MAX {
            self.credentials.clear();
            self.count = 0;
        }
        let theirs = self.credentials.entry(credential.tenant.to_string()).or_default();
        if theirs.insert(credential.name.clone(), found.clone()).is_none() {
            self.count = self.count.saturating_add(1);
        }
    }

    /// Forgets all of a tenant.
    pub(super) fn forget(&mut self, tenant: &str) {
        self.version = self.version.wrapping_add(1);
        let theirs = self.credentials.remove(tenant);
        self.count = self.count.saturating_sub(theirs.map_or(0, |it| it.len()));
    }
}

fn check_key(connection: &Connection, key: &SealedKey) -> Result<(), Stop> {
    check_sealed(&key.wrapped)?;
    if key.tenant.is_empty() {
        return Ok(());
    }
    let tenant = TenantId::parse(&key.tenant).map_err(|_| RegistryError::NoSuchTenant)?;
    tenants::check_alive(connection, &tenant)
}

fn check_sealed(sealed: &[u8]) -> Result<(), RegistryError> {
    if sealed.len() <= SEALED_BYTES_MAX {
        return Ok(());
    }
    Err(RegistryError::Invalid("the value is too long"))
}

/// What a change of a data key changes in memory.
fn effects_of(key: &SealedKey) -> Vec<Effect> {
    let own = (key.tenant == INSTALLATION).then(|| Effect::InstallationKey(key.clone()));
    own.into_iter().chain([Effect::Sealed(key.tenant.clone())]).collect()
}

pub(super) fn find_key(
    connection: &Connection,
    tenant: &str,
) -> Result<Option<SealedKey>, sql::Error> {
    let select = "SELECT tenant, master, wrapped FROM data_keys WHERE tenant = ?1";
    connection.prepare_cached(select)?.query_row([tenant], key).optional()
}

fn key(row: &Row<'_>) -> Result<SealedKey, sql::Error> {
    Ok(SealedKey {
        tenant: row.get("tenant")?,
        master: row.get("master")?,
        wrapped: row.get("wrapped")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credential(tenant: &str, name: &str, sealed: &[u8]) -> CredentialAndKey {
        let credential = SealedCredential {
            tenant: TenantId::parse(tenant).unwrap(),
            name: name.to_owned(),
            sealed: sealed.to_vec(),
            updated_at: Timestamp::from_millis(0),
        };
        (credential, None)
    }

    #[test]
    fn what_was_read_before_a_change_is_not_remembered_behind_it() {
        let mut remembered = Remembered::default();
        let (found, tenant) =
            (credential("acme", "square", b"old"), TenantId::parse("acme").unwrap());
        let version = remembered.version;
        remembered.forget("acme");
        remembered.keep(version, &found);
        assert!(remembered.find(&tenant, "square").is_none());
        remembered.keep(remembered.version, &found);
        assert!(remembered.find(&tenant, "square").is_some_and(|it| *it == found));
        remembered.forget("acme");
        assert!(remembered.find(&tenant, "square").is_none());
    }

    #[test]
    fn neither_many_nor_large_ones_are_remembered() {
        let mut remembered = Remembered::default();
        for number in 0..=REMEMBERED_MAX {
            let found = credential("acme", &format!("name{number}"), b"sealed");
            remembered.keep(remembered.version, &found);
        }
        assert_eq!((remembered.count, remembered.credentials.len()), (1, 1));
        let large = credential("other", "square", &[0; REMEMBERED_BYTES_MAX + 1]);
        remembered.keep(remembered.version, &large);
        assert_eq!(remembered.count, 1);
    }
}
