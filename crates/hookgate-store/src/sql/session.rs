//! A connection to PostgreSQL that is made anew when it was lost.
//!
//! Every statement is in a transaction that begins with the role of the application and says
//! whose rows it sees: without that the tables are empty (row level security). Whoever may log
//! in may be the owner of all, and is nobody here.

use std::cell::{Cell, RefCell, RefMut};
use std::collections::HashMap;
use std::error::Error as StdError;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hookgate_core::tenant::{Scope, TenantId};
use postgres::types::ToSql;
use postgres::{Client, SimpleQueryMessage};

use super::Error;
use super::dialect::translate;
use super::locks::REGISTRY_LOCK;
use super::topic::{CHANNEL, Topic};
use super::value::Bound;

/// Makes a connection.
pub(crate) type Connect =
    Arc<dyn Fn() -> Result<Client, Box<dyn StdError + Send + Sync>> + Send + Sync>;

/// The role that every transaction has.
pub(crate) const ROLE: &str = "hookgate_app";

/// Statements that are kept prepared. Lists with filters have many; past this all go.
const PREPARED_MAX: usize = 256;

/// The wait after the first connection that could not be made, and the longest one.
const WAIT_MIN: Duration = Duration::from_millis(100);
const WAIT_MAX: Duration = Duration::from_secs(2);

/// Whose rows a transaction sees.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Sight<'a> {
    /// Everybody's.
    All,
    /// One tenant's.
    Tenant(&'a TenantId),
}

impl<'a> Sight<'a> {
    /// What a scope covers.
    pub(crate) fn of(scope: &'a Scope) -> Self {
        scope.tenant().map_or(Self::All, Self::Tenant)
    }

    /// As a literal. A tenant's id has letters, digits and a few signs; a quote would be
    /// doubled all the same.
    fn literal(self) -> String {
        match self {
            Self::All => "'*'".to_owned(),
            Self::Tenant(id) => format!("'{}'", id.as_str().replace('\'', "''")),
        }
    }
}

/// What is done when another node has a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    /// Waits for it.
    Waits,
    /// Goes without.
    Leaves,
}

pub(super) struct Session {
    connect: Connect,
    client: RefCell<Option<Client>>,
    prepared: RefCell<HashMap<Box<str>, Known>>,
    /// What the transaction tells when it is committed.
    announced: RefCell<Vec<Topic>>,
    /// Not before then another connection is made.
    wait: Cell<Option<(Instant, Duration)>>,
}

#[derive(Clone)]
struct Known {
    statement: postgres::Statement,
    values: Arc<[usize]>,
}

impl Session {
    pub(super) fn new(connect: Connect) -> Self {
        Self {
            connect,
            client: RefCell::new(None),
            prepared: RefCell::new(HashMap::new()),
            announced: RefCell::default(),
            wait: Cell::new(None),
        }
    }

    /// Whether what was begun is gone with its connection.
    pub(super) fn is_lost(&self) -> bool {
        self.client.borrow().as_ref().is_none_or(Client::is_closed)
    }

    /// Begins a transaction that may write, when all others that do are over.
    pub(super) fn begin_writing(&self) -> Result<(), Error> {
        self.begin(&format!(
            "BEGIN; SET LOCAL ROLE {ROLE}; SET LOCAL hookgate.tenant = '*'; \
             SELECT pg_advisory_xact_lock({REGISTRY_LOCK})"
        ))
    }

    /// Begins one that may write in the turn that a lock stands for; says whether it has it.
    pub(super) fn begin_turn(&self, lock: i64, patience: Patience) -> Result<bool, Error> {
        self.begin(&format!("BEGIN; SET LOCAL ROLE {ROLE}; SET LOCAL hookgate.tenant = '*'"))?;
        let ask = match patience {
            Patience::Waits => "SELECT pg_advisory_xact_lock($1)::text IS NOT NULL",
            Patience::Leaves => "SELECT pg_try_advisory_xact_lock($1)",
        };
        let answer = self.ask(|client| client.query_one(ask, &[&lock])?.try_get::<_, bool>(0));
        if !matches!(answer, Ok(true)) {
            self.roll_back();
        }
        answer
    }

    /// Begins one that reads what is so at one moment.
    pub(super) fn begin_reading(&self, sight: Sight<'_>) -> Result<(), Error> {
        self.begin(&format!(
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL ROLE {ROLE}; \
             SET LOCAL hookgate.tenant = {}",
            sight.literal()
        ))
    }

    fn begin(&self, words: &str) -> Result<(), Error> {
        if self.is_lost() {
            self.renew()?;
        }
        let begun = self.ask(|client| client.batch_execute(words));
        if begun.is_err() {
            self.roll_back();
        }
        begun
    }

    pub(super) fn announce(&self, topic: Topic) {
        let mut announced = self.announced.borrow_mut();
        if !announced.contains(&topic) {
            announced.push(topic);
        }
    }

    /// Commits, with what is announced; all in one go.
    pub(super) fn commit(&self) -> Result<Vec<(Topic, i64)>, Error> {
        let announced = self.announced.take();
        let mut words = String::new();
        for topic in &announced {
            let name = topic.name();
            if topic.has_version() {
                words.push_str("UPDATE hookgate.versions SET n = n + 1 WHERE topic = '");
                words.push_str(name);
                words.push_str("' RETURNING topic, n; ");
            }
            words.push_str("NOTIFY ");
            words.push_str(CHANNEL);
            words.push_str(", '");
            words.push_str(name);
            words.push_str("'; ");
        }
        words.push_str("COMMIT");
        let said = self.ask(|client| client.simple_query(&words));
        if said.is_err() {
            self.roll_back();
        }
        let rows = said?.into_iter().filter_map(|it| match it {
            SimpleQueryMessage::Row(row) => {
                Some((Topic::named(row.get(0)?)?, row.get(1)?.parse().ok()?))
            }
            _ => None,
        });
        Ok(rows.collect())
    }

