//! Deliveries: what is to be passed on, made with the cursor's move, replayed, tried again and
//! erased. Who tries them is in `leases.rs`.
//!
//! What holds:
//!
//! - **Rows and cursor move together.** Whoever follows the journal skips nothing and passes
//!   nothing on twice, wherever it was stopped.
//! - **A tenant's destination gets its own tenant's events**, whoever asks for it.
//! - **A replay is a new delivery with a number**, and its receiver sees another id.

use crate::sql::{self, Connection, OptionalExtension, Topic, params, params_from_iter};
use hookgate_core::delivery::TEST;
use hookgate_core::tenant::{Scope, TenantId};
use hookgate_core::time::Timestamp;
use sha2::{Digest, Sha256};
use tokio::sync::watch;

use super::batch::Wanted;
use super::delivery::{Cursor, DeliveryId, DeliveryStatus, Made, NewDelivery, Replaying, Retried};
use super::destination::DestinationId;
use super::erasures::Erasing;
use super::error::Stop;
use super::{
    DeliveryFilter, ErasureTarget, Registry, RegistryError, Rows, columns, delivery_lists,
    destinations, lanes, recordings, tenants, text,
};
use crate::random;
use crate::record::EventId;

/// Rows erased in one transaction: what is delivered meanwhile waits for it.
const ERASED_AT_ONCE: u32 = 512;

/// Deliveries made or retried by one call at most.
const DELIVERIES_MAX: usize = 4_096;

/// The row among the cursors that counts the erasures that are done.
const ERASURES: &str = "erasures";

const DISABLED: RegistryError =
    RegistryError::Invalid("the destination is disabled: enable it first");

impl Registry {
    /// How far whoever has this name has followed the journal.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Unavailable`].
    pub async fn cursor(&self, name: &'static str) -> Result<u64, RegistryError> {
        let doing = "reading a cursor";
        self.blocking(doing, move |registry| {
            registry.commit_waiting();
            registry.read_now(doing, |connection| Ok(position(connection, name)?))
        })
        .await
    }

    /// How many erasures are done. To be asked before events are read of which deliveries are
    /// made: what an erasure takes that is done later, it takes from the deliveries too.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Unavailable`].
    pub async fn erasures_done(&self) -> Result<u64, RegistryError> {
        self.read("reading a cursor", |connection| Ok(position(connection, ERASURES)?)).await
    }

    /// Keeps deliveries and moves a cursor, or neither.
    /// `false`: the cursor was elsewhere, or an erasure was done since the events were read. What a destination has, or is not to get, is left
    /// out; what a disabled one would get is kept as skipped.
    ///
    /// # Errors
    ///
    /// A [`RegistryError`]: nothing is kept.
    pub async fn enqueue_deliveries(
        &self,
        cursor: Cursor,
        deliveries: Vec<NewDelivery>,
        now: Timestamp,
    ) -> Result<bool, RegistryError> {
        self.keep_made(cursor, Made { deliveries, ..Made::default() }, now).await
    }

    /// The same with all else that comes of the events.
    ///
    /// # Errors
    ///
    /// A [`RegistryError`]: nothing is kept.
    pub async fn keep_made(
        &self,
        cursor: Cursor,
        made: Made,
        now: Timestamp,
    ) -> Result<bool, RegistryError> {
        let Made { deliveries, recordings, owners } = made;
        deliveries.iter().try_for_each(check)?;
        let wake = self.shared.deliveries_version.clone();
        let recorded = self.recordings_made();
        let change = move |connection: &Connection| {
            let Cursor { name, from, to, erasures } = cursor;
            // What was read may have been erased since, and the rows of what is erased with it.
            let is_empty = deliveries.is_empty() && recordings.is_empty();
            let is_read_anew = !is_empty && position(connection, ERASURES)? != erasures;
            if is_read_anew || position(connection, name)? != from {
                return Ok(false);
            }
            let moved = "INSERT INTO cursors (name, seq) VALUES (?1, ?2) \
                         ON CONFLICT (name) DO UPDATE SET seq = excluded.seq";
            connection.prepare_cached(moved)?.execute(params![name, signed(to)])?;
            for delivery in &deliveries {
                if let Some(target) = target(connection, delivery)? {
                    insert(connection, &target, delivery, &Row { replay: 0, request: None, now })?;
                }
            }
            if !deliveries.is_empty() {
                connection.announce(Topic::Deliveries);
                bump(&wake);
            }
            for (event, tenant) in &owners {
                recordings::reassign(connection, *event, tenant.as_ref())?;
            }
            for recording in &recordings {
                recordings::insert(connection, recording, now)?;
            }
            if !recordings.is_empty() {
                bump(&recorded);
            }
            Ok(true)
        };
        self.enqueue("keeping deliveries", Wanted::WhileWaited, change).await
    }

