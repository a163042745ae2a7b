//! Recordings: which there are, who fetches them, what came of it, and their end.
//!
//! What holds:
//!
//! - **A row is made with the move of the cursor past its event**, as deliveries are.
//! - **One fetches it**: a lease, as for deliveries; what was leased is due again when the
//!   store is opened.
//! - **A file in its place has a row, and is whole.** It is moved there, and removed, while
//!   the registry's one writer is held by who changes its row. A crash between the two leaves
//!   a whole file under a row that waits, and the next attempt finds it. In PostgreSQL there
//!   are pieces instead, with rules of their own (`postgres/recordings.rs`).
//! - **The link is not kept**: it opens the recording for everybody. Its digest finds it in
//!   the event again.

use std::collections::HashSet;
use std::io;

use hookgate_core::received::Blob;
use hookgate_core::sound::Sound;
use hookgate_core::tenant::{Scope, TenantId};
use hookgate_core::time::Timestamp;
use tokio::sync::watch;
use uuid::Uuid;

use super::error::Stop;
use super::recording::{
    LeasedRecording, NewRecording, Recording, RecordingCounts, RecordingFilter, RecordingId,
    RecordingState, Unfetched,
};
use super::{ErasureTarget, Registry, RegistryError, Rows, columns, tenants};
use crate::layout;
use crate::random;
use crate::record::EventId;
use crate::sql::{self, Connection, OptionalExtension, Row, Value, params, params_from_iter};

/// Recordings that are leased, taken or erased in one transaction at most.
const AT_ONCE: u32 = 256;

const COLUMNS: &str = "n, id, event, tenant, source, provider, conversation, kind, state, reason, \
                       attempts, due, size, sha256, sound, received_at, finished_at";

impl Registry {
    /// Leases recordings that are due to whoever calls, until `until`.
    ///
    /// # Errors
    ///
    /// A [`RegistryError`]: nothing is leased.
    pub async fn lease_recordings(
        &self,
        now: Timestamp,
        limit: u32,
        until: Timestamp,
    ) -> Result<Vec<LeasedRecording>, RegistryError> {
        self.write("leasing recordings", move |connection| {
            let select = "SELECT n, id, event, place, digest, attempts FROM recordings \
                          WHERE state = 'pending' AND due <= ?1 \
                          AND (token IS NULL OR leased_until <= ?1) ORDER BY due, n LIMIT ?2";
            let mut select = connection.prepare_cached(select)?;
            let rows = select.query_map(params![now.millis(), limit.min(AT_ONCE)], |row| {
                let n: i64 = row.get("n")?;
                Ok((n, leased(row)?))
            })?;
            let mut found = rows.collect::<Result<Vec<_>, _>>()?;
            for (n, leased) in &mut found {
                let mut token = [0; 8];
                random::fill(&mut token).map_err(Stop::Random)?;
                leased.token = i64::from_le_bytes(token);
                let update = "UPDATE recordings SET token = ?2, leased_until = ?3 WHERE n = ?1";
                let mut update = connection.prepare_cached(update)?;
                update.execute(params![*n, leased.token, until.millis()])?;
            }
            Ok((found.into_iter().map(|(_, leased)| leased).collect(), Vec::new()))
        })
        .await
    }

    /// When there may be something to lease; nothing: not before something else happens.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Unavailable`].
    pub async fn next_recording(&self) -> Result<Option<Timestamp>, RegistryError> {
        self.read("looking for recordings", |connection| {
            let select = "SELECT min(at) FROM (SELECT min(due) AS at FROM recordings \
                          WHERE state = 'pending' AND token IS NULL \
                          UNION ALL SELECT min(leased_until) AS at FROM recordings \
                          WHERE token IS NOT NULL) AS either";
            let at: Option<i64> =
                connection.prepare_cached(select)?.query_row([], |row| row.get(0))?;
            Ok(at.map(Timestamp::from_millis))
        })
        .await
    }

    /// Whether a lease still holds: its recording was not erased and is nobody else's.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Unavailable`].
    pub async fn holds_recording(&self, leased: &LeasedRecording) -> Result<bool, RegistryError> {
        let leased = leased.clone();
        self.read("looking for a recording", move |connection| Ok(holds(connection, &leased)?))
            .await
    }

