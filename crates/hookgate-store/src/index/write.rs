//! Writing the index: in transactions that carry how far it has come.

use std::collections::BTreeMap;

use hookgate_journal::Position;
use rusqlite::{CachedStatement, Connection, OptionalExtension, params};

use super::schema::SPAN_BITS;
use super::{Change, Index, Placed, Progress, Row, WORDS_MAX, log_number, query, signed, unsigned};
use crate::bloom::Key;
use crate::layout::LOGS;

/// Rows of `events` whose keys go into the table at once when an index is rebuilt: what
/// sorts in some ten megabytes.
const MERGE_ROWS: u64 = 500_000;

impl Index {
    /// Takes these records, in the order of each log, in one transaction. What is in the
    /// index already is left out. After an error, nothing of it is there.
    pub(crate) fn apply(&mut self, records: &[Placed]) -> Result<(), rusqlite::Error> {
        if records.is_empty() {
            return Ok(());
        }
        self.in_transaction(|index| index.write(records))
    }

    /// Does something in one transaction. After an error, nothing of it is there.
    pub(super) fn in_transaction<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, rusqlite::Error>,
    ) -> Result<T, rusqlite::Error> {
        let before = self.progress;
        self.connection.execute_batch("BEGIN")?;
        let done = work(self).and_then(|value| {
            self.connection.execute_batch("COMMIT")?;
            Ok(value)
        });
        if done.is_err() {
            self.progress = before;
            // Words of the transaction went with it.
            self.words.clear();
            if !self.connection.is_autocommit() {
                let _ = self.connection.execute_batch("ROLLBACK");
            }
        }
        done
    }

    /// The number of a word.
    pub(super) fn word(&mut self, word: &str) -> Result<i64, rusqlite::Error> {
        if let Some(id) = self.words.get(word) {
            return Ok(*id);
        }
        let id = match query::number_of(&self.connection, word)? {
            Some(id) => id,
            None => self.add_word(word)?,
        };
        self.words.insert(word.to_owned(), id);
        Ok(id)
    }

    fn add_word(&self, word: &str) -> Result<i64, rusqlite::Error> {
        self.connection.prepare_cached("INSERT INTO words (word) VALUES (?1)")?.insert([word])
    }

    fn write(&mut self, records: &[Placed]) -> Result<(), rusqlite::Error> {
        if self.words.len() > WORDS_MAX {
            self.words.clear();
        }
        let mut statements = Statements::new(&self.connection)?;
        let mut spans: BTreeMap<u64, (i64, i64)> = BTreeMap::new();
        let mut rare = Vec::new();
        for record in records {
            let Some(progress) = self.progress.get_mut(record.log.index()) else { continue };
            if record.seq <= progress.seq {
                continue;
            }
            *progress = Progress { seq: record.seq, position: Some(record.position) };
            match &record.change {
                Change::Event(row) => {
                    statements.insert(record, row, &mut self.words)?;
                    let span = spans.entry(record.seq >> SPAN_BITS).or_insert((row.at, row.at));
                    *span = (span.0.min(row.at), span.1.max(row.at));
                    if row.is_erased || row.more.is_some() {
                        rare.push((record.seq, row));
                    }
                }
                Change::Repetition(of) => {
                    statements.repeat.execute([signed(*of)])?;
                }
                Change::Nothing => {}
            }
        }
        for (span, (first, last)) in spans {
            statements.widen.execute([signed(span), first, last])?;
        }
        for (log, progress) in LOGS.iter().zip(self.progress) {
            if let Some(position) = progress.position {
                statements.advance.execute([
                    log_number(*log),
                    signed(progress.seq),
                    signed(position.to_u64()),
                ])?;
            }
        }
        drop(statements);
        for (seq, row) in rare {
            self.write_more(seq, row)?;
        }
        Ok(())
    }

    /// What few events have.
    fn write_more(&mut self, seq: u64, row: &Row) -> Result<(), rusqlite::Error> {
        if row.is_erased {
            let insert = "INSERT OR IGNORE INTO erased VALUES (?1)";
            self.connection.prepare_cached(insert)?.execute([signed(seq)])?;
        }
        let Some(more) = &row.more else { return Ok(()) };
        if let (Some(adoption), [_, Some(provider), ..]) = (&more.adoption, row.texts()) {
            let provider = self.word(provider)?;
            self.adopt((seq, row.at, provider), adoption, row.is_erased)?;
        }
        for tenant in &more.named {
            if self.forgotten.get(tenant).is_some_and(|up_to| seq <= *up_to) {
                continue;
            }
            let number = self.word(tenant)?;
            let insert = "INSERT OR IGNORE INTO violation_tenants VALUES (?1, ?2)";
            self.connection.prepare_cached(insert)?.execute([number, signed(seq)])?;
        }
        Ok(())
    }

    /// Removes what the ring of unproven requests has dropped: everything before this
    /// segment. Gives the large bodies that went with it.
    pub(crate) fn evict(&mut self, oldest_segment: u64) -> Result<Vec<[u8; 16]>, rusqlite::Error> {
        let oldest = signed(Position { segment: oldest_segment, offset: 0 }.to_u64());
        let transaction = self.connection.unchecked_transaction()?;
        let blobs = {
            let mut select = transaction.prepare_cached(
                "SELECT id FROM blobs WHERE seq IN (SELECT seq FROM events WHERE log = 1 AND place < ?1)",
            )?;
            let blobs: Result<Vec<[u8; 16]>, _> =
                select.query_map([oldest], |row| row.get(0))?.collect();
            blobs?
        };
        for sql in [
            "DELETE FROM blobs WHERE seq IN (SELECT seq FROM events WHERE log = 1 AND place < ?1)",
            "DELETE FROM erased WHERE seq IN (SELECT seq FROM events WHERE log = 1 AND place < ?1)",
            "DELETE FROM events WHERE log = 1 AND place < ?1",
        ] {
            transaction.prepare_cached(sql)?.execute([oldest])?;
        }
        transaction.commit()?;
        Ok(blobs)
    }

    /// Puts keys into the table, in one transaction. With `through`, notes that all keys
    /// up to there are in it.
    pub(crate) fn merge(
        &mut self,
        keys: &[(Key, u64)],
        through: Option<u64>,
    ) -> Result<(), rusqlite::Error> {
        let transaction = self.connection.unchecked_transaction()?;
        {
            let mut insert =
                transaction.prepare_cached("INSERT OR REPLACE INTO dedupe VALUES (?1, ?2)")?;
            for (key, seq) in keys {
                insert.execute(params![key, signed(*seq)])?;
            }
        }
        if let Some(through) = through {
            self.set_meta("merged", &signed(through))?;
        }
        transaction.commit()
    }

    /// All keys up to here are in the table `dedupe`.
    pub(crate) fn merged(&self) -> Result<u64, rusqlite::Error> {
        Ok(self.meta::<i64>("merged")?.map_or(0, unsigned))
    }

    /// Puts the keys of all events into the table, but for the `kept` youngest, and at
    /// least those up to `through`.
    pub(crate) fn merge_from_events(
        &mut self,
        kept: usize,
        through: u64,
    ) -> Result<(), rusqlite::Error> {
        let mut from = self.merged()?;
        let youngest_merged: Option<i64> = self
            .connection
            .query_row(
                "SELECT seq FROM events WHERE seq > ?1 AND dedupe IS NOT NULL ORDER BY seq DESC LIMIT 1 OFFSET ?2",
                params![signed(from), signed(kept as u64)],
                |row| row.get(0),
            )
            .optional()?;
        let end = youngest_merged.map_or(0, unsigned).max(through);
        while from < end {
            let to = from.saturating_add(MERGE_ROWS).min(end);
            let transaction = self.connection.unchecked_transaction()?;
            transaction.execute(
                "INSERT OR REPLACE INTO dedupe SELECT dedupe, seq FROM events
                 WHERE seq > ?1 AND seq <= ?2 AND dedupe IS NOT NULL ORDER BY dedupe, seq",
                [signed(from), signed(to)],
            )?;
            self.set_meta("merged", &signed(to))?;
            transaction.commit()?;
            from = to;
        }
        Ok(())
    }

    /// Whether an event has this large body.
    pub(crate) fn names_blob(&self, id: [u8; 16]) -> Result<bool, rusqlite::Error> {
        self.connection.prepare_cached("SELECT 1 FROM blobs WHERE id = ?1")?.exists([id])
    }

    /// The youngest keys, which are not in the table: key, seq, id.
    pub(crate) fn young_keys(&self) -> Result<Vec<(Key, u64, [u8; 16])>, rusqlite::Error> {
        let mut select = self.connection.prepare(
            "SELECT dedupe, seq, id FROM events WHERE seq > ?1 AND dedupe IS NOT NULL ORDER BY seq",
        )?;
        let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, unsigned(row.get(1)?), row.get(2)?));
        select.query_map([signed(self.merged()?)], read)?.collect()
    }

    /// Forgets everything and begins anew. For a temporary index.
    pub(crate) fn clear(&mut self, progress: [Progress; 2]) -> Result<(), rusqlite::Error> {
        self.connection.execute_batch(
            "BEGIN; DELETE FROM events; DELETE FROM spans; DELETE FROM duplicates; DELETE FROM blobs;
             DELETE FROM decided; DELETE FROM erased; DELETE FROM conversations;
             DELETE FROM violation_tenants; COMMIT;",
        )?;
        self.progress = progress;
        Ok(())
    }
}

