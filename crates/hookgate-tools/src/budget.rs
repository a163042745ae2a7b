//! The time that a call may take, and how much of it is spent outside.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hookgate_egress::{Answer, Call, Egress, EgressError};

/// Less time than this is not worth a request: connecting alone may take it.
const WORTH: Duration = Duration::from_millis(20);

/// The time that a call may take.
#[derive(Debug)]
pub(crate) struct Budget {
    until: Instant,
    outside: Mutex<Outside>,
}

/// Time spent waiting for others. Requests that run side by side count once.
#[derive(Debug)]
struct Outside {
    waits: u32,
    since: Instant,
    spent: Duration,
}

/// One wait. It ends when it is dropped, also with a call that nobody waits for any more.
struct Waiting<'a>(&'a Budget);

/// Why a request to others has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoAnswer {
    /// The time is spent; nothing was sent.
    #[error("the time of the call is spent")]
    Spent,
    /// The request failed.
    #[error("the request failed")]
    Failed(#[source] EgressError),
}

impl NoAnswer {
    /// Whether the request certainly did not reach its server.
    pub(crate) fn is_unsent(&self) -> bool {
        match self {
            Self::Spent => true,
            Self::Failed(cause) => cause.is_unsent(),
        }
    }
}

impl Budget {
    /// Time until then.
    pub(crate) fn until(until: Instant) -> Self {
        let outside = Outside { waits: 0, since: until, spent: Duration::ZERO };
        Self { until, outside: Mutex::new(outside) }
    }

    /// What is left.
    pub(crate) fn left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }

    /// What was spent waiting for others.
    pub(crate) fn outside(&self) -> Duration {
        let outside = self.lock();
        let running = if outside.waits > 0 { outside.since.elapsed() } else { Duration::ZERO };
        outside.spent.saturating_add(running)
    }

    /// Sends one request, which gets no more than what is left.
    ///
    /// # Errors
    ///
    /// [`NoAnswer`]; it says whether the request may have arrived.
    pub(crate) async fn send(&self, egress: &Egress, mut call: Call) -> Result<Answer, NoAnswer> {
        let left = self.left();
        if left < WORTH {
            return Err(NoAnswer::Spent);
        }
        call.deadline = call.deadline.min(left);
        let _waiting = Waiting::begin(self);
        egress.send(call).await.map_err(NoAnswer::Failed)
    }

    /// Waits before a request is sent again: that is others' time too.
    pub(crate) async fn pause(&self, pause: Duration) {
        let _waiting = Waiting::begin(self);
        tokio::time::sleep(pause).await;
    }

    /// Nothing panics while it is held; if it did, a measure would be off.
    fn lock(&self) -> MutexGuard<'_, Outside> {
        self.outside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<'a> Waiting<'a> {
    fn begin(budget: &'a Budget) -> Self {
        let mut outside = budget.lock();
        if outside.waits == 0 {
            outside.since = Instant::now();
        }
        outside.waits = outside.waits.saturating_add(1);
        drop(outside);
        Self(budget)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut outside = self.0.lock();
        outside.waits = outside.waits.saturating_sub(1);
        if outside.waits == 0 {
            outside.spent = outside.spent.saturating_add(outside.since.elapsed());
        }
    }
}
