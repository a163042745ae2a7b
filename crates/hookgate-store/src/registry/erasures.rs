//! Erasures: what is to be erased, durable before anything is, and how far that is.

use std::sync::Arc;

use crate::sql::{self, Connection, OptionalExtension, Row, Value, params};
use hookgate_core::tenant::TenantId;
use hookgate_core::time::Timestamp;

use super::error::Stop;
use super::memory::Effect;
use super::{
    Registry, RegistryError, Rows, Written, columns, deliveries, destinations, new_id, tenants,
    text,
};
use crate::erasure::{foreign, is_foreign};
use crate::lock;
use crate::scrub::{Scrubbed, empty_side_file};

/// Finished erasures that are remembered; the oldest go. Retention makes one for each
/// tenant and day.
pub const ERASURES_MAX: u64 = 10_000;

/// An erasure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Erasure {
    /// Its place among all, by which pages are cut.
    pub row: u64,
    /// Its id: `era_` and 16 hexadecimal digits.
    pub id: String,
    /// What is erased.
    pub target: ErasureTarget,
    /// Everything up to this place is done.
    pub done_seq: u64,
    /// Events erased.
    pub events: u64,
    /// Bytes of their bodies.
    pub bytes: u64,
    /// When it began.
    pub started_at: Timestamp,
    /// When it was done; nothing while it runs.
    pub finished_at: Option<Timestamp>,
}

/// What is erased.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ErasureTarget {
    /// A tenant and all it has.
    Tenant(TenantId),
    /// One conversation.
    Conversation {
        /// The provider.
        provider: String,
        /// The provider's id of it.
        external_id: String,
    },
    /// What was received before a time and need not be kept longer.
    Before {
        /// When.
        at: Timestamp,
        /// Only what is this tenant's.
        tenant: Option<TenantId>,
        /// Only what came to this source.
        source: Option<String>,
    },
}

impl ErasureTarget {
    /// The rows that it is about, as SQL: of a table with `tenant`, `provider`, `conversation`,
    /// `source`, and its time in the column `at`.
    pub(super) fn rows(&self, at: &str) -> (String, Vec<Value>) {
        let text = |it: &str| Value::Text(it.to_owned());
        match self {
            Self::Tenant(tenant) => ("tenant = ?1".to_owned(), vec![text(tenant.as_str())]),
            Self::Conversation { provider, external_id } => {
                let wanted = "conversation = ?1 AND provider = ?2".to_owned();
                (wanted, vec![text(external_id), text(provider)])
            }
            Self::Before { at: before, tenant: Some(tenant), .. } => {
                let before = Value::Integer(before.millis());
                (format!("tenant = ?1 AND {at} < ?2"), vec![text(tenant.as_str()), before])
            }
            Self::Before { at: before, source: Some(source), .. } => {
                let before = Value::Integer(before.millis());
                (format!("source = ?1 AND {at} < ?2"), vec![text(source), before])
            }
            // Nobody wants that all go.
            Self::Before { tenant: None, source: None, .. } => ("FALSE".to_owned(), Vec::new()),
        }
    }
}

/// What tells whether an erasure is about an event.
pub(super) struct Origin<'a> {
    pub(super) tenant: Option<&'a TenantId>,
    pub(super) source: &'a str,
    pub(super) provider: &'a str,
    pub(super) conversation: Option<&'a str>,
    pub(super) received_at: Timestamp,
}

impl ErasureTarget {
    /// Whether it is about an event: the same as [`Self::rows`].
    fn takes(&self, event: &Origin<'_>) -> bool {
        match self {
            Self::Tenant(tenant) => event.tenant == Some(tenant),
            Self::Conversation { provider, external_id } => {
                event.conversation == Some(external_id) && event.provider == provider
            }
            Self::Before { at, tenant: Some(tenant), .. } => {
                event.tenant == Some(tenant) && event.received_at < *at
            }
            Self::Before { at, source: Some(source), .. } => {
                event.source == source && event.received_at < *at
            }
            Self::Before { tenant: None, source: None, .. } => false,
        }
    }
}

/// What is being erased at this moment.
pub(super) struct Erasing(Vec<ErasureTarget>);