    pub(super) fn roll_back(&self) {
        self.announced.take();
        if !self.is_lost() && self.ask(|client| client.batch_execute("ROLLBACK")).is_err() {
            // In what state it is nobody knows.
            self.forget();
        }
    }

    pub(super) fn prepare(&self, sql: &str) -> Result<Prepared<'_>, Error> {
        if let Some(known) = self.prepared.borrow().get(sql) {
            return Ok(Prepared { session: self, known: known.clone() });
        }
        let translated = translate(sql);
        let statement = self.ask(|client| client.prepare(&translated.text))?;
        let known = Known { statement, values: translated.values.into() };
        let mut prepared = self.prepared.borrow_mut();
        if prepared.len() >= PREPARED_MAX {
            prepared.clear();
        }
        prepared.insert(sql.into(), known.clone());
        Ok(Prepared { session: self, known })
    }

    /// Asks, and notes when nobody answers any more.
    fn ask<T>(
        &self,
        ask: impl FnOnce(&mut Client) -> Result<T, postgres::Error> + Send,
    ) -> Result<T, Error>
    where
        T: Send,
    {
        let asked = match RefMut::filter_map(self.client.borrow_mut(), Option::as_mut) {
            Ok(mut client) => {
                let client = &mut *client;
                blocking(|| ask(client).map_err(Error::from))
            }
            Err(_) => Err(Error::Away("the connection was lost".to_owned())),
        };
        if asked.as_ref().is_err_and(Error::is_lost) {
            self.forget();
        }
        asked
    }

    /// Makes another connection, unless the last one was tried a moment ago.
    fn renew(&self) -> Result<(), Error> {
        self.forget();
        let wait = self.wait.get();
        if let Some((until, _)) = wait
            && Instant::now() < until
        {
            return Err(Error::Away("it could not be reached a moment ago".to_owned()));
        }
        match blocking(&*self.connect) {
            Ok(client) => {
                self.wait.set(None);
                self.client.replace(Some(client));
                Ok(())
            }
            Err(error) => {
                let wait = wait.map_or(WAIT_MIN, |(_, it)| it.saturating_mul(2).min(WAIT_MAX));
                self.wait.set(Instant::now().checked_add(wait).map(|until| (until, wait)));
                Err(Error::Away(error.to_string()))
            }
        }
    }

    fn forget(&self) {
        self.prepared.borrow_mut().clear();
        drop_off_runtime(self.client.take());
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.forget();
    }
}

thread_local! {
    /// Whether this thread drives no runtime.
    static MAY_BLOCK: Cell<bool> = const { Cell::new(false) };
}

/// Runs what blocks on a thread that may: calls of PostgreSQL need no thread of their own then.
pub(crate) fn may_block<T>(work: impl FnOnce() -> T) -> T {
    let before = MAY_BLOCK.replace(true);
    let done = work();
    MAY_BLOCK.set(before);
    done
}

/// Runs a call of PostgreSQL. On a thread that drives a runtime its client would panic, and
/// whether one does nobody can ask: so without a word of [`may_block`] it gets a thread.
pub(crate) fn blocking<T: Send>(call: impl FnOnce() -> T + Send) -> T {
    if MAY_BLOCK.get() || tokio::runtime::Handle::try_current().is_err() {
        return call();
    }
    std::thread::scope(|scope| match scope.spawn(call).join() {
        Ok(done) => done,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

/// Says good-bye to PostgreSQL. A client blocks when it is dropped, which it may not on a
/// thread that drives a runtime.
fn drop_off_runtime(client: Option<Client>) {
    let Some(client) = client else { return };
    if tokio::runtime::Handle::try_current().is_ok() {
        // It holds nothing that anybody waits for.
        drop(std::thread::spawn(move || drop(client)));
    }
}

/// A statement that is prepared at a connection.
pub(crate) struct Prepared<'c> {
    session: &'c Session,
    known: Known,
}

impl Prepared<'_> {
    pub(super) fn execute(&mut self, values: &[&dyn rusqlite::ToSql]) -> Result<usize, Error> {
        let done =
            self.with(values, |client, statement, values| client.execute(statement, values))?;
        Ok(usize::try_from(done).unwrap_or(usize::MAX))
    }

    pub(super) fn query(
        &mut self,
        values: &[&dyn rusqlite::ToSql],
    ) -> Result<Vec<postgres::Row>, Error> {
        self.with(values, |client, statement, values| client.query(statement, values))
    }

    fn with<T>(
        &self,
        values: &[&dyn rusqlite::ToSql],
        ask: impl FnOnce(
            &mut Client,
            &postgres::Statement,
            &[&(dyn ToSql + Sync)],
        ) -> Result<T, postgres::Error>
        + Send,
    ) -> Result<T, Error>
    where
        T: Send,
    {
        let wanted = self.known.values.iter().map(|at| values.get(*at).copied());
        let bound = wanted
            .map(|it| Bound::of(it.unwrap_or(&rusqlite::types::Null)))
            .collect::<Result<Vec<_>, _>>()?;
        let bound: Vec<&(dyn ToSql + Sync)> =
            bound.iter().map(|it| it as &(dyn ToSql + Sync)).collect();
        let statement = &self.known.statement;
        self.session.ask(|client| ask(client, statement, &bound))
    }
}
