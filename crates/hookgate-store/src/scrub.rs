//! Overwrites what is left between the cells of a database's pages.
//!
//! With `secure_delete` SQLite overwrites what it removes. What it *moves* it does not always:
//! where a page is made anew in its place, copies of cells may stay in the space of the page
//! that nothing stands in any more, and stay there after the cells themselves are removed.
//! (Seen in SQLite 3.54, `rebuildPage`; one erased id in a thousand was still in the file.)
//!
//! So that space is overwritten in the file itself. It is safe because it is done while
//! nobody can write: the side file is empty, and the write lock is held. Whoever reads takes
//! no notice of that space. The pages that the connection has in memory are dropped, so that
//! none of them brings back what was there.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode};

/// Pages at once: 16 MiB, some ten milliseconds.
const PAGES_AT_ONCE: u32 = 4_096;

/// From so many pages on the number of a page could be taken for a kind of page. That is a
/// database of 128 GiB; it is left as it is.
const PAGES_MAX: u64 = 1 << 25;

/// Where the page lies that SQLite locks and never writes.
const LOCK_PAGE_AT: u64 = 1 << 30;

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scrubbed {
    /// Somebody reads or writes: nothing was done.
    Busy,
    /// Go on with this page.
    Next(u32),
    /// That was the last page.
    Done,
}

/// Scrubs one database.
#[derive(Debug)]
pub(crate) struct Scrubber {
    path: PathBuf,
    /// Stays open as long as connections may be: closing any descriptor of the file gives up
    /// the locks that this process has on it.
    file: Option<File>,
}

impl Scrubber {
    pub(crate) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), file: None }
    }

    /// Scrubs some pages from this one on; the first is 1. `connection` is the one that
    /// writes, and is not in a transaction.
    pub(crate) fn scrub(
        &mut self,
        connection: &Connection,
        from: u32,
    ) -> Result<Scrubbed, rusqlite::Error> {
        // Whoever stands in the way is waited for elsewhere.
        let patience: u32 = connection.pragma_query_value(None, "busy_timeout", |it| it.get(0))?;
        connection.busy_timeout(Duration::ZERO)?;
        let done = self.scrub_at_once(connection, from);
        connection.busy_timeout(Duration::from_millis(patience.into()))?;
        match done {
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => {
                Ok(Scrubbed::Busy)
            }
            done => done,
        }
    }

    fn scrub_at_once(
        &mut self,
        connection: &Connection,
        from: u32,
    ) -> Result<Scrubbed, rusqlite::Error> {
        if !empty_side_file(connection)? {
            return Ok(Scrubbed::Busy);
        }
        connection.execute_batch("BEGIN IMMEDIATE")?;
        let done = self.scrub_locked(connection, from);
        connection.execute_batch("ROLLBACK; PRAGMA shrink_memory;")?;
        done
    }

    fn scrub_locked(
        &mut self,
        connection: &Connection,
        from: u32,
    ) -> Result<Scrubbed, rusqlite::Error> {
        let mut side_file = self.path.as_os_str().to_owned();
        side_file.push("-wal");
        if fs::metadata(side_file).is_ok_and(|it| it.len() > 0) {
            // Another process has written since.
            return Ok(Scrubbed::Busy);
        }
        let page_bytes: u32 = connection.pragma_query_value(None, "page_size", |it| it.get(0))?;
        self.scrub_pages(page_bytes, from)
            .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
    }

    fn scrub_pages(&mut self, page_bytes: u32, from: u32) -> io::Result<Scrubbed> {
        if self.file.is_none() {
            self.file = Some(OpenOptions::new().read(true).write(true).open(&self.path)?);
        }
        let Some(file) = &self.file else { return Ok(Scrubbed::Done) };
        let size = u64::from(page_bytes);
        let pages = file.metadata()?.len() / size.max(1);
        if pages >= PAGES_MAX {
            tracing::warn!(
                "a database is too large to be scrubbed: copies of erased ids may remain in it"
            );
            return Ok(Scrubbed::Done);
        }
        let mut page = vec![0; usize::try_from(page_bytes).unwrap_or(0)];
        let end = u64::from(from.saturating_add(PAGES_AT_ONCE)).min(pages.saturating_add(1));
        for number in u64::from(from)..end {
            let at = number.saturating_sub(1).saturating_mul(size);
            if at == LOCK_PAGE_AT {
                continue;
            }
            file.read_exact_at(&mut page, at)?;
            let Some(empty) = empty_space(&page, number == 1) else { continue };
            let space = page.get_mut(empty.clone()).unwrap_or_default();
            if space.iter().any(|it| *it != 0) {
                space.fill(0);
                file.write_all_at(space, at.saturating_add(empty.start as u64))?;
            }
        }
        file.sync_data()?;
        let is_end = end > pages;
        Ok(if is_end {
            Scrubbed::Done
        } else {
            Scrubbed::Next(u32::try_from(end).unwrap_or(u32::MAX))
        })
    }
}

/// Moves everything into the file itself and empties the side file. Says whether nobody
/// was in the way.
pub(crate) fn empty_side_file(connection: &Connection) -> Result<bool, rusqlite::Error> {
    let busy: i64 =
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
    Ok(busy == 0)
}

