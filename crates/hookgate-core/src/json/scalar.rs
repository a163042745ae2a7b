//! A text, number or word that is read byte by byte.

use super::KEY_BYTES_MAX;

/// Where the walk stands in a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Digits {
    #[default]
    Minus,
    Zero,
    Whole,
    Point,
    Fraction,
    Exponent,
    ExponentSign,
    Power,
}

/// A text, number or word that is being read.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own about one text")]
#[derive(Debug, Default)]
pub(super) struct Scalar {
    pub(super) is_key: bool,
    /// Whether its content matters: a key, or a value at the end of a path.
    pub(super) is_wanted: bool,
    /// What was read of it before the current piece or escape.
    pub(super) read: Vec<u8>,
    pub(super) is_too_long: bool,
    /// The first half of a character written as two escapes.
    high: Option<u16>,
    /// Whether such a half stands alone. It is JSON, but no text.
    pub(super) is_broken: bool,
    /// The digits of an escape that are missing, and its value so far.
    pub(super) unit: (u8, u16),
    pub(super) digits: Digits,
    /// What is missing of a word.
    pub(super) missing: &'static [u8],
    pub(super) is_null: bool,
}

impl Scalar {
    pub(super) fn begin(&mut self, is_key: bool, is_wanted: bool) {
        self.read.clear();
        (self.is_key, self.is_wanted) = (is_key, is_wanted);
        (self.is_too_long, self.is_broken, self.high) = (false, false, None);
    }

    /// Keeps the next bytes, as many as may matter.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        if !self.is_wanted || self.is_too_long {
            return;
        }
        if self.read.len().saturating_add(bytes.len()) > KEY_BYTES_MAX {
            self.is_too_long = true;
        } else {
            self.read.extend_from_slice(bytes);
        }
    }

    /// Takes one `\uXXXX`.
    pub(super) fn push_unit(&mut self, unit: u16) {
        let half = self.high.take();
        let whole = match half {
            Some(high) => char::decode_utf16([high, unit]).next(),
            None => char::decode_utf16([unit]).next(),
        };
        match (half, whole) {
            (_, Some(Ok(it))) => self.push(it.encode_utf8(&mut [0; 4]).as_bytes()),
            // Its other half may be the next escape.
            (None, _) if (0xd800..0xdc00).contains(&unit) => self.high = Some(unit),
            _ => self.is_broken = true,
        }
    }

    /// A half that anything but its other half follows stands alone.
    pub(super) fn flush_high(&mut self) {
        self.is_broken |= self.high.take().is_some();
    }
}
