//! A conversation as it is shown.

use serde::Serialize;
use serde_json::Number;

use super::State;
use super::parts::{Entry, Said, chars};
use crate::canonical::{
    Agent, Analysis, Attachment, Channel, Cost, Direction, Moment, Participant, PhoneNumber,
    Property, Recording, Report, Role, TURNS_MAX, Ticket, Turn,
};

/// How far a conversation is, in one word for all providers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// It began, and no end is known.
    Ongoing,
    /// It is over.
    Ended,
    /// It did not come about.
    Failed,
}

impl Phase {
    /// Its name in the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ongoing => "ongoing",
            Self::Ended => "ended",
            Self::Failed => "failed",
        }
    }
}

/// A conversation as it is shown. What is not known is left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct View {
    /// What it goes over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel: Option<Channel>,
    /// Who began it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub direction: Option<Direction>,
    /// The agent that takes part.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<Agent>,
    /// The number on the gateway's side.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub our_number: Option<PhoneNumber>,
    /// The number of the other side.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub their_number: Option<PhoneNumber>,
    /// Who the other side is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub participant: Option<Participant>,
    /// The site that it takes place on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub property: Option<Property>,
    /// Its state, in the provider's word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// How far it is; nothing for what has neither beginning nor end (a text message).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// Why it ended or failed, in the provider's word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_reason: Option<String>,
    /// When it began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Moment>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Moment>,
    /// How long it was, in seconds: as stated, or from its beginning to its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_seconds: Option<Number>,
    /// What the provider charges for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<Cost>,
    /// What the provider made of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub analysis: Option<Analysis>,
    /// What was said: the fullest transcript, or the single messages where these say more.
    pub transcript: Vec<Turn>,
    /// Messages that came one by one, in order.
    pub messages: Vec<Message>,
    /// Its recordings.
    pub recordings: Vec<Recording>,
    /// Its tickets.
    pub tickets: Vec<Ticket>,
    /// Its reports.
    pub reports: Vec<Report>,
    /// Its events, in the order in which they happened.
    pub timeline: Vec<Line>,
    /// True where a list or a text met its limit.
    #[serde(skip_serializing_if = "is_false")]
    pub truncated: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks by reference")]
const fn is_false(it: &bool) -> bool {
    !*it
}

/// A message.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Message {
    /// The provider's id of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Whether it came in or went out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub direction: Option<Direction>,
    /// Who wrote or said it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// Its sender's number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<PhoneNumber>,
    /// Its receiver's number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<PhoneNumber>,
    /// Its text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// When it was sent, or its event happened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<Moment>,
    /// What hangs on it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attachments: Option<Vec<Attachment>>,
}

/// An event of the timeline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    /// The gateway's id of the event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_id: Option<String>,
    /// Its place in the journal.
    pub seq: u64,
    /// The canonical word for what happened.
    pub kind: String,
    /// The provider's word for it.
    #[serde(rename = "type")]
    pub event_type: String,
    /// When it was received.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub received_at: Option<Moment>,
    /// When it happened, as the provider says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub occurred_at: Option<Moment>,
}

impl State {
    /// The conversation as it is shown.
    #[must_use]
    pub fn view(&self) -> View {
        let messages = self.messages();
        let participant = Participant {
            id: self.participant_id.get(),
            name: self.participant_name.get(),
            email: self.participant_email.get(),
            city: self.participant_city.get(),
            country: self.participant_country.get(),
        };
        let property = Property { id: self.property_id.get(), name: self.property_name.get() };
        let mut timeline: Vec<&Entry> = self.timeline.values().collect();
        timeline.sort_by_key(|it| it.weight.moment());
        View {
            channel: self.channel.get(),
            direction: self.direction.get(),
            agent: self.agent.get(),
            our_number: self.our_number.get(),
            their_number: self.their_number.get(),
            participant: crate::canonical::shape::filled(participant),
            property: crate::canonical::shape::filled(property),
            status: self.status.get(),
            phase: self.phase(),
            end_reason: self.end_reason.get(),
            started_at: self.started_at,
            ended_at: self.ended_at,
            duration_seconds: self.duration_seconds.get().or_else(|| self.length()),
            cost: self.cost.get(),
            analysis: self.analysis.get(),
            transcript: self.transcript_beside(&messages),
            messages: messages.into_iter().map(message).collect(),
            recordings: in_order(self.recordings.values().filter_map(super::Latest::timed)),
            tickets: in_order(self.tickets.values().filter_map(super::Latest::timed)),
            reports: in_order(self.reports.values().filter_map(super::Latest::timed)),
            timeline: timeline.into_iter().map(line).collect(),
            truncated: self.truncated,
        }
    }

