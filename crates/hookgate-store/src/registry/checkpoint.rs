//! Moves what is committed from the registry's side file into the file itself, on a thread of
//! its own: a commit that somebody waits for does not pay for it.
//!
//! What holds:
//!
//! - **Durability is none of its business.** A commit is durable in the side file; this makes
//!   room in it.
//! - **The side file is bounded.** When the thread cannot keep up, because somebody reads for
//!   long or commits never pause, a commit does it, as SQLite itself would.

use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::hooks::Wal;
use rusqlite::wal::CheckpointMode;

use crate::lock;
use crate::priority::lower_priority;

/// Pages in the side file from which on they are moved: 4 MiB, as SQLite does by itself.
const PAGES_ENOUGH: i32 = 1_000;

/// Pages from which on a commit moves them: what is left of 16 MiB, which is little, for the
/// thread has moved most of them by then.
const PAGES_MAX: i32 = 4_000;

/// What the side file keeps when it is begun anew, in bytes: [`PAGES_MAX`] pages of 4 KiB, and
/// what is beside them. A file that grows costs a sync more than one that is written over.
pub(super) const SIDE_FILE_BYTES_MAX: i64 = 16 << 20;

/// Times that is moved what came meanwhile. Each leaves less to the next; when nothing is left,
/// the side file is begun anew.
const PASSES_MAX: u32 = 4;

/// How long the thread rests when something was left: commits have the disk meanwhile.
const PAUSE: Duration = Duration::from_millis(200);

/// The thread, and how to talk to it. It ends when this is dropped.
pub(super) struct Checkpoints {
    bell: Arc<Bell>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct Bell {
    state: Mutex<State>,
    rung: Condvar,
}

#[derive(Default)]
struct State {
    has_work: bool,
    is_over: bool,
}

impl Checkpoints {
    /// Starts the thread, for what `writer` commits to the database at `path`. Nothing if the
    /// system gives none: then commits do it, as SQLite does by itself.
    pub(super) fn start(
        path: &Path,
        writer: &mut Connection,
    ) -> Result<Option<Self>, rusqlite::Error> {
        let connection = Connection::open(path)?;
        // A connection learns from its first look that there is a side file.
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
        let bell = Arc::new(Bell::default());
        let started = {
            let bell = Arc::clone(&bell);
            let builder = thread::Builder::new().name("checkpoint".to_owned());
            builder.spawn(move || {
                lower_priority();
                bell.follow(&connection);
            })
        };
        let Ok(thread) = started else { return Ok(None) };
        let checkpoints = Self { bell: Arc::clone(&bell), thread: Mutex::new(Some(thread)) };
        writer.wal_hook(Some(move |wal: &mut Wal, pages| {
            if pages >= PAGES_MAX {
                // Who is busy with it does it; what fails here is done later.
                let _ = wal.checkpoint();
            } else if pages >= PAGES_ENOUGH {
                bell.ring();
            }
            Ok(())
        }))?;
        Ok(Some(checkpoints))
    }

    /// Ends the thread, and waits for that.
    pub(super) fn stop(&self) {
        lock(&self.bell.state).is_over = true;
        self.bell.rung.notify_one();
        if let Some(thread) = lock(&self.thread).take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that empties the registry's side file ended in a panic");
        }
    }
}

impl Drop for Checkpoints {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Bell {
    fn ring(&self) {
        let was_rung = std::mem::replace(&mut lock(&self.state).has_work, true);
        if !was_rung {
            self.rung.notify_one();
        }
    }

    fn follow(&self, connection: &Connection) {
        while self.wait() {
            if move_all(connection) {
                lock(&self.state).has_work = false;
            } else {
                self.rest();
            }
        }
    }

    /// Waits for something to do; false when it is over.
    fn wait(&self) -> bool {
        let state = lock(&self.state);
        let waited = self.rung.wait_while(state, |it| !it.has_work && !it.is_over);
        !waited.unwrap_or_else(PoisonError::into_inner).is_over
    }

    fn rest(&self) {
        let state = lock(&self.state);
        let rested = self.rung.wait_timeout_while(state, PAUSE, |it| !it.is_over);
        // A commit after this rings again, if there is still enough.
        rested.unwrap_or_else(PoisonError::into_inner).0.has_work = false;
    }
}

/// Moves what there is. Says whether nothing is left.
fn move_all(connection: &Connection) -> bool {
    for _ in 0..PASSES_MAX {
        match connection.wal_checkpoint_v2(None::<&str>, CheckpointMode::PASSIVE) {
            Ok((pages, moved)) if moved >= pages => return true,
            Ok(_) => {}
            // A full or failing disk shows where something is committed; this is tried again.
            Err(_) => return false,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Instant;

    use super::*;

    /// How long the thread may take on a machine that is busy.
    const LIMIT: Duration = Duration::from_mins(1);

    /// Some pages more than make the thread move them.
    const ENOUGH_BYTES: u64 = 5 << 20;

    struct Bench {
        writer: Connection,
        checkpoints: Checkpoints,
        folder: tempfile::TempDir,
    }

    impl Bench {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("registry.sqlite");
            let mut writer = Connection::open(&path).unwrap();
            writer.pragma_update(None, "journal_mode", "WAL").unwrap();
            writer.execute_batch("CREATE TABLE t (x BLOB)").unwrap();
            let checkpoints = Checkpoints::start(&path, &mut writer).unwrap().unwrap();
            Self { writer, checkpoints, folder }
        }

        fn commit(&self, bytes: u64) {
            let bytes = i64::try_from(bytes).unwrap();
            self.writer.execute("INSERT INTO t VALUES (zeroblob(?1))", [bytes]).unwrap();
        }

        fn moved(&self) -> u64 {
            fs::metadata(self.folder.path().join("registry.sqlite")).unwrap().len()
        }
    }

    #[test]
    fn what_is_committed_is_moved_without_another_commit() {
        let bench = Bench::new();
        bench.commit(ENOUGH_BYTES);
        let began = Instant::now();
        while bench.moved() < ENOUGH_BYTES {
            assert!(began.elapsed() < LIMIT, "it is not moved");
            thread::yield_now();
        }
    }

    #[test]
    fn what_is_little_stays_where_it_is_durable() {
        let bench = Bench::new();
        bench.commit(64 << 10);
        bench.checkpoints.stop();
        assert!(bench.moved() < 64 << 10);
    }

    #[test]
    fn without_the_thread_a_commit_moves_what_is_too_much() {
        let bench = Bench::new();
        bench.checkpoints.stop();
        bench.commit(ENOUGH_BYTES);
        assert!(bench.moved() < ENOUGH_BYTES, "it is not too much yet");
        bench.commit(u64::try_from(SIDE_FILE_BYTES_MAX).unwrap());
        assert!(bench.moved() > ENOUGH_BYTES);
    }
}