    /// Delivers events again, each as a replay with a number of its own; gives how many that
    /// are. With a request's id the same request again makes no more of them. Destinations
    /// that are out of the scope, disabled, or not to get the event are left out, and so are
    /// events that are being erased. Nothing: an erasure was done since the events were read,
    /// which is to be done anew.
    ///
    /// # Errors
    ///
    /// A [`RegistryError`]: nothing is delivered.
    pub async fn replay_deliveries(
        &self,
        scope: &Scope,
        deliveries: Vec<NewDelivery>,
        how: Replaying<'_>,
        now: Timestamp,
    ) -> Result<Option<u64>, RegistryError> {
        if deliveries.len() > DELIVERIES_MAX {
            let what = "deliveries in a request";
            return Err(RegistryError::TooMany { what, max: DELIVERIES_MAX as u64 });
        }
        deliveries.iter().try_for_each(check)?;
        let (scope, wake) = (scope.clone(), self.shared.deliveries_version.clone());
        let Replaying { request, erasures } = how;
        let request = request.map(|it| <[u8; 32]>::from(Sha256::digest(it.as_bytes())));
        let change = move |connection: &Connection| {
            if position(connection, ERASURES)? != erasures {
                return Ok(None);
            }
            let erasing = Erasing::read(connection)?;
            let mut count = 0_u64;
            for delivery in deliveries.iter().filter(|it| !erasing.takes(&it.origin())) {
                let target = target(connection, delivery)?.filter(|it| it.is_covered(&scope));
                let Some(target) = target.filter(|it| !it.is_disabled) else { continue };
                count = count.saturating_add(1);
                let event = delivery.event.0.as_bytes();
                if let Some(request) = request {
                    let known = "SELECT 1 FROM deliveries WHERE request = ?1 AND event = ?2 \
                                 AND destination = ?3";
                    let known = connection
                        .prepare_cached(known)?
                        .exists(params![request, event, target.n])?;
                    if known {
                        continue;
                    }
                }
                let latest =
                    "SELECT max(replay) FROM deliveries WHERE event = ?1 AND destination = ?2";
                let latest: Option<u32> = connection
                    .prepare_cached(latest)?
                    .query_row(params![event, target.n], |row| row.get(0))?;
                let replay = latest.unwrap_or(0).saturating_add(1);
                insert(connection, &target, delivery, &Row { replay, request, now })?;
            }
            connection.announce(Topic::Deliveries);
            bump(&wake);
            Ok(Some(count))
        };
        self.enqueue("replaying events", Wanted::WhileWaited, change).await
    }

    /// Sends a test to a destination: before all that waits for it. Gives its id.
    ///
    /// # Errors
    ///
    /// A [`RegistryError`]; `Invalid` while the destination is disabled.
    pub async fn test_destination(
        &self,
        scope: &Scope,
        destination: DestinationId,
        now: Timestamp,
    ) -> Result<DeliveryId, RegistryError> {
        let (scope, wake) = (scope.clone(), self.shared.deliveries_version.clone());
        let change = move |connection: &Connection| {
            let found = destinations::found(connection, &scope, destination)?;
            if found.disabled.is_some() {
                return Err(DISABLED.into());
            }
            let event = EventId(random::id(now).map_err(Stop::Random)?);
            let delivery = NewDelivery {
                destination,
                event,
                seq: 0,
                tenant: found.tenant.clone(),
                source: TEST.to_owned(),
                provider: TEST.to_owned(),
                conversation: None,
                kind: TEST.to_owned(),
                received_at: now,
            };
            let target = target(connection, &delivery)?.ok_or(RegistryError::NotFound)?;
            let row = Row { replay: 0, request: None, now };
            let id = insert(connection, &target, &delivery, &row)?.ok_or(RegistryError::Taken)?;
            // It is due before all others, and is the probe of a breaker that is open.
            let first = "UPDATE deliveries SET due = 0 WHERE id = ?1";
            connection.prepare_cached(first)?.execute([id.0.as_bytes()])?;
            let probe = "UPDATE destinations SET probe_at = ?2 WHERE n = ?1 AND probe_at > ?2";
            connection.prepare_cached(probe)?.execute(params![target.n, now.millis()])?;
            lanes::ready(connection, target.n, now.millis())?;
            connection.announce(Topic::Deliveries);
            bump(&wake);
            Ok(id)
        };
        self.enqueue("testing a destination", Wanted::WhileWaited, change).await
    }

