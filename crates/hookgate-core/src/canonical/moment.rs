//! A moment as canonical events write it: RFC 3339, UTC, with milliseconds.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::time::Timestamp;

/// The last moment that RFC 3339 can write with four digits of year: the end of 9999.
const MILLIS_MAX: i64 = 253_402_300_799_999;

/// A moment between 1970 and 9999, printed as `2024-05-02T00:07:55.945Z`. Texts of it sort
/// as the moments do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(Timestamp);

impl Moment {
    /// This moment, if it lies in the range. The very first millisecond is none: there
    /// a zero stands for "not set".
    #[must_use]
    pub fn of(at: Timestamp) -> Option<Self> {
        (1..=MILLIS_MAX).contains(&at.millis()).then_some(Self(at))
    }

    /// The moment that an RFC 3339 text names.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Timestamp::parse(text.trim()).and_then(Self::of)
    }

    /// The moment itself.
    #[must_use]
    pub const fn at(self) -> Timestamp {
        self.0
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("not a time of RFC 3339"))
    }
}
