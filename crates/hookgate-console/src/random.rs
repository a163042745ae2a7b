//! Random texts and bytes.

use std::io;

use crate::problem::Problem;

/// The letters and digits of Crockford's base 32: none is mistaken for another.
const BASE32: [u8; 32] = *b"0123456789abcdefghjkmnpqrstvwxyz";

/// So many characters, each of 5 random bits.
pub(crate) fn base32(chars: usize) -> Result<String, Problem> {
    let mut bytes = vec![0; chars];
    fill(&mut bytes)?;
    let letter = |byte: u8| BASE32.get(usize::from(byte & 31)).copied().map(char::from);
    Ok(bytes.into_iter().filter_map(letter).collect())
}

/// Fills these with random bytes.
pub(crate) fn fill(bytes: &mut [u8]) -> Result<(), Problem> {
    getrandom::fill(bytes).map_err(|error| {
        Problem::failed("drawing random bytes", &io::Error::other(error.to_string()))
    })
}
