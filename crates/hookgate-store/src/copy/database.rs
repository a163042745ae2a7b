//! Reading a store in PostgreSQL that no node uses.

use std::time::{Duration, Instant};

use postgres::Client;
use uuid::Uuid;

use super::item::{Again, Item, Kept, Now, Stored, What};
use super::sounds::{SOUNDS, Sound};
use super::tables::{Columns, Table, names};
use super::{BYTES_AT_ONCE, CopyError, ITEMS_AT_ONCE, PIECE_BYTES, Sink};
use crate::OpenError;
use crate::head::{self, SlimHead};
use crate::index::{signed, unsigned};
use crate::postgres::{Of, PgSettings, migrations::migrate};
use crate::registry::COPYING;
use crate::sql::{ERASER_LOCK, EVENTS_LOCK, REGISTRY_LOCK, Value, value_of};

/// How long one statement may take: the rows of a large table are compared in one.
const ANSWER_MAX: Duration = Duration::from_hours(1);

/// How long nodes that are ending have for it.
const LEAVING_MAX: Duration = Duration::from_secs(5);

/// The wait between two looks at who is there.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Rows of a table that are fetched at once.
const ROWS_AT_ONCE: usize = 500;

/// How a transaction that writes begins, as the operator.
pub(super) const BEGIN: &str = "BEGIN; SET LOCAL search_path = hookgate, pg_temp; \
    SET LOCAL ROLE hookgate_app; SET LOCAL hookgate.tenant = '*'";

/// One that reads what is so at one moment.
const BEGIN_READING: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; \
    SET LOCAL search_path = hookgate, pg_temp; SET LOCAL ROLE hookgate_app; \
    SET LOCAL hookgate.tenant = '*'";

/// Connections of nodes, by the names that they have.
const NODES: &str = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
    AND pid <> pg_backend_pid() AND application_name ~ ': (events|registry|listen)$'";

/// A store in PostgreSQL. Nobody appends or changes the registry as long as this is there.
pub(super) struct Database {
    client: Client,
}

/// How far the events are read.
pub(super) struct Walk {
    pub(super) after: u64,
    pub(super) with_bodies: bool,
}

