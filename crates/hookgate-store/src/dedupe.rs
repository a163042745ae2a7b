//! Which events are known: what makes a repetition recognisable.
//!
//! The youngest keys are in memory with what they stand for. A full generation is frozen
//! and merged into the table `dedupe` of the index; from then on a [`Bloom`] filter tells
//! new keys from old ones, so that a new event asks no table.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use uuid::Uuid;

use crate::bloom::Bloom;
pub(crate) use crate::bloom::Key;

/// Frozen generations that may wait to be merged; then appending waits.
const FROZEN_MAX: usize = 4;

/// An event that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) seq: u64,
    pub(crate) id: Uuid,
    /// The first half of its body's SHA-256; not kept over a restart.
    pub(crate) digest: Option<[u8; 16]>,
}

/// A generation of keys.
pub(crate) type Generation = HashMap<Key, Known, BuildHasherDefault<KeyHasher>>;

/// What is known of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lookup {
    /// It is new.
    New,
    /// It stands for this event.
    Known(Known),
    /// The table may know it.
    AskTable,
}

/// All keys.
#[derive(Debug)]
pub(crate) struct Dedupe {
    young: Generation,
    /// The oldest first.
    frozen: VecDeque<Arc<Generation>>,
    table: Bloom,
    keys_max: usize,
    /// Keys in the table.
    table_keys: u64,
    /// Counts how often a generation went into the table: whoever asked the table
    /// without the lock knows by it whether the answer is still good.
    pub(crate) merges: u64,
}

impl Dedupe {
    /// Knows what is in the table by `table`, and nothing else yet.
    pub(crate) fn new(keys_max: usize, table: Bloom, table_keys: u64) -> Self {
        Self {
            young: fresh(keys_max),
            frozen: VecDeque::new(),
            table,
            keys_max,
            table_keys,
            merges: 0,
        }
    }

    pub(crate) fn lookup(&self, key: &Key) -> Lookup {
        let mut generations =
            std::iter::once(&self.young).chain(self.frozen.iter().map(|it| &**it));
        match generations.find_map(|it| it.get(key)) {
            Some(known) => Lookup::Known(*known),
            None if self.table.may_contain(key) => Lookup::AskTable,
            None => Lookup::New,
        }
    }

    /// Notes what a key stands for, instead of what it stood for.
    pub(crate) fn insert(&mut self, key: Key, known: Known) {
        if self.young.len() >= self.keys_max {
            let full = std::mem::replace(&mut self.young, fresh(self.keys_max));
            self.frozen.push_back(Arc::new(full));
        }
        self.young.insert(key, known);
    }

    /// Whether more waits to be merged than may wait.
    pub(crate) fn is_behind(&self) -> bool {
        self.frozen.len() >= FROZEN_MAX
    }

    /// Forgets a key if it still stands for the event `seq`, which was not stored.
    pub(crate) fn forget(&mut self, key: &Key, seq: u64) {
        if self.young.get(key).is_some_and(|it| it.seq == seq) {
            self.young.remove(key);
        }
    }

    /// The oldest generation that waits to be merged.
    pub(crate) fn oldest_frozen(&self) -> Option<Arc<Generation>> {
        self.frozen.front().cloned()
    }

    /// Notes that these keys are in the table now. Those of a generation are noted piece
    /// by piece while it is still in memory.
    pub(crate) fn note_in_table<'a>(&mut self, keys: impl IntoIterator<Item = &'a Key>) {
        for key in keys {
            self.table.insert(key);
            self.table_keys = self.table_keys.saturating_add(1);
        }
    }

    /// Drops the oldest frozen generation: all of it is in the table.
    pub(crate) fn merged(&mut self) -> Option<Arc<Generation>> {
        self.merges = self.merges.wrapping_add(1);
        self.frozen.pop_front()
    }

    /// How many keys are in memory, and in the table.
    pub(crate) fn keys(&self) -> (u64, u64) {
        let frozen: usize = self.frozen.iter().map(|it| it.len()).sum();
        (self.young.len().saturating_add(frozen) as u64, self.table_keys)
    }
}

/// An empty generation with room for all its keys: growing would stop everyone who
/// waits for the lock. Memory that is not used yet is not taken from the system.
fn fresh(keys_max: usize) -> Generation {
    Generation::with_capacity_and_hasher(keys_max, BuildHasherDefault::default())
}

/// Takes the key for its hash: it is a piece of a SHA-256.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk() {
            self.0 ^= u64::from_le_bytes(*first);
        }
    }

    fn write_usize(&mut self, _length: usize) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(seq: u64) -> Known {
        Known { seq, id: Uuid::nil(), digest: None }
    }

    #[test]
    fn a_key_is_known_in_every_generation_and_in_the_table() {
        let mut dedupe = Dedupe::new(2, Bloom::default(), 0);
        for number in 0..5_u8 {
            assert_eq!(dedupe.lookup(&[number; 16]), Lookup::New);
            dedupe.insert([number; 16], known(number.into()));
        }
        for number in 0..5_u8 {
            assert_eq!(dedupe.lookup(&[number; 16]), Lookup::Known(known(number.into())));
        }
        let oldest = dedupe.oldest_frozen().unwrap();
        assert_eq!(oldest.len(), 2);
        dedupe.note_in_table(oldest.keys());
        dedupe.merged();
        assert_eq!(dedupe.lookup(&[0; 16]), Lookup::AskTable);
        assert_eq!(dedupe.lookup(&[4; 16]), Lookup::Known(known(4)));
        assert_eq!(dedupe.keys(), (3, 2));
    }

    #[test]
    fn only_what_was_not_stored_is_forgotten() {
        let mut dedupe = Dedupe::new(9, Bloom::default(), 0);
        dedupe.insert([1; 16], known(1));
        dedupe.insert([1; 16], known(2));
        dedupe.forget(&[1; 16], 1);
        assert_eq!(dedupe.lookup(&[1; 16]), Lookup::Known(known(2)));
        dedupe.forget(&[1; 16], 2);
        assert_eq!(dedupe.lookup(&[1; 16]), Lookup::New);
    }
}
