//! Reads a JSON body once, strictly, and takes out the few fields a provider names.
//!
//! The whole body is walked: it must be one JSON object, and no object in it may name a
//! key twice. A second parser that resolved such a key otherwise could be told another
//! owner than we were, so a duplicate is refused, not resolved. Keys are compared after
//! their escapes are decoded: `"\u0069d"` is `"id"`.
//!
//! Everything that decides about a request (its owner, its type, its answer) comes from
//! this walk and from nowhere else. It is our own because of that: it takes a body whole or
//! in pieces with the same code, does not recurse, and costs less than half of what a walk
//! through serde does (which cannot see a key named twice unless it visits every value).
//!
//! `walk` knows where the walk stands, what is open and what was found. `run` goes from token
//! to token and takes whole ones; `scalar` reads on byte by byte in those that `run` leaves;
//! `scan` looks at eight bytes and more together. `text` is for later: it reads one long text out
//! of a body that was walked.

mod run;
mod scalar;
mod scan;
#[cfg(test)]
mod tests;
pub mod text;
mod walk;

use std::io::Read;

use self::walk::Walk;

/// How deep objects and lists may be nested, as in `serde_json`.
pub const DEPTH_MAX: usize = 127;

/// Keys in one object. The providers' largest objects have some hundred; the bound keeps
/// the search for duplicates cheap.
pub const OBJECT_KEYS_MAX: usize = 4096;

/// The longest key, in bytes. Keys are words; the bound keeps one out of memory that is not.
pub const KEY_BYTES_MAX: usize = 4096;

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
    /// Not JSON, or nested deeper than [`DEPTH_MAX`].
    #[error("the body is not JSON")]
    NotJson,
    /// JSON, but not an object.
    #[error("the body is JSON, but not an object")]
    NotAnObject,
    /// An object names a key twice.
    #[error("an object in the body names a key twice")]
    DuplicateKey,
    /// An object has more than [`OBJECT_KEYS_MAX`] keys, or one beyond [`KEY_BYTES_MAX`].
    #[error("an object in the body has too many keys, or too long ones")]
    TooManyKeys,
}

/// Takes the fields at `paths` out of a body in memory.
///
/// # Errors
///
/// [`Unreadable`]: keep the request in quarantine and answer that its JSON is invalid.
pub fn extract(body: &[u8], paths: &[Path]) -> Result<Fields, Unreadable> {
    let text = std::str::from_utf8(body).map_err(|_| Unreadable::NotJson)?;
    let mut walk = Walk::new(paths);
    walk.feed(text)?;
    walk.finish()
}

/// The same for a body that is too large for memory.
///
/// # Errors
///
/// As [`extract`]; a failed read counts as [`Unreadable::NotJson`].
pub fn extract_from(mut body: impl Read, paths: &[Path]) -> Result<Fields, Unreadable> {
    let mut walk = Walk::new(paths);
    let mut buffer = vec![0; PIECE_BYTES];
    let mut kept = 0;
    loop {
        let room = buffer.get_mut(kept..).unwrap_or_default();
        let read = body.read(room).map_err(|_| Unreadable::NotJson)?;
        let filled = kept.saturating_add(read);
        let piece = buffer.get(..filled).unwrap_or_default();
        // A piece may end inside a character: what of it is there waits for the rest.
        let whole = match std::str::from_utf8(piece) {
            Ok(text) => text.len(),
            Err(fault) if fault.error_len().is_none() && read > 0 => fault.valid_up_to(),
            Err(_) => return Err(Unreadable::NotJson),
        };
        let text = piece.get(..whole).unwrap_or_default();
        walk.feed(std::str::from_utf8(text).map_err(|_| Unreadable::NotJson)?)?;
        if read == 0 {
            return walk.finish();
        }
        buffer.copy_within(whole..filled, 0);
        kept = filled.saturating_sub(whole);
    }
}

/// How much of a large body is in memory at a time.
const PIECE_BYTES: usize = 64 * 1024;
