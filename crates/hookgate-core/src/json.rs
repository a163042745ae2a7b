//! Reads a JSON body once, strictly, and takes out the few fields a provider names.
//!
//! The whole body is walked: it must be one JSON object, and no object in it may name a
//! key twice. A second parser that resolved such a key otherwise could be told another
//! owner than we were, so a duplicate is refused, not resolved. Keys are compared after
//! their escapes are decoded: `"\u0069d"` is `"id"`.
//!
//! Everything that decides about a request (its owner, its type, its answer) comes from
//! this walk and from nowhere else.

use std::fmt;
use std::io::Read;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

/// Keys in one object. The providers' largest objects have some hundred; the bound keeps
/// the search for duplicates cheap.
pub const OBJECT_KEYS_MAX: usize = 4096;

/// The longest text taken out of a body, in bytes. The providers' ids stay below 100.
pub const TEXT_BYTES_MAX: usize = 512;

/// The paths that one walk looks for; a bit stands for each.
pub const PATHS_MAX: usize = 32;

/// Where a field stands: the keys from the root down. `*` stands for each element of an
/// array.
pub type Path = &'static [&'static str];

/// What stands at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Field {
    /// A text of at most [`TEXT_BYTES_MAX`] bytes.
    Text(String),
    /// A whole number.
    Number(i64),
    /// `null`: as good as not there.
    Null,
    /// Anything else: an object, a list, a fraction, a text that is too long.
    Other,
}

/// The fields that a walk found, by the index of their path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields(Vec<(usize, Field)>);

impl Fields {
    /// The field at the path with this index; the first, if an array has several.
    #[must_use]
    pub fn get(&self, path: usize) -> Option<&Field> {
        self.all(path).next()
    }

    /// Every field at the path with this index, in order.
    pub fn all(&self, path: usize) -> impl Iterator<Item = &Field> {
        self.0.iter().filter(move |(it, _)| *it == path).map(|(_, field)| field)
    }

    /// The text at the path, if there is a text and it is not empty.
    #[must_use]
    pub fn text(&self, path: usize) -> Option<&str> {
        match self.get(path) {
            Some(Field::Text(text)) if !text.is_empty() => Some(text),
            _ => None,
        }
    }

    /// The text or whole number at the path, as text.
    #[must_use]
    pub fn word(&self, path: usize) -> Option<String> {
        match self.get(path)? {
            Field::Text(text) if !text.is_empty() => Some(text.clone()),
            Field::Number(number) => Some(number.to_string()),
            _ => None,
        }
    }
}

/// Why a body cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Not JSON, or nested deeper than 127 levels.
    #[error("the body is not JSON")]
    NotJson,
    /// JSON, but not an object.
    #[error("the body is JSON, but not an object")]
    NotAnObject,
    /// An object names a key twice.
    #[error("an object in the body names a key twice")]
    DuplicateKey,
    /// An object has more than [`OBJECT_KEYS_MAX`] keys.
    #[error("an object in the body has more than {OBJECT_KEYS_MAX} keys")]
    TooManyKeys,
}

/// Takes the fields at `paths` out of a body in memory.
///
/// # Errors
///
/// [`Unreadable`]: keep the request in quarantine and answer that its JSON is invalid.
pub fn extract(body: &[u8], paths: &[Path]) -> Result<Fields, Unreadable> {
    // A slice that is known to be UTF-8 lets serde borrow texts without looking again.
    let text = std::str::from_utf8(body).map_err(|_| Unreadable::NotJson)?;
    let mut reader = serde_json::Deserializer::from_str(text);
    let fields = walk(&mut reader, paths)?;
    reader.end().map_err(|_| Unreadable::NotJson)?;
    Ok(fields)
}

/// The same for a body that is too large for memory.
///
/// # Errors
///
/// As [`extract`]; a failed read counts as [`Unreadable::NotJson`].
pub fn extract_from(body: impl Read, paths: &[Path]) -> Result<Fields, Unreadable> {
    let mut reader = serde_json::Deserializer::from_reader(body);
    let fields = walk(&mut reader, paths)?;
    reader.end().map_err(|_| Unreadable::NotJson)?;
    Ok(fields)
}

