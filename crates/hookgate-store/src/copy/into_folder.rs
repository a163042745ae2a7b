//! Writing a copy into a folder.

use std::collections::{HashSet, VecDeque};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use hookgate_journal::{Journal, LogId, Position, Ticket};
use rusqlite::Connection;
use uuid::Uuid;

use super::folder::{Folder, columns, length, options};
use super::item::{Again, Item, Kept, Stored, What};
use super::sounds::Sound;
use super::tables::{Columns, TABLES, Tally, names};
use super::{CopyError, Side, Sink};
use crate::head::{self, NOTHING, NothingHead, REPETITION, RepetitionHead};
use crate::layout::{self, EVENTS, LOGS, Layout, Shelf, UNPROVEN};
use crate::opening::open_journal;
use crate::registry;
use crate::sql::Value;

/// Records that are erased at once.
const ERASED_AT_ONCE: usize = 4_096;

/// A store in a folder that is made.
pub(super) struct IntoFolder {
    layout: Layout,
    journal: Journal,
    /// The last place that is written.
    last: u64,
    /// What waits for the disk, and in which log. Only one log at a time: so whatever stops
    /// this, what is on the disk is everything up to some place.
    waiting: Vec<Ticket>,
    log: LogId,
    /// Repetitions that are counted and have no place any more: of which event, how many.
    /// Those places are free behind the event.
    uncounted: VecDeque<(u64, i64)>,
}

