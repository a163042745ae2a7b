//! Whether events go to the database or into the spool: a state, and rules that change it.
//!
//! ```text
//! Live ── a statement fails or takes too long ──▶ Spooling ── a probe succeeds ──▶ Draining
//!   ▲                                                ▲                                │
//!   │                                                └─── a statement fails ──────────┤
//!   └────────────────── nothing is left in the spool ─────────────────────────────────┘
//! ```
//!
//! What holds:
//!
//! - **One order.** While anything is in the spool, or on its way there, everything goes
//!   through it: nothing overtakes.
//! - **Nobody waits for a frozen socket.** A statement has a deadline; whatever its
//!   connection says later is not listened to.
//! - **Draining never delays a sender.** It goes on beside intake, in batches that shrink
//!   when the database is slow. Only the last of it is waited for, and only while the
//!   database is quick: otherwise a steady stream would never leave the spool.
//!
//! No clock and no I/O: who drives it says what time it is and does what [`Outage::next`]
//! says.

use std::time::Duration;

/// A time since the node started.
pub(crate) type Moment = Duration;

/// How long a statement that a sender waits for may take before the database counts as away:
/// far more than a commit over a continent, far less than a provider waits for its answer.
pub(crate) const STATEMENT_MAX: Duration = Duration::from_secs(2);

/// How long a batch that is drained may take. Nobody waits for it, and a slow database is
/// better than none.
pub(crate) const DRAIN_MAX: Duration = Duration::from_secs(10);

/// The first pause between two looks at a database that is away.
pub(crate) const PROBE_PAUSE_MIN: Duration = Duration::from_millis(100);

/// The longest such pause.
pub(crate) const PROBE_PAUSE_MAX: Duration = Duration::from_secs(2);

/// Entries in one batch at most, when the database is quick: much better than one by one, and
/// still done in a moment.
pub(crate) const DRAIN_ENTRIES_MAX: usize = 512;

/// Bytes of bodies in one batch at most: held in memory while it is stored.
pub(crate) const DRAIN_BYTES_MAX: u64 = 8 << 20;

/// When so few are left, new ones wait for them to be stored, and the spool is empty.
pub(crate) const HAND_OVER_ENTRIES: u64 = 64;

/// How long they wait at most. And so quick must the database have been just before.
pub(crate) const HAND_OVER_MAX: Duration = Duration::from_millis(250);

/// Why the database is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Why {
    /// No connection.
    Unreachable,
    /// A statement took longer than it may.
    Slow,
    /// It takes no writes.
    ReadOnly,
    /// It is starting, stopping, or handing over to another server.
    FailingOver,
    /// It is the database of another store.
    OtherStore,
}

impl Why {
    /// Its name in `/readyz`, metrics and logs.
    #[must_use]
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Slow => "slow",
            Self::ReadOnly => "read_only",
            Self::FailingOver => "failing_over",
            Self::OtherStore => "other_store",
        }
    }
}

/// Where events go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// To the database.
    Live,
    /// Into the spool: the database is away.
    Spooling(Why),
    /// Into the spool, which is being emptied into the database.
    Draining,
}

impl State {
    /// Its name in `/readyz`, metrics and logs.
    #[must_use]
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Live => "ok",
            Self::Spooling(_) => "spooling",
            Self::Draining => "draining",
        }
    }
}

/// The way of one event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// To the database.
    Direct,
    /// Into the spool. Say [`Outage::arrived`] when that is done, or given up.
    Spool,
    /// Ask again when the state changes, or [`HAND_OVER_MAX`] later: the spool is about to
    /// be empty.
    Hold,
}

/// What is to be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nothing before this time, or before something happens.
    Wait(Option<Moment>),
    /// Look whether the database is there and takes writes.
    Probe,
    /// Store so many of the oldest entries at most, then say [`Outage::drained`].
    Drain(usize),
}

/// What a statement is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Senders wait for it.
    Commit,
    /// To see whether the database is there.
    Probe,
    /// A batch of the spool.
    Drain,
}

/// A statement that was begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Statement {
    number: u64,
    purpose: Purpose,
    began: Moment,
    due: Moment,
}

/// Whether the database is there.
#[derive(Clone, Debug)]
pub(crate) struct Outage {
    state: State,
    since: Moment,
    /// Events on their way into the spool.
    arriving: u64,
    /// Under way.
    statements: Vec<Statement>,
    last_number: u64,
    probe_at: Moment,
    pause: Duration,
    batch: usize,
    /// The last batch was quick.
    is_quick: bool,
    /// New events wait until then for the spool to be empty.
    hold_until: Option<Moment>,
    outages: u64,
}

impl Outage {
    /// Of a node that has just started: the database is away until it was seen.
    pub(crate) fn new(now: Moment) -> Self {
        Self {
            state: State::Spooling(Why::Unreachable),
            since: now,
            arriving: 0,
            statements: Vec::new(),
            last_number: 0,
            probe_at: now,
            pause: PROBE_PAUSE_MIN,
            batch: DRAIN_ENTRIES_MAX,
            is_quick: false,
            hold_until: None,
            outages: 0,
        }
    }

    /// Where events go, and since when.
    pub(crate) fn state(&self) -> (State, Moment) {
        (self.state, self.since)
    }