    /// Makes a delivery due now that was given up, skipped, or waits for its next attempt. Its
    /// schedule begins anew; its receiver sees the same id.
    ///
    /// # Errors
    ///
    /// A [`RegistryError`]; `NotFound`, also while its event is being erased, and `Invalid` while the destination is disabled.
    pub async fn retry_delivery(
        &self,
        scope: &Scope,
        id: DeliveryId,
        now: Timestamp,
    ) -> Result<Retried, RegistryError> {
        let (scope, wake) = (scope.clone(), self.shared.deliveries_version.clone());
        let change = move |connection: &Connection| {
            let filter = delivery_lists::Wanting::one(&scope, id);
            let found = filter.read(connection)?.pop().ok_or(RegistryError::NotFound)?;
            if Erasing::read(connection)?.takes(&found.origin()) {
                return Err(RegistryError::NotFound.into());
            }
            if found.status == DeliveryStatus::Delivered {
                return Ok(Retried::Delivered);
            }
            let destination = destinations::found(connection, &Scope::Operator, found.destination)?;
            if destination.disabled.is_some() {
                return Err(DISABLED.into());
            }
            retry(connection, destinations::place(&destination), found.n, now)?;
            connection.announce(Topic::Deliveries);
            bump(&wake);
            Ok(Retried::Queued)
        };
        self.enqueue("trying a delivery again", Wanted::WhileWaited, change).await
    }

    /// The same for a page of the deliveries that a filter finds and that were given up or
    /// skipped, the newest first. Gives how many that were, and behind which place to go on. What is due already is none of them, so
    /// that it can be begun anew anywhere. Those of disabled destinations are left out.
    ///
    /// # Errors
    ///
    /// A [`RegistryError`].
    pub async fn retry_deliveries(
        &self,
        scope: &Scope,
        filter: DeliveryFilter,
        page: Rows,
        now: Timestamp,
    ) -> Result<(u64, Option<u64>), RegistryError> {
        let limit = page.limit.min(u32::try_from(DELIVERIES_MAX).unwrap_or(u32::MAX));
        let mut wanted = delivery_lists::Wanting::of(scope);
        wanted.add_filter(filter);
        wanted.given_up();
        wanted.page(page.after, limit);
        let wake = self.shared.deliveries_version.clone();
        let change = move |connection: &Connection| {
            let found = wanted.read(connection)?;
            let is_last = found.len() < usize::try_from(limit).unwrap_or(usize::MAX);
            let next = found.last().map(|it| it.n).filter(|_| !is_last);
            let erasing = Erasing::read(connection)?;
            let mut count = 0_u64;
            for delivery in found.iter().filter(|it| !erasing.takes(&it.origin())) {
                count = count.saturating_add(1);
                let destination =
                    destinations::found(connection, &Scope::Operator, delivery.destination)?;
                retry(connection, destinations::place(&destination), delivery.n, now)?;
            }
            connection.announce(Topic::Deliveries);
            bump(&wake);
            Ok((count, next))
        };
        self.enqueue("trying deliveries again", Wanted::WhileWaited, change).await
    }

    /// Follows a number that grows when something may have become due.
    #[must_use]
    pub fn deliveries_changed(&self) -> watch::Receiver<u64> {
        self.shared.deliveries_version.subscribe()
    }

