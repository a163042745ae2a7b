//! Conversations as their events tell them, in tables that the nodes share.
//!
//! What holds besides what `projection/mod.rs` says:
//!
//! - **One node folds at a time**, for one transaction: it has the lock of folding until its
//!   commit. Whoever erases takes that first, and then the lock of events: so nothing is folded
//!   of an event after it was erased.
//! - **What is erased leaves in the transaction of its event.** The conversation goes whole, and
//!   what is left of it is folded again by the next step of any node.
//! - **A node folds no tables of a newer version**, and makes those of an older one anew.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use hookgate_core::tenant::Scope;
use postgres::Client;
use tokio::sync::{Semaphore, watch};
use uuid::Uuid;

use super::Node;
use super::pool::Pool;
use super::query::{self, Found};
use super::read::small_bodies;
use super::statement::storable;
use super::writer::Connect;
use crate::body::Body;
use crate::error::{ReadError, is_database_away};
use crate::filter::{EventFilter, Page};
use crate::library::Shown;
use crate::limits::READS_MAX;
use crate::lock;
use crate::projection::{
    DECISIONS, DECISIONS_MAX, Events, FoldError, Folding, Pace, Said, Tables, Telling, VERSION,
    decisions, events, fold_again, reader,
};
use crate::record::EventId;
use crate::registry::{Conversation, Registry, RegistryError};
use crate::sql::{self, Connection, FOLD_LOCK, Patience, Sight, may_block};

/// Milliseconds that a statement of a read may take.
const READ_MAX: u32 = 10_000;

/// Bodies that are read together with all of a page have no more bytes than this: of a page of
/// 256 events that is 4 MiB. Each of the others is asked for alone.
const SMALL_BYTES_MAX: i32 = 16 << 10;

/// Conversations that are folded again at once.
const AGAIN_MAX: u32 = 64;

/// The name under which the version stands that folded.
const FOLDED_BY: &str = "version";

/// Takes events out of their conversations, in the transaction that erases them: the
/// conversations go, and those that have other events are noted to be folded again.
const ERASE: &str = "
WITH touched AS (SELECT DISTINCT n FROM folded_entries WHERE seq = ANY($1)
), noted AS (
    INSERT INTO folded_again (tenant, provider, external_id)
    SELECT tenant, provider, external_id FROM folded JOIN touched USING (n)
    WHERE EXISTS (SELECT FROM folded_entries AS it WHERE it.n = folded.n AND it.seq <> ALL($1))
    ON CONFLICT DO NOTHING
), words AS (DELETE FROM folded_words USING touched WHERE folded_words.n = touched.n
), numbers AS (DELETE FROM folded_numbers USING touched WHERE folded_numbers.n = touched.n
), entries AS (DELETE FROM folded_entries USING touched WHERE folded_entries.n = touched.n
), gone AS (DELETE FROM folded USING touched WHERE folded.n = touched.n RETURNING 1)
UPDATE folded_cursors SET at = at - (SELECT count(*) FROM gone) WHERE name = 'conversations'";

/// Has the lock of folding until the transaction ends.
pub(super) fn hold(client: &mut Client) -> Result<(), postgres::Error> {
    client.batch_execute(&format!("SELECT pg_advisory_xact_lock({FOLD_LOCK})"))
}

/// Takes events out of their conversations. Whoever does so holds the lock.
pub(super) fn erase(client: &mut Client, seqs: &[i64]) -> Result<(), postgres::Error> {
    client.execute(ERASE, &[&seqs]).map(drop)
}

/// Folds. Clones of the node share it with its thread.
pub(super) struct Folder {
    pace: Pace,
    writer: Mutex<Connection>,
    readers: Mutex<Vec<Connection>>,
    reading: Arc<Semaphore>,
    reads: sql::Connect,
    pool: Pool,
    registry: Registry,
    listed: watch::Receiver<u64>,
    count: AtomicU64,
}

/// Events as a transaction sees them.
struct Shelf<'a> {
    pool: &'a Pool,
    client: RefCell<&'a mut Client>,
    /// Of the latest page, those that are small.
    bodies: RefCell<HashMap<Uuid, Bytes>>,
}

impl<'a> Shelf<'a> {
    fn new(pool: &'a Pool, client: &'a mut Client) -> Self {
        Self { pool, client: RefCell::new(client), bodies: RefCell::default() }
    }

