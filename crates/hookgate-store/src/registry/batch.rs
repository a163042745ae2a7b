//! Changes that many make at once and each waits for: they share one transaction, and so one
//! sync of the disk.
//!
//! Who has something to change puts it on the queue. The first becomes the leader and commits
//! what waits, again and again, until nothing does. While one commit is under way the next
//! gathers, so who is alone waits for nobody. What nobody waits for goes along with what
//! somebody does, or goes alone after [`PATIENCE`]: each commit is a sync of the disk, and
//! others stand behind it.
//!
//! What holds:
//!
//! - **Nobody is told before it is durable.**
//! - **A change that fails takes back only itself.** When the commit fails, all have failed.
//! - **What is queued before [`Registry::commit_waiting`] is called is done when that returns.**

use std::error::Error;
use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::sql::{Connection, may_block};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::error::Stop;
use super::{Registry, RegistryError};
use crate::error::Unavailable;
use crate::lock;

/// Changes that may wait, each with 64 KiB at most. More wait only when the disk hangs, and
/// whoever waits for them has given up by then.
const WAITING_MAX: usize = 4_096;

/// How long a change may stay in memory that nobody waits for. What is lost with it in a crash
/// is found out anew.
const PATIENCE: Duration = Duration::from_millis(5);

/// What waits.
#[derive(Default)]
pub(super) struct Batch {
    queue: Mutex<Queue>,
    commits: AtomicU64,
}

#[derive(Default)]
struct Queue {
    jobs: Vec<Box<dyn Job>>,
    /// Whether somebody commits what waits, or is about to.
    is_led: bool,
    /// Whether somebody is going to look after [`PATIENCE`].
    is_timed: bool,
}

/// Whether a change is made when nobody waits for it any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Only while somebody waits, and only if not too many do.
    WhileWaited,
    /// In any case.
    Always,
}

/// A change that waits, whatever it gives.
trait Job: Send {
    fn is_wanted(&self) -> bool;
    /// Makes the change; says whether it may stay.
    fn run(&mut self, connection: &Connection) -> bool;
    /// Tells who waits. `failed` says why the transaction is gone, if it is.
    fn answer(self: Box<Self>, failed: Option<&str>);
}

struct Change<T, F> {
    doing: &'static str,
    wanted: Wanted,
    make: Option<F>,
    outcome: Option<Result<T, Stop>>,
    answer: oneshot::Sender<Result<T, RegistryError>>,
}

impl<T, F> Job for Change<T, F>
where
    T: Send,
    F: FnOnce(&Connection) -> Result<T, Stop> + Send,
{
    fn is_wanted(&self) -> bool {
        self.wanted == Wanted::Always || !self.answer.is_closed()
    }

    fn run(&mut self, connection: &Connection) -> bool {
        self.outcome = self.make.take().map(|make| make(connection));
        matches!(self.outcome, Some(Ok(_)))
    }

    fn answer(self: Box<Self>, failed: Option<&str>) {
        let outcome = match (self.outcome, failed) {
            // It was refused, and that is so whatever became of the others.
            (Some(Err(Stop::Refused(error))), _) => Err(error),
            (_, Some(failed)) => Err(unavailable(self.doing, failed)),
            (Some(outcome), None) => outcome.map_err(|stop| stop.error(self.doing)),
            (None, None) => Err(unavailable(self.doing, "it was not done")),
        };
        // Who gave up meanwhile needs no answer.
        let _ = self.answer.send(outcome);
    }
}

