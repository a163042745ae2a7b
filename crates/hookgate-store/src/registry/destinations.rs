//! Destinations: where events are passed on to, whose they are, and whether they get anything.

use crate::sql::{self, Connection, OptionalExtension, Row, Topic, params};
use hookgate_core::delivery::{Breaker, DestinationSettings, Disabled};
use hookgate_core::tenant::{Scope, TenantId};
use hookgate_core::time::Timestamp;
use tokio::sync::watch;
use uuid::Uuid;

use super::destination::{
    DESTINATIONS_PER_TENANT_MAX, Destination, DestinationId, NewDestination, NewSecret, OVERLAP_MAX,
};
use super::error::Stop;
use super::{
    Registry, RegistryError, Rows, SEALED_BYTES_MAX, SETTINGS_BYTES_MAX, columns, lanes, leases,
    tenants,
};

/// Rows changed in one transaction, where many may be: other changes wait for it.
const CHANGED_AT_ONCE: u32 = 512;

const COLUMNS: &str = "n, id, tenant, settings, sealed, sealed_before, before_until, disabled, \
                       disabled_at, failures, probes, probe_at, created_at, updated_at";

impl Registry {
    /// Adds a destination, which is enabled.
    ///
    /// # Errors
    ///
    /// A [`RegistryError`]; `Taken` when there is one of this id.
    pub async fn add_destination(&self, new: NewDestination) -> Result<Destination, RegistryError> {
        self.change_destinations("adding a destination", move |connection| {
            if let Some(tenant) = &new.tenant {
                tenants::check_alive(connection, tenant)?;
            }
            check_sealed(&new.sealed_secret)?;
            let owner = new.tenant.as_ref().map(TenantId::as_str);
            let count = "SELECT count(*) FROM destinations WHERE tenant IS NOT DISTINCT FROM ?1 AND removed = 0";
            let count: i64 = connection.query_row(count, [owner], |row| row.get(0))?;
            if u64::try_from(count).unwrap_or(0) >= DESTINATIONS_PER_TENANT_MAX {
                let max = DESTINATIONS_PER_TENANT_MAX;
                return Err(RegistryError::TooMany { what: "destinations", max }.into());
            }
            let exists = "SELECT 1 FROM destinations WHERE id = ?1";
            if connection.prepare_cached(exists)?.exists([new.id.0.as_bytes()])? {
                return Err(RegistryError::Taken.into());
            }
            let kept = Kept::of(&new.settings)?;
            let insert = "INSERT INTO destinations (id, tenant, settings, concurrency, rate, \
                          ordered, sealed, created_at, updated_at) \
                          VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?8)";
            connection.execute(
                insert,
                params![
                    new.id.0.as_bytes(),
                    owner,
                    kept.text,
                    kept.concurrency,
                    kept.rate,
                    kept.ordered,
                    new.sealed_secret,
                    new.created_at.millis()
                ],
            )?;
            found(connection, &Scope::Operator, new.id)
        })
        .await
    }

    /// One destination.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Unavailable`].
    pub async fn destination(
        &self,
        scope: &Scope,
        id: DestinationId,
    ) -> Result<Option<Destination>, RegistryError> {
        let asked = scope.clone();
        let find = move |connection: &Connection| Ok(find(connection, &asked, id)?);
        self.read_scoped("reading a destination", scope, find).await
    }

