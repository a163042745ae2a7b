//! Alerts: what the operator is told without asking. Which kinds there are, when one is raised
//! and when it is over.
//!
//! A *rule* (`rules.rs`, `rhythm.rs`, `rise.rs`) looks at what is known of a subject and gives a
//! [`Verdict`]. [`step()`] is the one function that makes of verdicts what is said: an alert is
//! said once for each episode, and a subject that goes back and forth is said once in
//! [`INTERVAL_MIN`].

mod rhythm;
mod rise;
mod rules;

use std::time::Duration;

pub use self::rhythm::{PAUSES, QUIET, RHYTHM_EVENTS_MAX, RHYTHM_EVENTS_MIN, Rhythm};
pub use self::rise::{REJECTIONS, Rise, WINDOW};
pub use self::rules::{
    DISK_BAND, ELEVENLABS_FAILURES, ELEVENLABS_WITHOUT_SUCCESS, FAILING_FAILURES, FAILING_FOR,
    SPOOL_WAIT, auto_disable, destination_disabled, destination_failing, disk_filling,
    source_silent, span, spool_waiting, store_failing,
};
use crate::time::Timestamp;

/// What every pattern for alerts begins with. `*` alone stands for events: who asked for calls
/// is not woken by a disk.
pub const PREFIX: &str = "alert.";

/// The shortest time from one alert to the next of the same kind about the same subject.
pub const INTERVAL_MIN: Duration = Duration::from_hours(1);

/// What an alert is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AlertKind {
    /// A source has gone silent against its own rhythm.
    SourceSilent,
    /// A source refuses many more requests than it did.
    RejectionsRising,
    /// A destination does not take what it is sent.
    DestinationFailing,
    /// A destination wants no more (410), and gets no more.
    DestinationDisabled,
    /// ElevenLabs is about to turn a webhook off.
    ElevenLabsAutoDisable,
    /// The store's disk fills up.
    DiskFilling,
    /// The store does not take what is written.
    StoreFailing,
    /// Events wait in a node's spool because the database is away, or the spool fills up.
    SpoolFilling,
}

impl AlertKind {
    /// Every kind.
    pub const ALL: [Self; 8] = [
        Self::SourceSilent,
        Self::RejectionsRising,
        Self::DestinationFailing,
        Self::DestinationDisabled,
        Self::ElevenLabsAutoDisable,
        Self::DiskFilling,
        Self::StoreFailing,
        Self::SpoolFilling,
    ];

    /// Its name in the API and in patterns.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SourceSilent => "alert.source_silent",
            Self::RejectionsRising => "alert.rejections_rising",
            Self::DestinationFailing => "alert.destination_failing",
            Self::DestinationDisabled => "alert.destination_disabled",
            Self::ElevenLabsAutoDisable => "alert.elevenlabs_auto_disable",
            Self::DiskFilling => "alert.disk_filling",
            Self::StoreFailing => "alert.store_failing",
            Self::SpoolFilling => "alert.spool_filling",
        }
    }

    /// A few words for it, in ASCII.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::SourceSilent => "Source silent",
            Self::RejectionsRising => "Rejections rising",
            Self::DestinationFailing => "Destination failing",
            Self::DestinationDisabled => "Destination disabled",
            Self::ElevenLabsAutoDisable => "ElevenLabs close to auto-disable",
            Self::DiskFilling => "Disk filling",
            Self::StoreFailing => "Store failing",
            Self::SpoolFilling => "Spool filling",
        }
    }

    /// The kind of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name() == name)
    }

    /// Whether it is about a destination, whose owner may be told of it.
    #[must_use]
    pub const fn is_of_destination(self) -> bool {
        matches!(self, Self::DestinationFailing | Self::DestinationDisabled)
    }
}

/// What a rule says of a subject now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is bad enough to be told.
    Raise,
    /// Neither: what was raised stays, what was not is not.
    Hold,
    /// It is well.
    Clear,
}

/// The latest alert of a kind about a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Episode {
    /// When it was raised.
    pub raised_at: Timestamp,
    /// Whether it is over.
    pub is_over: bool,
}

/// What follows of a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A new alert is raised, and told.
    Raise,
    /// The one that is raised is over.
    Clear,
    /// Nothing.
    Stay,
}

/// Says what follows of a verdict, after the latest episode if there was one.
#[must_use]
pub fn step(latest: Option<Episode>, verdict: Verdict, now: Timestamp) -> Step {
    match (latest, verdict) {
        (Some(Episode { is_over: false, .. }), Verdict::Clear) => Step::Clear,
        (Some(Episode { is_over: false, .. }), _) | (_, Verdict::Hold | Verdict::Clear) => {
            Step::Stay
        }
        (None, Verdict::Raise) => Step::Raise,
        (Some(Episode { raised_at, .. }), Verdict::Raise) => {
            // Raised in the future: the clock was set back.
            let is_early = raised_at <= now && raised_at.age(now) < INTERVAL_MIN;
            if is_early { Step::Stay } else { Step::Raise }
        }
    }
}