    fn body(&self, found: &Found) -> Result<Option<Body>, ReadError> {
        let size = found.head()?.size;
        let small = self.bodies.borrow_mut().remove(&found.id);
        match small.filter(|it| it.len() as u64 == size) {
            Some(body) => Ok(Some(Body::Whole(body))),
            None => super::read::body_of(self.pool, &mut self.client.borrow_mut(), found),
        }
    }
}

impl Events for Shelf<'_> {
    type Found = Found;

    fn page(&self, filter: &EventFilter, page: Page) -> Result<Vec<Found>, ReadError> {
        let client = &mut self.client.borrow_mut();
        // In a database that is new, nothing is known of its tables, and PostgreSQL would
        // sort all that is left for each page.
        client.batch_execute("SET LOCAL enable_sort = off")?;
        let found = query::page(client, Shown::Events, filter, page)?;
        let ids: Vec<Uuid> = found.iter().map(|it| it.id).collect();
        *self.bodies.borrow_mut() = small_bodies(client, &ids, SMALL_BYTES_MAX)?;
        Ok(found)
    }

    fn accepted(&self, id: EventId) -> Result<Option<Found>, ReadError> {
        let found = query::by_id(&mut self.client.borrow_mut(), id)?;
        Ok(found.filter(|it| !it.is_quarantined))
    }

    fn place(found: &Found) -> (u64, [u8; 16]) {
        (found.seq, found.id.into_bytes())
    }

    fn said(&self, found: &Found) -> Result<Option<Said>, ReadError> {
        let read = || {
            if found.is_erased {
                return Ok(None);
            }
            let Some(scope) = reader(found.tenant.as_deref()) else { return Ok(None) };
            let event = found.event(&scope)?;
            self.body(found)?.map_or(Ok(None), |body| Said::of(event, body))
        };
        let said = match read() {
            Err(ReadError::Damaged) => None,
            said => said?,
        };
        // By what is in the tables it is found again.
        Ok(said.map(|mut it| {
            it.key.external_id = storable(&it.key.external_id).into_owned();
            it.key.provider = storable(&it.key.provider).into_owned();
            it
        }))
    }
}

impl Folder {
    pub(super) fn new(
        connect: &Arc<Connect>,
        (pool, registry, listed): (Pool, Registry, watch::Receiver<u64>),
    ) -> Self {
        let writes = connecting(connect, "SET search_path = hookgate, pg_temp".to_owned());
        let limited =
            format!("SET search_path = hookgate, pg_temp; SET statement_timeout = {READ_MAX}");
        Self {
            pace: Pace::new(0),
            writer: Mutex::new(Connection::postgres(writes)),
            readers: Mutex::default(),
            reading: Arc::new(Semaphore::new(READS_MAX)),
            reads: connecting(connect, limited),
            pool,
            registry,
            listed,
            count: AtomicU64::new(0),
        }
    }

    /// Follows until it is stopped.
    pub(super) fn run(&self) {
        may_block(|| {
            self.pace.follow(
                || *self.listed.borrow(),
                || self.step(),
                |error| {
                    let cause = std::error::Error::source(error).map(tracing::field::display);
                    let what = "conversations cannot be followed; it goes on in a moment";
                    // Who writes events and who delivers them say that it is away.
                    if is_database_away(error) {
                        tracing::debug!(error = %error, cause, "{what}");
                    } else {
                        tracing::error!(error = %error, cause, "{what}");
                    }
                },
            );
        });
    }

    /// Ends the thread, which may take a step.
    pub(super) fn stop(&self) {
        self.pace.stop();
    }

    /// Takes in what was decided and erased, and a batch of events; gives how far it is then.
    /// Nothing if another node has the turn.
    fn step(&self) -> Result<Option<u64>, FoldError> {
        // What is listed by now is committed.
        let end = *self.listed.borrow();
        loop {
            match self.turn(Patience::Leaves, |tables| self.take_in(tables, end))? {
                None => return Ok(None),
                Some(Some(through)) => return Ok(Some(through)),
                Some(None) => {}
            }
        }
    }