    /// A page of destinations, the newest first.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Unavailable`].
    pub async fn destinations(
        &self,
        scope: &Scope,
        page: Rows,
    ) -> Result<Vec<Destination>, RegistryError> {
        let tenant = scope.tenant().map(ToString::to_string);
        self.read_scoped("listing destinations", scope, move |connection| {
            let whose = if tenant.is_some() { "tenant = ?1" } else { "TRUE" };
            let select = format!(
                "SELECT {COLUMNS} FROM destinations WHERE {whose} AND removed = 0 AND n < ?2 \
                 ORDER BY n DESC LIMIT ?3"
            );
            let mut statement = connection.prepare_cached(&select)?;
            let rows = statement.query_map(params![tenant, page.before(), page.limit], row)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// Gives a destination other settings. What waits for it is delivered by them.
    ///
    /// # Errors
    ///
    /// A [`RegistryError`].
    pub async fn change_destination(
        &self,
        scope: &Scope,
        id: DestinationId,
        settings: DestinationSettings,
        now: Timestamp,
    ) -> Result<Destination, RegistryError> {
        let scope = scope.clone();
        self.change_destinations("changing a destination", move |connection| {
            let before = found(connection, &scope, id)?;
            let kept = Kept::of(&settings)?;
            let n = place(&before);
            let update = "UPDATE destinations SET settings = ?2, concurrency = ?3, rate = ?4, \
                          ordered = ?5, updated_at = ?6 WHERE n = ?1";
            connection.execute(
                update,
                params![n, kept.text, kept.concurrency, kept.rate, kept.ordered, now.millis()],
            )?;
            if before.settings.ordered != settings.ordered {
                lanes::rearrange(connection, n, settings.ordered, now)?;
            }
            lanes::refresh(connection, n, now)?;
            found(connection, &scope, id)
        })
        .await
    }

    /// Gives a destination another secret. The one before signs too for a while; the one before
    /// that does not any more.
    ///
    /// # Errors
    ///
    /// A [`RegistryError`].
    pub async fn rotate_destination(
        &self,
        scope: &Scope,
        id: DestinationId,
        secret: NewSecret,
        now: Timestamp,
    ) -> Result<Destination, RegistryError> {
        let scope = scope.clone();
        self.change_destinations("rotating the secret of a destination", move |connection| {
            let NewSecret { sealed, overlap } = secret;
            check_sealed(&sealed)?;
            let before = found(connection, &scope, id)?;
            let until = now.plus(overlap.min(OVERLAP_MAX));
            let (old, until) = if overlap.is_zero() {
                (None, None)
            } else {
                (Some(before.secrets.now.clone()), Some(until.millis()))
            };
            let update = "UPDATE destinations SET sealed = ?2, sealed_before = ?3, \
                          before_until = ?4, updated_at = ?5 WHERE n = ?1";
            let values = params![place(&before), sealed, old, until, now.millis()];
            connection.execute(update, values)?;
            found(connection, &scope, id)
        })
        .await
    }

    /// Enables or disables a destination. While it is disabled it gets nothing: what waits
    /// goes on waiting, what comes is skipped. Its breaker is closed when it is enabled.
    ///
    /// # Errors
    ///
    /// A [`RegistryError`].
    pub async fn set_destination_disabled(
        &self,
        scope: &Scope,
        id: DestinationId,
        disabled: Option<Disabled>,
        now: Timestamp,
    ) -> Result<Destination, RegistryError> {
        let scope = scope.clone();
        self.change_destinations("enabling or disabling a destination", move |connection| {
            let before = found(connection, &scope, id)?;
            let n = place(&before);
            if let Some(disabled) = disabled {
                // The first reason stays.
                let update = "UPDATE destinations SET disabled = ?2, disabled_at = ?3 \
                              WHERE n = ?1 AND disabled IS NULL";
                connection.execute(update, params![n, disabled.name(), now.millis()])?;
            } else {
                let Breaker { failures, probes, probe_at } = Breaker::CLOSED;
                let update = "UPDATE destinations SET disabled = NULL, disabled_at = NULL, \
                              failures = ?2, probes = ?3, probe_at = ?4 WHERE n = ?1";
                let probe_at = probe_at.map(Timestamp::millis);
                connection.execute(update, params![n, failures, probes, probe_at])?;
                lanes::refresh(connection, n, now)?;
            }
            found(connection, &scope, id)
        })
        .await
    }

    /// Removes a destination, and what was and is to be delivered to it. It gets nothing more
    /// from the first step on, and is not to be found; the rest goes some at a time.
    ///
    /// # Errors
    ///
    /// A [`RegistryError`].
    pub async fn remove_destination(
        &self,
        scope: &Scope,
        id: DestinationId,
    ) -> Result<(), RegistryError> {
        let scope = scope.clone();
        self.change_destinations("removing a destination", move |connection| {
            let destination = found(connection, &scope, id)?;
            let empty = format!("{EMPTY} WHERE n = ?1");
            connection.execute(&empty, params![place(&destination), NO_BYTES])?;
            Ok(())
        })
        .await?;
        let doing = "removing the deliveries of a destination";
        self.blocking(doing, Self::finish_removals).await
    }

    /// Removes what is left of destinations that were removed. Blocks.
    ///
    /// # Errors
    ///
    /// A [`RegistryError`].
    pub(crate) fn finish_removals(&self) -> Result<(), RegistryError> {
        loop {
            let doing = "removing a destination";
            let removed = self.read_now(doing, |connection| {
                let select = "SELECT n FROM destinations WHERE removed = 1 LIMIT 1";
                let n = connection.prepare_cached(select)?.query_row([], |row| row.get(0));
                Ok(n.optional()?)
            })?;
            let Some(n) = removed else { return Ok(()) };
            let n: i64 = n;
            self.write_now(doing, |connection| {
                let delete = "DELETE FROM deliveries WHERE n IN \
                              (SELECT n FROM deliveries WHERE destination = ?1 LIMIT ?2)";
                let mut delete = connection.prepare_cached(delete)?;
                if delete.execute(params![n, CHANGED_AT_ONCE])? == 0 {
                    connection.execute("DELETE FROM destinations WHERE n = ?1", [n])?;
                }
                Ok(((), Vec::new()))
            })?;
        }
    }

    /// Follows a number that grows with each change of the destinations.
    #[must_use]
    pub fn destinations_changed(&self) -> watch::Receiver<u64> {
        self.shared.destinations_version.subscribe()
    }

    /// Changes destinations, and says so to whoever follows them and to who waits for work.
    async fn change_destinations<T: Send + 'static>(
        &self,
        doing: &'static str,
        change: impl FnOnce(&Connection) -> Result<T, Stop> + Send + 'static,
    ) -> Result<T, RegistryError> {
        let (destinations, deliveries) =
            (self.shared.destinations_version.clone(), self.shared.deliveries_version.clone());
        self.blocking(doing, move |registry| {
            let changed = registry.write_now(doing, |connection| {
                connection.announce(Topic::Destinations);
                Ok((change(connection)?, Vec::new()))
            })?;
            for version in [destinations, deliveries] {
                version.send_modify(|version| *version = version.saturating_add(1));
            }
            Ok(changed)
        })
        .await
    }
}

/// What stands in the place of a secret that is gone: the second value of [`EMPTY`].
pub(super) const NO_BYTES: &[u8] = &[];

/// Takes from destinations what a tenant wrote, and hides them.
pub(super) const EMPTY: &str = "UPDATE destinations SET removed = 1, settings = '', \
                                sealed = ?2, sealed_before = NULL, ready_at = NULL";

/// Settings as they are kept: as text, and what leases ask of them.
struct Kept {
    text: String,
    concurrency: u32,
    rate: Option<u32>,
    ordered: bool,
}

impl Kept {
    fn of(settings: &DestinationSettings) -> Result<Self, RegistryError> {
        let unfit = RegistryError::Invalid("the settings of a destination cannot be kept");
        let text = serde_json::to_string(settings).map_err(|_| unfit)?;
        if text.len() > SETTINGS_BYTES_MAX {
            return Err(RegistryError::Invalid("the settings of a destination are too long"));
        }
        Ok(Self {
            text,
            concurrency: settings.concurrency(),
            rate: settings.rate_per_second,
            ordered: settings.ordered,
        })
    }
}

fn check_sealed(sealed: &[u8]) -> Result<(), RegistryError> {
    if sealed.len() <= SEALED_BYTES_MAX {
        return Ok(());
    }
    Err(RegistryError::Invalid("the secret of a destination is too long"))
}

pub(super) fn find(
    connection: &Connection,
    scope: &Scope,
    id: DestinationId,
) -> Result<Option<Destination>, sql::Error> {
    let select = format!("SELECT {COLUMNS} FROM destinations WHERE id = ?1 AND removed = 0");
    let found = connection.prepare_cached(&select)?.query_row([id.0.as_bytes()], row);
    let covers = |it: &Destination| scope.covers(it.tenant.as_ref().map(TenantId::as_str));
    Ok(found.optional()?.filter(covers))
}

/// A destination that is known to be there.
pub(super) fn found(
    connection: &Connection,
    scope: &Scope,
    id: DestinationId,
) -> Result<Destination, Stop> {
    find(connection, scope, id)?.ok_or_else(|| RegistryError::NotFound.into())
}

/// Its place, as the database has it.
pub(super) fn place(destination: &Destination) -> i64 {
    i64::try_from(destination.n).unwrap_or(i64::MAX)
}

fn row(row: &Row<'_>) -> Result<Destination, sql::Error> {
    let disabled = row.get_ref("disabled")?.as_str_or_null()?;
    let named = |it: &str| Disabled::named(it).ok_or_else(|| sql::Error::unreadable("disabled"));
    Ok(Destination {
        n: columns::number(row)?,
        id: DestinationId(Uuid::from_bytes(row.get("id")?)),
        tenant: columns::tenant_if_any(row, "tenant")?,
        settings: leases::settings(row)?,
        secrets: leases::secrets(row)?,
        disabled: disabled.map(named).transpose()?,
        disabled_at: columns::time_if_any(row, "disabled_at")?,
        breaker: lanes::breaker(row)?,
        created_at: columns::time(row, "created_at")?,
        updated_at: columns::time(row, "updated_at")?,
    })
}
