//! Writing a copy into PostgreSQL.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt::Write as _;

use postgres::Client;
use postgres::types::ToSql;
use uuid::Uuid;

use super::database::{BEGIN, Database, columns, connect, sound_bytes};
use super::item::{Again, Item, Kept, Stored, What};
use super::sounds::Sound;
use super::tables::{Columns, TABLES, Tally, names};
use super::{CopyError, Side};
use crate::head::{self, EventHead};
use crate::index::{Change, Row, signed, unsigned};
use crate::postgres::{PgSettings, migrations::migrate, storable};
use crate::registry::COPYING;
use crate::rejections::now;
use crate::sql::{Bound, Value};

/// Writes events. A key stands for one event: of two that have the same, which a disk that
/// failed may have left, for the first.
const EVENTS: &str = "
INSERT INTO events (seq, id, log, received_at, source, provider, type, kind, status, verdict, tenant,
    conversation, external_id, dedupe, duplicates, decided_kind, decided_tenant, decided_at,
    decided_by, erased, head, payload, blob)
SELECT seq, id, log, received_at, source, provider, type, kind, status, verdict, tenant,
    conversation, external_id,
    CASE WHEN EXISTS (SELECT FROM events AS other WHERE other.dedupe = it.dedupe)
        THEN NULL ELSE it.dedupe END,
    duplicates, decided_kind, decided_tenant, decided_at, decided_by, erased, head, payload, blob
FROM unnest($1::bigint[], $2::uuid[], $3::smallint[], $4::bigint[], $5::text[], $6::text[],
    $7::text[], $8::text[], $9::smallint[], $10::smallint[], $11::text[], $12::text[], $13::text[],
    $14::bytea[], $15::bigint[], $16::text[], $17::text[], $18::bigint[], $19::text[],
    $20::boolean[], $21::bytea[], $22::bytea[], $23::uuid[])
    AS it (seq, id, log, received_at, source, provider, type, kind, status, verdict, tenant,
    conversation, external_id, dedupe, duplicates, decided_kind, decided_tenant, decided_at,
    decided_by, erased, head, payload, blob)";

/// Rows of a table that are written at once; each value is a placeholder, of which a statement
/// has 65,535 at most.
const ROWS_AT_ONCE: usize = 500;

/// The bytes of such rows, but for the last one.
const ROW_BYTES_AT_ONCE: usize = 4 << 20;

/// A store in PostgreSQL that is made.
pub(super) struct IntoDatabase {
    client: Client,
}

/// An event as its row is to be.
struct Made<'a> {
    seq: i64,
    event: &'a Stored,
    row: Row,
    head: Cow<'a, [u8]>,
    key: Option<[u8; 16]>,
}

impl IntoDatabase {
    pub(super) fn begin(settings: &PgSettings, id: &[u8]) -> Result<Self, CopyError> {
        let place = settings.to_string();
        let mut client = connect(settings)?;
        migrate(&mut client)?;
        client.batch_execute(BEGIN)?;
        let marker = "SELECT value FROM meta WHERE name = $1";
        let marker: Option<Vec<u8>> =
            client.query_opt(marker, &[&COPYING])?.map(|it| it.try_get(0)).transpose()?;
        if let Some(marker) = marker {
            if marker != id {
                return Err(CopyError::OtherCopy(place));
            }
        } else {
            let others = ["events", "rejections", "blobs", "recording_pieces"];
            for table in TABLES.iter().map(|it| it.name).chain(others) {
                let any = format!("SELECT EXISTS (SELECT FROM {table})");
                if client.query_one(&any, &[])?.try_get(0)? {
                    return Err(CopyError::TargetTaken(place));
                }
            }
            let insert = "INSERT INTO meta (name, value) VALUES ($1, $2)";
            client.execute(insert, &[&COPYING, &id])?;
        }
        client.batch_execute("COMMIT")?;
        Ok(Self { client })
    }

