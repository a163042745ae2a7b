//! Reading a store in a folder, with its lock.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use hookgate_journal::{HeadScan, Journal, LogId, Payload, Position, ReadError, Scan};
use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;

use super::item::{Again, Item, Kept, Now, Stored, What};
use super::sounds::{SOUNDS, Sound};
use super::tables::{Columns, Table, names};
use super::{BYTES_AT_ONCE, CopyError, ITEMS_AT_ONCE, PIECE_BYTES, Sink};
use crate::head::{self, SlimHead};
use crate::index::{Index, log_number, signed, unsigned};
use crate::layout::{self, LOGS, Layout, UNPROVEN};
use crate::opening::{open_index, open_journal, open_later};
use crate::options::{Options, Ring};
use crate::registry;
use crate::sql::Value;

/// What is true of an event now, and its verdict.
const NOW: &str = "SELECT events.status, events.verdict,
    (SELECT word FROM words WHERE words.id = events.tenant),
    coalesce((SELECT count FROM duplicates WHERE duplicates.seq = events.seq), 0),
    decided.kind, decided.tenant, decided.at, decided.by
    FROM events LEFT JOIN decided ON decided.seq = events.seq WHERE events.seq = ?1";

/// A store in a folder. Nobody else writes it as long as this is there.
pub(super) struct Folder {
    layout: Layout,
    journal: Journal,
    registry: Connection,
    index: Index,
}

/// How far the logs are read.
pub(super) struct Walk {
    after: u64,
    logs: Vec<OneLog>,
}

struct OneLog {
    log: LogId,
    records: Records,
    next: Option<Record>,
}

enum Records {
    Whole(Scan),
    Heads(HeadScan),
}

/// A record, with its payload if it was asked for.
struct Record {
    seq: u64,
    head: Vec<u8>,
    payload: Kept,
}

/// Bounds under which a ring drops nothing: only the gateway knows how large it is to be.
pub(super) fn options() -> Options {
    let unproven = Ring { bytes_max: u64::MAX >> 8, records_max: u64::MAX >> 8 };
    Options { unproven, ..Options::default() }
}

impl Folder {
    /// Opens the store in a folder, and takes its lock.
    pub(super) fn open(path: &Path) -> Result<Self, CopyError> {
        let layout = Layout::new(path);
        if !layout.registry().is_file() || !layout.journal().is_dir() {
            return Err(CopyError::NoStore(path.display().to_string()));
        }
        if layout.copying().exists() {
            return Err(crate::OpenError::Unfinished(path.display().to_string()).into());
        }
        Self::open_made(layout)
    }

    /// The same, be it finished or not.
    pub(super) fn open_made(layout: Layout) -> Result<Self, CopyError> {
        registry::check_version(&layout.registry())?;
        let (journal, _) = open_journal(&layout, &options(), hookgate_journal::wake_inline())?;
        let registry = registry::open_tables(&layout.registry())?;
        let later = open_later(&layout)?;
        let (index, _) = open_index(&layout, &journal, &later, |_| {})?;
        Ok(Self { layout, journal, registry, index })
    }

    pub(super) fn registry(&self) -> &Connection {
        &self.registry
    }

    pub(super) fn last_seq(&self) -> u64 {
        self.journal.next_seq().saturating_sub(1)
    }

    pub(super) fn walk(&self, after: u64, with_bodies: bool) -> Result<Walk, CopyError> {
        let reader = self.journal.reader();
        let mut logs = Vec::new();
        for log in LOGS {
            // The last event that is copied already; what is behind it is read.
            let select = "SELECT place FROM events WHERE log = ?1 AND seq <= ?2 \
                          ORDER BY seq DESC LIMIT 1";
            let from: Option<i64> = self
                .index
                .connection()
                .query_row(select, params![log_number(log), signed(after)], |row| row.get(0))
                .optional()?;
            let from = from.map(|it| Position::from_u64(unsigned(it)));
            let records = if with_bodies {
                Records::Whole(reader.scan(log, from))
            } else {
                Records::Heads(reader.scan_heads(log, from))
            };
            let mut one = OneLog { log, records, next: None };
            one.advance()?;
            logs.push(one);
        }
        Ok(Walk { after, logs })
    }

