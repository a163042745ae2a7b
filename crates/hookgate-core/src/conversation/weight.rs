//! Which of several statements counts.

use serde::{Deserialize, Serialize};

use crate::canonical::CanonicalEvent;
use crate::event::Kind;

/// How much an event knows of its conversation, and then when it happened. Two events never
/// have the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Weight {
    rank: u8,
    at: i64,
    pub(super) seq: u64,
}

impl Weight {
    pub(super) fn of(seq: u64, event: &CanonicalEvent) -> Self {
        let at = event.occurred_at.or(event.received_at);
        Self { rank: rank(&event.kind), at: at.map_or(0, |it| it.at().millis()), seq }
    }

    /// The same for one of several statements of which the one that says more counts.
    pub(super) const fn saying(self, values: u8) -> Self {
        Self { rank: values, ..self }
    }

    /// When it happened, and which came first.
    pub(super) const fn moment(self) -> (i64, u64) {
        (self.at, self.seq)
    }
}

/// A late `call.started` says "ongoing" of a call that is over, and is not believed.
fn rank(kind: &str) -> u8 {
    match Kind::named(kind) {
        Some(Kind::CallStarted | Kind::ChatStarted) => 0,
        None | Some(Kind::Other | Kind::ToolCalled | Kind::MessageReceived | Kind::MessageSent) => {
            1
        }
        Some(
            Kind::CallEnded
            | Kind::ChatEnded
            | Kind::CallFailed
            | Kind::TranscriptReady
            | Kind::RecordingReady
            | Kind::TicketCreated
            | Kind::ReportReady,
        ) => 2,
        Some(Kind::CallAnalyzed) => 3,
    }
}

/// The value of the event with the highest weight that states one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Latest<T>(Option<(Weight, T)>);

impl<T> Default for Latest<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T: Clone> Latest<T> {
    pub(super) fn offer(&mut self, weight: Weight, value: Option<&T>) {
        let Some(value) = value else { return };
        if self.0.as_ref().is_none_or(|(it, _)| weight > *it) {
            self.0 = Some((weight, value.clone()));
        }
    }

    pub(super) fn get(&self) -> Option<T> {
        self.0.as_ref().map(|(_, it)| it.clone())
    }

    /// The value, if it is to be shown in the order of events: with its moment.
    pub(super) fn timed(&self) -> Option<((i64, u64), T)> {
        self.0.as_ref().map(|(weight, it)| (weight.moment(), it.clone()))
    }
}
