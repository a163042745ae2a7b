//! Room on the disk, looked at once a second at most.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

/// How long an answer of the system is good for, in milliseconds.
const FRESH_MILLIS: u64 = 1_000;

/// The disk of a store.
#[derive(Debug)]
pub(crate) struct Space {
    folder: PathBuf,
    warn_percent: u8,
    full_percent: u8,
    start: Instant,
    /// Milliseconds after `start` when it is to be looked at again.
    due_millis: AtomicU64,
    is_full: AtomicBool,
    is_low: AtomicBool,
}

/// The disk that the store lies on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Disk {
    /// Its size in bytes.
    pub total_bytes: u64,
    /// What may still be written, in bytes.
    pub free_bytes: u64,
    /// What is used, in per cent.
    pub used_percent: u8,
    /// Past the warning mark: make room.
    pub is_low: bool,
    /// Past the mark where nothing is accepted.
    pub is_full: bool,
}

impl Space {
    pub(crate) fn new(folder: &Path, warn_percent: u8, full_percent: u8) -> Self {
        Self {
            folder: folder.to_owned(),
            warn_percent,
            full_percent,
            start: Instant::now(),
            due_millis: AtomicU64::new(0),
            is_full: AtomicBool::new(false),
            is_low: AtomicBool::new(false),
        }
    }

    /// Whether nothing more may be accepted.
    pub(crate) fn is_full(&self) -> bool {
        let now = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        let due = self.due_millis.load(Ordering::Relaxed);
        let next = now.saturating_add(FRESH_MILLIS);
        if now >= due
            && self
                .due_millis
                .compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
        {
            self.look();
        }
        self.is_full.load(Ordering::Relaxed)
    }

    /// Asks the system. Where that fails, writing decides.
    pub(crate) fn look(&self) -> Disk {
        let Ok(found) = rustix::fs::statvfs(&self.folder) else { return Disk::default() };
        let total = found.f_blocks.saturating_mul(found.f_frsize);
        let free = found.f_bavail.saturating_mul(found.f_frsize);
        // As `df` does: what only the administrator may use counts as neither.
        let used = found.f_blocks.saturating_sub(found.f_bfree).saturating_mul(found.f_frsize);
        let percent = used.saturating_mul(100).div_ceil(used.saturating_add(free).max(1));
        let used_percent = u8::try_from(percent.min(100)).unwrap_or(100);
        let (is_low, is_full) =
            (used_percent >= self.warn_percent, used_percent >= self.full_percent);
        let was_low = self.is_low.swap(is_low, Ordering::Relaxed);
        let was_full = self.is_full.swap(is_full, Ordering::Relaxed);
        if is_full && !was_full {
            tracing::error!(
                used_percent,
                free_bytes = free,
                "the disk is full: nothing is accepted until there is room"
            );
        } else if is_low && !was_low {
            tracing::warn!(used_percent, free_bytes = free, "the disk is filling up");
        }
        Disk { total_bytes: total, free_bytes: free, used_percent, is_low, is_full }
    }
}

/// The kind of file system under `folder`, if what is written there goes with the
/// machine or the container.
#[must_use]
pub fn volatile(folder: &Path) -> Option<&'static str> {
    #[cfg(target_os = "linux")]
    {
        // Linux, include/uapi/linux/magic.h.
        const TMPFS: i128 = 0x0102_1994;
        const RAMFS: i128 = 0x8584_58f6;
        const OVERLAYFS: i128 = 0x794c_7630;
        let found = rustix::fs::statfs(folder).ok()?;
        // Its type differs from machine to machine; its 32 bits count.
        match i128::from(found.f_type) & 0xffff_ffff {
            TMPFS => Some("tmpfs"),
            RAMFS => Some("ramfs"),
            OVERLAYFS => Some("overlay"),
            _ => None,
        }
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = folder;
        None
    }
}