    /// How far it is.
    #[must_use]
    pub fn phase(&self) -> Option<Phase> {
        let outcome = self.outcome;
        if outcome.failed && !outcome.ended {
            return Some(Phase::Failed);
        }
        if outcome.ended || outcome.analyzed || self.ended_at.is_some() {
            return Some(Phase::Ended);
        }
        let lasts =
            matches!(self.channel.get(), Some(Channel::Phone | Channel::Web | Channel::Chat));
        (outcome.began || lasts).then_some(Phase::Ongoing)
    }

    /// The length of a conversation of which only the beginning and the end are told.
    fn length(&self) -> Option<Number> {
        let (started, ended) = (self.started_at?.at(), self.ended_at?.at());
        let millis = ended.millis().checked_sub(started.millis())?;
        let millis: Option<u32> = u32::try_from(millis).ok();
        let seconds = f64::from(millis?) / 1000.0;
        if seconds.fract() == 0.0 {
            return millis?.checked_div(1000).map(Number::from);
        }
        Number::from_f64(seconds)
    }

    /// The messages in order; of one that was reported more than once the latest report.
    fn messages(&self) -> Vec<&Said> {
        let mut all: Vec<&Said> = self.messages.values().collect();
        all.sort_by(|a, b| a.id.cmp(&b.id).then(b.weight.cmp(&a.weight)));
        all.dedup_by(|a, b| a.id.is_some() && a.id == b.id);
        all.sort_by_key(|it| it.order());
        all
    }

    fn transcript_beside(&self, messages: &[&Said]) -> Vec<Turn> {
        let said: Vec<Turn> =
            messages.iter().filter(|it| it.text.is_some()).map(|it| turn(it)).collect();
        match &self.transcript {
            Some(transcript) if transcript.chars >= chars(&said) => transcript.turns.clone(),
            _ => said.into_iter().take(TURNS_MAX).collect(),
        }
    }
}

fn turn(said: &Said) -> Turn {
    let by_direction = said.direction.map(|it| match it {
        Direction::Inbound => Role::User,
        Direction::Outbound => Role::Agent,
    });
    Turn {
        role: said.role.or(by_direction).unwrap_or_default(),
        text: said.text.clone(),
        at: said.at,
        ..Turn::default()
    }
}

fn message(said: &Said) -> Message {
    Message {
        id: said.id.clone(),
        direction: said.direction,
        role: said.role,
        from: said.from.clone(),
        to: said.to.clone(),
        text: said.text.clone(),
        at: said.at,
        attachments: said.attachments.clone(),
    }
}

fn line(entry: &Entry) -> Line {
    Line {
        event_id: entry.event_id.clone(),
        seq: entry.weight.seq,
        kind: entry.kind.clone(),
        event_type: entry.event_type.clone(),
        received_at: entry.received_at,
        occurred_at: entry.occurred_at,
    }
}

/// Things in the order of what states them.
fn in_order<T>(items: impl Iterator<Item = ((i64, u64), T)>) -> Vec<T> {
    let mut items: Vec<_> = items.collect();
    items.sort_by_key(|(at, _)| *at);
    items.into_iter().map(|(_, it)| it).collect()
}

/// What a conversation is searched by.
impl View {
    /// Every number that takes part.
    pub fn numbers(&self) -> impl Iterator<Item = &PhoneNumber> {
        let sides = self.messages.iter().flat_map(|it| [&it.from, &it.to]);
        [&self.our_number, &self.their_number].into_iter().chain(sides).flatten()
    }

    /// Every text that people read in it.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        let analysis = self.analysis.iter().flat_map(|it| [&it.title, &it.summary]);
        let participant = self.participant.iter().flat_map(|it| [&it.name, &it.email, &it.city]);
        let tickets = self.tickets.iter().flat_map(|it| [&it.number, &it.subject, &it.text]);
        let turns = self.transcript.iter().flat_map(|it| [&it.name, &it.text]);
        let agent = self.agent.iter().map(|it| &it.name);
        let property = self.property.iter().map(|it| &it.name);
        let messages = self.messages.iter().map(|it| &it.text);
        let reports = self.reports.iter().flat_map(|it| [&it.report_type, &it.date]);
        let files = self.messages.iter().flat_map(|it| &it.attachments).flatten();
        let all = analysis.chain(participant).chain(tickets).chain(agent).chain(property);
        let all = all.chain(turns).chain(messages).chain(reports);
        all.chain(files.map(|it| &it.name)).filter_map(Option::as_deref)
    }
}
