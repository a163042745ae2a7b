//! The walk over a body: a state machine that is fed text, and does not recurse.

use super::{
    DEPTH_MAX, Field, Fields, KEY_BYTES_MAX, OBJECT_KEYS_MAX, PATHS_MAX, Path, TEXT_BYTES_MAX,
    Unreadable,
};

/// Where the walk stands in the grammar (RFC 8259).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
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

/// Where the walk stands in a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Digits {
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

/// An object or list that is open.
#[derive(Clone, Copy, Debug)]
struct Container {
    is_object: bool,
    /// The paths that lead through it.
    open: u32,
    /// Where its keys begin among all that are open.
    first_key: usize,
}

/// A text, number or word that is being read.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own about one text")]
#[derive(Debug, Default)]
struct Scalar {
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

/// The walk.
#[derive(Debug)]
pub(super) struct Walk<'p> {
    paths: &'p [Path],
    state: State,
    containers: Vec<Container>,
    /// Whether the innermost container is an object.
    in_object: bool,
    /// Hashes of the keys of the open objects, innermost last.
    keys: Vec<u64>,
    /// The paths that lead to the value that comes next.
    next: u32,
    scalar: Scalar,
    fields: Fields,
}

impl<'p> Walk<'p> {
    pub(super) fn new(paths: &'p [Path]) -> Self {
        debug_assert!(paths.len() <= PATHS_MAX, "a bit stands for each path");
        Self {
            paths,
            state: State::Value,
            containers: Vec::with_capacity(16),
            in_object: false,
            keys: Vec::with_capacity(64),
            next: (0..paths.len()).fold(0, |bits, index| bits | bit(index)),
            scalar: Scalar::default(),
            fields: Fields(Vec::with_capacity(paths.len())),
        }
    }