impl Erasing {
    pub(super) fn read(connection: &Connection) -> Result<Self, sql::Error> {
        Ok(Self(running(connection)?.into_iter().map(|it| it.target).collect()))
    }

    /// Whether an event is going, or gone already.
    pub(super) fn takes(&self, event: &Origin<'_>) -> bool {
        self.0.iter().any(|it| it.takes(event))
    }
}

/// How far an erasure is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Erased {
    /// Everything up to this place is done.
    pub done_seq: u64,
    /// Events erased.
    pub events: u64,
    /// Bytes of their bodies.
    pub bytes: u64,
}

const COLUMNS: &str = "n, id, tenant, source, provider, conversation, before, done_seq, events, \
                       bytes, started_at, finished_at";

impl Registry {
    /// Begins an erasure, or finds it running. What it erases in the registry is gone when
    /// this is done: of a tenant its keys, tokens, bindings, registered conversations,
    /// credentials and settings, and what its destinations are; of a conversation that it was
    /// registered. Tool calls and deliveries may be many, so they go later, some at a time.
    ///
    /// # Errors
    ///
    /// A [`RegistryError`].
    pub async fn add_erasure(
        &self,
        target: ErasureTarget,
        now: Timestamp,
    ) -> Result<Written<Erasure>, RegistryError> {
        let doing = "beginning an erasure";
        self.blocking(doing, move |registry| registry.add_erasure_now(&target, now)).await
    }

    /// The same on a thread that may block.
    pub(crate) fn add_erasure_now(
        &self,
        target: &ErasureTarget,
        now: Timestamp,
    ) -> Result<Written<Erasure>, RegistryError> {
        self.write_now("beginning an erasure", |connection| {
            let running = running(connection)?;
            if let Some(erasure) = running.into_iter().find(|it| it.target == *target) {
                return Ok((Written::Present(erasure), Vec::new()));
            }
            let effects = match target {
                ErasureTarget::Tenant(tenant) => empty(connection, tenant)?,
                ErasureTarget::Conversation { provider, external_id } => {
                    let provider = text::check_provider(provider)?;
                    let delete =
                        "DELETE FROM conversations WHERE external_id = ?1 AND provider = ?2";
                    connection.execute(delete, [external_id.as_str(), provider])?;
                    vec![Effect::Conversation(provider, external_id.clone())]
                }
                ErasureTarget::Before { .. } => Vec::new(),
            };
            Ok((Written::Created(insert(connection, target, now)?), effects))
        })
    }

    /// Notes how far an erasure is. Blocks.
    ///
    /// # Errors
    ///
    /// A [`RegistryError`].
    pub fn progress_erasure(&self, id: &str, erased: Erased) -> Result<(), RegistryError> {
        self.write_now("noting an erasure", |connection| {
            note(connection, id, erased)?;
            Ok(((), Vec::new()))
        })
    }

    /// Takes out of the registry what names who is erased, but for a tenant's own id, as soon
    /// as nobody has to be found by it any more. Twice is fine. Blocks.
    ///
    /// # Errors
    ///
    /// A [`RegistryError`].
    pub(crate) fn unname_erasure(&self, id: &str) -> Result<(), RegistryError> {
        let key = self.mask_key();
        self.write_now("taking the names out of an erasure", |connection| {
            let erasure = find(connection, id)?.ok_or(RegistryError::NotFound)?;
            match &erasure.target {
                ErasureTarget::Tenant(tenant) => {
                    let unname = "UPDATE tenants SET name = '' WHERE id = ?1";
                    connection.execute(unname, [tenant.as_str()])?;
                    let unnamed = tenants::find(connection, tenant)?;
                    Ok(((), unnamed.map(|it| Effect::Tenant(Arc::new(it))).into_iter().collect()))
                }
                ErasureTarget::Conversation { provider, external_id } => {
                    let provider = text::check_provider(provider)?;
                    if !is_foreign(external_id) {
                        let unname = "UPDATE erasures SET conversation = ?2 WHERE id = ?1";
                        connection.execute(unname, params![id, foreign(key, external_id)])?;
                    }
                    // One that was adopted is out of the index now.
                    Ok(((), vec![Effect::Conversation(provider, external_id.clone())]))
                }
                ErasureTarget::Before { .. } => Ok(((), Vec::new())),
            }
        })
    }

