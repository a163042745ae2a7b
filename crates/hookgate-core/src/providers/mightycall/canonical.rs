//! MightyCall's events in the canonical shape: the real ones, and the seed's.
//!
//! Sources as in the row: real bodies are `{EventType, Guid, ApiKey, Timestamp, Body}`, known
//! from independent receivers; the seed's are flat. `Timestamp` is RFC 3339 with seven
//! digits of a second, `duration` and `DurationSeconds` are seconds. `ApiKey` is a credential
//! and is not read here.

use serde_json::Value;

use crate::canonical::reader::{Reader, Unit, amount, at, word};
use crate::canonical::shape::filled;
use crate::canonical::{
    Agent, CanonicalEvent, Channel, Conversation, Direction, Message, Metric, Participant,
    PhoneNumber, RecordingKind, Report, Role,
};
use crate::event::Kind;

/// When it happened, in the seed's form and the real one.
const TIMES: &[&str] = &["/timestamp", "/Timestamp"];

/// Fills in what the body says.
pub(super) fn canonical(reader: &mut Reader<'_>, event: &mut CanonicalEvent) {
    let subject = super::subject(reader.about().event_type).word;
    reader.note_about(
        &["/event", "/EventType"],
        &["/Guid", "/event_id", "/id"],
        &["/call_id", "/Body/Id", "/CallId", "/sms_id", "/recording_id"],
    );
    event.occurred_at = reader.moment("occurred_at", TIMES, Unit::Text);
    if subject == "Report" {
        // A report is of no conversation, whatever id it has.
        event.conversation = None;
        reader.forget("conversation.id");
        event.report = report(reader);
        return;
    }
    let it = event.conversation.get_or_insert_default();
    match subject {
        "Message" => {
            it.channel = Some(Channel::Sms);
            reader.note_same("conversation.channel", "type");
            let direction = sides(reader, it);
            event.message = message(reader, direction);
        }
        "Call" | "Recording" => {
            it.channel = Some(Channel::Phone);
            reader.note_same("conversation.channel", "type");
            sides(reader, it);
            call(reader, it, subject == "Call");
            recording(reader, event, subject == "Recording");
            times(reader, event);
        }
        _ => {
            sides(reader, it);
        }
    }
}

/// Who is on either side. The seed's `phone_number` is the account's number in every type of
/// event; of a real body the type says which of `From` and `To` it is.
fn sides(reader: &mut Reader<'_>, it: &mut Conversation) -> Option<Direction> {
    let event_type = reader.about().event_type;
    let told = reader.find("conversation.direction", &["/direction", "/Body/Direction"], |it| {
        match it.as_str()?.to_ascii_lowercase().as_str() {
            "inbound" | "incoming" => Some(Direction::Inbound),
            "outbound" | "outgoing" => Some(Direction::Outbound),
            _ => None,
        }
    });
    let typed = match event_type {
        _ if event_type.starts_with("Incoming") => Some(Direction::Inbound),
        _ if event_type.starts_with("Outgoing") => Some(Direction::Outbound),
        // A callback is a call that goes back to whoever asked for it.
        _ if event_type.starts_with("Callback") => Some(Direction::Outbound),
        "sms.received" => Some(Direction::Inbound),
        "sms.sent" => Some(Direction::Outbound),
        _ => None,
    };
    let direction = told.or(typed);
    reader.note_same_if(told.is_none() && typed.is_some(), "conversation.direction", "type");
    it.direction = direction;
    let from = &["/Body/From", "/From", "/sender"][..];
    let to = &["/Body/To", "/To", "/recipient"][..];
    let (ours, theirs) = match direction {
        Some(Direction::Inbound) => (to, from),
        Some(Direction::Outbound) => (from, to),
        None => (&[][..], &[][..]),
    };
    it.our_number = reader.phone("conversation.our_number", &[&["/phone_number"], ours].concat());
    it.their_number =
        reader.phone("conversation.their_number", &[&["/caller_phone"], theirs].concat());
    it.participant = filled(Participant {
        name: reader.word("conversation.participant.name", &["/caller_name"]),
        ..Participant::default()
    });
    direction
}

