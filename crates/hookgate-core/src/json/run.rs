//! From token to token, as long as each lies whole in one piece and is written plainly.
//!
//! Nearly every token of nearly every body does and is. A text, number or word that the next
//! piece goes on with, or that has an escape that matters, is left to `scalar`; and so is
//! whatever has no place where it stands, to be refused.

use super::scan::{before, behind_key, behind_plain};
use super::walk::{State, Walk};
use super::{Field, Unreadable};

impl Walk<'_> {
    /// Goes on between two tokens: up to the end of the piece, or into a token that is read
    /// byte by byte. Gives back what is left.
    pub(super) fn run<'b>(&mut self, mut rest: &'b [u8]) -> Result<&'b [u8], Unreadable> {
        loop {
            rest = self.tokens(rest)?;
            rest = match (self.state, rest) {
                (_, [b' ' | b'\n' | b'\t' | b'\r', tail @ ..]) => {
                    // Most senders write none.
                    std::hint::cold_path();
                    behind_space(tail)
                }
                (State::Root, [b'{', tail @ ..]) => {
                    self.state = self.open(true)?;
                    tail
                }
                (_, []) => return Ok(rest),
                _ => return self.begin(rest),
            }
        }
    }

    /// Takes whole tokens, up to the first thing that is something else.
    #[inline]
    fn tokens<'b>(&mut self, mut rest: &'b [u8]) -> Result<&'b [u8], Unreadable> {
        let mut state = self.state;
        // A round takes a key, its colon, a value and what follows it, or some of these.
        while !matches!(state, State::Root | State::Done) {
            if matches!(state, State::Key | State::FirstKey) {
                match rest {
                    [b'"', key @ ..] => {
                        let (hash, end) = behind_key(key);
                        let [b'"', tail @ ..] = end else { break };
                        self.key(hash, || before(key, end))?;
                        (state, rest) = match tail {
                            [b':', tail @ ..] => (State::Value, tail),
                            _ => (State::Colon, tail),
                        }
                    }
                    [b'}', tail @ ..] if state == State::FirstKey => {
                        (state, rest) = (self.close(), tail);
                    }
                    _ => break,
                }
            }
            if state == State::Colon {
                let [b':', tail @ ..] = rest else { break };
                (state, rest) = (State::Value, tail);
            }
            if matches!(state, State::Value | State::FirstElement) {
                match rest {
                    [b'{', tail @ ..] => (state, rest) = (self.open(true)?, tail),
                    [b'[', tail @ ..] => (state, rest) = (self.open(false)?, tail),
                    [b']', tail @ ..] if state == State::FirstElement => {
                        (state, rest) = (self.close(), tail);
                    }
                    _ => {
                        let Some(tail) = self.scalar(rest) else { break };
                        (state, rest) = (State::AfterValue, tail);
                    }
                }
            }
            if state == State::AfterValue {
                (state, rest) = match rest {
                    [b',', tail @ ..] => (self.after_comma(), tail),
                    [b'}', tail @ ..] if self.inner.is_object => (self.close(), tail),
                    [b']', tail @ ..] if !self.inner.is_object => (self.close(), tail),
                    _ => break,
                };
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

/// What follows a number.
fn behind_number(bytes: &[u8]) -> Option<&[u8]> {
    let mut tail = match bytes.strip_prefix(b"-").unwrap_or(bytes) {
        [b'0', tail @ ..] => tail,
        [b'1'..=b'9', tail @ ..] => behind_digits(tail),
        _ => return None,
    };
    if let [b'.', b'0'..=b'9', fraction @ ..] = tail {
        tail = behind_digits(fraction);
    }
    if let [b'e' | b'E', b'+' | b'-', b'0'..=b'9', power @ ..]
    | [b'e' | b'E', b'0'..=b'9', power @ ..] = tail
    {
        tail = behind_digits(power);
    }
    // Only what follows it tells that a number is complete.
    matches!(tail, [b',' | b'}' | b']' | b' ' | b'\n' | b'\t' | b'\r', ..]).then_some(tail)
}

fn behind_digits(mut bytes: &[u8]) -> &[u8] {
    while let [b'0'..=b'9', tail @ ..] = bytes {
        bytes = tail;
    }
    bytes
}

#[inline]
fn behind_space(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\n' | b'\t' | b'\r', tail @ ..] = bytes {
        bytes = tail;
    }
    bytes
}
