//! Ids: a time and 74 random bits.

use std::io;

use hookgate_core::time::Timestamp;
use uuid::Uuid;

/// A small generator (xoshiro256++ 1.0, Blackman and Vigna, public domain), seeded by
/// the system. Ids are unique, not secret.
#[derive(Debug)]
pub(crate) struct Random([u64; 4]);

impl Random {
    /// Seeds it.
    pub(crate) fn new() -> io::Result<Self> {
        let mut seed = [0; 32];
        fill(&mut seed)?;
        let (words, _) = seed.as_chunks::<8>();
        let mut state = [0x9e37_79b9_7f4a_7c15; 4];
        state.iter_mut().zip(words).for_each(|(to, from)| *to ^= u64::from_le_bytes(*from));
        Ok(Self(state))
    }

    pub(crate) fn next(&mut self) -> u64 {
        let [a, b, c, d] = self.0;
        let result = a.wrapping_add(d).rotate_left(23).wrapping_add(a);
        let (c, d) = (c ^ a, d ^ b);
        self.0 = [a ^ d, b ^ c, c ^ (b << 17), d.rotate_left(45)];
        // The order of the original: c and d are mixed first, then b and a.
        result
    }

    /// A UUID of version 7 for what happened `at`.
    pub(crate) fn id(&mut self, at: Timestamp) -> Uuid {
        let (high, low) = (self.next().to_le_bytes(), self.next().to_le_bytes());
        let mut bytes = [0; 10];
        bytes.iter_mut().zip(high.iter().chain(&low)).for_each(|(to, from)| *to = *from);
        let millis = u64::try_from(at.millis()).unwrap_or(0);
        uuid::Builder::from_unix_timestamp_millis(millis, &bytes).into_uuid()
    }
}

/// Random bytes of the system, for keys.
pub(crate) fn fill(bytes: &mut [u8]) -> io::Result<()> {
    getrandom::fill(bytes).map_err(|error| io::Error::other(error.to_string()))
}

/// A UUID of version 7 for what happened `at`, without a generator at hand.
pub(crate) fn id(at: Timestamp) -> io::Result<Uuid> {
    let mut bytes = [0; 10];
    fill(&mut bytes)?;
    let millis = u64::try_from(at.millis()).unwrap_or(0);
    Ok(uuid::Builder::from_unix_timestamp_millis(millis, &bytes).into_uuid())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ids_are_of_version_7_ordered_by_time_and_never_the_same() {
        let mut random = Random::new().unwrap();
        let mut seen = HashSet::new();
        let mut before = Uuid::nil();
        for millis in 1..2_000 {
            let at = Timestamp::from_millis(1_800_000_000_000 + millis);
            let id = random.id(at);
            assert_eq!(id.get_version_num(), 7);
            assert!(id > before, "{id} is not behind {before}");
            before = id;
            for _ in 0..10 {
                assert!(seen.insert(random.id(at)), "the same id twice");
            }
        }
    }

    #[test]
    fn it_is_the_published_generator() {
        // The first outputs of xoshiro256++ for the state 1, 2, 3, 4.
        let mut random = Random([1, 2, 3, 4]);
        assert_eq!(random.next(), 41_943_041);
        assert_eq!(random.next(), 58_720_359);
        assert_eq!(random.next(), 3_588_806_011_781_223);
    }
}