/// A connection that has all locks, for as long as it lives.
pub(super) fn connect(settings: &PgSettings) -> Result<Client, CopyError> {
    let place = settings.to_string();
    let settings = settings.clone().answering_within(ANSWER_MAX);
    let mut client = settings.connect("copy")?;
    let until = Instant::now() + LEAVING_MAX;
    let mut locks = vec![REGISTRY_LOCK, EVENTS_LOCK, ERASER_LOCK];
    loop {
        let mut missing = Vec::new();
        for lock in locks {
            let row = client.query_one("SELECT pg_try_advisory_lock($1)", &[&lock])?;
            if !row.try_get::<_, bool>(0)? {
                missing.push(lock);
            }
        }
        locks = missing;
        let nodes: i64 = client.query_one(NODES, &[])?.try_get(0)?;
        if nodes == 0 && locks.is_empty() {
            return Ok(client);
        }
        if Instant::now() >= until {
            return Err(CopyError::InUse(place));
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}

impl Database {
    pub(super) fn open(settings: &PgSettings) -> Result<Self, CopyError> {
        let place = settings.to_string();
        let mut client = connect(settings)?;
        let there = "SELECT to_regclass('hookgate.meta') IS NOT NULL";
        if !client.query_one(there, &[])?.try_get::<_, bool>(0)? {
            return Err(CopyError::NoStore(place));
        }
        migrate(&mut client)?;
        let mut made = Self::reading(client)?;
        let names = made.client.query("SELECT name FROM meta", &[])?;
        let names: Result<Vec<String>, _> = names.iter().map(|it| it.try_get(0)).collect();
        let names = names?;
        if names.iter().any(|it| it == COPYING) {
            return Err(OpenError::Unfinished(place).into());
        }
        if !names.iter().any(|it| it == "store_id") {
            return Err(CopyError::NoStore(place));
        }
        Ok(made)
    }

    /// What is in the database of this connection at this moment.
    pub(super) fn reading(mut client: Client) -> Result<Self, CopyError> {
        client.batch_execute(BEGIN_READING)?;
        Ok(Self { client })
    }

    pub(super) fn client(&mut self) -> &mut Client {
        &mut self.client
    }

    pub(super) fn last_seq(&mut self) -> Result<u64, CopyError> {
        let select = "SELECT n FROM versions WHERE topic = 'events'";
        Ok(unsigned(self.client.query_one(select, &[])?.try_get(0)?))
    }

    /// The next items, in the order of their places.
    pub(super) fn next(&mut self, walk: &mut Walk) -> Result<Vec<Item>, CopyError> {
        // Each with the sum of the bytes before it: at least one, however large.
        let events = "WITH first AS (SELECT seq, coalesce(octet_length(payload), 0) AS bytes \
             FROM events WHERE seq > $1 ORDER BY seq LIMIT $2), \
             sized AS (SELECT seq, sum(bytes) OVER (ORDER BY seq) - bytes AS before FROM first) \
             SELECT it.seq, log, id, head, CASE WHEN $4 THEN payload END, blob, erased, status, \
             verdict, tenant, duplicates, decided_kind, decided_tenant, decided_at, decided_by, \
             CASE WHEN erased THEN duplicates - (SELECT count(*) FROM repetitions AS rep \
             WHERE rep.of = it.seq) ELSE 0 END \
             FROM events AS it JOIN sized ON sized.seq = it.seq WHERE before < $3 ORDER BY it.seq";
        let (count, bytes) = (ITEMS_AT_ONCE as u64, BYTES_AT_ONCE as u64);
        let (after, count, bytes) = (signed(walk.after), signed(count), signed(bytes));
        let rows = self.client.query(events, &[&after, &count, &bytes, &walk.with_bodies])?;
        let mut items = Vec::with_capacity(rows.len());
        for row in &rows {
            items.push(event(row, walk.with_bodies)?);
        }
        // Up to the last event, or as many as there are behind it.
        let last = items.last().map_or(i64::MAX, |it| signed(it.seq));
        let again = "SELECT it.seq, it.id, it.of, it.at, it.correlation_id, event.id \
             FROM repetitions AS it LEFT JOIN events AS event ON event.seq = it.of \
             WHERE it.seq > $1 AND it.seq <= $2 ORDER BY it.seq LIMIT $3";
        let rows = self.client.query(again, &[&after, &last, &count])?;
        let is_cut = signed(rows.len() as u64) >= count;
        let mut repeated = Vec::with_capacity(rows.len());
        for row in &rows {
            let original: Option<Uuid> = row.try_get(5)?;
            let what = What::Again(Again {
                id: row.try_get(1)?,
                of: unsigned(row.try_get(2)?),
                at: row.try_get(3)?,
                correlation_id: row.try_get(4)?,
                original: original.unwrap_or(Uuid::nil()),
            });
            repeated.push(Item { seq: unsigned(row.try_get(0)?), what });
        }
        if is_cut && let Some(last) = repeated.last().map(|it| it.seq) {
            items.retain(|it| it.seq < last);
        }
        items.extend(repeated);
        items.sort_unstable_by_key(|it| it.seq);
        if let Some(last) = items.last() {
            walk.after = last.seq;
        }
        Ok(items)
    }

    pub(super) fn large(&mut self, blob: [u8; 16], sink: &mut Sink<'_>) -> Result<(), CopyError> {
        self.pieces(Of::Body(Uuid::from_bytes(blob)), sink)
    }

    fn pieces(&mut self, of: Of, sink: &mut Sink<'_>) -> Result<(), CopyError> {
        let mut last = None;
        loop {
            let found = of.piece_after(&mut self.client, last);
            let found = found.map_err(CopyError::failed("asking PostgreSQL"))?;
            let Some((number, bytes)) = found else { return Ok(()) };
            last = Some(number);
            for piece in bytes.chunks(PIECE_BYTES) {
                sink(piece)?;
            }
        }
    }

    /// The recordings that are kept.
    pub(super) fn sounds(&mut self) -> Result<Vec<Option<Sound>>, CopyError> {
        let rows = self.client.query(SOUNDS, &[])?;
        rows.iter()
            .map(|row| Ok(Sound::of(row.try_get(0)?, row.try_get(1)?, row.try_get(2)?)))
            .collect()
    }

    pub(super) fn sound(&mut self, id: [u8; 16], sink: &mut Sink<'_>) -> Result<(), CopyError> {
        self.pieces(Of::Recording(Uuid::from_bytes(id)), sink)
    }

    pub(super) fn sound_bytes(&mut self, id: [u8; 16]) -> Result<Option<u64>, CopyError> {
        sound_bytes(&mut self.client, id)
    }

    pub(super) fn rows(
        &mut self,
        table: &Table,
        columns: &Columns,
        sink: &mut dyn FnMut(Vec<Value>) -> Result<(), CopyError>,
    ) -> Result<(), CopyError> {
        let Table { name, key, is_numbered } = table;
        let kept = if *name == "meta" { "WHERE name <> 'copying'" } else { "" };
        // Texts in the order of their bytes, as SQLite has them.
        let order = key.split(", ").map(|key| match columns.iter().find(|it| it.0 == key) {
            Some((_, "text")) if !is_numbered => format!("\"{key}\" COLLATE \"C\""),
            _ => format!("\"{key}\""),
        });
        let order = order.collect::<Vec<_>>().join(", ");
        self.client.batch_execute(&format!(
            "DECLARE copied NO SCROLL CURSOR FOR SELECT {} FROM {name} {kept} ORDER BY {order}",
            names(columns)
        ))?;
        loop {
            let rows = self.client.query(&format!("FETCH {ROWS_AT_ONCE} FROM copied"), &[])?;
            if rows.is_empty() {
                return Ok(self.client.batch_execute("CLOSE copied")?);
            }
            for row in &rows {
                let values: Result<Vec<Value>, CopyError> =
                    (0..columns.len()).map(|it| value_of(row, it)?.try_into_value()).collect();
                sink(values?)?;
            }
        }
    }

    pub(super) fn highest(&mut self, table: &Table) -> Result<i64, CopyError> {
        // A sequence is its owner's.
        self.client.batch_execute("SET LOCAL ROLE NONE")?;
        let name = format!("hookgate.{}", table.name);
        let row = self.client.query_one("SELECT pg_get_serial_sequence($1, 'n')", &[&name])?;
        let sequence: String = row.try_get(0)?;
        let select =
            format!("SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM {sequence}");
        let highest = self.client.query_one(&select, &[])?.try_get(0)?;
        self.client.batch_execute("SET LOCAL ROLE hookgate_app")?;
        Ok(highest)
    }

    pub(super) fn adopted(&mut self) -> Result<Vec<Vec<Value>>, CopyError> {
        let rows = self.client.query(
            "SELECT seq, provider, external_id, tenant, agent_id, phone_number_id, at \
             FROM adopted ORDER BY seq",
            &[],
        )?;
        let row =
            |row: &postgres::Row| (0..7).map(|it| value_of(row, it)?.try_into_value()).collect();
        rows.iter().map(row).collect()
    }

    /// Says that the copy here is whole.
    pub(super) fn release(mut self) -> Result<(), CopyError> {
        self.client.batch_execute("ROLLBACK")?;
        self.client.batch_execute(&format!(
            "{BEGIN}; DELETE FROM meta WHERE name = '{COPYING}'; \
             UPDATE versions SET n = n + 1 WHERE topic <> 'events'; COMMIT"
        ))?;
        Ok(())
    }
}

/// A value of a column.
trait TryIntoValue {
    fn try_into_value(self) -> Result<Value, CopyError>;
}

impl TryIntoValue for crate::sql::ValueRef<'_> {
    fn try_into_value(self) -> Result<Value, CopyError> {
        Value::try_from(self).map_err(CopyError::failed("reading a row"))
    }
}

fn event(row: &postgres::Row, with_bodies: bool) -> Result<Item, CopyError> {
    let seq = unsigned(row.try_get(0)?);
    let encoded: Vec<u8> = row.try_get(3)?;
    let damaged = || CopyError::Damaged(format!("the row of the event at place {seq} is damaged"));
    let head: SlimHead<'_> = head::decode(&encoded).map_err(|_| damaged())?;
    let (payload, blob): (Option<Vec<u8>>, Option<Uuid>) = (row.try_get(4)?, row.try_get(5)?);
    let body = match (payload, blob) {
        _ if row.try_get(6)? => Kept::Erased,
        (_, Some(blob)) => Kept::Large(blob.into_bytes()),
        _ if !with_bodies => Kept::Unread,
        (Some(bytes), None) => Kept::Whole(bytes),
        (None, None) => return Err(damaged()),
    };
    let kind: Option<String> = row.try_get(11)?;
    let decided = match kind {
        Some(kind) => {
            let (at, by): (Option<i64>, Option<String>) = (row.try_get(13)?, row.try_get(14)?);
            Some((kind, row.try_get(12)?, at.unwrap_or_default(), by.unwrap_or_default()))
        }
        None => None,
    };
    let now = Now {
        status: row.try_get(7)?,
        verdict: row.try_get(8)?,
        tenant: row.try_get(9)?,
        duplicates: row.try_get(10)?,
        uncounted: row.try_get(15)?,
        decided,
    };
    let (sha256, size, id) = (head.sha256.0, head.size, row.try_get(2)?);
    let is_unproven = row.try_get::<_, i16>(1)? == 1;
    let stored = Stored { is_unproven, id, sha256, size, head: encoded, body, now };
    Ok(Item { seq, what: What::Event(Box::new(stored)) })
}

/// How many bytes of a recording there are; nothing if none.
pub(super) fn sound_bytes(client: &mut Client, id: [u8; 16]) -> Result<Option<u64>, CopyError> {
    let select =
        "SELECT sum(octet_length(bytes))::bigint FROM recording_pieces WHERE recording = $1";
    let bytes: Option<i64> = client.query_one(select, &[&id.as_slice()])?.try_get(0)?;
    Ok(bytes.map(unsigned))
}

/// The columns of a table, by name.
pub(super) fn columns(client: &mut Client, table: &Table) -> Result<Columns, CopyError> {
    let rows = client.query(
        "SELECT column_name::text, data_type::text FROM information_schema.columns \
         WHERE table_schema = 'hookgate' AND table_name = $1 \
         ORDER BY column_name::text COLLATE \"C\"",
        &[&table.name],
    )?;
    let column = |row: &postgres::Row| {
        let kind = match row.try_get(1)? {
            "bigint" => "bigint",
            "bytea" => "bytea",
            _ => "text",
        };
        Ok((row.try_get(0)?, kind))
    };
    rows.iter().map(column).collect()
}