    /// Keeps how an attempt ended that gave no recording. False: the lease was lost.
    ///
    /// # Errors
    ///
    /// A [`RegistryError`].
    pub async fn settle_recording(
        &self,
        leased: &LeasedRecording,
        end: Unfetched,
        now: Timestamp,
    ) -> Result<bool, RegistryError> {
        let leased = leased.clone();
        let version = self.shared.recordings_version.clone();
        let files = self.shared.recordings.clone();
        let settled = self.write("keeping the end of a fetch", move |connection| {
            if !holds(connection, &leased)? {
                return Ok((false, Vec::new()));
            }
            let id = leased.id.0.as_bytes();
            match end {
                Unfetched::Failed { reason, again } => {
                    let update = "UPDATE recordings SET state = ?2, reason = ?3, \
                                  attempts = attempts + 1, due = ?4, finished_at = ?5, \
                                  token = NULL, leased_until = NULL WHERE id = ?1";
                    let (state, finished) = match again {
                        Some(_) => (RecordingState::Pending, None),
                        None => (RecordingState::Failed, Some(now.millis())),
                    };
                    let due = again.map(Timestamp::millis);
                    let values = params![id, state.name(), reason, due, finished];
                    connection.prepare_cached(update)?.execute(values)?;
                }
                Unfetched::Postponed { until } => {
                    let update = "UPDATE recordings SET due = ?2, token = NULL, \
                                  leased_until = NULL WHERE id = ?1";
                    connection.prepare_cached(update)?.execute(params![id, until.millis()])?;
                }
                Unfetched::Gone => {
                    if let Some(files) = &files {
                        let own = std::iter::once(leased.id.0.into_bytes());
                        files.remove(own).map_err(Stop::Files)?;
                    }
                    let delete = "DELETE FROM recordings WHERE id = ?1";
                    connection.prepare_cached(delete)?.execute([id])?;
                }
            }
            Ok((true, Vec::new()))
        });
        let settled = settled.await?;
        bump(&version);
        Ok(settled)
    }

    /// Has a recording put in its place and notes that it is there, or neither. False: the lease
    /// was lost, or the recording erased. Blocks.
    ///
    /// # Errors
    ///
    /// A [`RegistryError`].
    pub(crate) fn keep_recording(
        &self,
        leased: &LeasedRecording,
        (blob, sound): (&Blob, Sound),
        now: Timestamp,
        place: impl FnOnce() -> io::Result<()>,
    ) -> Result<bool, RegistryError> {
        let kept = self.write_now("keeping a recording", |connection| {
            if !holds(connection, leased)? {
                return Ok((false, Vec::new()));
            }
            place().map_err(Stop::Files)?;
            let update = "UPDATE recordings SET state = 'fetched', reason = NULL, due = NULL, \
                          size = ?2, sha256 = ?3, sound = ?4, finished_at = ?5, token = NULL, \
                          leased_until = NULL WHERE id = ?1 AND token = ?6";
            let size = i64::try_from(blob.bytes).unwrap_or(i64::MAX);
            let kept = connection.prepare_cached(update)?.execute(params![
                leased.id.0.as_bytes(),
                size,
                blob.sha256,
                sound.name(),
                now.millis(),
                leased.token
            ])?;
            Ok((kept > 0, Vec::new()))
        });
        bump(&self.shared.recordings_version);
        kept
    }

    /// Follows a number that grows when a recording was made, fetched, given up or erased.
    #[must_use]
    pub fn recordings_changed(&self) -> watch::Receiver<u64> {
        self.shared.recordings_version.subscribe()
    }

    /// Says that there may be new ones.
    pub(super) fn recordings_made(&self) -> watch::Sender<u64> {
        self.shared.recordings_version.clone()
    }

