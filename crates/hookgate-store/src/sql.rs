//! One SQL over two databases: what the registry asks is written once, and put to SQLite or to
//! PostgreSQL.
//!
//! It has the shape of `rusqlite`, whose values it uses. What holds:
//!
//! - **SQLite is as it was.** Each call is one `match` and the same call of `rusqlite`.
//! - **A connection to PostgreSQL says nothing outside of a transaction**: there it has the
//!   role and sees the tenant that it is to have (see `sql/session.rs`).
//! - **A lost connection fails what is under way**, and is made anew by the next transaction.
//!
//! What is written must be understood by both: placeholders are `?1` or `?`, truth is 0 or 1,
//! `CROSS JOIN … ON` is a join whose order SQLite keeps, `ON CONFLICT` and `RETURNING` are there,
//! `OR REPLACE`, `rowid`, `iif`, and `min` and `max` of two are not.

mod dialect;
mod error;
mod locks;
mod session;
mod topic;
mod value;

use std::fmt;
use std::ops::Deref;

pub(crate) use rusqlite::ToSql;
use rusqlite::TransactionBehavior;
use rusqlite::config::DbConfig;
pub(crate) use rusqlite::types::{FromSql, Value, ValueRef};

pub(crate) use self::error::{Error, OptionalExtension, is_lost};
pub(crate) use self::locks::{ERASER_LOCK, EVENTS_LOCK, FOLD_LOCK, REGISTRY_LOCK};
use self::session::Session;
pub(crate) use self::session::{Connect, Patience, ROLE, Sight, blocking, may_block};
pub(crate) use self::topic::{CHANNEL, Topic};
pub(crate) use self::value::{Bound, read as value_of};

/// The values of a statement's placeholders, in order.
macro_rules! params {
    ($($value:expr),* $(,)?) => { &[$(&$value as &dyn $crate::sql::ToSql),*] as &[&dyn $crate::sql::ToSql] };
}
pub(crate) use params;

/// Keeps so many statements of a connection to SQLite as they were prepared. By itself it
/// prepares many of them anew for each value that is bound: for its statistics, of which there
/// are none, and for indexes with a condition.
pub(crate) fn keep_statements(
    connection: &rusqlite::Connection,
    count: usize,
) -> Result<(), rusqlite::Error> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.set_prepared_statement_cache_capacity(count);
    Ok(())
}

/// A connection to either.
pub(crate) struct Connection(Inner);

// One kind is in a process, and there are three of them.
#[expect(clippy::large_enum_variant, reason = "there are three of them, and all are of one kind")]
enum Inner {
    Sqlite(rusqlite::Connection),
    Postgres(Session),
}

impl Connection {
    /// Of a connection to SQLite.
    pub(crate) fn sqlite(connection: rusqlite::Connection) -> Self {
        Self(Inner::Sqlite(connection))
    }

    /// Of one to PostgreSQL, which is made when it is first used.
    pub(crate) fn postgres(connect: Connect) -> Self {
        Self(Inner::Postgres(Session::new(connect)))
    }

    /// What only SQLite has; nothing if this is another.
    pub(crate) fn as_sqlite(&self) -> Option<&rusqlite::Connection> {
        match &self.0 {
            Inner::Sqlite(it) => Some(it),
            Inner::Postgres(_) => None,
        }
    }

    /// The same, to watch what it does.
    pub(crate) fn as_sqlite_mut(&mut self) -> Option<&mut rusqlite::Connection> {
        match &mut self.0 {
            Inner::Sqlite(it) => Some(it),
            Inner::Postgres(_) => None,
        }
    }