/// The statements of a transaction.
struct Statements<'c> {
    insert: CachedStatement<'c>,
    repeat: CachedStatement<'c>,
    widen: CachedStatement<'c>,
    advance: CachedStatement<'c>,
    blob: CachedStatement<'c>,
    find_word: CachedStatement<'c>,
    add_word: CachedStatement<'c>,
}

impl<'c> Statements<'c> {
    fn new(connection: &'c Connection) -> Result<Self, rusqlite::Error> {
        let prepare = |sql| connection.prepare_cached(sql);
        Ok(Self {
            insert: prepare(
                "INSERT INTO events
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
            )?,
            repeat: prepare(
                "INSERT INTO duplicates VALUES (?1, 1) ON CONFLICT DO UPDATE SET count = count + 1",
            )?,
            widen: prepare(
                "INSERT INTO spans VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET
                 first_at = min(first_at, excluded.first_at), last_at = max(last_at, excluded.last_at)",
            )?,
            advance: prepare("INSERT OR REPLACE INTO progress VALUES (?1, ?2, ?3)")?,
            blob: prepare("INSERT OR REPLACE INTO blobs VALUES (?1, ?2)")?,
            find_word: prepare("SELECT id FROM words WHERE word = ?1")?,
            add_word: prepare("INSERT INTO words (word) VALUES (?1)")?,
        })
    }