fn walk<'de, D: Deserializer<'de>>(reader: D, paths: &[Path]) -> Result<Fields, Unreadable> {
    debug_assert!(paths.len() <= PATHS_MAX, "a bit stands for each path");
    let mut state = State { paths, keys: Vec::with_capacity(64), fields: Fields::default(), fault: None };
    let open = (0..paths.len()).fold(0_u32, |bits, index| bits | bit(index));
    match (Node { state: &mut state, open, depth: 0 }).deserialize(reader) {
        Ok(()) => Ok(state.fields),
        Err(_) => Err(state.fault.unwrap_or(Unreadable::NotJson)),
    }
}

/// What the walk carries through the whole body.
struct State<'p> {
    paths: &'p [Path],
    /// Hashes of the keys of the objects that are open, innermost last.
    keys: Vec<u64>,
    fields: Fields,
    fault: Option<Unreadable>,
}

/// One value of the body: which paths still lead here, and how deep it lies.
struct Node<'s, 'p> {
    state: &'s mut State<'p>,
    open: u32,
    depth: usize,
}

impl Node<'_, '_> {
    /// Records `field` for the paths that end here.
    fn record(&mut self, field: impl FnOnce() -> Field) {
        if self.open == 0 {
            return;
        }
        let ending = |index: &usize| {
            self.open & bit(*index) != 0
                && self.state.paths.get(*index).is_some_and(|path| path.len() == self.depth)
        };
        let found: Vec<usize> = (0..self.state.paths.len()).filter(ending).collect();
        if !found.is_empty() {
            let field = field();
            self.state.fields.0.extend(found.into_iter().map(|index| (index, field.clone())));
        }
    }

    /// The paths that lead on through `key`.
    fn through(&self, key: &str) -> u32 {
        self.narrow(|step| step == key)
    }

    /// The paths that lead on through the elements of an array.
    fn through_elements(&self) -> u32 {
        self.narrow(|step| step == "*")
    }

    fn narrow(&self, matches: impl Fn(&str) -> bool) -> u32 {
        if self.open == 0 {
            return 0;
        }
        let leads_on = |(index, path): &(usize, &Path)| {
            self.open & bit(*index) != 0 && path.get(self.depth).is_some_and(|step| matches(step))
        };
        let paths = self.state.paths.iter().enumerate();
        paths.filter(leads_on).fold(0, |bits, (index, _)| bits | bit(index))
    }

    fn fail<E: de::Error>(&mut self, fault: Unreadable) -> E {
        self.state.fault = Some(fault);
        E::custom("refused")
    }

    /// Fails if the body's root is anything but an object.
    fn leaf<E: de::Error>(mut self, field: impl FnOnce() -> Field) -> Result<(), E> {
        if self.depth == 0 {
            return Err(self.fail(Unreadable::NotAnObject));
        }
        self.record(field);
        Ok(())
    }
}

fn bit(index: usize) -> u32 {
    u32::try_from(index).ok().and_then(|index| 1_u32.checked_shl(index)).unwrap_or(0)
}