    /// Notes that an erasure is done, and forgets the tenant that was erased. What names
    /// anybody is out of the registry already. Blocks.
    ///
    /// # Errors
    ///
    /// A [`RegistryError`].
    pub fn finish_erasure(
        &self,
        id: &str,
        erased: Erased,
        now: Timestamp,
    ) -> Result<Erasure, RegistryError> {
        let done = self.write_now("finishing an erasure", |connection| {
            note(connection, id, erased)?;
            connection.execute(
                "UPDATE erasures SET state = 'done', finished_at = ?2 WHERE id = ?1",
                params![id, now.millis()],
            )?;
            let erasure = find(connection, id)?.ok_or(RegistryError::NotFound)?;
            deliveries::note_erasure(connection)?;
            let effects = match &erasure.target {
                ErasureTarget::Tenant(tenant) => {
                    connection.execute("DELETE FROM tenants WHERE id = ?1", [tenant.as_str()])?;
                    vec![Effect::TenantGone(tenant.clone())]
                }
                ErasureTarget::Conversation { .. } | ErasureTarget::Before { .. } => Vec::new(),
            };
            let kept = i64::try_from(ERASURES_MAX).unwrap_or(i64::MAX);
            connection.execute(
                // Those of tenants are few, and an index that is made anew asks for them.
                "DELETE FROM erasures WHERE state = 'done' \
                 AND (before IS NOT NULL OR conversation IS NOT NULL) \
                 AND n <= (SELECT max(n) FROM erasures) - ?1",
                [kept],
            )?;
            Ok((erasure, effects))
        })?;
        // What was in the rows is in the side file yet.
        if let Some(writer) = lock(&self.shared.writer).as_sqlite()
            && let Err(error) = empty_side_file(writer)
        {
            tracing::warn!(error = %error, "the side file of the registry could not be emptied");
        }
        Ok(done)
    }

