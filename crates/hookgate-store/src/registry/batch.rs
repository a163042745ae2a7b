//! Changes that many make at once and each waits for: they share one transaction, and so one
//! sync of the disk.
//!
//! Who has something to change puts it on the queue. One thread commits what waits, again and
//! again, until nothing does. While one commit is under way the next gathers, so who is alone
//! waits for nobody. What nobody waits for goes along with what somebody does, or goes alone
//! when its patience is over: each commit is a sync of the disk, and others stand behind it.
//!
//! The thread is the registry's own: on one of whoever is first, the changes of calls that
//! somebody waits for would be made with the priority of a delivery.
//!
//! What holds:
//!
//! - **Nobody is told before it is durable.**
//! - **A change that fails takes back only itself.** When the commit fails, all have failed.
//! - **What is queued before [`Registry::commit_waiting`] is called is done when that returns.**

use std::error::Error;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::sql::{Connection, may_block};
use tokio::sync::oneshot;

use super::error::Stop;
use super::{Registry, RegistryError};
use crate::error::{Unavailable, is_database_away};
use crate::lock;

/// Changes that may wait, each with 64 KiB at most. More wait only when the disk hangs, and
/// whoever waits for them has given up by then.
const WAITING_MAX: usize = 4_096;

/// How long a change stays in memory that is made in any case. Who made it may wait for it.
const SOON: Duration = Duration::from_millis(5);

/// The same of one that nobody waits for, or not yet: the next call comes by then, if there are
/// many, and takes it along. What is lost with it in a crash is found out anew.
const PATIENCE: Duration = Duration::from_millis(25);

/// What waits, and the thread that commits it.
#[derive(Default)]
pub(super) struct Batch {
    room: Arc<Room>,
    commits: AtomicU64,
}

/// Where changes wait. The thread has only this while there are none, so that a registry
/// that nobody has any more is closed.
#[derive(Default)]
struct Room {
    queue: Mutex<Queue>,
    bell: Condvar,
}

#[derive(Default)]
struct Queue {
    jobs: Vec<Box<dyn Job>>,
    /// Whose they are: it stays until they are committed.
    registry: Option<Registry>,
    /// When the first of them is to be committed.
    due: Option<Instant>,
    has_thread: bool,
    /// Nobody has the registry any more.
    is_over: bool,
}

/// Whether a change is made when nobody waits for it any more, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// At once, only while somebody waits, and only if not too many do.
    WhileWaited,
    /// The same, but who waits has something else to do first.
    Beside,
    /// Soon, in any case.
    Always,
    /// In any case, and nobody waits for it.
    Sometime,
}

impl Wanted {
    fn patience(self) -> Duration {
        match self {
            Self::WhileWaited => Duration::ZERO,
            Self::Always => SOON,
            Self::Beside | Self::Sometime => PATIENCE,
        }
    }

    /// Whether it is made only while somebody waits.
    fn is_for_waiting(self) -> bool {
        matches!(self, Self::WhileWaited | Self::Beside)
    }
}