    /// Erases the deliveries of what is erased with their attempts, some at a time; with a
    /// tenant its destinations. Blocks.
    ///
    /// # Errors
    ///
    /// A [`RegistryError`].
    pub(crate) fn erase_deliveries(
        &self,
        target: &ErasureTarget,
        now: Timestamp,
    ) -> Result<(), RegistryError> {
        let (wanted, values) = target.rows("received_at");
        let select = format!(
            "SELECT n, destination, lane FROM deliveries WHERE {wanted} LIMIT {ERASED_AT_ONCE}"
        );
        // Most erasures have none, and then nothing is written.
        while self.has_deliveries(target)? {
            self.write_now("erasing deliveries", |connection| {
                let mut select = connection.prepare_cached(&select)?;
                let victims = select.query_map(params_from_iter(&values), |row| {
                    let lane: (i64, Option<String>) = (row.get(1)?, row.get(2)?);
                    Ok((row.get::<_, i64>(0)?, lane))
                })?;
                let victims = victims.collect::<Result<Vec<_>, _>>()?;
                let mut lanes = Vec::with_capacity(victims.len());
                for (n, lane) in victims {
                    let delete = "DELETE FROM deliveries WHERE n = ?1";
                    connection.prepare_cached(delete)?.execute([n])?;
                    lanes.push(lane);
                }
                lanes.sort_unstable();
                lanes.dedup();
                // What waited for one that is gone goes on.
                for (destination, lane) in lanes {
                    if let Some(lane) = lane {
                        lanes::promote(connection, destination, &lane, now)?;
                    }
                    lanes::refresh(connection, destination, now)?;
                }
                connection.announce(Topic::Deliveries);
                Ok(((), Vec::new()))
            })?;
        }
        bump(&self.shared.deliveries_version);
        if matches!(target, ErasureTarget::Tenant(_)) {
            self.finish_removals()?;
            bump(&self.shared.destinations_version);
        }
        Ok(())
    }

    /// Whether there are deliveries that an erasure is about. Blocks.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Unavailable`].
    pub(crate) fn has_deliveries(&self, target: &ErasureTarget) -> Result<bool, RegistryError> {
        let (wanted, values) = target.rows("received_at");
        self.read_now("looking for deliveries", |connection| {
            let any = format!("SELECT 1 FROM deliveries WHERE {wanted} LIMIT 1");
            Ok(connection.prepare_cached(&any)?.exists(params_from_iter(&values))?)
        })
    }
}

/// A destination that is to get something.
struct Target {
    n: i64,
    tenant: Option<TenantId>,
    is_ordered: bool,
    is_disabled: bool,
}

impl Target {
    fn is_covered(&self, scope: &Scope) -> bool {
        scope.covers(self.tenant.as_ref().map(TenantId::as_str))
    }
}

/// What a new row has besides its delivery.
struct Row {
    replay: u32,
    request: Option<[u8; 32]>,
    now: Timestamp,
}

/// The destination of a delivery; nothing: it is gone, the event is another tenant's, or its
/// tenant is being erased.
fn target(connection: &Connection, new: &NewDelivery) -> Result<Option<Target>, Stop> {
    let select = "SELECT n, tenant, ordered, disabled IS NOT NULL AS is_disabled \
                  FROM destinations WHERE id = ?1 AND removed = 0";
    let found =
        connection.prepare_cached(select)?.query_row([new.destination.0.as_bytes()], |row| {
            Ok(Target {
                n: row.get("n")?,
                tenant: columns::tenant_if_any(row, "tenant")?,
                is_ordered: row.get("ordered")?,
                is_disabled: row.get("is_disabled")?,
            })
        });
    let is_its_own = |it: &Target| it.tenant.is_none() || it.tenant == new.tenant;
    let Some(target) = found.optional()?.filter(is_its_own) else { return Ok(None) };
    if let Some(tenant) = &new.tenant {
        match tenants::check_alive(connection, tenant) {
            Ok(()) => {}
            Err(Stop::Refused(RegistryError::NoSuchTenant)) => return Ok(None),
            Err(error) => return Err(error),
        }
    }
    Ok(Some(target))
}

