//! Says of most keys at once that they are not in the repetition table.
//!
//! Layers of a blocked Bloom filter. A full layer is kept and a larger one begun, so that
//! growing never reads the table again; the next start makes one layer of them.

/// The first layer, in keys: 1.25 MiB.
const FIRST_KEYS: usize = 1 << 20;

/// Bits for a key: with seven of them set in one block, about one strange key in fifty
/// asks the table for nothing.
const BITS_PER_KEY: usize = 10;

/// Bits set for a key.
const BITS_SET: u32 = 7;

/// Words of a block: 512 bits, one line of cache.
const BLOCK_WORDS: usize = 8;

/// A key: a piece of a SHA-256, so any of its bits are as good as random.
pub(crate) type Key = [u8; 16];

/// A set of keys that may say yes too often.
#[derive(Debug, Default)]
pub(crate) struct Bloom {
    layers: Vec<Layer>,
}

#[derive(Debug)]
struct Layer {
    blocks: Vec<[u64; BLOCK_WORDS]>,
    keys: usize,
    keys_max: usize,
}

impl Bloom {
    /// Room for so many keys in the first layer.
    pub(crate) fn with_capacity(keys: usize) -> Self {
        Self { layers: vec![Layer::new(keys.max(FIRST_KEYS))] }
    }

    pub(crate) fn insert(&mut self, key: &Key) {
        let full = self.layers.last().is_none_or(|it| it.keys >= it.keys_max);
        if full {
            let keys_max =
                self.layers.last().map_or(FIRST_KEYS, |it| it.keys_max.saturating_mul(2));
            self.layers.push(Layer::new(keys_max));
        }
        if let Some(layer) = self.layers.last_mut() {
            layer.insert(key);
        }
    }

    /// False: it was never inserted.
    pub(crate) fn may_contain(&self, key: &Key) -> bool {
        self.layers.iter().any(|it| it.may_contain(key))
    }
}

impl Layer {
    fn new(keys_max: usize) -> Self {
        let blocks = keys_max.saturating_mul(BITS_PER_KEY).div_ceil(BLOCK_WORDS * 64).max(1);
        Self { blocks: vec![[0; BLOCK_WORDS]; blocks], keys: 0, keys_max }
    }

    fn insert(&mut self, key: &Key) {
        let (at, pattern) = (self.block(key), pattern(key));
        if let Some(block) = self.blocks.get_mut(at) {
            block.iter_mut().zip(pattern).for_each(|(word, bits)| *word |= bits);
        }
        self.keys = self.keys.saturating_add(1);
    }

    fn may_contain(&self, key: &Key) -> bool {
        let Some(block) = self.blocks.get(self.block(key)) else { return true };
        block.iter().zip(pattern(key)).all(|(word, bits)| word & bits == bits)
    }

    /// Scales the first half of the key to the count of blocks.
    fn block(&self, key: &Key) -> usize {
        let [first, _] = halves(key);
        let scaled = (u128::from(first) * self.blocks.len() as u128) >> 64;
        usize::try_from(scaled).unwrap_or(0)
    }
}

/// The bits of a key in its block: nine bits of its second half say where each stands.
fn pattern(key: &Key) -> [u64; BLOCK_WORDS] {
    let [_, second] = halves(key);
    let mut pattern = [0; BLOCK_WORDS];
    for index in 0..BITS_SET {
        let bit = (second >> (index * 9)) & 511;
        if let Some(word) = usize::try_from(bit / 64).ok().and_then(|it| pattern.get_mut(it)) {
            *word |= 1_u64 << (bit % 64);
        }
    }
    pattern
}

fn halves(key: &Key) -> [u64; 2] {
    let (words, _) = key.as_chunks::<8>();
    match words {
        [first, second] => [u64::from_le_bytes(*first), u64::from_le_bytes(*second)],
        _ => [0, 0],
    }
}

#[cfg(test)]
mod tests {
    use hookgate_core::digest::sha256;

    use super::*;

    fn key(number: u32) -> Key {
        *sha256(&number.to_le_bytes()).first_chunk().unwrap()
    }

    #[test]
    fn it_forgets_nothing_and_rarely_imagines_something() {
        let mut bloom = Bloom { layers: vec![Layer::new(10_000)] };
        (0..25_000).for_each(|it| bloom.insert(&key(it)));
        assert_eq!(bloom.layers.len(), 2, "a second layer was begun");
        assert!((0..25_000).all(|it| bloom.may_contain(&key(it))));
        let imagined = (100_000..200_000).filter(|it| bloom.may_contain(&key(*it))).count();
        assert!(imagined < 5_000, "{imagined} of 100,000 strange keys");
    }
}
