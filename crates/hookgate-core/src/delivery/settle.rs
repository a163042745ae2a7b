//! What follows of an attempt.

use std::time::Duration;

use super::Breaker;
use super::schedule;
use crate::time::Timestamp;

/// The longest `Retry-After` that is honoured; whoever asks for more is asked again then.
pub const RETRY_AFTER_MAX: Duration = Duration::from_hours(1);

/// What is known of a delivery before an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeliveryState {
    /// Attempts that were made, without the one at hand.
    pub attempts: u32,
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttemptOutcome {
    /// The endpoint took it: 2xx.
    Delivered {
        /// The status.
        status: u16,
    },
    /// The endpoint answered, and did not take it.
    Refused {
        /// The status.
        status: u16,
        /// When it wants to be asked again.
        retry_after: Option<Duration>,
    },
    /// 410: the endpoint wants no more.
    Gone,
    /// There was no answer.
    Broken {
        /// Why, in a word.
        reason: &'static str,
    },
    /// It failed here, before anything was sent: the endpoint has no part in it.
    Ours {
        /// Why, in a word.
        reason: &'static str,
        /// Whether it may be otherwise later.
        may_pass: bool,
    },
}

/// Why a destination is disabled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disabled {
    /// Its endpoint answered 410.
    Gone,
    /// Somebody did it.
    ByHand,
}

impl Disabled {
    /// Every reason.
    pub const ALL: [Self; 2] = [Self::Gone, Self::ByHand];

    /// Its name in the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::ByHand => "by_hand",
        }
    }

    /// The reason of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name() == name)
    }
}

/// How a delivery goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextState {
    /// It arrived.
    Delivered,
    /// It is tried again.
    Pending {
        /// Not before this moment.
        due: Timestamp,
    },
    /// It is given up: the endpoint did not take it.
    Failed,
    /// It is given up: it failed here.
    DeadOurs,
}

/// What follows of an attempt. All of it is kept in one transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settlement {
    /// How the delivery goes on.
    pub state: NextState,
    /// Attempts made, with this one.
    pub attempts: u32,
    /// The destination's breaker from now on.
    pub breaker: Breaker,
    /// Why the destination is disabled from now on, if it is.
    pub disables: Option<Disabled>,
}

/// When it is tried again.
#[derive(Clone, Copy, Debug)]
pub struct Again<'a> {
    /// The waits between attempts; none for what is tried once.
    pub schedule: &'a [Duration],
    /// Of 0 to 1: moves the wait.
    pub random: f64,
}

/// Says what follows of an attempt that ended at `now`.
#[must_use]
pub fn settle(
    delivery: &DeliveryState,
    breaker: &Breaker,
    outcome: &AttemptOutcome,
    now: Timestamp,
    again: &Again<'_>,
) -> Settlement {
    let attempts = delivery.attempts.saturating_add(1);
    let wait = schedule::wait(again.schedule, attempts, again.random);
    let tried_again = |wait: Option<Duration>, otherwise| {
        wait.map_or(otherwise, |wait| NextState::Pending { due: now.plus(wait) })
    };
    let (state, breaker, disables) = match outcome {
        AttemptOutcome::Delivered { .. } => (NextState::Delivered, breaker.after_success(), None),
        AttemptOutcome::Refused { retry_after, .. } => {
            let asked = retry_after.unwrap_or_default().min(RETRY_AFTER_MAX);
            let wait = wait.map(|it| it.max(asked));
            (tried_again(wait, NextState::Failed), breaker.after_failure(now), None)
        }
        AttemptOutcome::Gone => {
            (NextState::Failed, breaker.after_failure(now), Some(Disabled::Gone))
        }
        AttemptOutcome::Broken { .. } => {
            (tried_again(wait, NextState::Failed), breaker.after_failure(now), None)
        }
        AttemptOutcome::Ours { may_pass, .. } => {
            let wait = wait.filter(|_| *may_pass);
            (tried_again(wait, NextState::DeadOurs), *breaker, None)
        }
    };
    Settlement { state, attempts, breaker, disables }
}