    /// The same in one transaction; nothing if there is more to do before events.
    fn take_in(&self, tables: &Tables<'_>, end: u64) -> Result<Option<u64>, FoldError> {
        let version = tables.meta(FOLDED_BY)?.and_then(|it| it.parse::<i64>().ok());
        if version.is_some_and(|it| it > VERSION) {
            return Ok(Some(0));
        }
        if version != Some(VERSION) {
            tables.clear()?;
            tables.set_meta(FOLDED_BY, &VERSION.to_string())?;
        }
        // Before the events are looked at: they show what is known here.
        let again = tables.wanted_again(AGAIN_MAX)?;
        let decided = self.registry.decisions_after(tables.cursor(DECISIONS)?, DECISIONS_MAX)?;
        self.pool.look(&Scope::Operator, |client| {
            let found = Shelf::new(&self.pool, client);
            if again.is_empty() && decided.is_empty() {
                return events(tables, &found, end).map(Some);
            }
            fold_again(tables, &found, &again)?;
            tables.done_again(&again)?;
            decisions(tables, &found, &decided)?;
            Ok(None)
        })
    }

    /// Changes conversations in one transaction, if no other node does or it is waited for.
    fn turn<T>(
        &self,
        patience: Patience,
        change: impl FnOnce(&Tables<'_>) -> Result<T, FoldError>,
    ) -> Result<Option<T>, FoldError> {
        let writer = lock(&self.writer);
        let Some(turn) = writer.turn(FOLD_LOCK, patience)? else { return Ok(None) };
        let tables = Tables::new(&turn);
        let done = change(&tables)?;
        let count = tables.finish()?;
        turn.commit()?;
        self.count.store(count, Ordering::Relaxed);
        Ok(Some(done))
    }

    /// Throws everything away; the threads of the nodes begin at the first event.
    fn begin_anew(&self) -> Result<(), FoldError> {
        self.turn(Patience::Waits, |tables| Ok(tables.clear()?))?;
        self.pace.begin_anew();
        Ok(())
    }

    fn ask<T>(
        &self,
        scope: &Scope,
        ask: impl FnOnce(&Connection) -> Result<T, sql::Error>,
    ) -> Result<T, sql::Error> {
        let kept = lock(&self.readers).pop();
        let reader = kept.unwrap_or_else(|| Connection::postgres(self.reads.clone()));
        let done = reader.read(Sight::of(scope), ask);
        let mut readers = lock(&self.readers);
        if readers.len() < READS_MAX {
            readers.push(reader);
        }
        done
    }
}

/// Makes connections on which this was said.
fn connecting(connect: &Arc<Connect>, say: String) -> sql::Connect {
    let connect = Arc::clone(connect);
    Arc::new(move || {
        let mut client = connect()?;
        client.batch_execute(&say)?;
        Ok(client)
    })
}

/// What failed, for who asked.
fn failed(error: FoldError) -> ReadError {
    match error {
        FoldError::Reading(error) => error,
        FoldError::Database(error) => ReadError::database(error),
        other => ReadError::Io(io::Error::other(other)),
    }
}

impl Telling for Node {
    fn registry(&self) -> &Registry {
        Self::registry(self)
    }

    async fn known(
        &self,
        scope: &Scope,
        provider: &str,
        external_id: &str,
    ) -> Result<Option<Conversation>, RegistryError> {
        self.conversation(scope, provider, external_id).await
    }

    async fn catch_up(&self) -> Result<u64, ReadError> {
        let target = *self.inner.desk.listed.borrow();
        Ok(self.inner.folder.pace.catch_up(target).await)
    }

    async fn ask<T: Send + 'static>(
        &self,
        scope: &Scope,
        ask: impl FnOnce(&Connection) -> Result<T, sql::Error> + Send + 'static,
    ) -> Result<T, ReadError> {
        let (folder, scope) = (Arc::clone(&self.inner.folder), scope.clone());
        // Nobody closes it.
        let turn = Arc::clone(&folder.reading).acquire_owned().await;
        let turn = turn.map_err(|error| ReadError::Io(io::Error::other(error)))?;
        let asking = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            may_block(|| folder.ask(&scope, ask)).map_err(ReadError::database)
        });
        asking.await.unwrap_or_else(|error| Err(ReadError::Io(io::Error::other(error))))
    }
}

impl Node {
    pub(crate) async fn rebuild_conversations(&self) -> Result<(), ReadError> {
        let folder = Arc::clone(&self.inner.folder);
        let anew = move || may_block(|| folder.begin_anew()).map_err(failed);
        let beginning = tokio::task::spawn_blocking(anew);
        beginning.await.unwrap_or_else(|error| Err(ReadError::Io(io::Error::other(error))))
    }

    pub(crate) fn folding(&self) -> Folding {
        let folder = &*self.inner.folder;
        let through = folder.pace.through();
        let behind = self.inner.desk.listed.borrow().saturating_sub(through);
        Folding { through, behind, conversations: folder.count.load(Ordering::Relaxed) }
    }
}