    fn insert(
        &mut self,
        record: &Placed,
        row: &Row,
        words: &mut std::collections::HashMap<String, i64>,
    ) -> Result<(), rusqlite::Error> {
        let [source, provider, event_type, kind, tenant, conversation, external_id] = row.texts();
        let mut word = |text: Option<&str>| match text.and_then(|it| words.get(it)) {
            Some(id) => Ok(*id),
            None => self.new_word(text.unwrap_or_default(), words),
        };
        let (source, provider) = (word(source)?, word(provider)?);
        let (event_type, kind) = (word(event_type)?, word(kind)?);
        let tenant = tenant.map(|it| word(Some(it))).transpose()?;
        self.insert.execute(params![
            signed(record.seq),
            row.id,
            log_number(record.log),
            signed(record.position.to_u64()),
            row.at,
            source,
            provider,
            event_type,
            kind,
            row.status,
            row.verdict,
            tenant,
            conversation,
            external_id,
            row.key,
        ])?;
        if let Some(blob) = row.blob {
            self.blob.execute(params![signed(record.seq), blob])?;
        }
        Ok(())
    }

    /// The number of a word that is not in memory.
    fn new_word(
        &mut self,
        word: &str,
        words: &mut std::collections::HashMap<String, i64>,
    ) -> Result<i64, rusqlite::Error> {
        let known = self.find_word.query_row([word], |row| row.get(0)).optional()?;
        let id = match known {
            Some(id) => id,
            None => self.add_word.insert([word])?,
        };
        words.insert(word.to_owned(), id);
        Ok(id)
    }
}
