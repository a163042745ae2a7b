//! Sealed rows: data keys and tenants' credentials. Who seals them is another crate; here
//! they are bytes.

use std::fmt;

use crate::sql::{self, Connection, OptionalExtension, Row, params};
use hookgate_core::tenant::{Scope, TenantId};
use hookgate_core::time::Timestamp;

use super::error::Stop;
use super::{Registry, RegistryError, columns, tenants, text};

/// Credentials of one tenant at most: one for each agent that has its own.
pub const CREDENTIALS_PER_TENANT_MAX: u64 = 1_000;

/// The longest sealed value, in bytes: one of 64 KiB, and what sealing adds.
pub const SEALED_BYTES_MAX: usize = 128 << 10;

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
    /// A data key; that of the installation under an empty name.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Unavailable`].
    pub async fn data_key(&self, tenant: &str) -> Result<Option<SealedKey>, RegistryError> {
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
            Ok((key, Vec::new()))
        })
        .await
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
            Ok(((), Vec::new()))
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
            Ok(((), Vec::new()))
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

    /// The same with the data key of its tenant, in one go: calls of tools wait for it.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Unavailable`].
    pub async fn credential_and_key(
        &self,
        tenant: &TenantId,
        name: &str,
    ) -> Result<Option<(SealedCredential, Option<SealedKey>)>, RegistryError> {
        let (tenant, name) = (tenant.clone(), name.to_owned());
        let scope = Scope::Tenant(tenant.clone());
        self.read_scoped("reading a credential", &scope, move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT tenant, name, sealed, updated_at FROM credentials \
                 WHERE tenant = ?1 AND name = ?2",
            )?;
            let found = statement.query_row([tenant.as_str(), &name], |row| {
                Ok(SealedCredential {
                    tenant: columns::tenant(row, "tenant")?,
                    name: row.get("name")?,
                    sealed: row.get("sealed")?,
                    updated_at: columns::time(row, "updated_at")?,
                })
            });
            let Some(credential) = found.optional()? else { return Ok(None) };
            Ok(Some((credential, find_key(connection, tenant.as_str())?)))
        })
        .await
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
            Ok(((), Vec::new()))
        })
        .await
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

fn find_key(connection: &Connection, tenant: &str) -> Result<Option<SealedKey>, sql::Error> {
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