    /// A page of recordings, the newest first.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Unavailable`].
    pub(crate) fn recordings(
        &self,
        scope: &Scope,
        filter: &RecordingFilter,
        page: Rows,
    ) -> Result<Vec<Recording>, RegistryError> {
        let mut wanted = Wanted::default();
        wanted.add("n < ?", Some(Value::Integer(page.before())));
        wanted.add("tenant = ?", scope.tenant().map(|it| Value::Text(it.to_string())));
        wanted.add("tenant = ?", filter.tenant.clone().map(Value::Text));
        wanted.add("event = ?", filter.event.map(|it| Value::Blob(it.0.as_bytes().to_vec())));
        wanted.add("provider = ?", filter.provider.clone().map(Value::Text));
        wanted.add("conversation = ?", filter.conversation.clone().map(Value::Text));
        wanted.add("state = ?", filter.state.map(|it| Value::Text(it.name().to_owned())));
        let limit = Value::Integer(page.limit.into());
        self.read_as(scope, "reading recordings", |connection| wanted.read(connection, limit))
    }

    /// One recording.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Unavailable`].
    pub(crate) fn recording(&self, id: RecordingId) -> Result<Option<Recording>, RegistryError> {
        let mut wanted = Wanted::default();
        wanted.add("id = ?", Some(Value::Blob(id.0.as_bytes().to_vec())));
        let limit = Value::Integer(1);
        let found =
            self.read_now("reading a recording", |connection| wanted.read(connection, limit));
        Ok(found?.pop())
    }

    /// How many there are that are not here.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Unavailable`].
    pub async fn recording_counts(&self) -> Result<RecordingCounts, RegistryError> {
        self.read("counting recordings", |connection| {
            let of = |state: RecordingState| -> Result<u64, Stop> {
                // As text, so that the index of what is not here is used.
                let select =
                    format!("SELECT count(*) FROM recordings WHERE state = '{}'", state.name());
                let count: i64 =
                    connection.prepare_cached(&select)?.query_row([], |row| row.get(0))?;
                Ok(u64::try_from(count).unwrap_or(0))
            };
            let (pending, failed) = (of(RecordingState::Pending)?, of(RecordingState::Failed)?);
            Ok(RecordingCounts { pending, failed })
        })
        .await
    }

    /// Erases the recordings of events with their files; gives the files' bytes. Blocks.
    ///
    /// # Errors
    ///
    /// A [`RegistryError`].
    pub(crate) fn erase_recordings_of(
        &self,
        events: &HashSet<EventId>,
    ) -> Result<u64, RegistryError> {
        // Most stores have none, and then nothing is written.
        let has_any = self.read_now("looking for recordings", |connection| {
            Ok(connection.prepare_cached("SELECT 1 FROM recordings LIMIT 1")?.exists([])?)
        })?;
        if !has_any {
            return Ok(0);
        }
        let (_, bytes) = self.erase_found(|connection| {
            let mut select =
                connection.prepare_cached("SELECT id FROM recordings WHERE event = ?1")?;
            let mut found = Vec::new();
            for event in events {
                let rows = select.query_map([event.0.as_bytes()], |row| row.get(0))?;
                for id in rows {
                    found.push(id?);
                }
            }
            Ok(found)
        })?;
        Ok(bytes)
    }

    /// Erases the recordings that an erasure is about with their files; gives the files'
    /// bytes. Blocks.
    ///
    /// # Errors
    ///
    /// A [`RegistryError`].
    pub(crate) fn erase_recordings(&self, target: &ErasureTarget) -> Result<u64, RegistryError> {
        let (wanted, values) = target.rows("received_at");
        let select = format!("SELECT id FROM recordings WHERE {wanted} LIMIT {AT_ONCE}");
        let mut bytes = 0_u64;
        while self.has_recordings(target)? {
            let (_, removed) = self.erase_found(|connection| {
                let mut select = connection.prepare_cached(&select)?;
                select.query_map(params_from_iter(&values), |row| row.get(0))?.collect()
            })?;
            bytes = bytes.saturating_add(removed);
        }
        Ok(bytes)
    }

    /// Whether there are recordings that an erasure is about. Blocks.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Unavailable`].
    pub(crate) fn has_recordings(&self, target: &ErasureTarget) -> Result<bool, RegistryError> {
        let (wanted, values) = target.rows("received_at");
        self.read_now("looking for recordings", |connection| {
            let any = format!("SELECT 1 FROM recordings WHERE {wanted} LIMIT 1");
            Ok(connection.prepare_cached(&any)?.exists(params_from_iter(&values))?)
        })
    }

