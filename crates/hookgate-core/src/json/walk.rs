//! The walk over a body: where it stands, what is open around it, and what it found.

use super::scalar::Scalar;
use super::{
    DEPTH_MAX, Field, Fields, OBJECT_KEYS_MAX, PATHS_MAX, Path, TEXT_BYTES_MAX, Unreadable,
};

/// Where the walk stands in the grammar (RFC 8259).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// The root must follow, an object.
    Root,
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
    /// Inside a text: see [`Scalar`].
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
    pub(super) scalar: Scalar,
    fields: Fields,
}

impl<'p> Walk<'p> {
    pub(super) fn new(paths: &'p [Path]) -> Self {
        debug_assert!(paths.len() <= PATHS_MAX, "a bit stands for each path");
        Self {
            paths,
            state: State::Root,
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
        while let Some((&byte, tail)) = rest.split_first() {
            rest = match self.state {
                State::Text => self.text(rest)?,
                State::Escape => self.escape(byte, tail)?,
                State::Unicode => self.unicode(byte, tail)?,
                State::Number => self.number(rest)?,
                State::Literal => self.literal(byte, tail)?,
                _ => self.run(rest)?,
            };
        }
        Ok(())
    }

    /// What was found, if the body is complete.
    pub(super) fn finish(self) -> Result<Fields, Unreadable> {
        // A number has no end of its own, but the root is an object, so none is open here.
        if self.state == State::Done { Ok(self.fields) } else { Err(Unreadable::NotJson) }
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
        if let Some(outer) = self.outer.last() {
            self.inner = *outer;
            self.outer.truncate(self.outer.len().wrapping_sub(1));
        }
        if self.outer.is_empty() { State::Done } else { State::AfterValue }
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
    pub(super) fn key<'b>(
        &mut self,
        hash: u64,
        key: impl FnOnce() -> &'b [u8],
    ) -> Result<(), Unreadable> {
        let mark = 1_u64.rotate_left((hash & 63) as u32);
        if self.inner.seen & mark != 0 {
            self.check_siblings(hash)?;
        }
        if self.keys.len().wrapping_sub(self.inner.first_key) >= OBJECT_KEYS_MAX {
            return Err(Unreadable::TooManyKeys);
        }
        self.inner.seen |= mark;
        self.keys.push(hash);
        self.next = if self.inner.open == 0 { 0 } else { self.narrow_paths(key()) };
        Ok(())
    }

    /// Another key of the object may be the same.
    #[cold]
    #[inline(never)]
    fn check_siblings(&self, hash: u64) -> Result<(), Unreadable> {
        let siblings = self.keys.get(self.inner.first_key..).unwrap_or_default();
        if siblings.contains(&hash) { Err(Unreadable::DuplicateKey) } else { Ok(()) }
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
