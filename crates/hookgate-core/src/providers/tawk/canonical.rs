//! Tawk.to's events in the canonical shape.
//!
//! Source: developer.tawk.to/webhooks (as copied by independent repositories, read November
//! 2026). Times are RFC 3339. No sample of a message with a file is published: of what
//! hangs on one, a name, a type and a link are read where they have these names.

use serde_json::Value;

use crate::canonical::reader::{Reader, Unit, at, filled as text, link, moment, word};
use crate::canonical::shape::filled;
use crate::canonical::{
    Attachment, CanonicalEvent, Channel, Conversation, Direction, Message, Moment, Participant,
    Property, Role, Ticket, Turn,
};
use crate::event::Kind;

/// Fills in what the body says.
pub(super) fn canonical(reader: &mut Reader<'_>, event: &mut CanonicalEvent) {
    reader.note_about(&["/event"], &[], &["/chatId", "/chat/id", "/ticket/id"]);
    event.occurred_at = reader.moment("occurred_at", &["/time"], Unit::Text);
    let it = event.conversation.get_or_insert_default();
    let event_type = reader.about().event_type;
    it.channel = match event_type {
        _ if event_type.starts_with("chat:") => Some(Channel::Chat),
        _ if event_type.starts_with("ticket:") => Some(Channel::Ticket),
        _ => None,
    };
    reader.note_same_if(it.channel.is_some(), "conversation.channel", "type");
    it.property = filled(Property {
        id: reader.word("conversation.property.id", &["/property/id"]),
        name: reader.word("conversation.property.name", &["/property/name"]),
    });
    it.participant = filled(participant(reader));
    times(reader, it, event.occurred_at);
    event.message = message(reader);
    event.transcript = reader.turns(&["/chat/messages"], turn);
    event.ticket = filled(Ticket {
        id: reader.word("ticket.id", &["/ticket/id"]),
        number: reader.word("ticket.number", &["/ticket/humanId"]),
        subject: reader.text("ticket.subject", &["/ticket/subject"]),
        text: reader.text("ticket.text", &["/ticket/message"]),
    });
}

/// The visitor, or who asked for the ticket. A name such as `V1561719148780935` is one that
/// Tawk.to gives to somebody who gave none; it is shown as sent.
fn participant(reader: &mut Reader<'_>) -> Participant {
    let at =
        |name: &str| ["/visitor", "/chat/visitor", "/requester"].map(|it| format!("{it}/{name}"));
    let mut one = |name: &str| {
        let pointers = at(name);
        let pointers: Vec<&str> = pointers.iter().map(String::as_str).collect();
        reader.word(&format!("conversation.participant.{name}"), &pointers)
    };
    Participant {
        id: one("id"),
        name: one("name"),
        email: one("email"),
        city: one("city"),
        country: one("country"),
    }
}

/// `chat:start` is sent with the first message, `chat:end` when nobody wrote for a while.
fn times(reader: &mut Reader<'_>, it: &mut Conversation, at: Option<Moment>) {
    let Some(at) = at else { return };
    let field = match reader.about().kind {
        Kind::ChatStarted | Kind::TicketCreated => {
            it.started_at = Some(at);
            "conversation.started_at"
        }
        Kind::ChatEnded => {
            it.ended_at = Some(at);
            "conversation.ended_at"
        }
        _ => return,
    };
    reader.note_same(field, "occurred_at");
}

/// The first message of a chat, of a visitor or of an agent.
fn message(reader: &mut Reader<'_>) -> Option<Message> {
    let it = filled(Message {
        role: reader.find("message.role", &["/message/sender/type"], |it| role(it.as_str()?)),
        text: reader.text("message.text", &["/message/text"]),
        attachments: attachments(reader, "/message/attchs"),
        ..Message::default()
    })?;
    let direction = match it.role {
        Some(Role::Agent) => Some(Direction::Outbound),
        Some(Role::User) => Some(Direction::Inbound),
        _ => None,
    };
    reader.note_same_if(direction.is_some(), "message.direction", "message.role");
    Some(Message { direction, ..it })
}

fn attachments(reader: &mut Reader<'_>, pointer: &str) -> Option<Vec<Attachment>> {
    let items = reader.items(pointer);
    let read = |(_, it): &(String, &Value)| {
        let one = |names: &[&str]| names.iter().find_map(|name| it.get(name).and_then(word));
        filled(Attachment {
            kind: one(&["type", "mimeType"]),
            name: one(&["name"]),
            url: it.get("url").and_then(link),
        })
    };
    let found: Vec<Attachment> = items.iter().filter_map(read).collect();
    if found.is_empty() {
        return None;
    }
    reader.note("message.attachments", pointer);
    Some(found)
}

/// Who speaks: `agent`, `visitor`, `system`, or the first letter of it.
fn role(word: &str) -> Option<Role> {
    match word {
        "agent" | "a" => Some(Role::Agent),
        "visitor" | "v" => Some(Role::User),
        "system" | "s" => Some(Role::System),
        _ => None,
    }
}

fn turn(item: &Value, into: &mut Vec<Turn>) {
    let Some(said) = item.get("msg").and_then(Value::as_str).and_then(text) else { return };
    let told = at(item, "/sender/t").and_then(Value::as_str).and_then(role);
    into.push(Turn {
        role: told.unwrap_or_default(),
        name: at(item, "/sender/n").and_then(word),
        text: Some(said),
        at: item.get("time").and_then(|it| moment(it, Unit::Text)),
        ..Turn::default()
    });
}
