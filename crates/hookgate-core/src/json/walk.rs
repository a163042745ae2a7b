//! The walk over a body: a state machine that is fed text, and does not recurse.

use super::scalar::{Digits, Scalar};
use super::scan::{behind_plain, hash};
use super::{
    DEPTH_MAX, Field, Fields, OBJECT_KEYS_MAX, PATHS_MAX, Path, TEXT_BYTES_MAX, Unreadable,
};

/// Where the walk stands in the grammar (RFC 8259).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// A value must follow.
    Value,
    /// A value or `]` must follow.
    FirstElement,
    /// A key or `}` must follow.
    FirstKey,
    /// A key must follow.
    Key,
    /// `:` must follow.
    Colon,
    /// `,` or the end of the container must follow.
    AfterValue,
    /// Nothing may follow.
    Done,
    /// Inside a text.
    Text,
    /// Behind a backslash.
    Escape,
    /// Inside `\uXXXX`: see [`Scalar::unit`].
    Unicode,
    /// Inside a number: see [`Scalar::digits`].
    Number,
    /// Inside `true`, `false` or `null`: see [`Scalar::missing`].
    Literal,
}

/// An object or list that is open.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Container {
    pub(super) is_object: bool,
    /// The paths that lead through an object, or to each element of a list.
    pub(super) open: u32,
    /// Where its keys begin among all that are open.
    first_key: usize,
    /// A bit for the hash of each of its keys: a key whose bit is not there is new.
    seen: u64,
}

/// The walk.
#[derive(Debug)]
pub(super) struct Walk<'p> {
    paths: &'p [Path],
    pub(super) state: State,
    /// The innermost container, and those around it. Around the root is one that is none.
    pub(super) inner: Container,
    outer: Vec<Container>,
    /// Hashes of the keys of the open objects, innermost last.
    keys: Vec<u64>,
    /// The paths that lead to the value that comes next.
    pub(super) next: u32,
    scalar: Scalar,
    fields: Fields,
}

impl<'p> Walk<'p> {
    pub(super) fn new(paths: &'p [Path]) -> Self {
        debug_assert!(paths.len() <= PATHS_MAX, "a bit stands for each path");
        Self {
            paths,
            state: State::Value,
            inner: Container::default(),
            outer: Vec::with_capacity(16),
            keys: Vec::with_capacity(64),
            next: (0..paths.len()).fold(0, |bits, index| bits | bit(index)),
            scalar: Scalar::default(),
            fields: Fields(Vec::with_capacity(paths.len())),
        }
    }

    /// Takes the next piece of the body.
    pub(super) fn feed(&mut self, text: &str) -> Result<(), Unreadable> {
        let mut rest = text.as_bytes();
        loop {
            if self.is_between() {
                rest = self.run(rest)?;
            }
            let Some((&byte, tail)) = rest.split_first() else { return Ok(()) };
            rest = match self.state {
                State::AfterValue => self.after_value(byte, tail)?,
                State::Value | State::FirstElement => self.value(byte, rest, tail)?,
                State::Key | State::FirstKey => self.before_key(byte, tail)?,
                State::Colon => self.before_colon(byte, tail)?,
                State::Text => self.text(rest)?,
                State::Number => self.number(rest)?,
                State::Literal => self.literal(byte, tail)?,
                State::Escape => self.escape(byte, tail)?,
                State::Unicode => self.unicode(byte, tail)?,
                State::Done => white_space(byte, tail)?,
            };
        }
    }

    /// What was found, if the body is complete.
    pub(super) fn finish(self) -> Result<Fields, Unreadable> {
        // A number has no end of its own, but the root is an object, so none is open here.
        if self.state == State::Done { Ok(self.fields) } else { Err(Unreadable::NotJson) }
    }

