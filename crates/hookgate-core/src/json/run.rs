//! The quick part of the walk: tokens that lie whole in one piece and are written plainly.
//!
//! Nearly every token of nearly every body is one of these. Whatever is not (an escape in
//! a key, an exponent, a token that the next piece goes on with, a byte that has no place)
//! is left where it stands for the state machine, which alone decides what is an error of
//! grammar. So both read the same; this part only reads most of it faster.

use super::scan::{behind_key, behind_plain};
use super::walk::{State, Walk};
use super::{Field, KEY_BYTES_MAX, Unreadable};

impl Walk<'_> {
    /// Takes what it can from the front of `rest`, and gives back the rest. The walk stands
    /// between two tokens within the root.
    pub(super) fn run<'b>(&mut self, mut rest: &'b [u8]) -> Result<&'b [u8], Unreadable> {
        let mut state = self.state;
        // A round takes a key, its colon, a value and what follows it, or some of these.
        loop {
            let length = rest.len();
            if matches!(state, State::Key | State::FirstKey) {
                match rest {
                    [b'"', key @ ..] => {
                        let (hash, end) = behind_key(key);
                        let [b'"', tail @ ..] = end else { break };
                        let key = before(key, end);
                        if key.len() > KEY_BYTES_MAX {
                            break;
                        }
                        self.key(key, hash)?;
                        (state, rest) = match tail {
                            [b':', tail @ ..] => (State::Value, tail),
                            _ => (State::Colon, tail),
                        }
                    }
                    [b'}', tail @ ..] if state == State::FirstKey => {
                        (state, rest) = (self.close(), tail);
                    }
                    _ => {}
                }
            }
            if let (State::Colon, [b':', tail @ ..]) = (state, rest) {
                (state, rest) = (State::Value, tail);
            }
            if matches!(state, State::Value | State::FirstElement) {
                match rest {
                    [b'{', tail @ ..] => (state, rest) = (self.open(true)?, tail),
                    [b'[', tail @ ..] => (state, rest) = (self.open(false)?, tail),
                    [b']', tail @ ..] if state == State::FirstElement => {
                        (state, rest) = (self.close(), tail);
                    }
                    [b' ' | b'\n' | b'\t' | b'\r', ..] | [] => {}
                    _ => {
                        let Some(tail) = self.scalar(rest) else { break };
                        (state, rest) = (State::AfterValue, tail);
                    }
                }
            }
            if state == State::AfterValue {
                match rest {
                    [b',', tail @ ..] => (state, rest) = (self.after_comma(), tail),
                    [b'}', tail @ ..] if self.inner.is_object => {
                        (state, rest) = (self.close(), tail);
                    }
                    [b']', tail @ ..] if !self.inner.is_object => {
                        (state, rest) = (self.close(), tail);
                    }
                    _ => {}
                }
            }
            if rest.len() == length {
                rest = behind_space(rest);
                if rest.len() == length {
                    break;
                }
            }
        }
        self.state = state;
        Ok(rest)
    }

    /// What follows the text, number or word at the front of `bytes`, which is recorded.
    #[inline]
    fn scalar<'b>(&mut self, bytes: &'b [u8]) -> Option<&'b [u8]> {
        match bytes {
            [b'"', text @ ..] if self.next == 0 => behind_text(text),
            [b'"', text @ ..] => {
                let end = behind_plain(text);
                let [b'"', tail @ ..] = end else { return None };
                self.end_text(before(text, end), true);
                Some(tail)
            }
            [b'-' | b'0'..=b'9', ..] if self.next == 0 => behind_number(bytes),
            [b't', b'r', b'u', b'e', tail @ ..] | [b'f', b'a', b'l', b's', b'e', tail @ ..] => {
                self.record(|| Field::Other);
                Some(tail)
            }
            [b'n', b'u', b'l', b'l', tail @ ..] => {
                self.record(|| Field::Null);
                Some(tail)
            }
            _ => None,
        }
    }
}

/// What of `bytes` is before the `tail` of them.
#[inline]
fn before<'b>(bytes: &'b [u8], tail: &[u8]) -> &'b [u8] {
    bytes.get(..bytes.len().wrapping_sub(tail.len())).unwrap_or_default()
}

/// What follows a text, whatever it says, behind its first quote.
#[inline]
fn behind_text(mut bytes: &[u8]) -> Option<&[u8]> {
    loop {
        bytes = match behind_plain(bytes) {
            [b'"', tail @ ..] => return Some(tail),
            [b'\\', b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', tail @ ..] => tail,
            [b'\\', b'u', a, b, c, d, tail @ ..]
                if [a, b, c, d].into_iter().all(u8::is_ascii_hexdigit) =>
            {
                tail
            }
            _ => return None,
        }
    }
}

/// What follows a number without exponent.
fn behind_number(bytes: &[u8]) -> Option<&[u8]> {
    let bytes = bytes.strip_prefix(b"-").unwrap_or(bytes);
    let mut tail = match bytes {
        [b'0', tail @ ..] => tail,
        [b'1'..=b'9', tail @ ..] => behind_digits(tail),
        _ => return None,
    };
    if let [b'.', b'0'..=b'9', fraction @ ..] = tail {
        tail = behind_digits(fraction);
    }
    matches!(tail, [b',' | b'}' | b']' | b' ' | b'\n' | b'\t' | b'\r', ..]).then_some(tail)
}

fn behind_digits(mut bytes: &[u8]) -> &[u8] {
    while let [b'0'..=b'9', tail @ ..] = bytes {
        bytes = tail;
    }
    bytes
}

fn behind_space(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\n' | b'\t' | b'\r', tail @ ..] = bytes {
        bytes = tail;
    }
    bytes
}