    /// Erases what `find` finds: the files first, so that none is left without a row.
    fn erase_found(
        &self,
        find: impl FnOnce(&Connection) -> Result<Vec<[u8; 16]>, sql::Error>,
    ) -> Result<(usize, u64), RegistryError> {
        let files = self.shared.recordings.as_ref();
        let (ids, bytes) = self.write_now("erasing recordings", |connection| {
            let ids = find(connection)?;
            let bytes = match files {
                Some(files) => files.remove(ids.iter().copied()).map_err(Stop::Files)?,
                None => 0,
            };
            for id in &ids {
                let delete = "DELETE FROM recordings WHERE id = ?1";
                connection.prepare_cached(delete)?.execute([id])?;
            }
            Ok(((ids, bytes), Vec::new()))
        })?;
        // Whoever fetches one looks for its row after its file was begun: what was begun before
        // the row was gone is removed here, and what is begun later by himself.
        for path in files.iter().flat_map(|it| ids.iter().map(|id| it.unkept_file(*id))) {
            if let Err(error) = layout::remove(&path) {
                let (doing, source) = ("erasing recordings", error);
                return Err(RegistryError::Unavailable { doing, source });
            }
        }
        bump(&self.shared.recordings_version);
        Ok((ids.len(), bytes))
    }

    /// Takes back all leases. For who has the store alone. Blocks.
    ///
    /// # Errors
    ///
    /// A [`RegistryError`].
    pub(crate) fn void_recordings(&self) -> Result<(), RegistryError> {
        self.write_now("taking back leases", |connection| {
            let void = "UPDATE recordings SET token = NULL, leased_until = NULL \
                        WHERE token IS NOT NULL";
            connection.execute(void, [])?;
            Ok(((), Vec::new()))
        })
    }
}