    /// The next items, in the order of their places.
    pub(super) fn next(&self, walk: &mut Walk) -> Result<Vec<Item>, CopyError> {
        let (mut items, mut bytes) = (Vec::new(), 0_usize);
        while items.len() < ITEMS_AT_ONCE && bytes < BYTES_AT_ONCE {
            let first = walk
                .logs
                .iter_mut()
                .filter(|it| it.next.is_some())
                .min_by_key(|it| it.next.as_ref().map_or(u64::MAX, |it| it.seq));
            let Some(one) = first else { break };
            let Some(record) = one.next.take() else { break };
            let log = one.log;
            one.advance()?;
            if record.seq <= walk.after {
                continue;
            }
            if let Some(item) = self.item(log, record)? {
                bytes = bytes.saturating_add(item.bytes());
                items.push(item);
            }
        }
        Ok(items)
    }

    /// What a record is; nothing if it is no part of the store any more.
    fn item(&self, log: LogId, record: Record) -> Result<Option<Item>, CopyError> {
        let Record { seq, head: encoded, payload } = record;
        let damaged = |_| CopyError::Damaged(format!("the head of record {seq} is damaged"));
        let head: SlimHead<'_> = head::decode(&encoded).map_err(damaged)?;
        let id = head.id.uuid();
        let what = match head.record {
            head::EVENT => {
                // Its segment is about to go, or the ring has dropped it.
                let Some(now) = self.now(seq)? else { return Ok(None) };
                let body = match (payload, head.blob) {
                    (Kept::Erased, _) => Kept::Erased,
                    (_, Some(blob)) => Kept::Large(blob.0),
                    (payload, None) => payload,
                };
                let (sha256, size) = (head.sha256.0, head.size);
                let is_unproven = log == UNPROVEN;
                What::Event(Box::new(Stored {
                    is_unproven,
                    id,
                    sha256,
                    size,
                    head: encoded,
                    body,
                    now,
                }))
            }
            // It holds the place of one that is counted and was forgotten.
            head::REPETITION if id.is_nil() => return Ok(None),
            head::REPETITION => What::Again(Again {
                id,
                of: head.of,
                at: head.at,
                correlation_id: head.correlation_id.clone().into_owned(),
                original: head.original.map_or(Uuid::nil(), head::Octets::uuid),
            }),
            _ => return Ok(None),
        };
        Ok(Some(Item { seq, what }))
    }

