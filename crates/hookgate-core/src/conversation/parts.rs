//! What a conversation has several of, each bounded.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::weight::Weight;
use crate::canonical::{
    Attachment, CanonicalEvent, Direction, Moment, PhoneNumber, Recording, Role, TURNS_MAX, Turn,
};
use crate::event::Kind;

/// Entries of a timeline. A long call of a talkative provider has some hundreds; beyond, what
/// has a kind of its own stays before what has none, and the later before the earlier.
pub const TIMELINE_MAX: usize = 1_000;

/// Single messages of one conversation. A longer one comes as a transcript.
pub const MESSAGES_MAX: usize = 1_000;

/// One message, in characters: a text message has 1,600, and a thousand of them are kept.
pub const MESSAGE_CHARS_MAX: usize = 4_096;

/// What events say of how far a conversation is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[expect(clippy::struct_excessive_bools, reason = "each is said by another event")]
pub(super) struct Outcome {
    pub(super) began: bool,
    pub(super) ended: bool,
    pub(super) failed: bool,
    /// A call that failed is analyzed too.
    pub(super) analyzed: bool,
}

impl Outcome {
    pub(super) fn note(&mut self, kind: &str) {
        match Kind::named(kind) {
            Some(Kind::CallStarted | Kind::ChatStarted) => self.began = true,
            Some(Kind::CallEnded | Kind::ChatEnded) => self.ended = true,
            Some(Kind::CallAnalyzed) => self.analyzed = true,
            Some(Kind::CallFailed) => self.failed = true,
            _ => {}
        }
    }
}

/// The fullest transcript that an event had: the one with the most text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Transcript {
    pub(super) chars: usize,
    weight: Weight,
    pub(super) turns: Vec<Turn>,
}

impl Transcript {
    pub(super) fn offer(into: &mut Option<Self>, weight: Weight, turns: &[Turn]) {
        let turns = turns.get(..TURNS_MAX).unwrap_or(turns);
        let chars = chars(turns);
        let order = |chars, count, weight| (chars, count, weight);
        let known = into.as_ref().map(|it| order(it.chars, it.turns.len(), it.weight));
        if !turns.is_empty() && known.is_none_or(|it| order(chars, turns.len(), weight) > it) {
            *into = Some(Self { chars, weight, turns: turns.to_vec() });
        }
    }
}

/// The characters of all turns.
pub(super) fn chars(turns: &[Turn]) -> usize {
    let texts = turns.iter().filter_map(|it| it.text.as_deref());
    texts.fold(0, |sum, it| sum.saturating_add(it.chars().count()))
}

/// What has a place by which it is kept or goes.
pub(super) trait Placed {
    /// The higher stays.
    fn place(&self) -> (bool, i64, u64);
}

/// Keeps something; says whether something had to go.
pub(super) fn keep<T: Placed>(into: &mut BTreeMap<u64, T>, seq: u64, value: T, max: usize) -> bool {
    into.insert(seq, value);
    if into.len() <= max {
        return false;
    }
    let lowest = into.iter().min_by_key(|(_, it)| it.place()).map(|(seq, _)| *seq);
    if let Some(lowest) = lowest {
        into.remove(&lowest);
    }
    true
}

/// One message, as its event has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Said {
    pub(super) weight: Weight,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) direction: Option<Direction>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) role: Option<Role>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) from: Option<PhoneNumber>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) to: Option<PhoneNumber>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) at: Option<Moment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) attachments: Option<Vec<Attachment>>,
}

impl Said {
    /// The message of an event, unless it is still being said.
    pub(super) fn of(weight: Weight, event: &CanonicalEvent) -> Option<Self> {
        let it = event.message.as_ref().filter(|it| it.partial != Some(true))?;
        Some(Self {
            weight,
            id: it.id.clone(),
            direction: it.direction,
            role: it.role,
            from: it.from.clone(),
            to: it.to.clone(),
            text: it.text.as_deref().map(|it| it.chars().take(MESSAGE_CHARS_MAX).collect()),
            at: it.sent_at.or(event.occurred_at).or(event.received_at),
            attachments: it.attachments.clone(),
        })
    }

    /// Where it stands among the others.
    pub(super) fn order(&self) -> (i64, u64) {
        (self.at.map_or(0, |it| it.at().millis()), self.weight.seq)
    }
}

impl Placed for Said {
    fn place(&self) -> (bool, i64, u64) {
        let (at, seq) = self.order();
        (true, at, seq)
    }
}

/// One event of a timeline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) weight: Weight,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) event_id: Option<String>,
    pub(super) kind: String,
    pub(super) event_type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) received_at: Option<Moment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) occurred_at: Option<Moment>,
}

impl Entry {
    pub(super) fn of(weight: Weight, event: &CanonicalEvent) -> Self {
        Self {
            weight,
            event_id: event.event_id.clone(),
            kind: event.kind.clone(),
            event_type: event.event_type.clone(),
            received_at: event.received_at,
            occurred_at: event.occurred_at,
        }
    }
}

impl Placed for Entry {
    fn place(&self) -> (bool, i64, u64) {
        let (at, seq) = self.weight.moment();
        (self.kind != Kind::Other.name(), at, seq)
    }
}

/// What tells one recording from another: its link without what signs it, which is another one
/// in each event; or the event that has it in its body.
pub(super) fn recording_key(recording: &Recording, event: &CanonicalEvent) -> String {
    let place = match (&recording.url, &recording.pointer) {
        (Some(url), _) => url.split(['?', '#']).next().unwrap_or_default().to_owned(),
        (None, pointer) => format!(
            "{} {}",
            event.event_id.as_deref().unwrap_or_default(),
            pointer.as_deref().unwrap_or_default()
        ),
    };
    format!("{:?} {place}", recording.kind)
}

/// How much is said of a recording: the event that it is the subject of says more than others.
pub(super) fn said_of(recording: &Recording) -> u8 {
    let said =
        [recording.format.is_some(), recording.seconds.is_some(), recording.expires_at.is_some()];
    said.into_iter().map(u8::from).fold(0, u8::saturating_add)
}