impl<'de> DeserializeSeed<'de> for Node<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_, '_> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        self.record(|| Field::Other);
        let first = self.state.keys.len();
        while let Some((hash, open)) = map.next_key_seed(Key(&self))? {
            let siblings = self.state.keys.get(first..).unwrap_or_default();
            if siblings.contains(&hash) {
                return Err(self.fail(Unreadable::DuplicateKey));
            }
            if siblings.len() >= OBJECT_KEYS_MAX {
                return Err(self.fail(Unreadable::TooManyKeys));
            }
            self.state.keys.push(hash);
            let depth = self.depth.saturating_add(1);
            map.next_value_seed(Node { state: &mut *self.state, open, depth })?;
        }
        self.state.keys.truncate(first);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<(), A::Error> {
        if self.depth == 0 {
            return Err(self.fail(Unreadable::NotAnObject));
        }
        self.record(|| Field::Other);
        let (open, depth) = (self.through_elements(), self.depth.saturating_add(1));
        while list.next_element_seed(Node { state: &mut *self.state, open, depth })?.is_some() {}
        Ok(())
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<(), E> {
        self.leaf(|| {
            if text.len() > TEXT_BYTES_MAX { Field::Other } else { Field::Text(text.to_owned()) }
        })
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<(), E> {
        self.leaf(|| Field::Number(number))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<(), E> {
        self.leaf(|| i64::try_from(number).map_or(Field::Other, Field::Number))
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<(), E> {
        self.leaf(|| Field::Other)
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<(), E> {
        self.leaf(|| Field::Other)
    }

    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        self.leaf(|| Field::Null)
    }
}

/// A key of the object at a node: its hash, and the paths that lead on through it.
struct Key<'n, 's, 'p>(&'n Node<'s, 'p>);

impl<'de> DeserializeSeed<'de> for Key<'_, '_, '_> {
    type Value = (u64, u32);

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Self::Value, D::Error> {
        reader.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_, '_, '_> {
    type Value = (u64, u32);

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a key")
    }

    fn visit_str<E: de::Error>(self, key: &str) -> Result<Self::Value, E> {
        Ok((hash(key), self.0.through(key)))
    }
}

/// FNV-1a. A collision makes two keys look like one: the request, which its sender
/// signed, is refused then. So a hash that an adversary can collide does no harm.
fn hash(key: &str) -> u64 {
    key.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATHS: &[Path] =
        &[&["type"], &["call", "id"], &["tools", "*", "id"], &["call"], &["deep", "a", "b"]];

    #[track_caller]
    fn check(body: &str, expected: &str) {
        let told = match extract(body.as_bytes(), PATHS) {
            Ok(fields) => format!("{:?}", fields.0),
            Err(fault) => format!("{fault:?}"),
        };
        assert_eq!(told, expected, "in memory: {body}");
        let streamed = match extract_from(body.as_bytes(), PATHS) {
            Ok(fields) => format!("{:?}", fields.0),
            Err(fault) => format!("{fault:?}"),
        };
        assert_eq!(streamed, expected, "streamed: {body}");
    }

    #[test]
    fn fields_are_found_in_any_order_and_depth() {
        check(r#"{"type":"a"}"#, r#"[(0, Text("a"))]"#);
        check(r#"{"x":{"type":"no"},"type":"a"}"#, r#"[(0, Text("a"))]"#);
        check(r#"{"call":{"z":[{"id":1}],"id":"c"}}"#, r#"[(3, Other), (1, Text("c"))]"#);
        check(
            r#"{"tools":[{"id":"1"},7,{"id":2},[{"id":"no"}]]}"#,
            r#"[(2, Text("1")), (2, Number(2))]"#,
        );
        check(r#"{"deep":{"a":{"b":null}}}"#, "[(4, Null)]");
    }

    #[test]
    fn an_escaped_key_is_the_key() {
        check(r#"{"\u0074ype":"a"}"#, r#"[(0, Text("a"))]"#);
        check(r#"{"type":"a","\u0074ype":"b"}"#, "DuplicateKey");
    }

    #[test]
    fn a_key_named_twice_is_refused_wherever_it_stands() {
        check(r#"{"type":"a","type":"a"}"#, "DuplicateKey");
        check(r#"{"x":[{"y":{"k":1,"k":2}}]}"#, "DuplicateKey");
        check(r#"{"a":{"k":1},"b":{"k":2},"c":[{"k":3},{"k":4}]}"#, "[]");
    }

    #[test]
    fn only_one_whole_object_is_read() {
        for body in ["", "{", "{}{}", "{} x", r#"{"a":}"#, "nul", "\u{feff}{}", r#"{"a":1,}"#] {
            check(body, "NotJson");
        }
        for body in ["[]", "1", "null", r#""x""#, "true", "1.5", "-2"] {
            check(body, "NotAnObject");
        }
        assert_eq!(extract(b"{\"a\":\"\xff\"}", PATHS), Err(Unreadable::NotJson));
    }

    #[test]
    fn depth_and_key_count_are_bounded() {
        let deep = format!("{{\"a\":{}1{}}}", "[".repeat(200), "]".repeat(200));
        check(&deep, "NotJson");
        let keys: Vec<String> = (0..=OBJECT_KEYS_MAX).map(|it| format!("\"{it}\":0")).collect();
        check(&format!("{{{}}}", keys.join(",")), "TooManyKeys");
    }

    #[test]
    fn a_text_that_is_too_long_is_not_a_text() {
        let long = format!(r#"{{"type":"{}"}}"#, "x".repeat(TEXT_BYTES_MAX + 1));
        check(&long, "[(0, Other)]");
    }

    #[test]
    fn every_kind_of_value_is_told_apart() {
        for (value, expected) in [
            ("-3", "Number(-3)"),
            ("18446744073709551615", "Other"),
            ("1.5", "Other"),
            ("true", "Other"),
            ("{}", "Other"),
            ("[]", "Other"),
            ("null", "Null"),
        ] {
            check(&format!(r#"{{"type":{value}}}"#), &format!("[(0, {expected})]"));
        }
    }
}