/// A change that waits, whatever it gives.
trait Job: Send {
    fn is_wanted(&self) -> bool;
    /// Makes the change; says whether it may stay.
    fn run(&mut self, connection: &Connection) -> bool;
    /// Tells who waits. `failed` says why the transaction is gone, if it is.
    fn answer(self: Box<Self>, failed: Option<&io::Error>);
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
        !self.wanted.is_for_waiting() || !self.answer.is_closed()
    }

    fn run(&mut self, connection: &Connection) -> bool {
        self.outcome = self.make.take().map(|make| make(connection));
        matches!(self.outcome, Some(Ok(_)))
    }

    fn answer(self: Box<Self>, failed: Option<&io::Error>) {
        let outcome = match (self.outcome, failed) {
            // It was refused, and that is so whatever became of the others.
            (Some(Err(Stop::Refused(error))), _) => Err(error),
            (_, Some(failed)) => Err(unavailable(self.doing, failed)),
            (Some(outcome), None) => outcome.map_err(|stop| stop.error(self.doing)),
            (None, None) => Err(unavailable(self.doing, &not_done())),
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
        let room = &self.shared.batch.room;
        let mut queue = lock(&room.queue);
        if wanted.is_for_waiting() && queue.jobs.len() >= WAITING_MAX {
            drop(queue);
            Box::new(change).answer(Some(&io::Error::other("too much waits for the disk")));
        } else {
            queue.jobs.push(Box::new(change));
            queue.registry.get_or_insert_with(|| self.clone());
            let due = Instant::now() + wanted.patience();
            let is_sooner = queue.due.is_none_or(|it| due < it);
            if is_sooner {
                queue.due = Some(due);
            }
            let started = room.start(&mut queue);
            let failed = started.err().map(|error| (error, queue.take()));
            drop(queue);
            if is_sooner {
                room.bell.notify_one();
            }
            if let Some((error, (jobs, _registry))) = failed {
                for job in jobs {
                    job.answer(Some(&error));
                }
            }
        }
        async move { answered.await.unwrap_or_else(|_| Err(unavailable(doing, &not_done()))) }
    }

    /// Has what waits committed now: somebody waits for it from here on.
    pub fn hurry(&self) {
        let room = &self.shared.batch.room;
        let mut queue = lock(&room.queue);
        let now = Instant::now();
        if queue.due.is_some_and(|due| now < due) {
            queue.due = Some(now);
            drop(queue);
            room.bell.notify_one();
        }
    }

    /// Commits what waits in one transaction. Blocks; waits for whoever does so already.
    pub(super) fn commit_waiting(&self) {
        let mut writer = lock(&self.shared.writer);
        // With the writer in hand: what is not in the queue any more is committed.
        if lock(&self.shared.batch.room.queue).jobs.is_empty() {
            return;
        }
        let mut taken = Vec::new();
        let done = self.commit(&mut writer, &mut taken);
        drop(writer);
        let failed = done.err().map(|error| {
            let is_away = is_database_away(&*error);
            let kind = if is_away { io::ErrorKind::NotConnected } else { io::ErrorKind::Other };
            io::Error::new(kind, error)
        });
        for job in taken {
            job.answer(failed.as_ref());
        }
    }

    fn commit(
        &self,
        writer: &mut Connection,
        taken: &mut Vec<Box<dyn Job>>,
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        let batch = &self.shared.batch;
        let take = || std::mem::take(&mut lock(&batch.room.queue).jobs);
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

impl Batch {
    /// Starts the thread, with the priority of the one that calls this.
    pub(super) fn start(&self) -> io::Result<()> {
        self.room.start(&mut lock(&self.room.queue))
    }
}

impl Room {
    /// Starts the thread, if it does not run.
    fn start(self: &Arc<Self>, queue: &mut Queue) -> io::Result<()> {
        if !queue.has_thread {
            let room = Arc::clone(self);
            let builder = thread::Builder::new().name("registry".to_owned());
            builder.spawn(move || Running(room).run())?;
            queue.has_thread = true;
        }
        Ok(())
    }

    /// Waits until something is to be committed; nothing when nobody has the registry any more.
    fn next(&self) -> Option<Registry> {
        let mut queue = lock(&self.queue);
        loop {
            let Some(due) = queue.due.filter(|_| queue.registry.is_some()) else {
                if queue.is_over {
                    return None;
                }
                queue = wait(&self.bell, queue);
                continue;
            };
            let left = due.saturating_duration_since(Instant::now());
            // What is not there any more somebody else has committed.
            if left.is_zero() || queue.jobs.is_empty() {
                queue.due = None;
                return queue.registry.take();
            }
            let waited = self.bell.wait_timeout(queue, left);
            queue = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Queue {
    /// Leaves nothing to do. What is given is to be dropped without the lock.
    fn take(&mut self) -> (Vec<Box<dyn Job>>, Option<Registry>) {
        self.due = None;
        (std::mem::take(&mut self.jobs), self.registry.take())
    }
}

/// The thread.
struct Running(Arc<Room>);

impl Running {
    fn run(self) {
        while let Some(registry) = self.0.next() {
            may_block(|| {
                registry.commit_waiting();
                drop(registry);
            });
        }
    }
}

impl Drop for Running {
    /// Also when it panics: who comes next starts another.
    fn drop(&mut self) {
        let (jobs, registry) = {
            let mut queue = lock(&self.0.queue);
            queue.has_thread = false;
            queue.take()
        };
        // Whoever waits is told.
        drop((jobs, registry));
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        lock(&self.room.queue).is_over = true;
        self.room.bell.notify_one();
    }
}

fn wait<'a>(bell: &Condvar, queue: MutexGuard<'a, Queue>) -> MutexGuard<'a, Queue> {
    bell.wait(queue).unwrap_or_else(PoisonError::into_inner)
}

fn not_done() -> io::Error {
    io::Error::other("it was not done")
}

/// What each of a batch is told of what became of all.
fn unavailable(doing: &'static str, why: &io::Error) -> RegistryError {
    RegistryError::Unavailable { doing, source: io::Error::new(why.kind(), why.to_string()) }
}