    pub(crate) fn prepare_cached(&self, sql: &str) -> Result<Statement<'_>, Error> {
        Ok(match &self.0 {
            Inner::Sqlite(it) => Statement::Cached(it.prepare_cached(sql)?),
            Inner::Postgres(it) => Statement::Remote(it.prepare(sql)?),
        })
    }

    /// A statement that is used once.
    pub(crate) fn prepare(&self, sql: &str) -> Result<Statement<'_>, Error> {
        Ok(match &self.0 {
            Inner::Sqlite(it) => Statement::Once(it.prepare(sql)?),
            Inner::Postgres(it) => Statement::Remote(it.prepare(sql)?),
        })
    }

    pub(crate) fn execute(&self, sql: &str, params: impl Params) -> Result<usize, Error> {
        self.prepare(sql)?.execute(params)
    }

    pub(crate) fn query_row<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.prepare(sql)?.query_row(params, read)
    }

    /// Begins a transaction that may write, before whoever else wants to; without
    /// [`Transaction::commit`] it never was.
    pub(crate) fn transaction(&mut self) -> Result<Transaction<'_>, Error> {
        let open = match &self.0 {
            Inner::Sqlite(it) => Open::Sqlite(rusqlite::Transaction::new_unchecked(
                it,
                TransactionBehavior::Immediate,
            )?),
            Inner::Postgres(it) => {
                it.begin_writing()?;
                Open::Postgres(Ending(Some(it)))
            }
        };
        Ok(Transaction { connection: self, open })
    }

    /// Begins a transaction that may write, for whoever has the turn that this lock stands for,
    /// apart from all other writers. Nothing if another node has it and this one does not wait.
    /// In SQLite nobody else has it.
    pub(crate) fn turn(
        &self,
        lock: i64,
        patience: Patience,
    ) -> Result<Option<Transaction<'_>>, Error> {
        let open = match &self.0 {
            Inner::Sqlite(it) => Open::Sqlite(rusqlite::Transaction::new_unchecked(
                it,
                TransactionBehavior::Immediate,
            )?),
            Inner::Postgres(it) => {
                if !it.begin_turn(lock, patience)? {
                    return Ok(None);
                }
                Open::Postgres(Ending(Some(it)))
            }
        };
        Ok(Some(Transaction { connection: self, open }))
    }

    /// Reads what one tenant may see, or all may be, at one moment.
    pub(crate) fn read<T, E: From<Error>>(
        &self,
        sight: Sight<'_>,
        read: impl FnOnce(&Self) -> Result<T, E>,
    ) -> Result<T, E> {
        match &self.0 {
            Inner::Sqlite(_) => read(self),
            Inner::Postgres(it) => {
                it.begin_reading(sight)?;
                let _ending = Ending(Some(it));
                read(self)
            }
        }
    }

    /// What is asked through this is so at one moment.
    pub(crate) fn at_one_moment<T>(
        &self,
        read: impl FnOnce(&Self) -> Result<T, Error>,
    ) -> Result<T, Error> {
        match &self.0 {
            Inner::Sqlite(it) => {
                let _transaction = it.unchecked_transaction()?;
                read(self)
            }
            // A transaction that reads is so.
            Inner::Postgres(_) => read(self),
        }
    }

    /// Tells other nodes, when the transaction is committed, that something of this changed.
    pub(crate) fn announce(&self, topic: Topic) {
        match &self.0 {
            Inner::Sqlite(_) => {}
            Inner::Postgres(it) => it.announce(topic),
        }
    }

    /// Whether the transaction that was begun is gone, without being committed.
    pub(crate) fn is_autocommit(&self) -> bool {
        match &self.0 {
            Inner::Sqlite(it) => it.is_autocommit(),
            Inner::Postgres(it) => it.is_lost(),
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Connection").finish_non_exhaustive()
    }
}

/// A transaction that may write.
pub(crate) struct Transaction<'c> {
    connection: &'c Connection,
    open: Open<'c>,
}

enum Open<'c> {
    Sqlite(rusqlite::Transaction<'c>),
    Postgres(Ending<'c>),
}

/// Takes a transaction back when it is dropped, unless it is taken out before.
struct Ending<'c>(Option<&'c Session>);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        if let Some(session) = self.0.take() {
            session.roll_back();
        }
    }
}

impl Transaction<'_> {
    /// Makes what was written durable, and gives what its announcements were counted as. When
    /// this fails because the connection was lost, it may
    /// have become so nevertheless.
    pub(crate) fn commit(self) -> Result<Vec<(Topic, i64)>, Error> {
        match self.open {
            Open::Sqlite(it) => it.commit().map(|()| Vec::new()).map_err(Error::from),
            Open::Postgres(mut it) => it.0.take().map_or(Ok(Vec::new()), Session::commit),
        }
    }
}

impl Deref for Transaction<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection
    }
}