/// The space of a page between its cell pointers and its cells, if it is a page of a tree
/// (<https://www.sqlite.org/fileformat2.html#b_tree_pages>) and all of it makes sense.
fn empty_space(page: &[u8], is_first: bool) -> Option<Range<usize>> {
    let header = if is_first { 100 } else { 0 };
    let number = |at: usize| {
        let bytes: [u8; 2] = *page.get(at..)?.first_chunk()?;
        Some(usize::from(u16::from_be_bytes(bytes)))
    };
    let header_bytes = match page.get(header)? {
        2 | 5 => 12,
        10 | 13 => 8,
        _ => return None,
    };
    let cells = number(header + 3)?;
    let begin = header + header_bytes + 2 * cells;
    let end = match number(header + 5)? {
        0 => 1 << 16,
        end => end,
    };
    if begin > end || end > page.len() {
        return None;
    }
    for cell in 0..cells {
        let at = number(header + header_bytes + 2 * cell)?;
        if at < end || at >= page.len() {
            return None;
        }
    }
    Some(begin..end)
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    fn database(folder: &TempDir) -> (Connection, PathBuf) {
        let path = folder.path().join("x.sqlite");
        let connection = Connection::open(&path).unwrap();
        connection.pragma_update(None, "journal_mode", "WAL").unwrap();
        connection.pragma_update(None, "secure_delete", true).unwrap();
        connection
            .execute_batch("CREATE TABLE t (n INTEGER PRIMARY KEY, id TEXT UNIQUE) STRICT")
            .unwrap();
        (connection, path)
    }

    fn scrub(connection: &Connection, path: &Path) {
        let mut scrubber = Scrubber::new(path);
        let mut from = 1;
        while let Scrubbed::Next(next) = scrubber.scrub(connection, from).unwrap() {
            from = next;
        }
    }

    fn copies(path: &Path, text: &str) -> usize {
        String::from_utf8_lossy(&fs::read(path).unwrap()).matches(text).count()
    }

    /// Ids in no order, so that pages are split everywhere.
    fn insert(connection: &Connection, numbers: Range<u32>, mark: &str) {
        connection.execute_batch("BEGIN").unwrap();
        let mut insert = connection.prepare("INSERT INTO t (id) VALUES (?1)").unwrap();
        for number in numbers {
            let scattered = number.wrapping_mul(2_654_435_761);
            insert
                .execute([format!(
                    "{scattered:08x}-{mark}-{}",
                    "x".repeat(scattered as usize % 60)
                )])
                .unwrap();
        }
        drop(insert);
        connection.execute_batch("COMMIT").unwrap();
    }

    #[test]
    fn of_removed_rows_nothing_is_left_and_all_others_stay() {
        let folder = TempDir::new().unwrap();
        let (connection, path) = database(&folder);
        for round in 0..10 {
            insert(&connection, round * 1_000..round * 1_000 + 500, "canary");
            insert(&connection, round * 1_000 + 500..round * 1_000 + 1_000, "kept");
        }
        let sum = "SELECT count(*), total(n), max(id) FROM t WHERE instr(id, 'kept')";
        let read = |connection: &Connection| -> (i64, f64, String) {
            connection.query_row(sum, [], |it| Ok((it.get(0)?, it.get(1)?, it.get(2)?))).unwrap()
        };
        let before = read(&connection);
        connection.execute("DELETE FROM t WHERE instr(id, 'canary')", []).unwrap();
        assert!(empty_side_file(&connection).unwrap());
        assert!(copies(&path, "canary") > 0, "SQLite leaves some; else this file is of no use");
        scrub(&connection, &path);
        assert_eq!(copies(&path, "canary"), 0);
        // Nor does what was in memory bring any back.
        insert(&connection, 100_000..110_000, "later");
        assert!(empty_side_file(&connection).unwrap());
        assert_eq!(copies(&path, "canary"), 0);
        assert_eq!(read(&connection), before);
        let verdict: String =
            connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(verdict, "ok");
    }

    #[test]
    fn who_reads_is_not_disturbed_and_is_waited_for() {
        let folder = TempDir::new().unwrap();
        let (connection, path) = database(&folder);
        insert(&connection, 0..1_000, "one");
        let reader = Connection::open(&path).unwrap();
        reader.execute_batch("BEGIN; SELECT count(*) FROM t;").unwrap();
        insert(&connection, 1_000..2_000, "two");
        assert_eq!(Scrubber::new(&path).scrub(&connection, 1).unwrap(), Scrubbed::Busy);
        reader.execute_batch("COMMIT").unwrap();
        scrub(&connection, &path);
        let count: i64 = reader.query_row("SELECT count(*) FROM t", [], |it| it.get(0)).unwrap();
        assert_eq!(count, 2_000);
    }

    #[test]
    fn what_is_no_page_of_a_tree_is_left_alone() {
        assert_eq!(empty_space(&[0; 4096], false), None);
        assert_eq!(empty_space(&[], true), None);
        let mut page = [0; 4096];
        page[0] = 13;
        page[3..7].copy_from_slice(&[0, 1, 0x0f, 0xf0]);
        page[8..10].copy_from_slice(&[0x0f, 0xf0]);
        assert_eq!(empty_space(&page, false), Some(10..0x0ff0));
        // A cell before the cells.
        page[8..10].copy_from_slice(&[0x0f, 0xef]);
        assert_eq!(empty_space(&page, false), None);
        for kind in 0..=255_u8 {
            let mut page = [0xff; 4096];
            page[0] = kind;
            assert_eq!(empty_space(&page, false), None);
        }
    }
}