    /// A page of erasures, the newest first.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Unavailable`].
    pub async fn erasures(&self, page: Rows) -> Result<Vec<Erasure>, RegistryError> {
        self.read("listing erasures", move |connection| {
            let select =
                format!("SELECT {COLUMNS} FROM erasures WHERE n < ?1 ORDER BY n DESC LIMIT ?2");
            let mut statement = connection.prepare_cached(&select)?;
            let rows = statement.query_map(params![page.before(), page.limit], erasure)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// One erasure.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Unavailable`].
    pub async fn erasure(&self, id: &str) -> Result<Option<Erasure>, RegistryError> {
        let id = id.to_owned();
        self.read("reading an erasure", move |connection| Ok(find(connection, &id)?)).await
    }

    /// Erasures that are not done, the oldest first. Blocks.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Unavailable`].
    pub fn running_erasures(&self) -> Result<Vec<Erasure>, RegistryError> {
        self.read_now("reading erasures", |connection| Ok(running(connection)?))
    }

    /// Overwrites copies of what was removed, in some pages of the database from this one
    /// on. Blocks.
    pub(crate) fn scrub(&self, from: u32) -> Result<Scrubbed, RegistryError> {
        let doing = "scrubbing the registry";
        let writer = lock(&self.shared.writer);
        // PostgreSQL has a way of its own to do so.
        let Some(writer) = writer.as_sqlite() else { return Ok(Scrubbed::Done) };
        let scrubbed = lock(&self.shared.scrubber).scrub(writer, from);
        scrubbed.map_err(|error| Stop::from(sql::Error::from(error)).error(doing))
    }
}

/// Takes from a tenant all that it has, and marks it.
fn empty(connection: &Connection, tenant: &TenantId) -> Result<Vec<Effect>, Stop> {
    tenants::found(connection, tenant)?;
    let id = tenant.as_str();
    for delete in [
        "DELETE FROM tenant_keys WHERE tenant = ?1",
        "DELETE FROM url_tokens WHERE tenant = ?1",
        "DELETE FROM bindings WHERE tenant = ?1",
        "DELETE FROM conversations WHERE tenant = ?1",
        "DELETE FROM credentials WHERE tenant = ?1",
        "DELETE FROM data_keys WHERE tenant = ?1",
        "DELETE FROM tool_settings WHERE tenant = ?1",
        "DELETE FROM alerts WHERE tenant = ?1",
        "UPDATE tenants SET erasing = 1 WHERE id = ?1",
    ] {
        connection.execute(delete, [id])?;
    }
    let empty = format!("{} WHERE tenant = ?1", destinations::EMPTY);
    connection.execute(&empty, params![id, destinations::NO_BYTES])?;
    let marked = tenants::found(connection, tenant)?;
    Ok(vec![Effect::Tenant(Arc::new(marked)), Effect::TenantEmptied(tenant.clone())])
}

fn insert(
    connection: &Connection,
    target: &ErasureTarget,
    now: Timestamp,
) -> Result<Erasure, Stop> {
    let id = new_id("era_")?;
    let (mut tenant_id, mut source_name, mut at_provider) = (None, None, None);
    let (mut conversation, mut before) = (None, None);
    match target {
        ErasureTarget::Tenant(tenant) => tenant_id = Some(tenant.as_str()),
        ErasureTarget::Conversation { provider, external_id } => {
            (at_provider, conversation) = (Some(provider), Some(external_id));
        }
        ErasureTarget::Before { at, tenant, source } => {
            before = Some(at.millis());
            tenant_id = tenant.as_ref().map(TenantId::as_str);
            source_name = source.as_ref();
        }
    }
    connection.execute(
        "INSERT INTO erasures \
         (id, tenant, source, provider, conversation, before, state, started_at) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, 'running', ?7)",
        params![id, tenant_id, source_name, at_provider, conversation, before, now.millis()],
    )?;
    find(connection, &id)?.ok_or_else(|| RegistryError::NotFound.into())
}

fn note(connection: &Connection, id: &str, erased: Erased) -> Result<(), Stop> {
    let whole = |it: u64| i64::try_from(it).unwrap_or(i64::MAX);
    let noted = connection.execute(
        "UPDATE erasures SET done_seq = ?2, events = ?3, bytes = ?4 \
         WHERE id = ?1 AND state = 'running'",
        params![id, whole(erased.done_seq), whole(erased.events), whole(erased.bytes)],
    )?;
    if noted == 0 { Err(RegistryError::NotFound.into()) } else { Ok(()) }
}

fn find(connection: &Connection, id: &str) -> Result<Option<Erasure>, sql::Error> {
    let select = format!("SELECT {COLUMNS} FROM erasures WHERE id = ?1");
    connection.prepare_cached(&select)?.query_row([id], erasure).optional()
}

fn running(connection: &Connection) -> Result<Vec<Erasure>, sql::Error> {
    let select = format!("SELECT {COLUMNS} FROM erasures WHERE state = 'running' ORDER BY n");
    connection.prepare_cached(&select)?.query_map([], erasure)?.collect()
}

fn erasure(row: &Row<'_>) -> Result<Erasure, sql::Error> {
    let tenant = columns::tenant_if_any(row, "tenant")?;
    let conversation: Option<String> = row.get("conversation")?;
    let target = match (columns::time_if_any(row, "before")?, conversation, tenant) {
        (Some(at), _, tenant) => ErasureTarget::Before { at, tenant, source: row.get("source")? },
        (None, Some(external_id), _) => {
            ErasureTarget::Conversation { provider: row.get("provider")?, external_id }
        }
        (None, None, Some(tenant)) => ErasureTarget::Tenant(tenant),
        (None, None, None) => return Err(sql::Error::unreadable("tenant")),
    };
    Ok(Erasure {
        row: columns::number(row)?,
        id: row.get("id")?,
        target,
        done_seq: columns::whole(row, "done_seq")?,
        events: columns::whole(row, "events")?,
        bytes: columns::whole(row, "bytes")?,
        started_at: columns::time(row, "started_at")?,
        finished_at: columns::time_if_any(row, "finished_at")?,
    })
}