    /// Takes the next piece of the body.
    pub(super) fn feed(&mut self, text: &str) -> Result<(), Unreadable> {
        let mut rest = text.as_bytes();
        while let Some((&byte, tail)) = rest.split_first() {
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
        Ok(())
    }

    /// What was found, if the body is complete.
    pub(super) fn finish(self) -> Result<Fields, Unreadable> {
        // A number has no end of its own, but the root is an object, so none is open here.
        if self.state == State::Done { Ok(self.fields) } else { Err(Unreadable::NotJson) }
    }

    fn after_value<'b>(&mut self, byte: u8, tail: &'b [u8]) -> Result<&'b [u8], Unreadable> {
        match byte {
            b',' if self.in_object => {
                // The next key mostly follows at once.
                if let Some((b'"', tail)) = tail.split_first() {
                    return self.begin_text(true, tail);
                }
                self.state = State::Key;
            }
            b',' => {
                self.state = State::Value;
                self.next = self.elements();
            }
            b'}' if self.in_object => self.close(),
            b']' if !self.in_object => self.close(),
            _ => return white_space(byte, tail),
        }
        Ok(tail)
    }

    fn before_key<'b>(&mut self, byte: u8, tail: &'b [u8]) -> Result<&'b [u8], Unreadable> {
        match byte {
            b'"' => self.begin_text(true, tail),
            b'}' if self.state == State::FirstKey => {
                self.close();
                Ok(tail)
            }
            _ => white_space(byte, tail),
        }
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
            b'"' if !self.containers.is_empty() => return self.begin_text(false, tail),
            b'{' => {
                self.open(true)?;
                return Ok(tail);
            }
            b' ' | b'\n' | b'\t' | b'\r' => return Ok(tail),
            _ if self.containers.is_empty() => return Err(not_an_object(rest)),
            b'[' => {
                self.open(false)?;
                return Ok(tail);
            }
            b']' if self.state == State::FirstElement => {
                self.close();
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

    fn open(&mut self, is_object: bool) -> Result<(), Unreadable> {
        if self.containers.len() >= DEPTH_MAX {
            return Err(Unreadable::NotJson);
        }
        self.record(|| Field::Other);
        let (open, first_key) = (self.next, self.keys.len());
        self.containers.push(Container { is_object, open, first_key });
        self.in_object = is_object;
        if is_object {
            self.state = State::FirstKey;
        } else {
            self.state = State::FirstElement;
            self.next = self.elements();
        }
        Ok(())
    }

    fn close(&mut self) {
        if let Some(container) = self.containers.pop() {
            self.keys.truncate(container.first_key);
        }
        self.in_object = self.containers.last().is_some_and(|it| it.is_object);
        self.end_value();
    }

    fn end_value(&mut self) {
        self.state = if self.containers.is_empty() { State::Done } else { State::AfterValue };
    }

    /// Behind the quote that opens a text. Nearly every text ends in the same piece and
    /// has no escape: then it is taken as it stands. So are the texts that follow it at
    /// once, as the members of an object mostly do.
    fn begin_text<'b>(
        &mut self,
        mut is_key: bool,
        mut tail: &'b [u8],
    ) -> Result<&'b [u8], Unreadable> {
        loop {
            let (plain, rest, hash) = plain(is_key, tail);
            let Some((b'"', rest)) = rest.split_first() else {
                self.scalar.begin(is_key, is_key || self.next != 0);
                self.state = State::Text;
                return Ok(tail);
            };
            if is_key {
                self.key(plain, hash)?;
                match rest {
                    [b':', b'"', value @ ..] => tail = value,
                    [b':', rest @ ..] => {
                        self.state = State::Value;
                        return Ok(rest);
                    }
                    _ => return Ok(rest),
                }
            } else {
                self.end_text(plain, true);
                match rest {
                    [b',', b'"', key @ ..] if self.in_object => tail = key,
                    _ => return Ok(rest),
                }
            }
            is_key = !is_key;
        }
    }

    /// Inside a text, up to its end or to what interrupts it.
    fn text<'b>(&mut self, rest: &'b [u8]) -> Result<&'b [u8], Unreadable> {
        let (plain, rest) = rest.split_at_checked(special(rest)).unwrap_or((rest, b""));
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
                    (true, false, false) => self.key(&text, hash(&text))?,
                    (false, ..) => self.end_text(&text, !is_broken && !is_too_long),
                }
                self.scalar.read = text;
                Ok(tail)
            }
            // A control character must be escaped.
            Some(_) => Err(Unreadable::NotJson),
        }
    }

    /// A text that is a value is complete.
    fn end_text(&mut self, text: &[u8], is_text: bool) {
        self.record(|| match std::str::from_utf8(text) {
            Ok(text) if is_text && text.len() <= TEXT_BYTES_MAX => Field::Text(text.to_owned()),
            _ => Field::Other,
        });
        self.end_value();
    }

    /// A key with this hash is complete.
    fn key(&mut self, key: &[u8], hash: u64) -> Result<(), Unreadable> {
        if key.len() > KEY_BYTES_MAX {
            return Err(Unreadable::TooManyKeys);
        }
        let Some(object) = self.containers.last() else { return Err(Unreadable::NotJson) };
        let siblings = self.keys.get(object.first_key..).unwrap_or_default();
        if siblings.contains(&hash) {
            return Err(Unreadable::DuplicateKey);
        }
        if siblings.len() >= OBJECT_KEYS_MAX {
            return Err(Unreadable::TooManyKeys);
        }
        self.next = self.narrow(object.open, |step| step.as_bytes() == key);
        self.keys.push(hash);
        self.state = State::Colon;
        Ok(())
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
        self.end_value();
    }

    fn literal<'b>(&mut self, byte: u8, tail: &'b [u8]) -> Result<&'b [u8], Unreadable> {
        match self.scalar.missing.split_first() {
            Some((expected, missing)) if *expected == byte => {
                self.scalar.missing = missing;
                if missing.is_empty() {
                    let is_null = self.scalar.is_null;
                    self.record(|| if is_null { Field::Null } else { Field::Other });
                    self.end_value();
                }
                Ok(tail)
            }
            _ => Err(Unreadable::NotJson),
        }
    }

    /// Records `field` for the paths that end at the value that was read.
    fn record(&mut self, field: impl FnOnce() -> Field) {
        let (next, depth) = (self.next, self.containers.len());
        if next == 0 {
            return;
        }
        let ends_here =
            |(index, path): &(usize, &Path)| next & bit(*index) != 0 && path.len() == depth;
        let mut ending = self.paths.iter().enumerate().filter(ends_here).map(|(index, _)| index);
        if let Some(first) = ending.next() {
            let field = field();
            let others: Vec<_> = ending.map(|index| (index, field.clone())).collect();
            self.fields.0.push((first, field));
            self.fields.0.extend(others);
        }
    }

    /// The paths that lead on through the elements of the innermost list.
    fn elements(&self) -> u32 {
        self.containers.last().map_or(0, |it| self.narrow(it.open, |step| step == "*"))
    }

    /// Those of the `open` paths whose next step `matches`. The innermost container lies
    /// at the depth of that step.
    fn narrow(&self, open: u32, matches: impl Fn(&str) -> bool) -> u32 {
        if open == 0 {
            return 0;
        }
        let step = self.containers.len().saturating_sub(1);
        let leads_on = |(index, path): &(usize, &Path)| {
            open & bit(*index) != 0 && path.get(step).is_some_and(|step| matches(step))
        };
        let paths = self.paths.iter().enumerate().filter(leads_on);
        paths.fold(0, |bits, (index, _)| bits | bit(index))
    }
}