    pub(super) fn last(&mut self) -> Result<u64, CopyError> {
        self.client.batch_execute(BEGIN)?;
        let select = "SELECT greatest((SELECT coalesce(max(seq), 0) FROM events), \
                      (SELECT coalesce(max(seq), 0) FROM repetitions))";
        let last = unsigned(self.client.query_one(select, &[])?.try_get(0)?);
        self.client.batch_execute("COMMIT")?;
        Ok(last)
    }

    /// Writes items, in one transaction; their large bodies before it.
    pub(super) fn write(&mut self, items: &[Item], source: &mut Side) -> Result<(), CopyError> {
        let (mut events, mut again) = (Vec::new(), Vec::new());
        let mut keys = HashSet::new();
        for item in items {
            match &item.what {
                What::Event(event) => {
                    if let Kept::Large(blob) = event.body {
                        self.upload((event, item.seq), blob, source)?;
                    }
                    let mut made = made(item.seq, event)?;
                    made.key = made.key.filter(|it| keys.insert(*it));
                    events.push(made);
                }
                What::Again(it) => again.push((signed(item.seq), it)),
            }
        }
        self.client.batch_execute(BEGIN)?;
        self.write_events(&events)?;
        self.write_again(&again)?;
        let last = items.last().map_or(0, |it| signed(it.seq));
        let advance = "UPDATE versions SET n = $1 WHERE topic = 'events'";
        self.client.execute(advance, &[&last])?;
        self.client.batch_execute("COMMIT")?;
        Ok(())
    }

    fn upload(
        &mut self,
        event: (&Stored, u64),
        blob: [u8; 16],
        source: &mut Side,
    ) -> Result<(), CopyError> {
        let client = &mut self.client;
        let blob_id = Uuid::from_bytes(blob);
        let mut number = 0_i32;
        source.large(event, blob, &mut |piece| {
            client.batch_execute(BEGIN)?;
            client.execute(
                "INSERT INTO blobs (id, n, at, bytes) VALUES ($1, $2, $3, $4) \
                 ON CONFLICT (id, n) DO UPDATE SET at = excluded.at, bytes = excluded.bytes",
                &[&blob_id, &number, &now().millis(), &piece],
            )?;
            client.batch_execute("COMMIT")?;
            number = number.saturating_add(1);
            Ok(())
        })
    }

    pub(super) fn sound_bytes(&mut self, id: [u8; 16]) -> Result<Option<u64>, CopyError> {
        self.client.batch_execute(BEGIN)?;
        let bytes = sound_bytes(&mut self.client, id)?;
        self.client.batch_execute("COMMIT")?;
        Ok(bytes)
    }

    /// Puts a recording into pieces, all of them or none: so what is there was compared.
    pub(super) fn write_sound(
        &mut self,
        sound: &Sound,
        source: &mut Side,
    ) -> Result<(), CopyError> {
        let client = &mut self.client;
        let id = sound.id.as_slice();
        client.batch_execute(BEGIN)?;
        let mut number = 0_i32;
        let insert = client
            .prepare("INSERT INTO recording_pieces (recording, n, bytes) VALUES ($1, $2, $3)")?;
        source.sound(sound, &mut |piece| {
            client.execute(&insert, &[&id, &number, &piece])?;
            number = number.saturating_add(1);
            Ok(())
        })?;
        client.batch_execute("COMMIT")?;
        Ok(())
    }