/// `duration` is the length of what the event is about.
fn call(reader: &mut Reader<'_>, it: &mut Conversation, is_subject: bool) {
    it.agent = filled(Agent {
        id: reader.word("conversation.agent.id", &["/Body/Extension", "/Extension"]),
        ..Agent::default()
    });
    it.status = reader.word("conversation.status", &["/status"]);
    if is_subject {
        let lengths = &["/duration", "/DurationSeconds", "/Body/DurationSeconds"];
        it.duration_seconds = reader.seconds("conversation.duration_seconds", lengths, 1.0);
    }
}

/// The event of a beginning or an end happens when the call begins or ends.
fn times(reader: &mut Reader<'_>, event: &mut CanonicalEvent) {
    let Some(at) = event.occurred_at else { return };
    let it = event.conversation.get_or_insert_default();
    let field = match reader.about().kind {
        Kind::CallStarted => {
            it.started_at = Some(at);
            "conversation.started_at"
        }
        Kind::CallEnded | Kind::CallFailed => {
            it.ended_at = Some(at);
            "conversation.ended_at"
        }
        _ => return,
    };
    reader.note_same(field, "occurred_at");
}

fn recording(reader: &mut Reader<'_>, event: &mut CanonicalEvent, is_subject: bool) {
    let links: &[&str] = if is_subject {
        &["/url", "/recording_url"]
    } else {
        &["/recording_url", "/RecordingUrl", "/Body/RecordingUrl"]
    };
    reader.recording(event, RecordingKind::Mixed, links);
    if is_subject && let Some(it) = event.recordings.as_mut().and_then(|it| it.first_mut()) {
        it.seconds = reader.seconds("recordings.0.seconds", &["/duration"], 1.0);
        it.format = reader.word("recordings.0.format", &["/format"]);
    }
}

fn message(reader: &mut Reader<'_>, direction: Option<Direction>) -> Option<Message> {
    let role = direction.map(|it| match it {
        Direction::Inbound => Role::User,
        Direction::Outbound => Role::Agent,
    });
    let from: Option<PhoneNumber> = reader.phone("message.from", &["/sender", "/Body/From"]);
    let it = Message {
        id: reader.word("message.id", &["/sms_id", "/Body/Id"]),
        from,
        to: reader.phone("message.to", &["/recipient", "/Body/To"]),
        text: reader.text("message.text", &["/message", "/Body/Text"]),
        sent_at: reader.moment("message.sent_at", TIMES, Unit::Text),
        ..Message::default()
    };
    let it = filled(it)?;
    for field in ["message.direction", "message.role"] {
        reader.note_same(field, "conversation.direction");
    }
    Some(Message { direction, role, ..it })
}

fn report(reader: &mut Reader<'_>) -> Option<Report> {
    let mut metrics = Vec::new();
    for (pointer, item) in reader.items("/metrics") {
        let index = metrics.len();
        let named = ["/metric_type", "/name"]
            .into_iter()
            .find_map(|it| Some((it, at(item, it).and_then(word)?)));
        let Some((at, name)) = named else { continue };
        reader.note(&format!("report.metrics.{index}.name"), &format!("{pointer}{at}"));
        let value = item.get("value").and_then(|it| amount(it, 1.0));
        let unit = item.get("unit").and_then(Value::as_str).and_then(|it| word(&it.into()));
        for (name, is_there) in [("value", value.is_some()), ("unit", unit.is_some())] {
            if is_there {
                let field = format!("report.metrics.{index}.{name}");
                reader.note(&field, &format!("{pointer}/{name}"));
            }
        }
        metrics.push(Metric { name, value, unit });
    }
    filled(Report {
        id: reader.word("report.id", &["/report_id"]),
        report_type: reader.word("report.type", &["/report_type"]),
        date: reader.word("report.date", &["/date"]),
        metrics,
    })
}