/// A prepared statement.
pub(crate) enum Statement<'c> {
    Cached(rusqlite::CachedStatement<'c>),
    Once(rusqlite::Statement<'c>),
    Remote(session::Prepared<'c>),
}

impl Statement<'_> {
    pub(crate) fn execute(&mut self, params: impl Params) -> Result<usize, Error> {
        params.with(|values| {
            Ok(match self {
                Self::Cached(it) => it.execute(values)?,
                Self::Once(it) => it.execute(values)?,
                Self::Remote(it) => it.execute(values)?,
            })
        })
    }

    pub(crate) fn exists(&mut self, params: impl Params) -> Result<bool, Error> {
        let mut rows = self.rows(params)?;
        rows.next(|_| Ok(())).transpose().map(|it| it.is_some())
    }

    /// The first row, or [`Error::NoRows`].
    pub(crate) fn query_row<T>(
        &mut self,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.rows(params)?.next(read).unwrap_or(Err(Error::NoRows))
    }

    pub(crate) fn query_map<T, F>(
        &mut self,
        params: impl Params,
        read: F,
    ) -> Result<MappedRows<'_, F>, Error>
    where
        F: FnMut(&Row<'_>) -> Result<T, Error>,
    {
        Ok(MappedRows { rows: self.rows(params)?, read })
    }

    fn rows(&mut self, params: impl Params) -> Result<Rows<'_>, Error> {
        params.with(|values| {
            Ok(match self {
                Self::Cached(it) => Rows::Sqlite(it.query(values)?),
                Self::Once(it) => Rows::Sqlite(it.query(values)?),
                Self::Remote(it) => Rows::Postgres(it.query(values)?.into_iter()),
            })
        })
    }
}

/// Rows as they come: from SQLite one after the other, from PostgreSQL all at once.
enum Rows<'s> {
    Sqlite(rusqlite::Rows<'s>),
    Postgres(std::vec::IntoIter<postgres::Row>),
}

impl Rows<'_> {
    fn next<T>(
        &mut self,
        read: impl FnOnce(&Row<'_>) -> Result<T, Error>,
    ) -> Option<Result<T, Error>> {
        match self {
            Self::Sqlite(it) => match it.next() {
                Ok(row) => row.map(|row| read(&Row::Sqlite(row))),
                Err(error) => Some(Err(error.into())),
            },
            Self::Postgres(it) => it.next().map(|row| read(&Row::Postgres(&row))),
        }
    }
}

/// Rows, each as what was read of it.
pub(crate) struct MappedRows<'s, F> {
    rows: Rows<'s>,
    read: F,
}

impl<T, F: FnMut(&Row<'_>) -> Result<T, Error>> Iterator for MappedRows<'_, F> {
    type Item = Result<T, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let read = &mut self.read;
        self.rows.next(read)
    }
}

/// One row.
pub(crate) enum Row<'r> {
    Sqlite(&'r rusqlite::Row<'r>),
    Postgres(&'r postgres::Row),
}

impl Row<'_> {
    /// What stands in a column.
    pub(crate) fn get<C: Column, T: FromSql>(&self, column: C) -> Result<T, Error> {
        match self {
            Self::Sqlite(it) => Ok(it.get(column)?),
            Self::Postgres(_) => {
                T::column_result(self.get_ref(column)?).map_err(|_| Error::unreadable(column))
            }
        }
    }

    /// The same, borrowed.
    pub(crate) fn get_ref<C: Column>(&self, column: C) -> Result<ValueRef<'_>, Error> {
        match self {
            Self::Sqlite(it) => Ok(it.get_ref(column)?),
            Self::Postgres(it) => {
                let place = column.place(it).ok_or_else(|| Error::unreadable(column))?;
                value::read(it, place).map_err(|_| Error::unreadable(column))
            }
        }
    }
}

/// A column's name, or its place.
pub(crate) trait Column: rusqlite::RowIndex + fmt::Display + Copy {
    fn place(self, row: &postgres::Row) -> Option<usize>;
}

impl Column for usize {
    fn place(self, row: &postgres::Row) -> Option<usize> {
        (self < row.len()).then_some(self)
    }
}

impl Column for &str {
    fn place(self, row: &postgres::Row) -> Option<usize> {
        row.columns().iter().position(|it| it.name() == self)
    }
}

/// The values of placeholders.
pub(crate) trait Params: Sized {
    fn with<T>(self, ask: impl FnOnce(&[&dyn ToSql]) -> T) -> T;
}

impl Params for &[&dyn ToSql] {
    fn with<T>(self, ask: impl FnOnce(&[&dyn ToSql]) -> T) -> T {
        ask(self)
    }
}

// Of one type, so that an empty list needs none.
impl Params for [&(dyn ToSql + Send + Sync); 0] {
    fn with<T>(self, ask: impl FnOnce(&[&dyn ToSql]) -> T) -> T {
        ask(&[])
    }
}

macro_rules! arrays {
    ($($count:literal)*) => {$(
        impl<V: ToSql> Params for [V; $count] {
            fn with<T>(self, ask: impl FnOnce(&[&dyn ToSql]) -> T) -> T {
                ask(&self.each_ref().map(|it| it as &dyn ToSql))
            }
        }
    )*};
}
arrays!(1 2 3 4);

/// Values that are there as a list.
pub(crate) struct ParamsFromIter<I>(I);

/// Takes values from a list.
pub(crate) fn params_from_iter<I>(values: I) -> ParamsFromIter<I> {
    ParamsFromIter(values)
}

impl<I: IntoIterator<Item: ToSql>> Params for ParamsFromIter<I> {
    fn with<T>(self, ask: impl FnOnce(&[&dyn ToSql]) -> T) -> T {
        let values: Vec<I::Item> = self.0.into_iter().collect();
        let values: Vec<&dyn ToSql> = values.iter().map(|it| it as &dyn ToSql).collect();
        ask(&values)
    }
}