    fn write_events(&mut self, rows: &[Made<'_>]) -> Result<(), CopyError> {
        fn all<'a, T>(rows: &'a [Made<'a>], of: impl Fn(&'a Made<'a>) -> T) -> Vec<T> {
            rows.iter().map(of).collect()
        }
        let text =
            |at: usize| all(rows, |it| it.row.texts().get(at).copied().flatten().map(storable));
        let decided = |it: &Made<'_>| it.event.now.decided.clone();
        let is_erased = |it: &Made<'_>| it.event.body == Kept::Erased;
        self.client.execute(
            EVENTS,
            &[
                &all(rows, |it| it.seq),
                &all(rows, |it| it.event.id),
                &all(rows, |it| i16::from(it.event.is_unproven)),
                &all(rows, |it| it.row.at),
                &text(0),
                &text(1),
                &text(2),
                &text(3),
                &all(rows, |it| it.event.now.status),
                &all(rows, |it| it.event.now.verdict),
                &all(rows, |it| it.event.now.tenant.as_deref()),
                &text(5),
                &text(6),
                &all(rows, |it| it.key.as_ref().map(|it| &it[..])),
                &all(rows, |it| it.event.now.duplicates),
                &all(rows, |it| decided(it).map(|it| it.0)),
                &all(rows, |it| decided(it).and_then(|it| it.1)),
                &all(rows, |it| decided(it).map(|it| it.2)),
                &all(rows, |it| decided(it).map(|it| storable(&it.3).into_owned())),
                &all(rows, is_erased),
                &all(rows, |it| &*it.head),
                &all(rows, |it| match &it.event.body {
                    Kept::Whole(bytes) => Some(bytes.as_slice()),
                    _ => None,
                }),
                &all(rows, |it| match it.event.body {
                    Kept::Large(blob) => Some(Uuid::from_bytes(blob)),
                    _ => None,
                }),
            ],
        )?;
        let named: Vec<(i64, &str)> = rows
            .iter()
            .filter_map(|it| Some((it.seq, it.row.more.as_ref()?)))
            .flat_map(|(seq, more)| more.named.iter().map(move |it| (seq, it.as_str())))
            .collect();
        let seqs: Vec<i64> = named.iter().map(|it| it.0).collect();
        let tenants: Vec<&str> = named.iter().map(|it| it.1).collect();
        self.client.execute(
            "INSERT INTO violation_tenants (seq, tenant) SELECT * FROM \
             unnest($1::bigint[], $2::text[])",
            &[&seqs, &tenants],
        )?;
        Ok(())
    }

    fn write_again(&mut self, rows: &[(i64, &Again)]) -> Result<(), CopyError> {
        if rows.is_empty() {
            return Ok(());
        }
        let seqs: Vec<i64> = rows.iter().map(|it| it.0).collect();
        let ids: Vec<Uuid> = rows.iter().map(|it| it.1.id).collect();
        let of: Vec<i64> = rows.iter().map(|it| signed(it.1.of)).collect();
        let times: Vec<i64> = rows.iter().map(|it| it.1.at).collect();
        let names: Vec<Cow<'_, str>> =
            rows.iter().map(|it| storable(&it.1.correlation_id)).collect();
        self.client.execute(
            "INSERT INTO repetitions (seq, id, of, at, correlation_id) SELECT * FROM \
             unnest($1::bigint[], $2::uuid[], $3::bigint[], $4::bigint[], $5::text[])",
            &[&seqs, &ids, &of, &times, &names],
        )?;
        Ok(())
    }

    /// Writes the registry, all of it in one transaction; gives what stands in each table.
    pub(super) fn finish(
        &mut self,
        source: &mut Side,
        last_seq: u64,
    ) -> Result<Vec<(u64, [u8; 32])>, CopyError> {
        self.client.batch_execute(BEGIN)?;
        for table in TABLES.iter().rev() {
            let kept = if table.name == "meta" { "WHERE name <> 'copying'" } else { "" };
            self.client.batch_execute(&format!("DELETE FROM {} {kept}", table.name))?;
        }
        let mut tallies = Vec::new();
        let mut numbers = String::new();
        for table in &TABLES {
            let of = source.columns(table)?;
            if of != columns(&mut self.client, table)? {
                return Err(CopyError::Differs(format!("the columns of {}", table.name)));
            }
            let (client, name) = (&mut self.client, table.name);
            let mut tally = Tally::default();
            let (mut batch, mut bytes) = (Vec::new(), 0_usize);
            source.rows(table, &of, &mut |row| {
                tally.note(&row);
                bytes = bytes.saturating_add(row.iter().map(size).sum());
                batch.push(row);
                if batch.len() >= ROWS_AT_ONCE || bytes >= ROW_BYTES_AT_ONCE {
                    insert(client, name, &of, &batch)?;
                    batch.clear();
                    bytes = 0;
                }
                Ok(())
            })?;
            insert(client, name, &of, &batch)?;
            tallies.push(tally.end());
            let highest = if table.is_numbered { source.highest(table)? } else { 0 };
            if highest > 0 {
                // Writing into a text cannot fail.
                let _ = write!(
                    numbers,
                    "SELECT setval(pg_get_serial_sequence('hookgate.{name}', 'n'), {highest}); "
                );
            }
        }
        self.write_adopted(source)?;
        let last = signed(last_seq);
        // A sequence is its owner's.
        self.client.batch_execute(&format!(
            "UPDATE versions SET n = {last} WHERE topic = 'events'; SET LOCAL ROLE NONE; \
             {numbers} COMMIT"
        ))?;
        Ok(tallies)
    }

    fn write_adopted(&mut self, source: &mut Side) -> Result<(), CopyError> {
        self.client.batch_execute("DELETE FROM adopted")?;
        let of: Columns = [
            ("seq", "bigint"),
            ("provider", "text"),
            ("external_id", "text"),
            ("tenant", "text"),
            ("agent_id", "text"),
            ("phone_number_id", "text"),
            ("at", "bigint"),
        ]
        .map(|(name, kind)| (name.to_owned(), kind))
        .into();
        for batch in source.adopted()?.chunks(ROWS_AT_ONCE) {
            insert(&mut self.client, "adopted", &of, batch)?;
        }
        Ok(())
    }

    pub(super) fn open(self) -> Result<Database, CopyError> {
        Database::reading(self.client)
    }
}

/// The row of an event: made from its head, with what is true of it now beside it.
fn made(seq: u64, event: &Stored) -> Result<Made<'_>, CopyError> {
    let damaged = |_| CopyError::Damaged(format!("the head of the event at {seq} is damaged"));
    let is_erased = event.body == Kept::Erased;
    let Change::Event(row) = Change::read(&event.head, is_erased).map_err(damaged)? else {
        return Err(CopyError::Damaged(format!("the record at {seq} is no event")));
    };
    let head = if is_erased {
        // Of an erased event a row names nobody.
        let head: EventHead<'_> = head::decode(&event.head).map_err(damaged)?;
        let mut encoded = Vec::with_capacity(512);
        head::encode(&head.skeleton(), &mut encoded);
        Cow::Owned(encoded)
    } else {
        Cow::Borrowed(event.head.as_slice())
    };
    Ok(Made { seq: signed(seq), event, key: row.key, row, head })
}