    fn after_value<'b>(&mut self, byte: u8, tail: &'b [u8]) -> Result<&'b [u8], Unreadable> {
        self.state = match byte {
            b',' => self.after_comma(),
            b'}' if self.inner.is_object => self.close(),
            b']' if !self.inner.is_object => self.close(),
            _ => return white_space(byte, tail),
        };
        Ok(tail)
    }

    /// Behind a comma.
    #[inline]
    pub(super) fn after_comma(&mut self) -> State {
        if self.inner.is_object {
            State::Key
        } else {
            self.next = self.inner.open;
            State::Value
        }
    }

    fn before_key<'b>(&mut self, byte: u8, tail: &'b [u8]) -> Result<&'b [u8], Unreadable> {
        match byte {
            b'"' => self.begin_text(true),
            b'}' if self.state == State::FirstKey => self.state = self.close(),
            _ => return white_space(byte, tail),
        }
        Ok(tail)
    }

    fn before_colon<'b>(&mut self, byte: u8, tail: &'b [u8]) -> Result<&'b [u8], Unreadable> {
        if byte != b':' {
            return white_space(byte, tail);
        }
        self.state = State::Value;
        Ok(tail)
    }

    fn value<'b>(
        &mut self,
        byte: u8,
        rest: &'b [u8],
        tail: &'b [u8],
    ) -> Result<&'b [u8], Unreadable> {
        match byte {
            b'"' if !self.is_outside() => {
                self.begin_text(false);
                return Ok(tail);
            }
            b'{' => {
                self.state = self.open(true)?;
                return Ok(tail);
            }
            b' ' | b'\n' | b'\t' | b'\r' => return Ok(tail),
            _ if self.is_outside() => return Err(not_an_object(rest)),
            b'[' => {
                self.state = self.open(false)?;
                return Ok(tail);
            }
            b']' if self.state == State::FirstElement => {
                self.state = self.close();
                return Ok(tail);
            }
            _ => {}
        }
        let missing: &'static [u8] = match byte {
            b'-' | b'0'..=b'9' => {
                self.scalar.begin(false, self.next != 0);
                // A number begins as one that has its sign: `-` alone is none, and neither
                // is nothing.
                self.scalar.digits = Digits::Minus;
                self.state = State::Number;
                if byte != b'-' {
                    return self.number(rest);
                }
                self.scalar.push(b"-");
                return self.number(tail);
            }
            b't' => b"rue",
            b'f' => b"alse",
            b'n' => b"ull",
            _ => return Err(Unreadable::NotJson),
        };
        self.scalar.missing = missing;
        self.scalar.is_null = byte == b'n';
        self.state = State::Literal;
        Ok(tail)
    }

    /// Whether the walk stands between two tokens within the root.
    fn is_between(&self) -> bool {
        use State::{AfterValue, Colon, FirstElement, FirstKey, Key, Value};
        matches!(self.state, AfterValue | Colon | FirstElement | FirstKey | Key | Value)
            && !self.is_outside()
    }

    /// Whether the root has not begun, or has ended.
    #[inline]
    pub(super) fn is_outside(&self) -> bool {
        self.outer.is_empty()
    }

    /// Behind the bracket that opens an object or list.
    pub(super) fn open(&mut self, is_object: bool) -> Result<State, Unreadable> {
        if self.outer.len() >= DEPTH_MAX {
            return Err(Unreadable::NotJson);
        }
        self.record(|| Field::Other);
        self.outer.push(self.inner);
        self.inner = Container { is_object, open: self.next, first_key: self.keys.len(), seen: 0 };
        if is_object {
            return Ok(State::FirstKey);
        }
        if self.next != 0 {
            self.next = self.narrow_paths(b"*");
            self.inner.open = self.next;
        }
        Ok(State::FirstElement)
    }

    /// Behind the bracket that closes the innermost container.
    pub(super) fn close(&mut self) -> State {
        self.keys.truncate(self.inner.first_key);
        self.inner = self.outer.pop().unwrap_or_default();
        self.end_value()
    }

    fn end_value(&self) -> State {
        if self.is_outside() { State::Done } else { State::AfterValue }
    }

    /// Behind the quote that opens a text.
    fn begin_text(&mut self, is_key: bool) {
        self.scalar.begin(is_key, is_key || self.next != 0);
        self.state = State::Text;
    }

    /// Inside a text, up to its end or to what interrupts it.
    fn text<'b>(&mut self, rest: &'b [u8]) -> Result<&'b [u8], Unreadable> {
        let end = behind_plain(rest);
        let plain = rest.get(..rest.len().wrapping_sub(end.len())).unwrap_or_default();
        let rest = end;
        if !plain.is_empty() {
            self.scalar.flush_high();
            self.scalar.push(plain);
        }
        match rest.split_first() {
            None => Ok(rest),
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
                        self.key(&text, hash(&text))?;
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

    /// A text that is a value is complete.
    #[inline]
    pub(super) fn end_text(&mut self, text: &[u8], is_text: bool) {
        self.record(|| match std::str::from_utf8(text) {
            Ok(text) if is_text && text.len() <= TEXT_BYTES_MAX => Field::Text(text.to_owned()),
            _ => Field::Other,
        });
    }

    /// A key with this hash is complete.
    #[inline]
    pub(super) fn key(&mut self, key: &[u8], hash: u64) -> Result<(), Unreadable> {
        let mark = 1_u64.rotate_left((hash & 63) as u32);
        if self.inner.seen & mark != 0 {
            self.check_siblings(hash)?;
        }
        if self.keys.len().wrapping_sub(self.inner.first_key) >= OBJECT_KEYS_MAX {
            return Err(Unreadable::TooManyKeys);
        }
        self.inner.seen |= mark;
        self.keys.push(hash);
        self.next = if self.inner.open == 0 { 0 } else { self.narrow_paths(key) };
        Ok(())
    }

    /// Another key of the object may be the same.
    #[cold]
    #[inline(never)]
    fn check_siblings(&self, hash: u64) -> Result<(), Unreadable> {
        let siblings = self.keys.get(self.inner.first_key..).unwrap_or_default();
        if siblings.contains(&hash) { Err(Unreadable::DuplicateKey) } else { Ok(()) }
    }

    fn escape<'b>(&mut self, byte: u8, tail: &'b [u8]) -> Result<&'b [u8], Unreadable> {
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

    fn unicode<'b>(&mut self, byte: u8, tail: &'b [u8]) -> Result<&'b [u8], Unreadable> {
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
    fn number<'b>(&mut self, rest: &'b [u8]) -> Result<&'b [u8], Unreadable> {
        use Digits::{Exponent, ExponentSign, Fraction, Minus, Point, Power, Whole, Zero};
        let mut digits = self.scalar.digits;
        for (length, byte) in rest.iter().enumerate() {
            digits = match (digits, byte) {
                (Minus, b'0') => Zero,
                (Minus, b'1'..=b'9') | (Whole, b'0'..=b'9') => Whole,
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

    fn literal<'b>(&mut self, byte: u8, tail: &'b [u8]) -> Result<&'b [u8], Unreadable> {
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

    /// Records `field` for the paths that end at the value that was read.
    #[inline]
    pub(super) fn record(&mut self, field: impl FnOnce() -> Field) {
        // Most values lie at no path.
        if self.next != 0 {
            self.record_at_paths(field);
        }
    }

    #[inline(never)]
    fn record_at_paths(&mut self, field: impl FnOnce() -> Field) {
        let depth = self.outer.len();
        let ends_here = |path: &Path| path.len() == depth;
        let mut ending = bits(self.select(self.next, ends_here));
        if let Some(first) = ending.next() {
            let field = field();
            let others: Vec<_> = ending.map(|index| (index, field.clone())).collect();
            self.fields.0.push((first, field));
            self.fields.0.extend(others);
        }
    }

    /// The paths through the innermost container whose next step is `key`. The container
    /// lies at the depth of that step.
    #[inline(never)]
    fn narrow_paths(&self, key: &[u8]) -> u32 {
        let step = self.outer.len().saturating_sub(1);
        self.select(self.inner.open, |path| path.get(step).is_some_and(|it| it.as_bytes() == key))
    }

    /// Those `among` the paths that are `wanted`.
    #[inline]
    fn select(&self, among: u32, wanted: impl Fn(&Path) -> bool) -> u32 {
        bits(among)
            .filter(|index| self.paths.get(*index).is_some_and(&wanted))
            .fold(0, |selected, index| selected | bit(index))
    }
}

/// White space is passed over; anything else has no place here.
fn white_space(byte: u8, tail: &[u8]) -> Result<&[u8], Unreadable> {
    if matches!(byte, b' ' | b'\n' | b'\t' | b'\r') { Ok(tail) } else { Err(Unreadable::NotJson) }
}

/// Tells JSON that is no object from what is no JSON. Only the operator sees the
/// difference, so a root that reaches over several pieces may be told wrongly.
fn not_an_object(rest: &[u8]) -> Unreadable {
    let is_json = serde_json::from_slice::<serde::de::IgnoredAny>(rest).is_ok();
    if is_json { Unreadable::NotAnObject } else { Unreadable::NotJson }
}

/// The indices of the bits that are set.
fn bits(mut set: u32) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let index = set.trailing_zeros();
        set &= set.checked_sub(1)?;
        Some(index as usize)
    })
}

fn bit(index: usize) -> u32 {
    u32::try_from(index).ok().and_then(|index| 1_u32.checked_shl(index)).unwrap_or(0)
}
