//! A JSON body with the values of its known credentials replaced, and every other byte as
//! it is: what a tenant's key gets where the operator gets the exact bytes.
//!
//! The masker follows the grammar only as far as it needs to. What it is fed was walked
//! strictly before, so it is one JSON object.

use super::{MASK, is_credential};
use crate::json;

/// What a key may have as it is written, in bytes: what is longer was refused before, even
/// if each character of it is an escape (`\u005f`).
const KEY_BYTES_MAX: usize = json::KEY_BYTES_MAX.saturating_mul(6);

/// What an open object or list is to the masker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// An object.
    Object,
    /// The object under `server`, as Vapi repeats it.
    Server,
    /// The headers that a server's owner set, which may hold anything.
    ServerHeaders,
    /// A list.
    List,
}

/// Where the masker stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Between values, keys and signs.
    Between,
    /// In a text.
    Text,
    /// In a text, behind a backslash.
    Escape,
    /// In a number or a word.
    Word,
}

/// Masks a body that comes in pieces.
#[derive(Debug)]
pub struct Masker {
    state: State,
    places: Vec<Place>,
    /// Whether a key comes next, not a value.
    wants_key: bool,
    /// The key before the value that comes next, as it was written, without its quotes.
    key: Vec<u8>,
    /// How many containers were open where the value began that is left out.
    muted: Option<usize>,
}

impl Default for Masker {
    fn default() -> Self {
        Self::new()
    }
}

impl Masker {
    /// A masker at the start of a body.
    #[must_use]
    pub fn new() -> Self {
        Self {
            state: State::Between,
            places: Vec::new(),
            wants_key: false,
            key: Vec::new(),
            muted: None,
        }
    }

    /// Takes the next piece, and adds to `out` what of it may be seen.
    pub fn feed(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        for byte in piece {
            self.step(*byte, out);
        }
    }

    fn step(&mut self, byte: u8, out: &mut Vec<u8>) {
        match self.state {
            State::Text | State::Escape => {
                self.write(byte, out);
                self.in_text(byte);
            }
            State::Word if is_of_word(byte) => self.write(byte, out),
            State::Word => {
                self.end_value();
                self.between(byte, out);
            }
            State::Between => self.between(byte, out),
        }
    }

    fn in_text(&mut self, byte: u8) {
        let is_end = self.state == State::Text && byte == b'"';
        if self.wants_key && !is_end && self.key.len() <= KEY_BYTES_MAX {
            self.key.push(byte);
        }
        self.state = match (self.state, byte) {
            (State::Text, b'\\') => State::Escape,
            (State::Text, b'"') => State::Between,
            _ => State::Text,
        };
        if self.state == State::Between && !self.wants_key {
            self.end_value();
        }
    }

    fn between(&mut self, byte: u8, out: &mut Vec<u8>) {
        match byte {
            b'"' if self.wants_key => {
                self.key.clear();
                self.state = State::Text;
            }
            b'"' => {
                self.begin_value(byte, out);
                self.state = State::Text;
            }
            b'{' | b'[' => {
                let place = self.place(byte);
                self.begin_value(byte, out);
                self.places.push(place);
                self.wants_key = byte == b'{';
            }
            b'}' | b']' => {
                self.places.pop();
                self.write(byte, out);
                return self.end_value();
            }
            b',' => self.wants_key = self.places.last().is_some_and(|it| *it != Place::List),
            b':' => self.wants_key = false,
            _ if is_of_word(byte) => {
                self.begin_value(byte, out);
                self.state = State::Word;
            }
            _ => {}
        }
        self.write(byte, out);
    }

    /// What the container is that begins with `byte`, by the key in front of it.
    fn place(&self, byte: u8) -> Place {
        let under = self.places.last().copied();
        let is_member = under.is_some_and(|it| it != Place::List);
        match byte {
            b'[' => Place::List,
            _ if is_member && self.key() == "server" => Place::Server,
            _ if under == Some(Place::Server) && self.key() == "headers" => Place::ServerHeaders,
            _ => Place::Object,
        }
    }

