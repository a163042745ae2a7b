//! Ids, as far as they may stand in a path or a body.

use std::fmt;

/// The longest ids, in characters, from Square's description of its API.
pub(crate) const BOOKING_CHARS_MAX: usize = 36;
pub(crate) const LOCATION_CHARS_MAX: usize = 32;
pub(crate) const OTHER_CHARS_MAX: usize = 192;

/// An id: no control characters, not too long, and no step of a path by itself. Where it
/// goes into a URL it is percent-encoded.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Id(String);

impl Id {
    /// Reads an id of at most `chars_max` characters.
    pub(crate) fn read(text: &str, chars_max: usize) -> Option<Self> {
        let text = text.trim();
        let is_id = !text.is_empty()
            && text.chars().count() <= chars_max
            && !text.chars().any(char::is_control)
            && !matches!(text, "." | "..");
        is_id.then(|| Self(text.to_owned()))
    }

    /// The id as text.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Id {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}
