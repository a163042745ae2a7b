//! Master keys, which wrap data keys, and data keys, which seal values.

use std::fmt;
use std::io;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

/// The length of every key, in bytes: AES-256.
pub(crate) const KEY_BYTES: usize = 32;

/// Master keys in force at the same time. One is enough, two while they are rotated.
pub const MASTER_KEYS_MAX: usize = 16;

/// What the id of a master key is the digest of, before the key. It is no other digest of
/// the key that anybody could come by.
const ID_CONTEXT: &[u8] = b"hookgate master key id v1\0";

/// A key. On the heap, so that moving it leaves no copy behind.
#[derive(Clone)]
pub(crate) struct Key(Arc<Zeroizing<[u8; KEY_BYTES]>>);

impl Key {
    /// A key from the operating system's generator.
    pub(crate) fn draw() -> io::Result<Self> {
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        fill(key.as_mut_slice())?;
        Ok(Self(Arc::new(key)))
    }

    pub(crate) fn from_slice(bytes: &[u8]) -> Option<Self> {
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        if bytes.len() != KEY_BYTES {
            return None;
        }
        key.copy_from_slice(bytes);
        Some(Self(Arc::new(key)))
    }

    pub(crate) fn expose(&self) -> &[u8] {
        self.0.as_slice()
    }
}

/// Which master key it is. Says nothing about the key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct MasterId(pub(crate) [u8; 8]);

impl fmt::Display for MasterId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|it| write!(out, "{it:02x}"))
    }
}

impl fmt::Debug for MasterId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

/// A master key and its id.
#[derive(Clone)]
pub(crate) struct MasterKey {
    pub(crate) id: MasterId,
    pub(crate) key: Key,
}

impl MasterKey {
    fn new(key: Key) -> Self {
        let digest = Sha256::new().chain_update(ID_CONTEXT).chain_update(key.expose()).finalize();
        let mut id = [0; 8];
        id.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
        Self { id: MasterId(id), key }
    }
}

/// The operator's master keys: the first seals, all open. They print as nothing and are
/// wiped from memory when they go.
#[derive(Clone)]
pub struct MasterKeys {
    first: MasterKey,
    others: Vec<MasterKey>,
}

/// A text that holds no master keys. Says which of them is wrong and never what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotMasterKeys {
    /// There is nothing but white space.
    #[error("there is no master key: it is the base64 of 32 random bytes")]
    Empty,
    /// This one (the first is 1) is something else.
    #[error("master key {number} is not the base64 of 32 bytes")]
    Malformed {
        /// Which one.
        number: usize,
    },
    /// There are more than [`MASTER_KEYS_MAX`].
    #[error("there are more than {MASTER_KEYS_MAX} master keys")]
    TooMany,
}

impl MasterKeys {
    /// Reads keys as configuration gives them: each the base64 of 32 bytes, several
    /// separated by white space.
    ///
    /// # Errors
    ///
    /// Which key is wrong.
    pub fn parse(text: &str) -> Result<Self, NotMasterKeys> {
        let mut keys = Vec::new();
        for (word, number) in text.split_whitespace().zip(1..) {
            if number > MASTER_KEYS_MAX {
                return Err(NotMasterKeys::TooMany);
            }
            let malformed = NotMasterKeys::Malformed { number };
            let bytes = Zeroizing::new(STANDARD.decode(word).map_err(|_| malformed)?);
            keys.push(MasterKey::new(Key::from_slice(&bytes).ok_or(malformed)?));
        }
        let mut keys = keys.into_iter();
        let first = keys.next().ok_or(NotMasterKeys::Empty)?;
        Ok(Self { first, others: keys.collect() })
    }

    /// A new key, and its text for whoever keeps it.
    ///
    /// # Errors
    ///
    /// The operating system gives no random bytes.
    pub fn generate() -> io::Result<(Self, Zeroizing<String>)> {
        let key = Key::draw()?;
        let text = Zeroizing::new(STANDARD.encode(key.expose()));
        Ok((Self { first: MasterKey::new(key), others: Vec::new() }, text))
    }

    /// The key that seals.
    pub(crate) fn first(&self) -> &MasterKey {
        &self.first
    }

    /// The key of this id.
    pub(crate) fn find(&self, id: MasterId) -> Option<&MasterKey> {
        self.all().find(|it| it.id == id)
    }

    /// All of them, the one that seals first.
    pub(crate) fn all(&self) -> impl Iterator<Item = &MasterKey> {
        std::iter::once(&self.first).chain(&self.others)
    }
}

impl fmt::Debug for MasterKeys {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("MasterKeys")
    }
}

/// Random bytes of the operating system.
pub(crate) fn fill(bytes: &mut [u8]) -> io::Result<()> {
    getrandom::fill(bytes).map_err(|error| io::Error::other(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(byte: u8) -> String {
        STANDARD.encode([byte; KEY_BYTES])
    }

    #[test]
    fn the_first_key_seals_and_all_are_found() {
        let keys = MasterKeys::parse(&format!("\n{}  {}\t\n", text(1), text(2))).unwrap();
        assert_eq!(keys.first().key.expose(), [1; KEY_BYTES]);
        let alone = MasterKeys::parse(&text(2)).unwrap();
        let found = keys.find(alone.first().id).unwrap();
        assert_eq!(found.key.expose(), [2; KEY_BYTES]);
        assert!(alone.find(keys.first().id).is_none());
    }

    #[test]
    fn an_id_is_the_digest_of_context_and_key() {
        // printf 'hookgate master key id v1\0' with 32 bytes of 0x01 behind it | sha256sum
        let keys = MasterKeys::parse(&text(1)).unwrap();
        assert_eq!(keys.first().id.to_string(), "60287e443641a6f7");
    }

    #[test]
    fn what_is_no_key_is_refused_with_its_place_and_without_itself() {
        let short = STANDARD.encode([7; 31]);
        let rows = [
            (String::new(), NotMasterKeys::Empty),
            (" \n".to_owned(), NotMasterKeys::Empty),
            ("canary!".to_owned(), NotMasterKeys::Malformed { number: 1 }),
            (short.clone(), NotMasterKeys::Malformed { number: 1 }),
            (format!("{} {short}", text(1)), NotMasterKeys::Malformed { number: 2 }),
            (text(1).replace('=', ""), NotMasterKeys::Malformed { number: 1 }),
            (STANDARD.encode([7; 33]), NotMasterKeys::Malformed { number: 1 }),
            (vec![text(1); MASTER_KEYS_MAX + 1].join(" "), NotMasterKeys::TooMany),
        ];
        for (input, expected) in rows {
            let error = MasterKeys::parse(&input).unwrap_err();
            assert_eq!(error, expected);
            assert!(!error.to_string().contains("canary"));
        }
        assert!(MasterKeys::parse(&vec![text(1); MASTER_KEYS_MAX].join(" ")).is_ok());
    }

    #[test]
    fn a_new_key_is_random_and_its_text_is_read_again() {
        let (one, text) = MasterKeys::generate().unwrap();
        let (other, _) = MasterKeys::generate().unwrap();
        assert_ne!(one.first().key.expose(), other.first().key.expose());
        let read = MasterKeys::parse(&text).unwrap();
        assert_eq!(read.first().key.expose(), one.first().key.expose());
        assert_eq!(format!("{one:?}"), "MasterKeys");
    }
}
