//! What a node keeps on its own disk, so that it can start while the database is away: sealed
//! with a master key directly, because the data keys are in the database.

use std::io;

use crate::key::MasterKeys;
use crate::seal::{self, NotOpened, Purpose};
use crate::value::SecretValue;

impl MasterKeys {
    /// Seals what a node keeps, for what `label` names: with the first key.
    ///
    /// # Errors
    ///
    /// The operating system gives no random bytes.
    pub fn seal_for_node(&self, label: &str, value: &[u8]) -> io::Result<Vec<u8>> {
        seal::seal(&self.first().key, Purpose::Node { label }, value)
    }

    /// Opens what was sealed for the same label with any of the keys.
    ///
    /// # Errors
    ///
    /// [`NotOpened`]: it was changed, is for something else, or is another installation's.
    pub fn open_for_node(&self, label: &str, sealed: &[u8]) -> Result<SecretValue, NotOpened> {
        let mut last = NotOpened::Wrong;
        for key in self.all() {
            match seal::open(&key.key, Purpose::Node { label }, sealed) {
                Ok(opened) => return Ok(SecretValue::new(opened)),
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_node_keeps_opens_with_the_keys_of_its_installation_for_its_label_alone() {
        let (keys, text) = MasterKeys::generate().unwrap();
        let (other, other_text) = MasterKeys::generate().unwrap();
        let sealed = keys.seal_for_node("cache", b"value").unwrap();
        assert_eq!(keys.open_for_node("cache", &sealed).unwrap().expose(), b"value");
        assert!(keys.open_for_node("other", &sealed).is_err());
        assert!(other.open_for_node("cache", &sealed).is_err());
        // The key was rotated: the old one still opens.
        let rotated = MasterKeys::parse(&format!("{} {}", *other_text, *text)).unwrap();
        assert_eq!(rotated.open_for_node("cache", &sealed).unwrap().expose(), b"value");
    }
}