/// Keeps a delivery; gives its id, or nothing if it is there.
fn insert(
    connection: &Connection,
    target: &Target,
    new: &NewDelivery,
    row: &Row,
) -> Result<Option<DeliveryId>, Stop> {
    let now = row.now;
    let id = DeliveryId(random::id(now).map_err(Stop::Random)?);
    let conversation = new.conversation.as_deref().filter(|_| target.is_ordered);
    let lane = conversation.map(|it| lanes::lane(&new.provider, it));
    let (status, due) = if target.is_disabled {
        (DeliveryStatus::Skipped, None)
    } else {
        (DeliveryStatus::Pending, lanes::due(connection, target.n, lane.as_deref(), now)?)
    };
    let mut insert = connection.prepare_cached(
        "INSERT INTO deliveries (id, destination, event, seq, replay, request, tenant, source, \
         provider, conversation, kind, lane, state, due, received_at, created_at, finished_at) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17) \
         ON CONFLICT (event, destination, replay) DO NOTHING",
    )?;
    let inserted = insert.execute(params![
        id.0.as_bytes(),
        target.n,
        new.event.0.as_bytes(),
        signed(new.seq),
        row.replay,
        row.request,
        new.tenant.as_ref().map(TenantId::as_str),
        new.source,
        new.provider,
        new.conversation,
        new.kind,
        lane,
        status.name(),
        due,
        new.received_at.millis(),
        now.millis(),
        target.is_disabled.then_some(now.millis()),
    ])?;
    if inserted == 0 {
        return Ok(None);
    }
    if let Some(due) = due {
        lanes::ready(connection, target.n, due)?;
    }
    Ok(Some(id))
}

/// Keeps the delivery of an alert. A destination that is gone or disabled gets none.
pub(super) fn deliver_alert(
    connection: &Connection,
    new: &NewDelivery,
    now: Timestamp,
) -> Result<(), Stop> {
    if let Some(target) = target(connection, new)?.filter(|it| !it.is_disabled) {
        insert(connection, &target, new, &Row { replay: 0, request: None, now })?;
    }
    Ok(())
}

/// Makes a delivery due now. One that is being tried goes on being tried.
fn retry(connection: &Connection, destination: i64, n: u64, now: Timestamp) -> Result<(), Stop> {
    let n = signed(n);
    let select = "SELECT provider, conversation, due IS NOT NULL, token IS NOT NULL, \
                  (SELECT ordered FROM destinations WHERE n = destination) \
                  FROM deliveries WHERE n = ?1";
    let (lane, was_due, is_leased) = connection.prepare_cached(select)?.query_row([n], |row| {
        let provider: String = row.get(0)?;
        let conversation: Option<String> = row.get(1)?;
        let conversation = conversation.filter(|_| row.get(4).unwrap_or(false));
        let lane = conversation.map(|it| lanes::lane(&provider, &it));
        Ok((lane, row.get::<_, bool>(2)?, row.get::<_, bool>(3)?))
    })?;
    if is_leased {
        return Ok(());
    }
    // One that is due is the one of its lane that may be tried.
    let due = if was_due {
        Some(now.millis())
    } else {
        lanes::due(connection, destination, lane.as_deref(), now)?
    };
    let update = "UPDATE deliveries SET state = 'pending', attempts = 0, due = ?2, lane = ?3, \
                  finished_at = NULL WHERE n = ?1";
    connection.prepare_cached(update)?.execute(params![n, due, lane])?;
    if let Some(due) = due {
        lanes::ready(connection, destination, due)?;
    }
    Ok(())
}

/// Notes that an erasure is done: who read events before reads them anew.
pub(super) fn note_erasure(connection: &Connection) -> Result<(), sql::Error> {
    let note = "INSERT INTO cursors (name, seq) VALUES (?1, 1) \
                ON CONFLICT (name) DO UPDATE SET seq = cursors.seq + 1";
    connection.prepare_cached(note)?.execute([ERASURES]).map(drop)
}

fn position(connection: &Connection, name: &str) -> Result<u64, sql::Error> {
    let select = "SELECT seq FROM cursors WHERE name = ?1";
    let seq = connection.prepare_cached(select)?.query_row([name], |row| row.get::<_, i64>(0));
    Ok(u64::try_from(seq.optional()?.unwrap_or(0)).unwrap_or(0))
}

fn check(delivery: &NewDelivery) -> Result<(), RegistryError> {
    text::check_source_name(&delivery.source)?;
    text::check_provider(&delivery.provider)?;
    if let Some(conversation) = &delivery.conversation {
        text::check_external_id(conversation)?;
    }
    if delivery.kind.is_empty() || delivery.kind.len() > KIND_BYTES_MAX {
        return Err(RegistryError::Invalid("a kind of event has 1 to 64 bytes"));
    }
    Ok(())
}

/// The longest kind, in bytes. It is one of ours.
const KIND_BYTES_MAX: usize = 64;

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Says that something may have become due. Who hears it before the commit looks after it.
fn bump(version: &watch::Sender<u64>) {
    version.send_modify(|version| *version = version.saturating_add(1));
}
