//! Zeroes the next segment of a log ahead, off the path.
//!
//! Overwriting zeroed space syncs in two thirds of the time that growing a file
//! takes (`docs/journal-format.md`), but zeroing 64 MiB at once stalls every sync on
//! the same disk for seconds. So it is done here, in small steps with pauses, by a
//! thread of its own. When it is not ready in time, nobody waits for it.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::disk::{self, Disk, Operation, remove_if_there};
use crate::format::{self, BLOCK_BYTES};
use crate::lock;
use crate::segment::{NEW, NEXT, NEXT_UNFINISHED, read_up_to};
use crate::settings::LogId;

/// Zeroed in one write.
const STEP_BYTES: usize = 256 << 10;
/// Synced after this many steps, so that no sync of ours carries more than 1 MiB.
const STEPS_A_SYNC: usize = 4;
/// Left to the live log between steps: 64 MiB take about a third of a second.
const PAUSE: Duration = Duration::from_millis(1);

/// A segment of zeros, durable under the name `next`.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) file: File,
    pub(crate) size: u32,
}

/// Where the prepared segment of one log waits.
#[derive(Debug, Default)]
pub(crate) struct Slot {
    ready: Mutex<Option<Prepared>>,
}

impl Slot {
    /// The prepared segment, if there is one with room for `needed` bytes.
    pub(crate) fn take(&self, needed: u32) -> Option<Prepared> {
        let mut ready = lock(&self.ready);
        if ready.as_ref().is_some_and(|it| it.size >= needed) { ready.take() } else { None }
    }

    fn is_empty(&self) -> bool {
        lock(&self.ready).is_none()
    }

    fn put(&self, prepared: Prepared) {
        *lock(&self.ready) = Some(prepared);
    }
}

/// Ask for a segment of `size` bytes for `log`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    pub(crate) log: LogId,
    pub(crate) size: u32,
}

/// The thread that prepares segments.
pub(crate) struct Preparer {
    /// Folder and slot of each log.
    pub(crate) logs: Vec<(PathBuf, Arc<Slot>)>,
    pub(crate) disk: Disk,
    pub(crate) stop: Arc<AtomicBool>,
}

impl Preparer {
    /// Works until the other end of `requests` is gone or `stop` is set.
    pub(crate) fn run(self, requests: &Receiver<Request>) {
        while let Ok(Request { log, size }) = requests.recv() {
            let Some((folder, slot)) =
                self.logs.get(log.index()).filter(|(_, slot)| slot.is_empty())
            else {
                continue;
            };
            // A failure is not worth a word: the writer makes its own segment.
            match self.disk.act(Operation::Prepare(log), || zero(folder, size, &self.stop)) {
                Ok(Some(prepared)) => slot.put(prepared),
                Ok(None) => return,
                Err(_) => drop(fs::remove_file(folder.join(NEXT_UNFINISHED))),
            }
        }
    }
}

/// Makes a durable file of zeros under the name `next`; `None` when stopped.
fn zero(folder: &Path, size: u32, stop: &AtomicBool) -> io::Result<Option<Prepared>> {
    let unfinished = folder.join(NEXT_UNFINISHED);
    remove_if_there(&unfinished)?;
    let file = disk::create_new(&unfinished)?;
    let zeros = vec![0; STEP_BYTES];
    let mut at = 0_u64;
    for step in 1.. {
        let left = u64::from(size).saturating_sub(at);
        if left == 0 {
            break;
        }
        if stop.load(Ordering::Relaxed) {
            remove_if_there(&unfinished)?;
            return Ok(None);
        }
        let bytes = usize::try_from(left).unwrap_or(STEP_BYTES).min(STEP_BYTES);
        file.write_all_at(zeros.get(..bytes).unwrap_or(&zeros), at)?;
        at = at.saturating_add(bytes as u64);
        if step % STEPS_A_SYNC == 0 {
            file.sync_data()?;
        }
        std::thread::sleep(PAUSE);
    }
    file.sync_all()?;
    fs::rename(&unfinished, folder.join(NEXT))?;
    disk::sync_folder(folder)?;
    Ok(Some(Prepared { file, size }))
}

/// Takes over what an earlier process prepared in `folder`, and removes what it did
/// not finish.
pub(crate) fn adopt(folder: &Path, slot: &Slot) -> io::Result<()> {
    remove_if_there(&folder.join(NEXT_UNFINISHED))?;
    remove_if_there(&folder.join(NEW))?;
    let path = folder.join(NEXT);
    let file = match OpenOptions::new().read(true).write(true).open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        file => file?,
    };
    let mut block = vec![0; BLOCK_BYTES];
    read_up_to(&file, &mut block, 0)?;
    match u32::try_from(file.metadata()?.len()) {
        Ok(size) if format::is_zero(&block) => slot.put(Prepared { file, size }),
        // The process ended between the header and the rename.
        _ => remove_if_there(&path)?,
    }
    Ok(())
}