    /// A value begins: leaves it out if it is a credential.
    fn begin_value(&mut self, byte: u8, out: &mut Vec<u8>) {
        let Some(place) = self.places.last().filter(|it| **it != Place::List) else { return };
        // `null` is the only word with this letter: there is nothing to mask.
        let is_null = byte == b'n';
        let is_hidden = *place == Place::ServerHeaders || !is_null && is_credential(&self.key());
        if self.muted.is_none() && is_hidden {
            out.extend([b"\"", MASK.as_bytes(), b"\""].concat());
            self.muted = Some(self.places.len());
        }
    }

    /// A value ended: what follows is seen again, if it was this one that was left out.
    fn end_value(&mut self) {
        self.state = State::Between;
        if self.muted == Some(self.places.len()) {
            self.muted = None;
        }
    }

    fn write(&self, byte: u8, out: &mut Vec<u8>) {
        if self.muted.is_none() {
            out.push(byte);
        }
    }

    /// The key, its escapes decoded.
    fn key(&self) -> String {
        let quoted = [b"\"", self.key.as_slice(), b"\""].concat();
        serde_json::from_slice(&quoted).unwrap_or_default()
    }
}

fn is_of_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"+-.".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Masks `body` in pieces of every size.
    #[track_caller]
    fn masked(body: &str) -> String {
        let mut all = Vec::new();
        for size in 1..=body.len() {
            let (mut masker, mut out) = (Masker::new(), Vec::new());
            body.as_bytes().chunks(size).for_each(|piece| masker.feed(piece, &mut out));
            all.push(String::from_utf8(out).unwrap());
        }
        assert!(all.iter().all(|it| *it == all[0]), "{all:?}");
        all.swap_remove(0)
    }

    #[test]
    fn everything_but_credentials_stays_byte_for_byte() {
        let body = "{ \"a\" : [1, 2.5e+3, -0 ,true,null,\"x\\\"}{\\\\\"] ,\n\t\"z\":{}, \"b\":\"\\u00e9 ü\" }  ";
        assert_eq!(masked(body), body);
    }

    #[test]
    fn a_credential_of_any_shape_is_replaced() {
        for value in [r#""s""#, "12", "true", r#"{"a":[1,{"b":"}"}]}"#, r#"["x",["y"]]"#, r#""\"""#]
        {
            let body = format!(r#"{{"n":1,"ApiKey" : {value} ,"after":[{{"token":{value}}}, 2]}}"#);
            let expected = r#"{"n":1,"ApiKey" : "***" ,"after":[{"token":"***"}, 2]}"#;
            assert_eq!(masked(&body), expected);
        }
        assert_eq!(masked(r#"{"secret":null,"tokens":3}"#), r#"{"secret":null,"tokens":3}"#);
    }

    #[test]
    fn an_escaped_key_hides_nothing() {
        assert_eq!(masked(r#"{"api\u004bey":"k","a\"":1}"#), r#"{"api\u004bey":"***","a\"":1}"#);
        let long = format!("api{}key", "\\u005f".repeat(json::KEY_BYTES_MAX - 6));
        let (mut masker, mut out) = (Masker::new(), Vec::new());
        let body = format!(r#"{{"{long}":"canary"}}"#);
        assert!(json::extract(body.as_bytes(), &[]).is_ok(), "the longest key that is read");
        masker.feed(body.as_bytes(), &mut out);
        assert!(!String::from_utf8(out).unwrap().contains("canary"));
    }

    #[test]
    fn it_masks_what_the_shown_payload_masks() {
        let body = serde_json::json!({
            "ApiKey": "k", "call": {"monitor": {"controlUrl": "u", "n": 1}, "access_token": "t"},
            "list": [{"twilioAuthToken": "t"}, [{"password": {"x": 1}}]],
            "server": {"url": "x", "secret": "s", "headers": {"a": "b", "c": null, "d": {"e": [1]}},
                       "server": {"headers": {"n": 1}, "headers2": {"n": 1}}},
            "phoneNumber": {"twilioApiSecret": null}, "tokens": 3, "headers": {"a": "b"},
        });
        let mut expected = body.clone();
        crate::mask::credentials(&mut expected);
        for text in [body.to_string(), serde_json::to_string_pretty(&body).unwrap()] {
            let masked: serde_json::Value = serde_json::from_str(&masked(&text)).unwrap();
            assert_eq!(masked, expected);
        }
    }
}
