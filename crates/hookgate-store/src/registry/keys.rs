//! Tenants' keys to the API.

use crate::sql::{self, Connection, OptionalExtension, params};
use hookgate_core::tenant::{Scope, TenantId};
use hookgate_core::time::Timestamp;

use super::memory::Effect;
use super::{Registry, RegistryError, columns, digest, new_id, new_secret, tenants};

/// Keys of one tenant at most: one for each system that it connects, and their successors.
pub const KEYS_PER_TENANT_MAX: u64 = 32;

/// What every key begins with.
const PREFIX: &str = "hgk_";

/// A tenant's key, without the key itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantKey {
    /// Its id: `key_` and 16 hexadecimal digits.
    pub id: String,
    /// Whose it is.
    pub tenant: TenantId,
    /// The last four characters of the key.
    pub hint: String,
    /// When it was made.
    pub created_at: Timestamp,
}

impl Registry {
    /// Makes a key for a tenant. The key itself is given once and kept nowhere.
    ///
    /// # Errors
    ///
    /// A [`RegistryError`].
    pub async fn add_key(
        &self,
        tenant: &TenantId,
        now: Timestamp,
    ) -> Result<(TenantKey, String), RegistryError> {
        let tenant = tenant.clone();
        self.write("adding a key", move |connection| {
            tenants::check_alive(connection, &tenant)?;
            let count = "SELECT count(*) FROM tenant_keys WHERE tenant = ?1";
            let count: i64 = connection.query_row(count, [tenant.as_str()], |row| row.get(0))?;
            if u64::try_from(count).unwrap_or(0) >= KEYS_PER_TENANT_MAX {
                let max = KEYS_PER_TENANT_MAX;
                return Err(RegistryError::TooMany { what: "keys of a tenant", max }.into());
            }
            let (secret, hint) = new_secret(PREFIX)?;
            let key = TenantKey { id: new_id("key_")?, tenant, hint, created_at: now };
            let digest = digest(secret.as_bytes());
            connection.execute(
                "INSERT INTO tenant_keys (id, tenant, digest, hint, created_at) \
                 VALUES (?1, ?2, ?3, ?4, ?5)",
                params![key.id, key.tenant.as_str(), digest, key.hint, now.millis()],
            )?;
            let effect = Effect::Key(digest, key.tenant.clone());
            Ok(((key, secret), vec![effect]))
        })
        .await
    }

    /// A tenant's keys, the newest first.
    ///
    /// # Errors
    ///
    /// A [`RegistryError`].
    pub async fn keys(&self, tenant: &TenantId) -> Result<Vec<TenantKey>, RegistryError> {
        let tenant = tenant.clone();
        let scope = Scope::Tenant(tenant.clone());
        self.read_scoped("listing keys", &scope, move |connection| {
            tenants::found(connection, &tenant)?;
            let mut statement = connection.prepare_cached(
                "SELECT id, tenant, hint, created_at FROM tenant_keys WHERE tenant = ?1 \
                 ORDER BY n DESC",
            )?;
            let rows = statement.query_map([tenant.as_str()], |row| {
                Ok(TenantKey {
                    id: row.get("id")?,
                    tenant: columns::tenant(row, "tenant")?,
                    hint: row.get("hint")?,
                    created_at: columns::time(row, "created_at")?,
                })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// Removes a key of a tenant. It works no more when this is done.
    ///
    /// # Errors
    ///
    /// A [`RegistryError`].
    pub async fn remove_key(&self, tenant: &TenantId, id: &str) -> Result<(), RegistryError> {
        let (tenant, id) = (tenant.clone(), id.to_owned());
        self.write("removing a key", move |connection| {
            tenants::found(connection, &tenant)?;
            let delete = "DELETE FROM tenant_keys WHERE id = ?1 AND tenant = ?2 RETURNING digest";
            let digest =
                connection.query_row(delete, [id.as_str(), tenant.as_str()], |row| row.get(0));
            let digest = digest.optional()?.ok_or(RegistryError::NotFound)?;
            Ok(((), vec![Effect::KeyGone(digest)]))
        })
        .await
    }

    /// Whose key this is. From memory.
    #[must_use]
    pub fn tenant_of_key(&self, key: &[u8]) -> Option<TenantId> {
        // Found by its SHA-256: how long that takes depends on the digest, from which
        // nobody learns a key that they do not have.
        self.shared.memory().keys.get(&digest(key)).cloned()
    }
}

pub(super) fn load(connection: &Connection) -> Result<Vec<([u8; 32], TenantId)>, sql::Error> {
    let mut statement = connection.prepare("SELECT digest, tenant FROM tenant_keys")?;
    let rows =
        statement.query_map([], |row| Ok((row.get("digest")?, columns::tenant(row, "tenant")?)))?;
    rows.collect()
}
