//! A thread that hears what other nodes changed.
//!
//! It listens on the channel `hookgate`, and looks at the numbers in `versions` each
//! [`POLL`], should it have missed something. While it has no connection the node goes on with
//! what it has in memory, and after five seconds asks the database whose ids are (see
//! `registry/nodes.rs`).

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use postgres::Client;
use postgres::fallible_iterator::FallibleIterator as _;

use crate::registry::{POLL, Registry};
use crate::rejections::now;
use crate::sql::{CHANNEL, Connect, ROLE, Topic, may_block};

/// The topic of the journal: its number is the last place that was given.
const EVENTS: &str = "events";

/// How often who waits for deliveries is woken without being told: a node that is gone may
/// have left some that are due.
const WAKE: Duration = Duration::from_secs(5);

/// How often tool calls are looked for whose node is gone.
const SWEEP: Duration = Duration::from_mins(1);

/// How long it listens before it looks whether it is to end.
const PATIENCE: Duration = Duration::from_millis(250);

/// The longest wait before another connection is tried.
const WAIT_MAX: Duration = Duration::from_secs(2);

/// Told the last place in the journal, when it moved and at each look.
pub(crate) type Listed = Arc<dyn Fn(u64) + Send + Sync>;

/// The thread; it ends when this is dropped.
#[derive(Debug)]
pub struct Listener {
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Listener {
    /// Begins to listen.
    ///
    /// # Errors
    ///
    /// The system gives no thread.
    pub(crate) fn start(
        registry: Registry,
        connect: Connect,
        listed: Listed,
    ) -> std::io::Result<Self> {
        let (end, ends) = channel();
        let thread = std::thread::Builder::new().name("listen".to_owned()).spawn(move || {
            may_block(|| Ear { registry, connect, listed, ends }.run());
        })?;
        Ok(Self { end: Some(end), thread: Some(thread) })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            // Whatever it died of, it is over.
            let _ = thread.join();
        }
    }
}

struct Ear {
    registry: Registry,
    connect: Connect,
    listed: Listed,
    /// Closed when it is to end.
    ends: Receiver<()>,
}

/// That the thread is to end.
struct Ended;

/// Why it stops listening on a connection.
enum Deaf {
    Ended,
    Lost(postgres::Error),
}

impl From<postgres::Error> for Deaf {
    fn from(error: postgres::Error) -> Self {
        Self::Lost(error)
    }
}

impl Ear {
    fn run(&self) {
        let mut wait = PATIENCE;
        let mut is_said = false;
        while self.pause(Duration::ZERO).is_ok() {
            let lost = match (self.connect)() {
                Ok(mut client) => {
                    if std::mem::take(&mut is_said) {
                        tracing::info!("changes of other nodes are heard again");
                    }
                    match self.listen(&mut client) {
                        Deaf::Ended => return,
                        Deaf::Lost(error) => {
                            wait = PATIENCE;
                            crate::sql::Error::from(error).to_string()
                        }
                    }
                }
                Err(error) => error.to_string(),
            };
            if !std::mem::replace(&mut is_said, true) {
                tracing::warn!(error = lost, "changes of other nodes are not heard now");
            }
            if self.pause(wait).is_err() {
                return;
            }
            wait = wait.saturating_mul(2).min(WAIT_MAX);
        }
    }

    /// Waits, unless it is to end.
    fn pause(&self, wait: Duration) -> Result<(), Ended> {
        match self.ends.recv_timeout(wait) {
            Err(RecvTimeoutError::Timeout) => Ok(()),
            Ok(()) | Err(RecvTimeoutError::Disconnected) => Err(Ended),
        }
    }

    fn listen(&self, client: &mut Client) -> Deaf {
        match self.hear(client) {
            Ok(Ended) => Deaf::Ended,
            Err(error) => Deaf::Lost(error),
        }
    }

    fn hear(&self, client: &mut Client) -> Result<Ended, postgres::Error> {
        client.batch_execute(&format!("SET ROLE {ROLE}; LISTEN {CHANNEL}"))?;
        let versions = client.prepare("SELECT topic, n FROM hookgate.versions")?;
        // What was missed before.
        let (mut look, mut woken, mut swept) = (true, None, None);
        loop {
            if look {
                let rows = client.query(&versions, &[])?;
                let seen: Vec<(String, i64)> = rows
                    .iter()
                    .map(|it| Ok((it.try_get(0)?, it.try_get(1)?)))
                    .collect::<Result<_, postgres::Error>>()?;
                self.look(&seen);
            }
            if is_over(&mut woken, WAKE) {
                self.registry.wake_deliveries();
            }
            if is_over(&mut swept, SWEEP)
                && let Err(error) = self.registry.note_abandoned(now())
            {
                tracing::warn!(error = %error, "tool calls of other nodes could not be looked at");
            }
            look = false;
            let until = Instant::now().checked_add(POLL);
            while !look {
                if self.pause(Duration::ZERO).is_err() {
                    return Ok(Ended);
                }
                let told = client.notifications().timeout_iter(PATIENCE).next()?;
                if let Some(told) = &told {
                    look |= self.is_news(told.payload());
                    // What came with it is known too when it is looked at.
                    let mut more = client.notifications();
                    let mut more = more.iter();
                    while let Some(told) = more.next()? {
                        look |= self.is_news(told.payload());
                    }
                } else if client.is_closed() {
                    client.batch_execute("")?;
                }
                look |= until.is_none_or(|it| Instant::now() >= it);
            }
        }
    }

    /// Whether the versions tell more about it.
    fn is_news(&self, payload: &str) -> bool {
        if Topic::named(payload) == Some(Topic::Deliveries) {
            self.registry.wake_deliveries();
            return false;
        }
        true
    }

    fn look(&self, versions: &[(String, i64)]) {
        let began = Instant::now();
        let events = versions.iter().find(|(topic, _)| topic == EVENTS);
        if let Some((_, last)) = events {
            (self.listed)(u64::try_from(*last).unwrap_or(0));
        }
        if let Err(error) = self.registry.follow(versions, began) {
            tracing::warn!(error = %error, "what other nodes changed could not be read");
        }
    }
}

/// Whether so much time has passed since the last time it was over, or it never was.
fn is_over(last: &mut Option<Instant>, after: Duration) -> bool {
    let is_over = last.is_none_or(|it| it.elapsed() >= after);
    if is_over {
        *last = Some(Instant::now());
    }
    is_over
}
