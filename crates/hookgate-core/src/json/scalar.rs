//! Texts, numbers and words that are read byte by byte: those that the next piece goes on
//! with, and those with an escape.

use super::scan::{before, behind_plain, hash};
use super::walk::{State, Walk};
use super::{Field, KEY_BYTES_MAX, Unreadable};

/// Where the walk stands in a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Digits {
    #[default]
    Begin,
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
    is_key: bool,
    /// Whether its content matters: a key, or a value at the end of a path.
    is_wanted: bool,
    /// What was read of it before the current piece or escape.
    read: Vec<u8>,
    is_too_long: bool,
    /// The first half of a character written as two escapes.
    high: Option<u16>,
    /// Whether such a half stands alone. It is JSON, but no text.
    is_broken: bool,
    /// The digits of an escape that are missing, and its value so far.
    unit: (u8, u16),
    digits: Digits,
    /// What is missing of a word.
    missing: &'static [u8],
    is_null: bool,
}

impl Scalar {
    fn begin(&mut self, is_key: bool, is_wanted: bool) {
        self.read.clear();
        (self.is_key, self.is_wanted) = (is_key, is_wanted);
        (self.is_too_long, self.is_broken, self.high) = (false, false, None);
        self.digits = Digits::Begin;
    }

    /// Keeps the next bytes, as many as may matter.
    fn push(&mut self, bytes: &[u8]) {
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
    fn push_unit(&mut self, unit: u16) {
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
    fn flush_high(&mut self) {
        self.is_broken |= self.high.take().is_some();
    }
}

impl Walk<'_> {
    /// Begins the token at the front of `rest`, which is not empty. Nothing that `run` takes
    /// stands there.
    pub(super) fn begin<'b>(&mut self, rest: &'b [u8]) -> Result<&'b [u8], Unreadable> {
        let is_key = match self.state {
            State::Key | State::FirstKey => true,
            State::Value | State::FirstElement => false,
            State::Root => return Err(not_an_object(rest)),
            _ => return Err(Unreadable::NotJson),
        };
        let (state, missing, tail): (_, &[u8], _) = match rest {
            [b'"', tail @ ..] => (State::Text, b"", tail),
            _ if is_key => return Err(Unreadable::NotJson),
            [b'-' | b'0'..=b'9', ..] => (State::Number, b"", rest),
            [b't', tail @ ..] => (State::Literal, b"rue", tail),
            [b'f', tail @ ..] => (State::Literal, b"alse", tail),
            [b'n', tail @ ..] => (State::Literal, b"ull", tail),
            _ => return Err(Unreadable::NotJson),
        };
        self.state = state;
        self.scalar.begin(is_key, is_key || self.next != 0);
        self.scalar.missing = missing;
        self.scalar.is_null = missing == b"ull";
        Ok(tail)
    }

    /// Inside a text, up to its end or to what interrupts it.
    pub(super) fn text<'b>(&mut self, rest: &'b [u8]) -> Result<&'b [u8], Unreadable> {
        let end = behind_plain(rest);
        let plain = before(rest, end);
        if !plain.is_empty() {
            self.scalar.flush_high();
            self.scalar.push(plain);
        }
        match end.split_first() {
            None => Ok(end),
            Some((b'\\', tail)) => {
                self.state = State::Escape;
                Ok(tail)
            }
            Some((b'"', tail)) => {
                self.scalar.flush_high();
                let text = std::mem::take(&mut self.scalar.read);
                let Scalar { is_key, is_too_long, is_broken, .. } = self.scalar;
                match (is_key, is_broken, is_too_long) {
                    (true, true, _) => return Err(Unreadable::NotJson),
                    (true, false, true) => return Err(Unreadable::TooManyKeys),
                    (true, false, false) => {
                        self.key(hash(&text), || &text)?;
                        self.state = State::Colon;
                    }
                    (false, ..) => {
                        self.end_text(&text, !is_broken && !is_too_long);
                        self.state = State::AfterValue;
                    }
                }
                self.scalar.read = text;
                Ok(tail)
            }
            // A control character must be escaped.
            Some(_) => Err(Unreadable::NotJson),
        }
    }

    /// Behind a backslash.
    pub(super) fn escape<'b>(&mut self, byte: u8, tail: &'b [u8]) -> Result<&'b [u8], Unreadable> {
        let plain = match byte {
            b'"' | b'\\' | b'/' => byte,
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                self.scalar.unit = (4, 0);
                self.state = State::Unicode;
                return Ok(tail);
            }
            _ => return Err(Unreadable::NotJson),
        };
        self.scalar.flush_high();
        self.scalar.push(&[plain]);
        self.state = State::Text;
        Ok(tail)
    }

    /// Inside `\uXXXX`.
    pub(super) fn unicode<'b>(&mut self, byte: u8, tail: &'b [u8]) -> Result<&'b [u8], Unreadable> {
        let digit = char::from(byte).to_digit(16).and_then(|it| u16::try_from(it).ok());
        let (missing, value) = self.scalar.unit;
        let value = value << 4 | digit.ok_or(Unreadable::NotJson)?;
        let missing = missing.saturating_sub(1);
        self.scalar.unit = (missing, value);
        if missing == 0 {
            self.scalar.push_unit(value);
            self.state = State::Text;
        }
        Ok(tail)
    }

    /// Inside a number, up to its end or that of the piece.
    pub(super) fn number<'b>(&mut self, rest: &'b [u8]) -> Result<&'b [u8], Unreadable> {
        use Digits::{Begin, Exponent, ExponentSign, Fraction, Minus, Point, Power, Whole, Zero};
        let mut digits = self.scalar.digits;
        for (length, byte) in rest.iter().enumerate() {
            digits = match (digits, byte) {
                (Begin, b'-') => Minus,
                (Begin | Minus, b'0') => Zero,
                (Begin | Minus, b'1'..=b'9') | (Whole, b'0'..=b'9') => Whole,
                (Zero | Whole, b'.') => Point,
                (Point | Fraction, b'0'..=b'9') => Fraction,
                (Zero | Whole | Fraction, b'e' | b'E') => Exponent,
                (Exponent, b'+' | b'-') => ExponentSign,
                (Exponent | ExponentSign | Power, b'0'..=b'9') => Power,
                (
                    Zero | Whole | Fraction | Power,
                    b',' | b'}' | b']' | b' ' | b'\n' | b'\t' | b'\r',
                ) => {
                    let (number, rest) = rest.split_at_checked(length).unwrap_or((rest, b""));
                    self.scalar.push(number);
                    self.end_number(matches!(digits, Zero | Whole));
                    return Ok(rest);
                }
                _ => return Err(Unreadable::NotJson),
            };
        }
        self.scalar.push(rest);
        self.scalar.digits = digits;
        Ok(b"")
    }

    fn end_number(&mut self, is_whole: bool) {
        if self.scalar.is_wanted {
            let text = std::str::from_utf8(&self.scalar.read).unwrap_or_default();
            // Printed again it must be what was sent: `-0` is no id.
            let number = text
                .parse::<i64>()
                .ok()
                .filter(|it| is_whole && text != "-0" && it.to_string() == text);
            self.record(|| number.map_or(Field::Other, Field::Number));
        }
        self.state = State::AfterValue;
    }

    /// Inside `true`, `false` or `null`.
    pub(super) fn literal<'b>(&mut self, byte: u8, tail: &'b [u8]) -> Result<&'b [u8], Unreadable> {
        match self.scalar.missing.split_first() {
            Some((expected, missing)) if *expected == byte => {
                self.scalar.missing = missing;
                if missing.is_empty() {
                    let is_null = self.scalar.is_null;
                    self.record(|| if is_null { Field::Null } else { Field::Other });
                    self.state = State::AfterValue;
                }
                Ok(tail)
            }
            _ => Err(Unreadable::NotJson),
        }
    }
}

/// Tells JSON that is no object from what is no JSON. Only the operator sees the
/// difference, so a root that reaches over several pieces may be told wrongly.
fn not_an_object(rest: &[u8]) -> Unreadable {
    let is_json = serde_json::from_slice::<serde::de::IgnoredAny>(rest).is_ok();
    if is_json { Unreadable::NotAnObject } else { Unreadable::NotJson }
}