impl Scalar {
    fn begin(&mut self, is_key: bool, is_wanted: bool) {
        self.read.clear();
        (self.is_key, self.is_wanted) = (is_key, is_wanted);
        (self.is_too_long, self.is_broken, self.high) = (false, false, None);
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

fn bit(index: usize) -> u32 {
    u32::try_from(index).ok().and_then(|index| 1_u32.checked_shl(index)).unwrap_or(0)
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// What of `bytes` can stand in a text as it is, what follows it, and the hash of a key.
fn plain(is_key: bool, bytes: &[u8]) -> (&[u8], &[u8], u64) {
    let (length, hash) = if is_key { special_and_hash(bytes) } else { (special(bytes), 0) };
    let (plain, rest) = bytes.split_at_checked(length).unwrap_or((bytes, b""));
    (plain, rest, hash)
}

/// The index of the first byte that cannot stand in a text as it is: a quote, a
/// backslash, a control character. Eight bytes are looked at together.
fn special(bytes: &[u8]) -> usize {
    let mut at = 0_usize;
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        if let Some(index) = special_in(u64::from_le_bytes(*word)) {
            return at.saturating_add(index as usize);
        }
        at = at.saturating_add(8);
    }
    at.saturating_add(special_byte(rest))
}

/// The same, and the hash of what stands before it.
fn special_and_hash(bytes: &[u8]) -> (usize, u64) {
    let (mut at, mut state) = (0_usize, 0);
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        let word = u64::from_le_bytes(*word);
        if let Some(index) = special_in(word) {
            let before = word & !u64::MAX.checked_shl(index.wrapping_mul(8)).unwrap_or(0);
            let length = at.saturating_add(index as usize);
            return (length, conclude(mix(state, before), length));
        }
        state = mix(state, word);
        at = at.saturating_add(8);
    }
    let length = special_byte(rest);
    let last = padded(rest.get(..length).unwrap_or_default());
    let length = at.saturating_add(length);
    (length, conclude(mix(state, last), length))
}

/// The index of the first such byte in eight, if there is one.
fn special_in(word: u64) -> Option<u32> {
    // A byte of zero in `it` is found exactly, at least the lowest one, which counts.
    let zero = |it: u64| it.wrapping_sub(ONES) & !it & HIGHS;
    let quote = zero(word ^ ONES.wrapping_mul(0x22));
    let backslash = zero(word ^ ONES.wrapping_mul(0x5c));
    let control = word.wrapping_sub(ONES.wrapping_mul(0x20)) & !word & HIGHS;
    let found = quote | backslash | control;
    (found != 0).then(|| found.trailing_zeros() >> 3)
}

fn special_byte(rest: &[u8]) -> usize {
    rest.iter().position(|it| matches!(it, b'"' | b'\\' | 0..0x20)).unwrap_or(rest.len())
}

/// A quick hash, eight bytes at a time. A collision makes two keys look like one: the
/// request, which its sender signed, is refused then. So a hash that an adversary can
/// collide does no harm.
fn hash(key: &[u8]) -> u64 {
    let (words, rest) = key.as_chunks::<8>();
    let state = words.iter().fold(0, |it, word| mix(it, u64::from_le_bytes(*word)));
    conclude(mix(state, padded(rest)), key.len())
}

const ODD: u64 = 0x9e37_79b9_7f4a_7c15;

fn mix(state: u64, word: u64) -> u64 {
    (state ^ word).wrapping_mul(ODD).rotate_left(29)
}

fn conclude(state: u64, length: usize) -> u64 {
    (state ^ length as u64).wrapping_mul(ODD)
}

/// Less than eight bytes as a word, the first one lowest.
fn padded(rest: &[u8]) -> u64 {
    rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_the_same_hash_wherever_it_ends() {
        for length in 0..40 {
            let key: Vec<u8> = (0..length).map(|it| b'a' + it % 26).collect();
            for behind in ["", "\"", "\":1}", "\":\"something longer than a word\"}"] {
                let text = [&key, behind.as_bytes()].concat();
                assert_eq!(special_and_hash(&text), (key.len(), hash(&key)), "{length} {behind}");
            }
        }
    }
}
