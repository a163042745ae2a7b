//! A few connections to PostgreSQL, each used for one transaction at a time.
//!
//! What holds:
//!
//! - **Every transaction has a scope.** It runs as the role that row level security binds,
//!   and says whose rows it may see; without that it sees none.
//! - **Who reads cannot write**, and sees one moment.
//! - **A connection that was lost is made again** when the next transaction begins. What was
//!   under way is not done twice by itself.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex};
use std::thread;

use hookgate_core::tenant::Scope;
use postgres::error::SqlState;
use postgres::{Client, Error};
use tokio::sync::Semaphore;

use super::writer::Connect;
use crate::error::ReadError;
use crate::limits::READS_MAX;
use crate::lock;

/// Connections kept open: those of readers, and one for who writes beside them.
const KEPT_MAX: usize = READS_MAX + 1;

/// Milliseconds that one statement may take: searching a word in a hundred million events
/// takes longer, and is better asked with a time or a source beside it.
const READ_MAX: u32 = 10_000;

/// Milliseconds that a statement of a change may take: a piece of an erasure has to delete
/// hundreds of large bodies, and waits for its turn before that.
const WRITE_MAX: u32 = 60_000;

/// The connections. Clones share them.
#[derive(Clone)]
pub(super) struct Pool {
    shared: Arc<Shared>,
}

struct Shared {
    connect: Arc<Connect>,
    free: Mutex<Vec<Client>>,
    turns: Arc<Semaphore>,
}

/// What PostgreSQL refused, by its code alone: its sentences quote what was stored.
#[derive(Debug, thiserror::Error)]
#[error("PostgreSQL refuses it (code {0})")]
struct Refused(String);

/// How a transaction begins.
fn begin(scope: &Scope, writes: bool) -> String {
    let tenant = scope.tenant().map_or("*", hookgate_core::tenant::TenantId::as_str);
    let (mode, time) = if writes {
        ("READ WRITE", WRITE_MAX)
    } else {
        ("ISOLATION LEVEL REPEATABLE READ, READ ONLY", READ_MAX)
    };
    // An id of a tenant has letters, digits and `._-`; what else it had would end here.
    let tenant = tenant.replace('\'', "''");
    format!(
        "BEGIN TRANSACTION {mode}; SET LOCAL search_path = hookgate, pg_temp; \
         SET LOCAL ROLE hookgate_app; SET LOCAL hookgate.tenant = '{tenant}'; \
         SET LOCAL statement_timeout = {time}"
    )
}

impl Pool {
    pub(super) fn new(connect: Arc<Connect>) -> Self {
        let turns = Arc::new(Semaphore::new(READS_MAX));
        Self { shared: Arc::new(Shared { connect, free: Mutex::default(), turns }) }
    }

    /// Reads at one moment what is within the scope, on a thread that may block.
    pub(super) async fn reading<T: Send + 'static>(
        &self,
        scope: &Scope,
        read: impl FnOnce(&mut Client) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, ReadError> {
        // Nobody closes it.
        let turn = Arc::clone(&self.shared.turns).acquire_owned().await;
        let turn = turn.map_err(|error| ReadError::Io(io::Error::other(error)))?;
        let (pool, scope) = (self.clone(), scope.clone());
        let reading = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            pool.read(&scope, read)
        });
        reading.await.unwrap_or_else(|error| Err(ReadError::Io(io::Error::other(error))))
    }

    /// The same for who is on such a thread.
    pub(super) fn read<T>(
        &self,
        scope: &Scope,
        read: impl FnOnce(&mut Client) -> Result<T, ReadError>,
    ) -> Result<T, ReadError> {
        self.transact(&begin(scope, false), read)
    }

    /// The same for who may fail in other ways.
    pub(super) fn look<T, E: From<ReadError>>(
        &self,
        scope: &Scope,
        read: impl FnOnce(&mut Client) -> Result<T, E>,
    ) -> Result<T, E> {
        self.transact(&begin(scope, false), read)
    }

    /// Changes something in one transaction, as the operator. Blocks. What comes back as an
    /// error was not done, unless that is a connection lost while it was being committed.
    pub(super) fn write<T, E: From<ReadError>>(
        &self,
        write: impl FnOnce(&mut Client) -> Result<T, E>,
    ) -> Result<T, E> {
        self.transact(&begin(&Scope::Operator, true), write)
    }

    /// A connection of its own, for who holds a lock longer than a transaction.
    pub(super) fn connect(&self) -> Result<Client, ReadError> {
        (self.shared.connect)().map_err(ReadError::Io)
    }

    fn transact<T, E: From<ReadError>>(
        &self,
        begin: &str,
        work: impl FnOnce(&mut Client) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut client = self.begun(begin)?;
        let done = work(&mut client).and_then(|value| {
            client.batch_execute("COMMIT").map_err(|error| E::from(lost(&error)))?;
            Ok(value)
        });
        if done.is_err() && client.batch_execute("ROLLBACK").is_err() {
            // Whatever it is in, nobody uses it again.
            discard(vec![client]);
            return done;
        }
        let mut free = lock(&self.shared.free);
        if free.len() < KEPT_MAX {
            free.push(client);
        } else {
            drop(free);
            discard(vec![client]);
        }
        done
    }

    /// A connection on which a transaction has begun. One that was kept may have been lost
    /// meanwhile; nothing was done on it.
    fn begun(&self, begin: &str) -> Result<Client, ReadError> {
        loop {
            let kept = lock(&self.shared.free).pop();
            let Some(mut client) = kept else { break };
            if !client.is_closed() && client.batch_execute(begin).is_ok() {
                return Ok(client);
            }
            discard(vec![client]);
        }
        let mut client = self.connect()?;
        client.batch_execute(begin).map_err(|error| lost(&error))?;
        Ok(client)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        discard(std::mem::take(&mut lock(&self.free)));
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Pool").finish_non_exhaustive()
    }
}

/// Closes connections on a thread of their own: each has a runtime within, which must not
/// end inside of another.
pub(super) fn discard(clients: Vec<Client>) {
    if clients.is_empty() {
        return;
    }
    let closing = thread::Builder::new().name("goodbye".to_owned()).spawn(move || drop(clients));
    if let Err(error) = closing {
        tracing::warn!(error = %error, "connections to PostgreSQL could not be closed");
    }
}

/// Why PostgreSQL could not be asked.
pub(super) fn lost(error: &Error) -> ReadError {
    let Some(code) = error.code() else {
        let text = "the connection to PostgreSQL is lost";
        return ReadError::Io(io::Error::new(io::ErrorKind::ConnectionReset, text));
    };
    match *code {
        SqlState::QUERY_CANCELED => ReadError::Io(io::ErrorKind::TimedOut.into()),
        SqlState::T_R_DEADLOCK_DETECTED
        | SqlState::T_R_SERIALIZATION_FAILURE
        | SqlState::LOCK_NOT_AVAILABLE => ReadError::Behind,
        _ => ReadError::Io(io::Error::other(Refused(code.code().to_owned()))),
    }
}

impl From<Error> for ReadError {
    fn from(error: Error) -> Self {
        lost(&error)
    }
}
