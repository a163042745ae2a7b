//! Arguments of a call: under whatever name the model gave them, and in the shape that they
//! must have.

use hookgate_core::tool::{Reply, Tool};
use serde_json::Value;

use super::ids::{BOOKING_CHARS_MAX, Id, LOCATION_CHARS_MAX, OTHER_CHARS_MAX};
use super::phone::Phone;
use crate::work::{End, Work};

/// The longest text, in characters, that is a name, a word to look for, or a date.
const TEXT_CHARS_MAX: usize = 255;

/// The longest e-mail address, from RFC 5321.
const EMAIL_CHARS_MAX: usize = 254;

/// The longest note, in characters, from Square's description of a booking.
const NOTE_CHARS_MAX: usize = 4096;

/// The arguments of one call.
#[derive(Clone, Copy)]
pub(crate) struct Arguments<'a> {
    tool: &'static Tool,
    work: &'a Work<'a>,
}

impl<'a> Arguments<'a> {
    pub(crate) fn new(tool: &'static Tool, work: &'a Work<'a>) -> Self {
        Self { tool, work }
    }

    /// The booking, which must be named.
    pub(crate) fn booking(&self) -> Result<Id, End> {
        let id = self.id("booking_id", BOOKING_CHARS_MAX)?;
        id.ok_or_else(|| missing("Which appointment do you mean?"))
    }

    /// The booking, if one is named.
    pub(crate) fn maybe_booking(&self) -> Result<Option<Id>, End> {
        self.id("booking_id", BOOKING_CHARS_MAX)
    }

    /// A service by its id.
    pub(crate) fn service_id(&self) -> Result<Option<Id>, End> {
        self.id("service_id", OTHER_CHARS_MAX)
    }

    /// Who is to do it.
    pub(crate) fn member(&self) -> Result<Option<Id>, End> {
        self.id("team_member_id", LOCATION_CHARS_MAX)
    }

    /// A customer by their id.
    pub(crate) fn customer(&self) -> Result<Option<Id>, End> {
        self.id("customer_id", OTHER_CHARS_MAX)
    }

    /// A telephone number.
    pub(crate) fn phone(&self) -> Result<Option<Phone>, End> {
        let Some(text) = self.text("phone")? else { return Ok(None) };
        let again = "I didn't get that phone number. Could you say it again, with the area code?";
        Phone::read(&text).map(Some).ok_or_else(|| invalid(again))
    }

    /// An e-mail address.
    pub(crate) fn email(&self) -> Result<Option<String>, End> {
        let Some(text) = self.text("email")? else { return Ok(None) };
        let parts = text.split_once('@');
        let is_address = text.chars().count() <= EMAIL_CHARS_MAX
            && !text.contains(char::is_whitespace)
            && parts.is_some_and(|(name, host)| !name.is_empty() && host.contains('.'));
        let again = "I didn't get that email address. Could you spell it for me?";
        is_address.then_some(text).map(Some).ok_or_else(|| invalid(again))
    }

    /// What the shop should know, as much of it as Square takes.
    pub(crate) fn note(&self) -> Option<String> {
        let text = self.found("note")?.as_str()?.trim();
        let cut: String = text.chars().take(NOTE_CHARS_MAX).collect();
        (!cut.is_empty()).then_some(cut)
    }

    /// A number from one up to `most`.
    pub(crate) fn count(&self, name: &str, most: i64) -> Result<Option<i64>, End> {
        let Some(value) = self.found(name) else { return Ok(None) };
        // Models write numbers as text, and whole ones with a point.
        let number = match value {
            Value::String(text) if text.trim().is_empty() => return Ok(None),
            Value::String(text) => text.trim().parse::<f64>().ok(),
            other => other.as_f64(),
        };
        let number = number.filter(|it| it.is_finite() && *it >= 1.0);
        #[expect(clippy::cast_possible_truncation, reason = "it is held to a small number")]
        let number = number.map(|it| it.min(1e9) as i64);
        let again = "I need a whole number there. How many would you like?";
        number.map(|it| Some(it.min(most))).ok_or_else(|| invalid(again))
    }

    /// A short text.
    pub(crate) fn text(&self, name: &str) -> Result<Option<String>, End> {
        let text = match self.found(name) {
            None => return Ok(None),
            Some(Value::String(text)) => text.trim().to_owned(),
            // A telephone number, for instance.
            Some(Value::Number(number)) => number.to_string(),
            Some(_) => return Err(invalid("I didn't get that. Could you say it again?")),
        };
        if text.chars().count() > TEXT_CHARS_MAX || text.chars().any(char::is_control) {
            return Err(invalid("That was a bit long for me. Could you say it more briefly?"));
        }
        Ok(Some(text).filter(|it| !it.is_empty()))
    }

    fn id(&self, name: &str, chars_max: usize) -> Result<Option<Id>, End> {
        let text = match self.found(name) {
            None => return Ok(None),
            Some(Value::String(text)) if text.trim().is_empty() => return Ok(None),
            Some(Value::String(text)) => text,
            Some(_) => return Err(not_an_id()),
        };
        Id::read(text, chars_max).map(Some).ok_or_else(not_an_id)
    }

    /// The argument under its name, else under the first of its other names.
    fn found(&self, name: &str) -> Option<&'a Value> {
        let row = self.tool.arguments.iter().find(|it| it.name == name)?;
        let mut names = std::iter::once(row.name).chain(row.aliases.iter().copied());
        names.find_map(|it| self.work.arguments.get(it).filter(|it| !it.is_null()))
    }
}

/// Something is missing: a question that the agent can pass on.
pub(crate) fn missing(question: &str) -> End {
    End::Refused(Reply::sorry("missing_argument", question))
}

/// Something is there and cannot be used.
pub(crate) fn invalid(message: &str) -> End {
    End::Refused(Reply::sorry("invalid_argument", message))
}

/// An id that cannot be one names nothing.
fn not_an_id() -> End {
    let message = "I couldn't find that. Let me look it up again.";
    End::Refused(Reply::sorry("not_found", message))
}