    /// How often the database went away since the start.
    pub(crate) fn outages(&self) -> u64 {
        self.outages
    }

    /// The way of an event that comes now, or that the database did not take.
    pub(crate) fn route(&mut self) -> Route {
        match self.state {
            State::Live => Route::Direct,
            State::Draining if self.hold_until.is_some() => Route::Hold,
            State::Spooling(_) | State::Draining => {
                self.arriving = self.arriving.saturating_add(1);
                Route::Spool
            }
        }
    }

    /// An event that was routed into the spool is in it, or was given up.
    pub(crate) fn arrived(&mut self) {
        self.arriving = self.arriving.saturating_sub(1);
    }

    /// A statement begins.
    pub(crate) fn begin(&mut self, purpose: Purpose, now: Moment) -> Statement {
        self.last_number = self.last_number.wrapping_add(1);
        let limit = match purpose {
            Purpose::Commit => STATEMENT_MAX,
            // Nobody waits for it: a connection to a far database takes a dozen messages.
            Purpose::Probe | Purpose::Drain => DRAIN_MAX,
        };
        let due = now.saturating_add(limit);
        let statement = Statement { number: self.last_number, purpose, began: now, due };
        self.statements.push(statement);
        statement
    }

    /// A statement ended. False: it was given up before, and what it did is not known here;
    /// who waited for it has gone another way.
    pub(crate) fn finished(
        &mut self,
        statement: Statement,
        outcome: Result<(), Why>,
        now: Moment,
    ) -> bool {
        let Some(at) = self.statements.iter().position(|it| it.number == statement.number) else {
            return false;
        };
        self.statements.swap_remove(at);
        match (outcome, statement.purpose) {
            (Err(why), purpose) => {
                if purpose == Purpose::Drain && why == Why::Slow {
                    self.batch = (self.batch / 2).max(1);
                }
                self.fail(why, now);
            }
            (Ok(()), Purpose::Commit) => {}
            (Ok(()), Purpose::Probe) => {
                if matches!(self.state, State::Spooling(_)) {
                    self.enter(State::Draining, now);
                }
            }
            (Ok(()), Purpose::Drain) => {
                let took = now.saturating_sub(statement.began);
                self.is_quick = took <= HAND_OVER_MAX;
                self.pause = PROBE_PAUSE_MIN;
                if self.is_quick {
                    self.batch = self.batch.saturating_mul(2).min(DRAIN_ENTRIES_MAX);
                }
            }
        }
        true
    }

    /// After a batch of the spool was stored and is done in it, or when there was none to
    /// be stored: so many entries are left, those on their way to the disk among them.
    pub(crate) fn drained(&mut self, left: u64, now: Moment) {
        if self.state != State::Draining {
            return;
        }
        let left = left.saturating_add(self.arriving);
        if left == 0 {
            self.pause = PROBE_PAUSE_MIN;
            self.enter(State::Live, now);
        } else if left <= HAND_OVER_ENTRIES && self.is_quick && self.hold_until.is_none() {
            self.hold_until = Some(now.saturating_add(HAND_OVER_MAX));
        }
    }

    /// Lets time pass: gives up what takes too long. True: statements were given up, and who
    /// waits for one must ask for another way; their connections must not be used again.
    pub(crate) fn tick(&mut self, now: Moment) -> bool {
        if self.hold_until.is_some_and(|it| it <= now) {
            self.hold_until = None;
            self.is_quick = false;
        }
        let Some(late) = self.statements.iter().find(|it| it.due <= now).copied() else {
            return false;
        };
        if late.purpose == Purpose::Drain {
            self.batch = (self.batch / 2).max(1);
        }
        self.fail(Why::Slow, now);
        true
    }

    /// The database was found to be away in another way than by a statement.
    pub(crate) fn fail(&mut self, why: Why, now: Moment) {
        // What else is under way is on connections to the same server.
        self.statements.clear();
        self.probe_at = now.saturating_add(self.pause);
        self.pause = self.pause.saturating_mul(2).min(PROBE_PAUSE_MAX);
        if self.state == State::Live {
            self.outages = self.outages.saturating_add(1);
        }
        match self.state {
            // Since when it is away stays as it was.
            State::Spooling(_) => self.state = State::Spooling(why),
            State::Live | State::Draining => self.enter(State::Spooling(why), now),
        }
    }

    fn enter(&mut self, state: State, now: Moment) {
        self.state = state;
        self.since = now;
        self.hold_until = None;
        self.is_quick = false;
    }

    /// What is to be done now. One probe or batch at a time.
    pub(crate) fn next(&self, now: Moment) -> Step {
        let busy = self.statements.iter().any(|it| it.purpose != Purpose::Commit);
        match self.state {
            State::Draining if !busy => Step::Drain(self.batch),
            State::Spooling(_) if !busy && self.probe_at <= now => Step::Probe,
            State::Spooling(_) | State::Draining | State::Live => {
                let probe =
                    (matches!(self.state, State::Spooling(_)) && !busy).then_some(self.probe_at);
                let due = self.statements.iter().map(|it| it.due);
                Step::Wait(due.chain(probe).chain(self.hold_until).min())
            }
        }
    }
}

#[cfg(test)]
mod tests;