/// Keeps a recording that an event names, unless it is known: of this event, or under the same
/// link in the same conversation, which several events of a call name.
pub(super) fn insert(
    connection: &Connection,
    new: &NewRecording,
    now: Timestamp,
) -> Result<(), Stop> {
    if let Some(tenant) = &new.tenant {
        match tenants::check_alive(connection, tenant) {
            Ok(()) => {}
            Err(Stop::Refused(RegistryError::NoSuchTenant)) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    if let (Some(conversation), Some(digest)) = (&new.conversation, &new.digest) {
        let select = "SELECT tenant, digest FROM recordings WHERE conversation = ?1 \
                      AND provider = ?2 AND state <> 'failed'";
        let mut select = connection.prepare_cached(select)?;
        let known = select.query_map(params![conversation, new.provider], |row| {
            let tenant: Option<String> = row.get("tenant")?;
            Ok((tenant, row.get::<_, Option<[u8; 32]>>("digest")?))
        })?;
        let wanted = new.tenant.as_ref().map(TenantId::to_string);
        for known in known {
            let (tenant, known) = known?;
            if tenant == wanted && known.as_ref() == Some(digest) {
                return Ok(());
            }
        }
    }
    let id = random::id(now).map_err(Stop::Random)?;
    let insert = "INSERT INTO recordings (id, event, seq, place, tenant, source, provider, \
                  conversation, kind, digest, state, due, received_at, created_at) \
                  VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 'pending', ?11, ?12, ?11) \
                  ON CONFLICT (event, place) DO NOTHING";
    connection.prepare_cached(insert)?.execute(params![
        id.as_bytes(),
        new.event.0.as_bytes(),
        i64::try_from(new.seq).unwrap_or(i64::MAX),
        new.place,
        new.tenant.as_ref().map(TenantId::as_str),
        new.source,
        new.provider,
        new.conversation,
        new.kind,
        new.digest,
        now.millis(),
        new.received_at.millis(),
    ])?;
    Ok(())
}

/// Notes whose an event is now.
pub(super) fn reassign(
    connection: &Connection,
    event: EventId,
    tenant: Option<&TenantId>,
) -> Result<(), Stop> {
    let update = "UPDATE recordings SET tenant = ?2 WHERE event = ?1";
    let tenant = tenant.map(TenantId::as_str);
    connection.prepare_cached(update)?.execute(params![event.0.as_bytes(), tenant])?;
    Ok(())
}

/// Says that something changed. Who hears it before the commit looks after it.
pub(super) fn bump(version: &watch::Sender<u64>) {
    version.send_modify(|version| *version = version.saturating_add(1));
}

/// A file that there should be: its id, length and SHA-256.
pub(crate) type FetchedFile = ([u8; 16], u64, [u8; 32]);

/// The files that there should be: id, length and SHA-256. None in a registry that an older
/// version wrote.
pub(crate) fn fetched(connection: &Connection) -> Result<Vec<FetchedFile>, sql::Error> {
    let exists = "SELECT 1 FROM sqlite_schema WHERE name = 'recordings'";
    if !connection.prepare(exists)?.exists([])? {
        return Ok(Vec::new());
    }
    let select = "SELECT id, size, sha256 FROM recordings WHERE state = 'fetched' ORDER BY n";
    let mut select = connection.prepare(select)?;
    let rows = select.query_map([], |row| {
        Ok((row.get("id")?, columns::whole(row, "size")?, row.get("sha256")?))
    })?;
    rows.collect()
}

/// Whether a recording is still there.
pub(crate) fn is_fetched(connection: &Connection, id: [u8; 16]) -> Result<bool, sql::Error> {
    let select = "SELECT 1 FROM recordings WHERE id = ?1 AND state = 'fetched'";
    connection.prepare_cached(select)?.exists([id])
}

/// Whether a lease still holds.
fn holds(connection: &Connection, leased: &LeasedRecording) -> Result<bool, sql::Error> {
    let select = "SELECT token FROM recordings WHERE id = ?1";
    let found = connection
        .prepare_cached(select)?
        .query_row([leased.id.0.as_bytes()], |row| row.get::<_, Option<i64>>(0));
    Ok(found.optional()?.flatten() == Some(leased.token))
}

/// What is read, as SQL.
#[derive(Default)]
struct Wanted {
    text: String,
    values: Vec<Value>,
}

impl Wanted {
    fn add(&mut self, condition: &str, value: Option<Value>) {
        let Some(value) = value else { return };
        self.text.push_str(if self.values.is_empty() { " WHERE " } else { " AND " });
        self.text.push_str(condition);
        self.values.push(value);
        self.text.push_str(&self.values.len().to_string());
    }

    fn read(mut self, connection: &Connection, limit: Value) -> Result<Vec<Recording>, Stop> {
        self.values.push(limit);
        let (text, count) = (self.text, self.values.len());
        let select =
            format!("SELECT {COLUMNS} FROM recordings{text} ORDER BY n DESC LIMIT ?{count}");
        let mut select = connection.prepare_cached(&select)?;
        let rows = select.query_map(params_from_iter(&self.values), recording)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

fn leased(row: &Row<'_>) -> Result<LeasedRecording, sql::Error> {
    Ok(LeasedRecording {
        id: RecordingId(Uuid::from_bytes(row.get("id")?)),
        token: 0,
        event: EventId(Uuid::from_bytes(row.get("event")?)),
        place: row.get("place")?,
        digest: row.get("digest")?,
        attempts: row.get("attempts")?,
    })
}

fn recording(row: &Row<'_>) -> Result<Recording, sql::Error> {
    let state: String = row.get("state")?;
    let state = RecordingState::named(&state).ok_or_else(|| sql::Error::unreadable("state"))?;
    let sound: Option<String> = row.get("sound")?;
    let size: Option<i64> = row.get("size")?;
    Ok(Recording {
        n: columns::number(row)?,
        id: RecordingId(Uuid::from_bytes(row.get("id")?)),
        event: EventId(Uuid::from_bytes(row.get("event")?)),
        tenant: columns::tenant_if_any(row, "tenant")?,
        source: row.get("source")?,
        provider: row.get("provider")?,
        conversation: row.get("conversation")?,
        kind: row.get("kind")?,
        state,
        reason: row.get("reason")?,
        attempts: row.get("attempts")?,
        due: columns::time_if_any(row, "due")?,
        size: size.and_then(|it| u64::try_from(it).ok()),
        sha256: row.get("sha256")?,
        // One that a later version knew is served as bytes.
        sound: sound.map(|it| Sound::named(&it).unwrap_or(Sound::Unknown)),
        received_at: columns::time(row, "received_at")?,
        finished_at: columns::time_if_any(row, "finished_at")?,
    })
}
