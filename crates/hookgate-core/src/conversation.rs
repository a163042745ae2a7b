//! Conversations: what all events of a call, chat, thread or ticket say of it together.
//!
//! [`State::fold`] takes in one [`CanonicalEvent`]; [`State::view`] is the conversation as it
//! is shown.
//!
//! What holds:
//!
//! - **Order-free.** The same events in any order, some of them twice, give the same state. A
//!   value that several events state is taken from the one that knows most of the
//!   conversation: an analysis before an end, an end before a beginning, and of two alike the
//!   later one. No two events have the same place in the journal, so one always wins.
//! - **Total.** Any event can be folded into any conversation.
//! - **Bounded.** Every list has a limit; `truncated` says when one was met. Which entries
//!   stay does not depend on the order either.
//! - **Nothing is decided by it.** It is for people, and made anew from the journal.

mod parts;
mod view;
mod weight;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Number;

use self::parts::{Entry, Outcome, Said, Transcript};
pub use self::parts::{MESSAGE_CHARS_MAX, MESSAGES_MAX, TIMELINE_MAX};
pub use self::view::{Line, Message, Phase, View};
use self::weight::{Latest, Weight};
use crate::canonical::{
    Agent, Analysis, CanonicalEvent, Channel, Cost, Direction, Moment, PhoneNumber, Recording,
    Report, Ticket,
};

/// Recordings, tickets or reports of one conversation. A call has up to four recordings.
pub const ITEMS_MAX: usize = 64;

/// What is known of a conversation. It is kept as JSON between events.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    channel: Latest<Channel>,
    direction: Latest<Direction>,
    agent: Latest<Agent>,
    our_number: Latest<PhoneNumber>,
    their_number: Latest<PhoneNumber>,
    participant_id: Latest<String>,
    participant_name: Latest<String>,
    participant_email: Latest<String>,
    participant_city: Latest<String>,
    participant_country: Latest<String>,
    property_id: Latest<String>,
    property_name: Latest<String>,
    status: Latest<String>,
    end_reason: Latest<String>,
    /// The earliest that is stated: a chat may begin again.
    started_at: Option<Moment>,
    /// The latest.
    ended_at: Option<Moment>,
    duration_seconds: Latest<Number>,
    cost: Latest<Cost>,
    analysis: Latest<Analysis>,
    outcome: Outcome,
    transcript: Option<Transcript>,
    messages: BTreeMap<u64, Said>,
    recordings: BTreeMap<String, Latest<Recording>>,
    tickets: BTreeMap<String, Latest<Ticket>>,
    reports: BTreeMap<String, Latest<Report>>,
    timeline: BTreeMap<u64, Entry>,
    first_at: Option<Moment>,
    last_at: Option<Moment>,
    truncated: bool,
}

impl State {
    /// Takes in an event of this conversation, which has the place `seq` in the journal.
    pub fn fold(&mut self, seq: u64, event: &CanonicalEvent) {
        let weight = Weight::of(seq, event);
        let at = event.occurred_at.or(event.received_at);
        self.first_at = earlier(self.first_at, at);
        self.last_at = later(self.last_at, at);
        self.truncated |= event.truncated.unwrap_or(false);
        self.outcome.note(&event.kind);
        self.fold_facts(weight, event);
        if let Some(turns) = &event.transcript {
            Transcript::offer(&mut self.transcript, weight, turns);
        }
        if let Some(said) = Said::of(weight, event) {
            self.truncated |= parts::keep(&mut self.messages, seq, said, MESSAGES_MAX);
        }
        for recording in event.recordings.iter().flatten() {
            let key = parts::recording_key(recording, event);
            let weight = weight.saying(parts::said_of(recording));
            self.truncated |= hold(&mut self.recordings, key, weight, recording);
        }
        if let Some(ticket) = &event.ticket {
            let key = ticket.id.clone().or_else(|| ticket.number.clone()).unwrap_or_default();
            self.truncated |= hold(&mut self.tickets, key, weight, ticket);
        }
        if let Some(report) = &event.report {
            let key = report.id.clone().unwrap_or_default();
            self.truncated |= hold(&mut self.reports, key, weight, report);
        }
        let entry = Entry::of(weight, event);
        self.truncated |= parts::keep(&mut self.timeline, seq, entry, TIMELINE_MAX);
    }

    /// What a conversation has once.
    fn fold_facts(&mut self, weight: Weight, event: &CanonicalEvent) {
        if let Some(analysis) = &event.analysis {
            self.analysis.offer(weight, Some(analysis));
        }
        let Some(it) = &event.conversation else { return };
        self.channel.offer(weight, it.channel.as_ref());
        self.direction.offer(weight, it.direction.as_ref());
        self.agent.offer(weight, it.agent.as_ref());
        self.our_number.offer(weight, it.our_number.as_ref());
        self.their_number.offer(weight, it.their_number.as_ref());
        if let Some(participant) = &it.participant {
            self.participant_id.offer(weight, participant.id.as_ref());
            self.participant_name.offer(weight, participant.name.as_ref());
            self.participant_email.offer(weight, participant.email.as_ref());
            self.participant_city.offer(weight, participant.city.as_ref());
            self.participant_country.offer(weight, participant.country.as_ref());
        }
        if let Some(property) = &it.property {
            self.property_id.offer(weight, property.id.as_ref());
            self.property_name.offer(weight, property.name.as_ref());
        }
        self.status.offer(weight, it.status.as_ref());
        self.end_reason.offer(weight, it.end_reason.as_ref());
        self.started_at = earlier(self.started_at, it.started_at);
        self.ended_at = later(self.ended_at, it.ended_at);
        self.duration_seconds.offer(weight, it.duration_seconds.as_ref());
        self.cost.offer(weight, it.cost.as_ref());
    }

    /// Whether nothing was folded into it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.timeline.is_empty()
    }

    /// When it began: as it is stated, or when its first event happened.
    #[must_use]
    pub fn began_at(&self) -> Option<Moment> {
        self.started_at.or(self.first_at)
    }

    /// When its latest event happened.
    #[must_use]
    pub const fn last_at(&self) -> Option<Moment> {
        self.last_at
    }
}

fn earlier(one: Option<Moment>, other: Option<Moment>) -> Option<Moment> {
    one.into_iter().chain(other).min()
}

fn later(one: Option<Moment>, other: Option<Moment>) -> Option<Moment> {
    one.max(other)
}

/// Puts what is stated of one of several things into its place; says whether something had to
/// go. Those with the lowest keys stay.
fn hold<T: Clone>(
    into: &mut BTreeMap<String, Latest<T>>,
    key: String,
    weight: Weight,
    value: &T,
) -> bool {
    into.entry(key).or_default().offer(weight, Some(value));
    let is_full = into.len() > ITEMS_MAX;
    if is_full {
        into.pop_last();
    }
    is_full
}
