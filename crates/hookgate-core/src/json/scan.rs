//! Looks at the bytes of a text several at a time: where it ends, and what a key's hash is.

use super::KEY_BYTES_MAX;

/// What of `bytes` is before the `tail` of them.
#[inline]
pub(super) fn before<'b>(bytes: &'b [u8], tail: &[u8]) -> &'b [u8] {
    bytes.get(..bytes.len().wrapping_sub(tail.len())).unwrap_or_default()
}

/// What follows those bytes at the front that can stand in a text as they are: the first
/// quote, backslash or control character and what is behind it.
#[inline]
pub(super) fn behind_plain(bytes: &[u8]) -> &[u8] {
    // Many texts end in the first word.
    match bytes.first_chunk().map(|word| specials(u64::from_le_bytes(*word))) {
        Some(marks) if marks != 0 => from_first(marks, bytes),
        _ => behind_long(bytes),
    }
}

#[inline(never)]
fn behind_long(bytes: &[u8]) -> &[u8] {
    let mut rest = bytes;
    while let Some((block, tail)) = rest.split_first_chunk::<32>()
        && !has_special(block)
    {
        rest = tail;
    }
    while let Some((word, tail)) = rest.split_first_chunk() {
        let marks = specials(u64::from_le_bytes(*word));
        if marks != 0 {
            return from_first(marks, rest);
        }
        rest = tail;
    }
    let index = rest.iter().position(|it| is_special(*it)).unwrap_or(rest.len());
    rest.get(index..).unwrap_or_default()
}

/// The same behind the quote that opens a key, and the key's hash if a quote ends it. Of a
/// key that is too long, or ends with the piece, nothing is told.
#[inline]
pub(super) fn behind_key(bytes: &[u8]) -> (u64, &[u8]) {
    if let Some(word) = bytes.first_chunk()
        && let word = u64::from_le_bytes(*word)
        && let marks = specials(word)
        && marks != 0
    {
        (mix(0, word & up_to_first(marks)), from_first(marks, bytes))
    } else {
        behind_long_key(bytes)
    }
}

#[inline(never)]
fn behind_long_key(bytes: &[u8]) -> (u64, &[u8]) {
    let (mut hash, mut rest) = (0, bytes);
    while let Some((word, tail)) = rest.split_first_chunk() {
        let word = u64::from_le_bytes(*word);
        let marks = specials(word);
        if marks != 0 {
            let end = from_first(marks, rest);
            let is_too_long = bytes.len().wrapping_sub(end.len()) > KEY_BYTES_MAX;
            return (mix(hash, word & up_to_first(marks)), if is_too_long { b"" } else { end });
        }
        hash = mix(hash, word);
        rest = tail;
    }
    (0, b"")
}

/// Marks, by its highest bit, the first byte of eight that cannot stand in a text as it is.
/// Bytes behind it may be marked without reason.
#[inline]
fn specials(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    // A byte from which more is taken than it has gets its highest bit set, unless it had it
    // before; what is missing is taken from the bytes behind it.
    // To flip their second bit leaves the control characters among themselves and makes the
    // quote the next one above them.
    let quote_or_control = (word ^ ONES.wrapping_mul(0x02)).wrapping_sub(ONES.wrapping_mul(0x21));
    let backslash = (word ^ ONES.wrapping_mul(0x5c)).wrapping_sub(ONES);
    (quote_or_control | backslash) & !word & ONES.wrapping_mul(0x80)
}

/// What of `bytes` begins at the first byte that is marked.
#[inline]
fn from_first(marks: u64, bytes: &[u8]) -> &[u8] {
    bytes.get((marks.trailing_zeros() >> 3) as usize..).unwrap_or_default()
}

/// The bits of the first byte that is marked and of those before it.
#[inline]
fn up_to_first(marks: u64) -> u64 {
    marks ^ marks.wrapping_sub(1)
}

/// Whether one of the bytes cannot stand in a text as it is.
#[inline]
fn has_special(block: &[u8; 32]) -> bool {
    // Without an early end, so that the compiler compares many bytes at once.
    block.iter().fold(0_u8, |any, it| any | if is_special(*it) { 0xff } else { 0 }) != 0
}

#[inline]
fn is_special(byte: u8) -> bool {
    // As above: a quote or control character, or a backslash.
    byte ^ 0x02 < 0x21 || byte == b'\\'
}

/// A quick hash of a key and the quote behind it, eight bytes at a time. The quote tells a
/// key from one that ends in zeros. A collision makes two keys look like one: the request,
/// which its sender signed, is refused then. So a hash that an adversary can collide does
/// no harm.
pub(super) fn hash(key: &[u8]) -> u64 {
    let (words, rest) = key.as_chunks();
    let hash = words.iter().fold(0, |hash, word| mix(hash, u64::from_le_bytes(*word)));
    let last = rest.iter().rev().fold(u64::from(b'"'), |word, byte| word << 8 | u64::from(*byte));
    mix(hash, last)
}

#[inline]
fn mix(hash: u64, word: u64) -> u64 {
    // Both halves of the product: each bit of the word reaches most of the bits.
    let (low, high) = (hash ^ word).carrying_mul(0x9e37_79b9_7f4a_7c15, 0);
    low ^ high
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_ends_at_the_first_byte_that_cannot_stand_in_it() {
        for length in 0..80 {
            for end in 0..=u8::MAX {
                let ends = matches!(end, b'"' | b'\\' | 0..0x20);
                let text = [vec![b'x'; length], vec![end], b"yyyyyyyyyyyyyyyy\"".to_vec()].concat();
                let expected = if ends { length } else { text.len() - 1 };
                assert_eq!(behind_plain(&text), &text[expected..], "{end} behind {length}");
            }
            let text = vec![0xff; length];
            assert_eq!(behind_plain(&text), b"", "{length}");
        }
    }

    #[test]
    fn a_key_has_the_same_hash_in_a_body_and_alone() {
        for length in 0..40 {
            let key: Vec<u8> = (0..length).map(|it| b'a' + it % 26).collect();
            for behind in ["\"       ", "\":1}\0\0\0\0\0", "\":\"something longer than a word\"}"] {
                let text = [&key, behind.as_bytes()].concat();
                assert_eq!(behind_key(&text), (hash(&key), behind.as_bytes()), "{length} {behind}");
            }
        }
    }

    #[test]
    fn keys_that_differ_little_have_different_hashes() {
        let digits = b'0'..=b'9';
        let letters = b'a'..=b'z';
        let mut hashes = std::collections::HashMap::new();
        for (one, other) in (0..24).flat_map(|one| (0..one).map(move |other| (one, other))) {
            for (digit, letter) in
                digits.clone().flat_map(|it| letters.clone().map(move |letter| (it, letter)))
            {
                for length in [one + 1, 24] {
                    let mut key = b"a_key_that_has_28_letter"[..length].to_vec();
                    (key[one], key[other]) = (digit, letter);
                    let hash = hash(&key);
                    let before = hashes.entry(hash).or_insert_with(|| key.clone());
                    assert_eq!(*before, key, "{}", String::from_utf8_lossy(&key));
                }
            }
        }
    }
}
