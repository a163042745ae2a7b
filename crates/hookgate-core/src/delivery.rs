//! Deliveries: who is told of an event, when it is tried again, and what an attempt means.
//!
//! A *destination* is where events are passed on to, and [`DestinationSettings`] says what
//! it wants. A *delivery* is one event for one destination. Each *attempt* has an
//! [`AttemptOutcome`], and [`settle()`] is the one function that says what follows of it: for
//! the delivery, for the destination's [`Breaker`], and whether the destination goes on.

mod breaker;
mod comparison;
mod rate;
pub mod schedule;
mod settings;
mod settle;

pub use self::breaker::{Breaker, FAILURES_MAX, PROBE_AFTER, PROBE_AFTER_MAX};
pub use self::comparison::{Comparison, ComparisonError, Op, POINTER_BYTES_MAX, VALUE_BYTES_MAX};
pub use self::rate::Rate;
pub use self::settings::{
    ALERT_SOURCE, COMPARISONS_MAX, CONCURRENCY, CONCURRENCY_MAX, DestinationError, DestinationKind,
    DestinationSettings, Format, NAME_BYTES_MAX, PATTERNS_MAX, RATE_PER_SECOND_MAX,
    TEMPLATE_BYTES_MAX, TEST, TIMEOUT_MS, TIMEOUT_MS_MAX, TIMEOUT_MS_MIN, URL_BYTES_MAX,
};
pub use self::settle::{
    Again, AttemptOutcome, DeliveryState, Disabled, NextState, RETRY_AFTER_MAX, Settlement, settle,
};
