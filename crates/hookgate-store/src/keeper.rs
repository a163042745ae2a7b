//! The thread that keeps house: it carries out erasures, also those that an earlier process
//! did not finish, and erases what is too old.

use std::io;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use hookgate_core::time::Timestamp;

use crate::erasure::Stop;
use crate::error::is_database_away;
use crate::lock;
use crate::rejections::now;
use crate::retention::Retention;

/// How often what is too old is looked for: a day is over once a day, and a machine that
/// slept or a clock that was set is noticed soon.
const SWEEP_INTERVAL: Duration = Duration::from_hours(1);

/// How long an erasure that failed rests before it goes on.
const RETRY: Duration = Duration::from_secs(5);

/// Who erases, for the thread to tell when.
pub(crate) trait Erasing: Send + Sync + 'static {
    /// Carries out every erasure that is not done.
    fn finish_all(&self) -> Result<(), Stop>;

    /// Erases what is too old; gives how many events that were.
    fn sweep(&self, sources: &Retention, now: Timestamp) -> Result<u64, Stop>;

    /// Stops as soon as it can.
    fn stop(&self);
}

/// The thread, and how to talk to it.
#[derive(Debug)]
pub(crate) struct Keeper<E> {
    pub(crate) eraser: Arc<E>,
    bell: Arc<Bell>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug, Default)]
struct Bell {
    state: Mutex<State>,
    rung: Condvar,
}

#[derive(Debug, Default)]
struct State {
    is_stopping: bool,
    has_work: bool,
    /// When it was last looked for what is too old.
    swept: Option<Instant>,
    retention: Retention,
}

impl<E: Erasing> Keeper<E> {
    /// Starts the thread, unless nobody wants it.
    pub(crate) fn start(eraser: E, is_wanted: bool) -> io::Result<Self> {
        let (eraser, bell) = (Arc::new(eraser), Arc::new(Bell::default()));
        let thread = if is_wanted {
            lock(&bell.state).has_work = true;
            let (eraser, bell) = (Arc::clone(&eraser), Arc::clone(&bell));
            let builder = thread::Builder::new().name("keeper".to_owned());
            Some(builder.spawn(move || run(&*eraser, &bell))?)
        } else {
            None
        };
        Ok(Self { eraser, bell, thread: Mutex::new(thread) })
    }

    /// There is something to erase.
    pub(crate) fn ring(&self) {
        lock(&self.bell.state).has_work = true;
        self.bell.rung.notify_one();
    }

    pub(crate) fn set_retention(&self, retention: Retention) {
        let mut state = lock(&self.bell.state);
        if state.retention != retention {
            state.retention = retention;
            state.swept = None;
        }
        drop(state);
        self.bell.rung.notify_one();
    }

    /// Erases what is too old, now.
    pub(crate) fn sweep(&self, now: Timestamp) -> Result<u64, Stop> {
        let retention = lock(&self.bell.state).retention.clone();
        self.eraser.sweep(&retention, now)
    }

    /// Tells the thread to end; an erasure goes on at the next start.
    pub(crate) fn stop(&self) {
        self.eraser.stop();
        lock(&self.bell.state).is_stopping = true;
        self.bell.rung.notify_one();
    }

    /// Waits for the end of the thread.
    pub(crate) fn join(&self) {
        if let Some(thread) = lock(&self.thread).take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that erases ended in a panic");
        }
    }
}

/// What the thread finds when it looks.
enum Call {
    Erase,
    Sweep(Retention),
    Stop,
}

fn run(eraser: &impl Erasing, bell: &Bell) {
    loop {
        let done = match bell.wait() {
            Call::Erase => eraser.finish_all(),
            Call::Sweep(retention) => eraser.sweep(&retention, now()).map(drop),
            Call::Stop => return,
        };
        match done {
            Ok(()) => {}
            Err(Stop::Closing) => return,
            Err(Stop::Elsewhere) => bell.rest(),
            // Who writes events and who delivers them say that it is away.
            Err(error) if is_database_away(&error) => bell.rest(),
            Err(error) => {
                tracing::error!(
                    error = %error,
                    cause = std::error::Error::source(&error).map(tracing::field::display),
                    "erasing failed; it goes on in a moment"
                );
                bell.rest();
            }
        }
    }
}

impl Bell {
    /// Waits for something to do.
    fn wait(&self) -> Call {
        let mut state = lock(&self.state);
        loop {
            if state.is_stopping {
                return Call::Stop;
            }
            if std::mem::take(&mut state.has_work) {
                return Call::Erase;
            }
            let rest = state
                .swept
                .map_or(Duration::ZERO, |it| SWEEP_INTERVAL.saturating_sub(it.elapsed()));
            if rest.is_zero() {
                state.swept = Some(Instant::now());
                return Call::Sweep(state.retention.clone());
            }
            let waited = self.rung.wait_timeout(state, rest);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Something failed: waits a while, and begins with everything again.
    fn rest(&self) {
        let state = lock(&self.state);
        let waited = self.rung.wait_timeout_while(state, RETRY, |it| !it.is_stopping);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner).0;
        state.has_work = true;
        state.swept = None;
    }
}
