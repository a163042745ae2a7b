//! What a write waits for: a row that says it may be done, and the key that it is done under.

use hookgate_store::Registry;
use tokio::sync::SetOnce;

/// The right to write. Reading needs none, so a call reads while its row is on its way to the
/// disk. Who never gets the key never writes.
#[derive(Debug)]
pub(crate) struct Permit<'a> {
    key: SetOnce<String>,
    /// Where the row is on its way.
    registry: Option<&'a Registry>,
}

impl<'a> Permit<'a> {
    /// One for a call whose row is on its way there.
    pub(crate) fn new(registry: &'a Registry) -> Self {
        Self { key: SetOnce::new(), registry: Some(registry) }
    }

    /// One for a call that is on record already, to write under `key`.
    pub(crate) fn granted(key: String) -> Self {
        Self { key: SetOnce::new_with(Some(key)), registry: None }
    }

    /// Lets the call write under `key`. The first key stays.
    pub(crate) fn grant(&self, key: String) {
        // Who has a key writes under it, and under no other.
        let _ = self.key.set(key);
    }

    /// The key under which the service knows a repetition, once there is one: from here on
    /// the call waits for it.
    pub(crate) async fn key(&self) -> &str {
        if let (None, Some(registry)) = (self.key.get(), self.registry) {
            registry.hurry();
        }
        self.key.wait().await
    }
}