/// About how many bytes a value has.
fn size(value: &Value) -> usize {
    match value {
        Value::Text(it) => it.len(),
        Value::Blob(it) => it.len(),
        Value::Null | Value::Integer(_) | Value::Real(_) => 8,
    }
}

fn insert(
    client: &mut Client,
    table: &str,
    columns: &Columns,
    rows: &[Vec<Value>],
) -> Result<(), CopyError> {
    if rows.is_empty() {
        return Ok(());
    }
    let mut places = 1_usize..;
    let rows_of_places: Vec<String> = rows
        .iter()
        .map(|_| {
            let row: Vec<String> = columns
                .iter()
                .zip(places.by_ref())
                .map(|((_, kind), at)| format!("${at}::{kind}"))
                .collect();
            format!("({})", row.join(", "))
        })
        .collect();
    let sql = format!(
        "INSERT INTO {table} ({}) OVERRIDING SYSTEM VALUE VALUES {}",
        names(columns),
        rows_of_places.join(", ")
    );
    let bound: Result<Vec<Bound<'_>>, _> = rows.iter().flatten().map(|it| Bound::of(it)).collect();
    let bound = bound?;
    let values: Vec<&(dyn ToSql + Sync)> =
        bound.iter().map(|it| it as &(dyn ToSql + Sync)).collect();
    client.execute(&sql, &values)?;
    Ok(())
}