impl IntoFolder {
    pub(super) fn begin(path: &Path, id: &[u8]) -> Result<Self, CopyError> {
        let layout = Layout::new(path);
        let marker = layout.copying();
        let text = hex::encode(id);
        match fs::read_to_string(&marker) {
            Ok(found) if found == text => {}
            // Whoever began was stopped before it was whole.
            Ok(found) if text.starts_with(&found) => mark(&layout, &text)?,
            Ok(_) => return Err(CopyError::OtherCopy(path.display().to_string())),
            Err(_) => {
                if fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_some()) {
                    return Err(CopyError::TargetTaken(path.display().to_string()));
                }
                layout::create_folder(path).map_err(CopyError::at("creating", path))?;
                mark(&layout, &text)?;
            }
        }
        let (journal, _) = open_journal(&layout, &options(), hookgate_journal::wake_inline())?;
        let mut last = 0_u64;
        for log in LOGS {
            for found in journal.reader().scan_heads(log, None) {
                let head = found.map_err(CopyError::failed("reading the journal of the copy"))?;
                last = last.max(head.seq);
            }
        }
        let uncounted = VecDeque::new();
        Ok(Self { layout, journal, last, waiting: Vec::new(), log: EVENTS, uncounted })
    }

    pub(super) fn last(&self) -> u64 {
        self.last
    }

    /// Writes items, and waits until they are on the disk.
    pub(super) fn write(&mut self, items: &[Item], source: &mut Side) -> Result<(), CopyError> {
        for item in items {
            self.fill(item.seq)?;
            match &item.what {
                What::Event(event) => {
                    let payload: &[u8] = match &event.body {
                        Kept::Whole(bytes) => bytes,
                        Kept::Large(blob) => {
                            self.large((event, item.seq), *blob, source)?;
                            &[]
                        }
                        Kept::Erased | Kept::Unread => &[],
                    };
                    if event.now.uncounted > 0 {
                        self.uncounted.push_back((item.seq, event.now.uncounted));
                    }
                    let log = if event.is_unproven { UNPROVEN } else { EVENTS };
                    self.append(log, item.seq, (&event.head, payload))?;
                }
                What::Again(again) => {
                    let head = repetition(again);
                    self.append(EVENTS, item.seq, (&head, &[]))?;
                }
            }
        }
        self.wait()
    }

    /// Puts repetitions that are counted and were forgotten into places that are free.
    fn fill(&mut self, until: u64) -> Result<(), CopyError> {
        while self.last.saturating_add(1) < until
            && let Some((of, count)) = self.uncounted.pop_front()
        {
            if count > 1 {
                self.uncounted.push_front((of, count.saturating_sub(1)));
            }
            let (id, original) = (Uuid::nil(), Uuid::nil());
            let again = Again { id, of, at: 0, correlation_id: String::new(), original };
            let seq = self.last.saturating_add(1);
            self.append(EVENTS, seq, (&repetition(&again), &[]))?;
        }
        Ok(())
    }

    fn append(
        &mut self,
        log: LogId,
        seq: u64,
        (head, payload): (&[u8], &[u8]),
    ) -> Result<(), CopyError> {
        if self.log != log {
            self.wait()?;
            self.log = log;
        }
        if self.journal.next_seq() != seq {
            self.journal.number_next(seq);
        }
        let failed = CopyError::failed("writing the journal of the copy");
        let ticket = self.journal.append(log, head, payload).map_err(failed)?;
        self.waiting.push(ticket);
        self.last = seq;
        Ok(())
    }

    fn wait(&mut self) -> Result<(), CopyError> {
        for ticket in self.waiting.drain(..) {
            ticket.wait().map_err(CopyError::failed("writing the journal of the copy"))?;
        }
        Ok(())
    }

    /// Puts a large body in its place, durably.
    fn large(
        &self,
        event: (&Stored, u64),
        blob: [u8; 16],
        source: &mut Side,
    ) -> Result<(), CopyError> {
        put(&self.layout.bodies(), blob, &mut |sink| source.large(event, blob, sink))
    }

    pub(super) fn sound_bytes(&self, id: [u8; 16]) -> Result<Option<u64>, CopyError> {
        length(&self.layout.recordings().file(id))
    }

    /// Puts a recording in its place, durably.
    pub(super) fn write_sound(&self, sound: &Sound, source: &mut Side) -> Result<(), CopyError> {
        put(&self.layout.recordings(), sound.id, &mut |sink| source.sound(sound, sink))
    }

    /// Writes the registry, and erases what is erased in the source; gives what stands in each
    /// table.
    pub(super) fn finish(
        &mut self,
        source: &mut Side,
        erased: &[u64],
        last_seq: u64,
    ) -> Result<Vec<(u64, [u8; 32])>, CopyError> {
        self.fill(last_seq.saturating_add(1))?;
        if self.last < last_seq {
            // Nothing stands at the last place that was given.
            let mut head = Vec::new();
            head::encode(&NothingHead { record: NOTHING }, &mut head);
            self.append(EVENTS, last_seq, (&head, &[]))?;
        }
        self.wait()?;
        let erased: HashSet<u64> = erased.iter().copied().collect();
        self.erase(&erased)?;
        // Refused requests are not copied; whoever reads them finds that there are none.
        let rejections = self.layout.rejections();
        layout::create_folder(&rejections).map_err(CopyError::at("creating", &rejections))?;
        let path = self.layout.registry();
        for database in [&path, &self.layout.index()] {
            layout::remove_database(database).map_err(CopyError::at("removing", database))?;
        }
        let mut connection = registry::open_tables(&path)?;
        let transaction = connection.transaction()?;
        let mut tallies = Vec::new();
        for table in &TABLES {
            let of = source.columns(table)?;
            if of != columns(&transaction, table)? {
                return Err(CopyError::Differs(format!("the columns of {}", table.name)));
            }
            let insert = insert(table.name, &of);
            let mut insert = transaction.prepare(&insert)?;
            let mut tally = Tally::default();
            source.rows(table, &of, &mut |row| {
                tally.note(&row);
                insert.execute(rusqlite::params_from_iter(row))?;
                Ok(())
            })?;
            drop(insert);
            if table.is_numbered {
                let highest = source.highest(table)?;
                set_highest(&transaction, table.name, highest)?;
            }
            if table.name == "conversations" && register(&transaction, source, &erased)? {
                tally = Tally::default();
                let select = format!("SELECT {} FROM conversations ORDER BY n", names(&of));
                let mut select = transaction.prepare(&select)?;
                let mut rows = select.query([])?;
                while let Some(row) = rows.next()? {
                    let values: Result<Vec<Value>, _> =
                        (0..of.len()).map(|it| row.get(it)).collect();
                    tally.note(&values?);
                }
            }
            tallies.push(tally.end());
        }
        transaction.commit()?;
        connection.close().map_err(|(_, error)| CopyError::from(error))?;
        Ok(tallies)
    }
}

impl IntoFolder {
    /// Erases the payloads of these events, as far as they have any.
    fn erase(&self, erased: &HashSet<u64>) -> Result<(), CopyError> {
        for log in LOGS {
            let mut positions: Vec<Position> = Vec::new();
            let reader = self.journal.reader();
            let mut records = reader.scan_heads(log, None);
            loop {
                let found = records.next().transpose();
                let found = found.map_err(CopyError::failed("reading the journal of the copy"))?;
                let is_end = found.is_none();
                positions.extend(
                    found.filter(|it| !it.erased && erased.contains(&it.seq)).map(|it| it.position),
                );
                if positions.len() >= ERASED_AT_ONCE || (is_end && !positions.is_empty()) {
                    let done = self.journal.erase_all(log, &positions);
                    done.map_err(CopyError::failed("erasing in the journal of the copy"))?;
                    positions.clear();
                }
                if is_end {
                    break;
                }
            }
        }
        Ok(())
    }

