//! Canonical events: what the five providers say, in one shape.
//!
//! [`canonical`] makes a [`CanonicalEvent`] of what is known of a stored event ([`About`])
//! and of its body. It is for people and programs that come after: deliveries, the timeline
//! of a conversation, the console. Nothing is decided by it: whose an event is and what it
//! is called were decided before, by the strict walk of [`crate::json`].
//!
//! What holds:
//!
//! - **Total.** Any JSON gives an event. A field of an unexpected type is as good as not
//!   there; a type that nobody knows is of the kind `other` and still says what it can.
//! - **Nothing is invented.** What a provider does not say is left out. What is converted
//!   (cents, milliseconds) or computed (an end of a start and a length) says so beside the
//!   code, with the provider's unit.
//! - **Each value has its source.** `sources` names the place in the body that a value was
//!   read from, as a JSON pointer. A value computed of two fields points at the later one.
//! - **No credentials.** Fields are taken one by one; free JSON (metadata, analysis, a tool's
//!   arguments) goes through [`crate::mask`]. Links that open a recording stand in
//!   `recordings` and nowhere else.
//! - **Bounded.** Every list and text has a limit, and `truncated` says when one was met.
//!
//! A body that lies in a file (over 1 MiB: `ElevenLabs` sends a whole call as base64) is not
//! needed: without one the event has what `About` says, and its recording points into the
//! body.

mod moment;
mod phone;
pub(crate) mod reader;
pub mod schema;
pub(crate) mod shape;
pub(crate) mod transcript;

use serde_json::Value;

pub use self::moment::Moment;
pub use self::phone::PhoneNumber;
use self::reader::Reader;
pub use self::reader::{
    DATA_BYTES_MAX, ITEMS_MAX, TEXT_CHARS_MAX, TURNS_MAX, URL_CHARS_MAX, WORD_CHARS_MAX,
};
pub use self::shape::{
    Agent, Analysis, Attachment, CanonicalEvent, Channel, Conversation, Cost, Direction, Message,
    Metric, Participant, Property, Recording, RecordingKind, Report, Role, Ticket, Tool, Turn,
};
use crate::event::Kind;
use crate::provider::{BODY_BYTES_MAX, Provider};
use crate::time::Timestamp;

/// The version of the shape. It rises when a field changes its meaning or goes; new fields
/// alone do not raise it.
pub const VERSION: u32 = 1;

/// What is known of an event besides its body.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    /// The gateway's id of it.
    pub event_id: Option<&'a str>,
    /// The provider's word for what happened.
    pub event_type: &'a str,
    /// The canonical word for it.
    pub kind: Kind,
    /// The provider's id of the event.
    pub external_id: Option<&'a str>,
    /// The provider's id of the call, chat, thread or ticket.
    pub conversation_id: Option<&'a str>,
    /// When it was received.
    pub received_at: Timestamp,
}

/// The canonical event of a body as it was received.
///
/// `body` is nothing where the bytes are not at hand or may not be read. One that is not a
/// JSON object, or is over 1 MiB, counts as nothing too.
#[must_use]
pub fn canonical(
    provider: &Provider,
    source: &str,
    body: Option<&[u8]>,
    about: &About<'_>,
) -> CanonicalEvent {
    let fits = |it: &&[u8]| u64::try_from(it.len()).is_ok_and(|it| it <= BODY_BYTES_MAX);
    let body: Option<Value> = body.filter(fits).and_then(|it| serde_json::from_slice(it).ok());
    canonical_value(provider, source, body.as_ref(), about)
}

/// The canonical event of a body that is parsed already.
#[must_use]
pub fn canonical_value(
    provider: &Provider,
    source: &str,
    body: Option<&Value>,
    about: &About<'_>,
) -> CanonicalEvent {
    let reader = Reader::new(body.filter(|it| it.is_object()), about);
    read(reader, provider, source)
}

/// The same without `sources`: for who folds many events, and shows none.
#[must_use]
pub fn canonical_unsourced(
    provider: &Provider,
    source: &str,
    body: Option<&Value>,
    about: &About<'_>,
) -> CanonicalEvent {
    let reader = Reader::without_sources(body.filter(|it| it.is_object()), about);
    read(reader, provider, source)
}

fn read(mut reader: Reader<'_>, provider: &Provider, source: &str) -> CanonicalEvent {
    let about = reader.about();
    let conversation = about
        .conversation_id
        .map(|id| Conversation { id: Some(id.to_owned()), ..Conversation::default() });
    let mut event = CanonicalEvent {
        version: VERSION,
        kind: about.kind.name().to_owned(),
        event_type: about.event_type.to_owned(),
        provider: provider.name.to_owned(),
        source: Some(source.to_owned()).filter(|it| !it.is_empty()),
        event_id: about.event_id.map(str::to_owned),
        external_id: about.external_id.map(str::to_owned),
        received_at: Moment::of(about.received_at),
        conversation,
        ..CanonicalEvent::default()
    };
    (provider.canonical)(&mut reader, &mut event);
    event.conversation = event.conversation.filter(|it| *it != Conversation::default());
    reader.finish(&mut event);
    event
}
