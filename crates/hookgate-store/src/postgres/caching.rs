//! The thread that writes down what a node needs to begin while its database is away.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::cached::{CacheFile, Pace};
use super::spooling::Spooling;
use crate::registry::Registry;

/// How often it is looked whether something changed.
const LOOK: Duration = Duration::from_millis(250);

/// How often the file is written although nothing changed but the conversations that are in
/// memory, and the time at which it was current: without it, events of newer conversations
/// are decided when the database is back.
const REFRESH: Duration = Duration::from_mins(1);

/// What the thread needs.
pub(super) struct Caching {
    pub(super) file: CacheFile,
    pub(super) registry: Registry,
    pub(super) spooling: Arc<Spooling>,
}

impl Caching {
    /// Writes it down soon after each change, and once more at the end.
    pub(super) fn run(self, ends: &Receiver<()>) {
        let began = Instant::now();
        let mut pace = Pace::default();
        let (mut seen, mut looked) = (None, Duration::ZERO);
        loop {
            let is_over = !matches!(ends.recv_timeout(LOOK), Err(RecvTimeoutError::Timeout));
            let now = began.elapsed();
            // What is in memory while the database is away is no newer than the file.
            if self.is_current() {
                let changes = Some(self.registry.changes());
                if seen != changes || now.saturating_sub(looked) >= REFRESH {
                    pace.changed(now);
                    (seen, looked) = (changes, now);
                }
                if pace.due().is_some_and(|it| is_over || it <= now) {
                    pace.writing(now);
                    if !self.write() {
                        pace.changed(now);
                    }
                }
            }
            if is_over {
                return;
            }
        }
    }

    fn is_current(&self) -> bool {
        self.spooling.is_live() && self.registry.shared().is_fresh()
    }

    fn write(&self) -> bool {
        let written = self.file.write(self.registry.snapshot());
        if let Err(error) = &written {
            tracing::warn!(
                error = %error,
                "what this node would serve with while PostgreSQL is away cannot be written down"
            );
        }
        written.is_ok()
    }
}