    /// What was made, to be read.
    pub(super) fn open(self) -> Result<Folder, CopyError> {
        let Self { layout, journal, .. } = self;
        journal.close();
        drop(journal);
        Folder::open_made(layout)
    }
}

/// Says that a copy into this folder is not finished, and of which store it is.
fn mark(layout: &Layout, text: &str) -> Result<(), CopyError> {
    let path = layout.copying();
    let mut open = OpenOptions::new();
    let opened = open.write(true).create(true).truncate(true).mode(0o600).open(&path);
    let written = opened.and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        layout::sync_folder(layout.root())
    });
    written.map_err(CopyError::at("writing", &path))
}

/// Puts a file in its place, durably, when everything in it is right.
fn put(
    shelf: &Shelf,
    id: [u8; 16],
    give: &mut dyn FnMut(&mut Sink<'_>) -> Result<(), CopyError>,
) -> Result<(), CopyError> {
    let (unkept, place) = (shelf.unkept_file(id), shelf.file(id));
    let folders = [Some(shelf.unkept()), place.parent().map(Path::to_owned)];
    for folder in folders.iter().flatten() {
        layout::create_folder(folder).map_err(CopyError::at("creating", folder))?;
    }
    let failed = || CopyError::at("writing", &unkept);
    let mut open = OpenOptions::new();
    let open = open.write(true).create(true).truncate(true).mode(0o600);
    let mut file = open.open(&unkept).map_err(failed())?;
    give(&mut |piece| file.write_all(piece).map_err(failed()))?;
    file.sync_data().map_err(failed())?;
    fs::rename(&unkept, &place).map_err(failed())?;
    for folder in [shelf.root().to_owned()].iter().chain(folders.iter().flatten()) {
        layout::sync_folder(folder).map_err(CopyError::at("syncing", folder))?;
    }
    Ok(())
}

/// The head of a repetition.
fn repetition(again: &Again) -> Vec<u8> {
    let mut head = Vec::with_capacity(160);
    let repetition = RepetitionHead {
        record: REPETITION,
        id: again.id.into(),
        at: again.at,
        correlation_id: &again.correlation_id,
        of: again.of,
        original: again.original.into(),
    };
    head::encode(&repetition, &mut head);
    head
}

fn insert(table: &str, columns: &Columns) -> String {
    let places: Vec<String> = (1..=columns.len()).map(|it| format!("?{it}")).collect();
    format!("INSERT INTO {table} ({}) VALUES ({})", names(columns), places.join(", "))
}

/// Says which number a table has given last, so that none is given twice.
fn set_highest(connection: &Connection, table: &str, highest: i64) -> Result<(), CopyError> {
    connection.execute("DELETE FROM sqlite_sequence WHERE name = ?1", [table])?;
    let insert = "INSERT INTO sqlite_sequence (name, seq) VALUES (?1, ?2)";
    connection.execute(insert, rusqlite::params![table, highest])?;
    Ok(())
}

/// Registers conversations whose first event is erased in PostgreSQL: a row there still says
/// whose they are, and in a folder the index would have it from the head of that event, which
/// names nobody any more. Whether there were any.
fn register(
    connection: &Connection,
    source: &mut Side,
    erased: &HashSet<u64>,
) -> Result<bool, CopyError> {
    if matches!(source, Side::Folder(_)) {
        return Ok(false);
    }
    let mut any = false;
    for row in source.adopted()? {
        let is_lost = matches!(row.first(), Some(Value::Integer(seq))
            if u64::try_from(*seq).is_ok_and(|it| erased.contains(&it)));
        if is_lost {
            let insert = "INSERT INTO conversations (provider, external_id, tenant, agent_id, \
                 phone_number_id, created_at) VALUES (?2, ?3, ?4, ?5, ?6, ?7 + ?1 * 0) \
                 ON CONFLICT DO NOTHING";
            any |= connection.execute(insert, rusqlite::params_from_iter(row))? > 0;
        }
    }
    Ok(any)
}
