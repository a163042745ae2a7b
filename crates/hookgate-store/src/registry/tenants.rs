//! Tenants.

use std::sync::Arc;

use crate::sql::{self, Connection, OptionalExtension, Row, params};
use hookgate_core::tenant::TenantId;
use hookgate_core::time::Timestamp;

use super::error::Stop;
use super::memory::Effect;
use super::{Registry, RegistryError, Rows, Written, columns, text};

/// Tenants at most: each is in memory, some 300 bytes.
pub const TENANTS_MAX: u64 = 100_000;

/// A tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant {
    /// Its place among all tenants, by which pages are cut.
    pub row: u64,
    /// Its id.
    pub id: TenantId,
    /// Its name, for people.
    pub name: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// After how many days its events are erased; nothing: never.
    pub retention_days: Option<u32>,
    /// What it may use.
    pub quota: Quota,
    /// Whether all that it has is being erased. Then it has no keys, tokens, bindings,
    /// conversations and credentials any more.
    pub erasing: bool,
}

/// What a tenant may use. Where nothing is said, what is configured for all holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quota {
    /// Events in a second.
    pub events_per_second: Option<u32>,
    /// Bytes of bodies in a second.
    pub bytes_per_second: Option<u64>,
    /// Events at once.
    pub in_flight: Option<u32>,
}

const COLUMNS: &str = "n, id, name, created_at, retention_days, events_per_second, \
                       bytes_per_second, in_flight, erasing";

impl Registry {
    /// Makes a tenant, unless there is one with this id.
    ///
    /// # Errors
    ///
    /// A [`RegistryError`]; `Taken` while all of a former tenant of this id is being erased.
    pub async fn add_tenant(
        &self,
        id: TenantId,
        name: String,
        now: Timestamp,
    ) -> Result<Written<Tenant>, RegistryError> {
        self.write("adding a tenant", move |connection| {
            text::check_name(&name)?;
            if let Some(tenant) = find(connection, &id)? {
                if tenant.erasing {
                    return Err(RegistryError::Taken.into());
                }
                return Ok((Written::Present(tenant), Vec::new()));
            }
            let count: i64 =
                connection.query_row("SELECT count(*) FROM tenants", [], |row| row.get(0))?;
            if u64::try_from(count).unwrap_or(0) >= TENANTS_MAX {
                return Err(RegistryError::TooMany { what: "tenants", max: TENANTS_MAX }.into());
            }
            connection.execute(
                "INSERT INTO tenants (id, name, created_at) VALUES (?1, ?2, ?3)",
                params![id.as_str(), name, now.millis()],
            )?;
            let tenant = found(connection, &id)?;
            let effect = Effect::Tenant(Arc::new(tenant.clone()));
            Ok((Written::Created(tenant), vec![effect]))
        })
        .await
    }

    /// Changes how long a tenant's events are kept, what it may use, or both.
    ///
    /// # Errors
    ///
    /// A [`RegistryError`].
    pub async fn set_tenant(
        &self,
        id: &TenantId,
        retention_days: Option<Option<u32>>,
        quota: Option<Quota>,
    ) -> Result<Tenant, RegistryError> {
        let id = id.clone();
        self.write("changing a tenant", move |connection| {
            check_alive(connection, &id)?;
            if let Some(days) = retention_days {
                connection.execute(
                    "UPDATE tenants SET retention_days = ?2 WHERE id = ?1",
                    params![id.as_str(), days],
                )?;
            }
            if let Some(quota) = quota {
                let bytes = quota.bytes_per_second.map(i64::try_from).transpose();
                let bytes = bytes.map_err(|_| RegistryError::Invalid("a rate is too large"))?;
                connection.execute(
                    "UPDATE tenants SET events_per_second = ?2, bytes_per_second = ?3, \
                     in_flight = ?4 WHERE id = ?1",
                    params![id.as_str(), quota.events_per_second, bytes, quota.in_flight],
                )?;
            }
            let tenant = found(connection, &id)?;
            let effect = Effect::Tenant(Arc::new(tenant.clone()));
            Ok((tenant, vec![effect]))
        })
        .await
    }

    /// A page of tenants, the newest first.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Unavailable`].
    pub async fn tenants(&self, page: Rows) -> Result<Vec<Tenant>, RegistryError> {
        self.read("listing tenants", move |connection| {
            let select = "WHERE n < ?1 ORDER BY n DESC LIMIT ?2";
            let mut statement =
                connection.prepare_cached(&format!("SELECT {COLUMNS} FROM tenants {select}"))?;
            let rows = statement.query_map(params![page.before(), page.limit], tenant)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// The tenant of this id. From memory.
    #[must_use]
    pub fn tenant(&self, id: &str) -> Option<Arc<Tenant>> {
        self.shared.memory().tenants.get(id).map(Arc::clone)
    }

    /// Whether there is any tenant. An atomic.
    #[must_use]
    pub fn has_tenants(&self) -> bool {
        self.shared.has_tenants()
    }
}

/// That a tenant is there and is not being erased.
pub(super) fn check_alive(connection: &Connection, id: &TenantId) -> Result<(), Stop> {
    let mut statement =
        connection.prepare_cached("SELECT 1 FROM tenants WHERE id = ?1 AND erasing = 0")?;
    if statement.exists([id.as_str()])? { Ok(()) } else { Err(RegistryError::NoSuchTenant.into()) }
}

pub(super) fn load(connection: &Connection) -> Result<Vec<Tenant>, sql::Error> {
    let mut statement = connection.prepare(&format!("SELECT {COLUMNS} FROM tenants"))?;
    statement.query_map([], tenant)?.collect()
}

pub(super) fn find(connection: &Connection, id: &TenantId) -> Result<Option<Tenant>, sql::Error> {
    let select = format!("SELECT {COLUMNS} FROM tenants WHERE id = ?1");
    connection.prepare_cached(&select)?.query_row([id.as_str()], tenant).optional()
}

/// A tenant that is known to be there.
pub(super) fn found(connection: &Connection, id: &TenantId) -> Result<Tenant, Stop> {
    find(connection, id)?.ok_or_else(|| RegistryError::NoSuchTenant.into())
}

fn tenant(row: &Row<'_>) -> Result<Tenant, sql::Error> {
    let bytes: Option<i64> = row.get("bytes_per_second")?;
    Ok(Tenant {
        row: columns::number(row)?,
        id: columns::tenant(row, "id")?,
        name: row.get("name")?,
        created_at: columns::time(row, "created_at")?,
        retention_days: row.get("retention_days")?,
        quota: Quota {
            events_per_second: row.get("events_per_second")?,
            bytes_per_second: bytes.and_then(|it| u64::try_from(it).ok()),
            in_flight: row.get("in_flight")?,
        },
        erasing: row.get("erasing")?,
    })
}