    fn now(&self, seq: u64) -> Result<Option<Now>, CopyError> {
        let mut select = self.index.connection().prepare_cached(NOW)?;
        let read = |row: &rusqlite::Row<'_>| {
            let kind: Option<String> = row.get(4)?;
            let decided = match kind {
                Some(kind) => Some((kind, row.get(5)?, row.get(6)?, row.get(7)?)),
                None => None,
            };
            Ok(Now {
                status: row.get(0)?,
                verdict: row.get(1)?,
                tenant: row.get(2)?,
                duplicates: row.get(3)?,
                uncounted: 0,
                decided,
            })
        };
        Ok(select.query_row([signed(seq)], read).optional()?)
    }

    pub(super) fn large(&self, blob: [u8; 16], sink: &mut Sink<'_>) -> Result<(), CopyError> {
        read_file(&self.layout.blob(blob), sink)
    }

    /// The recordings that are kept.
    pub(super) fn sounds(&self) -> Result<Vec<Option<Sound>>, CopyError> {
        let mut select = self.registry.prepare(SOUNDS)?;
        let rows = select.query_map([], |row| {
            let id: Vec<u8> = row.get(0)?;
            Ok(Sound::of(&id, row.get(1)?, row.get(2)?))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    pub(super) fn sound(&self, id: [u8; 16], sink: &mut Sink<'_>) -> Result<(), CopyError> {
        read_file(&self.layout.recordings().file(id), sink)
    }

    pub(super) fn sound_bytes(&self, id: [u8; 16]) -> Result<Option<u64>, CopyError> {
        length(&self.layout.recordings().file(id))
    }

    pub(super) fn rows(
        &self,
        table: &Table,
        columns: &Columns,
        sink: &mut dyn FnMut(Vec<Value>) -> Result<(), CopyError>,
    ) -> Result<(), CopyError> {
        let Table { name, key, .. } = table;
        let kept = if *name == "meta" { "WHERE name <> 'copying'" } else { "" };
        let select = format!("SELECT {} FROM {name} {kept} ORDER BY {key}", names(columns));
        let mut select = self.registry.prepare(&select)?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            let values: Result<Vec<Value>, _> = (0..columns.len()).map(|it| row.get(it)).collect();
            sink(values?)?;
        }
        Ok(())
    }

    pub(super) fn highest(&self, table: &Table) -> Result<i64, CopyError> {
        let select = "SELECT seq FROM sqlite_sequence WHERE name = ?1";
        let found = self.registry.query_row(select, [table.name], |row| row.get(0)).optional()?;
        Ok(found.unwrap_or(0))
    }

    pub(super) fn adopted(&self) -> Result<Vec<Vec<Value>>, CopyError> {
        let mut select = self.index.connection().prepare(
            "SELECT seq, p.word, external_id, t.word, agent_id, phone_number_id, at \
             FROM conversations JOIN words p ON p.id = provider JOIN words t ON t.id = tenant \
             ORDER BY seq",
        )?;
        let read = |row: &rusqlite::Row<'_>| (0..7).map(|it| row.get(it)).collect();
        Ok(select.query_map([], read)?.collect::<Result<_, _>>()?)
    }

    /// Says that the copy here is whole.
    pub(super) fn release(self) -> Result<(), CopyError> {
        let Self { layout, journal, registry, index } = self;
        registry.close().map_err(|(_, error)| CopyError::from(error))?;
        index.close()?;
        journal.close();
        let marker = layout.copying();
        layout::remove(&marker).map_err(CopyError::at("removing", &marker))?;
        layout::sync_folder(layout.root()).map_err(CopyError::at("syncing", layout.root()))
    }
}

fn read_file(path: &Path, sink: &mut Sink<'_>) -> Result<(), CopyError> {
    let mut file = File::open(path).map_err(CopyError::at("reading", path))?;
    let mut piece = Vec::with_capacity(PIECE_BYTES);
    loop {
        piece.clear();
        let read = (&mut file).take(PIECE_BYTES as u64).read_to_end(&mut piece);
        if read.map_err(CopyError::at("reading", path))? == 0 {
            return Ok(());
        }
        sink(&piece)?;
    }
}

/// The length of a file; nothing if there is none.
pub(super) fn length(path: &Path) -> Result<Option<u64>, CopyError> {
    match path.metadata() {
        Ok(found) => Ok(Some(found.len())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(CopyError::at("looking at", path)(error)),
    }
}

impl OneLog {
    /// Reads the next record.
    fn advance(&mut self) -> Result<(), CopyError> {
        self.next = loop {
            let found = match &mut self.records {
                Records::Whole(scan) => scan.next().map(|it| {
                    it.map(|it| Record {
                        seq: it.seq,
                        head: it.head,
                        payload: match it.payload {
                            Payload::Present(bytes) => Kept::Whole(bytes),
                            Payload::Erased => Kept::Erased,
                        },
                    })
                }),
                Records::Heads(scan) => scan.next().map(|it| {
                    it.map(|it| Record {
                        seq: it.seq,
                        head: it.head,
                        payload: if it.erased { Kept::Erased } else { Kept::Unread },
                    })
                }),
            };
            match found {
                None => break None,
                Some(Ok(record)) => break Some(record),
                // The ring dropped it.
                Some(Err(ReadError::Gone { .. })) if self.log == UNPROVEN => {}
                Some(Err(ReadError::Corrupt { .. })) => {
                    return Err(CopyError::Damaged("the journal is damaged".to_owned()));
                }
                Some(Err(error)) => return Err(CopyError::failed("reading the journal")(error)),
            }
        };
        Ok(())
    }
}

/// The columns of a table, by name.
pub(super) fn columns(registry: &Connection, table: &Table) -> Result<Columns, CopyError> {
    let mut select =
        registry.prepare("SELECT name, type FROM pragma_table_info(?1) ORDER BY name")?;
    let read = |row: &rusqlite::Row<'_>| {
        let kind = match row.get_ref(1)?.as_str()? {
            "INTEGER" => "bigint",
            "BLOB" => "bytea",
            _ => "text",
        };
        Ok((row.get(0)?, kind))
    };
    Ok(select.query_map([table.name], read)?.collect::<Result<_, _>>()?)
}
