//! The time that a call may take, and how much of it is spent outside.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hookgate_egress::{Answer, Call, Egress, EgressError};

/// Less time than this is not worth a request: connecting alone may take it.
const WORTH: Duration = Duration::from_millis(20);

/// The time that a call may take.
#[derive(Debug)]
pub(crate) struct Budget {
    until: Instant,
    /// Microseconds that were spent waiting for others.
    outside: AtomicU64,
}

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
        Self { until, outside: AtomicU64::new(0) }
    }

    /// What is left.
    pub(crate) fn left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }

    /// What was spent waiting for others.
    pub(crate) fn outside(&self) -> Duration {
        Duration::from_micros(self.outside.load(Ordering::Relaxed))
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
        let began = Instant::now();
        let answer = egress.send(call).await;
        let spent = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.outside.fetch_add(spent, Ordering::Relaxed);
        answer.map_err(NoAnswer::Failed)
    }
}