impl Registry {
    /// Queues a change; it is queued when this returns, whether or not the future is polled.
    pub(super) fn enqueue<T, F>(
        &self,
        doing: &'static str,
        wanted: Wanted,
        change: F,
    ) -> impl Future<Output = Result<T, RegistryError>> + Send + 'static + use<T, F>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, Stop> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let change = Change { doing, wanted, make: Some(change), outcome: None, answer };
        let mut queue = lock(&self.shared.batch.queue);
        if wanted == Wanted::WhileWaited && queue.jobs.len() >= WAITING_MAX {
            drop(queue);
            Box::new(change).answer(Some("too much waits for the disk"));
        } else {
            queue.jobs.push(Box::new(change));
            let runtime = Handle::try_current().ok();
            match (wanted, runtime) {
                (Wanted::Always, Some(runtime)) if !queue.is_led => {
                    let is_first = !std::mem::replace(&mut queue.is_timed, true);
                    drop(queue);
                    if is_first {
                        let registry = self.clone();
                        runtime.spawn_blocking(move || registry.look_after_a_while());
                    }
                }
                (_, runtime) => {
                    let is_leader = !std::mem::replace(&mut queue.is_led, true);
                    drop(queue);
                    if is_leader {
                        let leader = Leader { registry: self.clone(), is_done: false };
                        match runtime {
                            Some(runtime) => drop(runtime.spawn_blocking(move || leader.lead())),
                            None => leader.lead(),
                        }
                    }
                }
            }
        }
        async move { answered.await.unwrap_or_else(|_| Err(unavailable(doing, "it was not done"))) }
    }

    /// Commits what nobody waits for, unless it went along with something else meanwhile.
    fn look_after_a_while(&self) {
        std::thread::sleep(PATIENCE);
        let is_leader = {
            let mut queue = lock(&self.shared.batch.queue);
            queue.is_timed = false;
            !queue.jobs.is_empty() && !std::mem::replace(&mut queue.is_led, true)
        };
        if is_leader {
            Leader { registry: self.clone(), is_done: false }.lead();
        }
    }

    /// Commits what waits in one transaction. Blocks; waits for whoever does so already.
    pub(super) fn commit_waiting(&self) {
        let batch = &self.shared.batch;
        let mut writer = lock(&self.shared.writer);
        // With the writer in hand: what is not in the queue any more is committed.
        if lock(&batch.queue).jobs.is_empty() {
            return;
        }
        let mut taken = Vec::new();
        let done = self.commit(&mut writer, &mut taken);
        drop(writer);
        let failed = done.err().map(|error| error.to_string());
        for job in taken {
            job.answer(failed.as_deref());
        }
    }

    fn commit(
        &self,
        writer: &mut Connection,
        taken: &mut Vec<Box<dyn Job>>,
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        let batch = &self.shared.batch;
        let take = || std::mem::take(&mut lock(&batch.queue).jobs);
        if self.shared.is_closed.load(Ordering::Acquire) {
            *taken = take();
            return Err(Unavailable::Closing.into());
        }
        let begun = writer.transaction();
        // What came while another process was waited for goes with it.
        *taken = take();
        let transaction = begun?;
        taken.retain(|job| job.is_wanted());
        let is_alone = taken.len() == 1;
        for job in taken.iter_mut() {
            if !is_alone {
                transaction.prepare_cached("SAVEPOINT job")?.execute([])?;
            }
            let may_stay = job.run(&transaction);
            if transaction.is_autocommit() {
                // A full disk ends the whole transaction, and so does a lost connection.
                return Err("the database ended the transaction".into());
            }
            if is_alone && may_stay {
                break;
            }
            if is_alone {
                // With the transaction it takes back only itself.
                return Ok(());
            }
            if !may_stay {
                transaction.prepare_cached("ROLLBACK TO job")?.execute([])?;
            }
            transaction.prepare_cached("RELEASE job")?.execute([])?;
        }
        transaction.commit()?;
        batch.commits.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Transactions that tool calls were kept in, since the store was opened.
    #[must_use]
    pub fn tool_call_commits(&self) -> u64 {
        self.shared.batch.commits.load(Ordering::Relaxed)
    }
}

/// Who commits until nothing waits.
struct Leader {
    registry: Registry,
    is_done: bool,
}

impl Leader {
    fn lead(self) {
        may_block(|| self.commit_all());
    }

    fn commit_all(mut self) {
        while !self.is_done {
            self.registry.commit_waiting();
            let mut queue = lock(&self.registry.shared.batch.queue);
            if queue.jobs.is_empty() {
                queue.is_led = false;
                self.is_done = true;
            }
        }
    }
}

impl Drop for Leader {
    /// Also when it never ran, because the runtime ends: who comes next leads, or who closes
    /// the registry.
    fn drop(&mut self) {
        if !self.is_done {
            lock(&self.registry.shared.batch.queue).is_led = false;
        }
    }
}

fn unavailable(doing: &'static str, why: &str) -> RegistryError {
    RegistryError::Unavailable { doing, source: io::Error::other(why.to_owned()) }
}
