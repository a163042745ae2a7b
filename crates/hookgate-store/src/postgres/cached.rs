//! What a node needs to serve while its database is away when it starts: one sealed file on
//! its own disk.
//!
//! What holds:
//!
//! - **Sealed.** With the installation's master key; bound to the store and to the database
//!   by name. What the registry has sealed is sealed in it once more. Credentials and data keys
//!   of tenants are not in it: without the database nobody uses them.
//! - **Whole or ignored.** The file is replaced, never changed. One that does not open, or is
//!   another installation's, is as good as none, and said.
//! - **It says how old it is.** Who reads it decides what that means.
//! - **No answer "nobody's" is in it.** Who was not known may be known by now: that is left to
//!   be decided when the database is back.

use std::fmt;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use hookgate_core::attribution::{Conversation, Origin};
use hookgate_core::event::ClaimKind;
use hookgate_core::secret::MaskKey;
use hookgate_core::tenant::TenantId;
use hookgate_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::file;
use super::outage::Moment;
use crate::head::{self, Octets};
use crate::options::NodeSeal;
use crate::registry::image::Image;

/// How long changes gather before the file is written: it is written whole, and a bulk
/// import changes something a thousand times a second.
pub(crate) const WRITE_PAUSE: Duration = Duration::from_secs(3);

/// The first bytes of the file. Then the id of the store, then what is sealed.
const MAGIC: &[u8; 8] = b"HKCACHE1";

/// The format that is sealed.
const FORMAT: u8 = 1;

/// The largest file that is read, in bytes: a hundred thousand tenants with their tokens, and
/// the fullest cache, with room to spare.
const FILE_BYTES_MAX: u64 = 1 << 30;

/// What was known at a time.
pub(crate) struct Snapshot {
    /// Who the store is.
    pub(crate) store_id: Uuid,
    /// The key under which header tokens are hashed.
    pub(crate) mask_key: MaskKey,
    /// When it was known to be current last.
    pub(crate) at: Timestamp,
    /// Tenants, keys, URL tokens, sources, settings of tools, the installation's data key.
    pub(crate) memory: Image,
    /// Whose ids are, and conversations that are known, as far as they were in memory.
    pub(crate) ledger: LedgerImage,
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = out.debug_struct("Snapshot");
        out.field("store_id", &self.store_id).field("at", &self.at).finish_non_exhaustive()
    }
}

impl Snapshot {
    /// How old it is.
    pub(crate) fn age(&self, now: Timestamp) -> Duration {
        let millis = now.millis().saturating_sub(self.at.millis());
        Duration::from_millis(u64::try_from(millis).unwrap_or(0))
    }
}

/// What the ledger has in memory of who owns what; without what is nobody's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct LedgerImage {
    /// Provider, kind, id, owner.
    #[serde(rename = "o")]
    pub(crate) owners: Vec<(String, ClaimKind, String, TenantId)>,
    #[serde(rename = "c")]
    pub(crate) conversations: Vec<ConversationImage>,
}

/// A conversation that is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ConversationImage {
    #[serde(rename = "p")]
    pub(crate) provider: String,
    #[serde(rename = "x")]
    pub(crate) external_id: String,
    #[serde(rename = "t")]
    pub(crate) tenant: TenantId,
    #[serde(rename = "a", default)]
    pub(crate) agent_id: Option<String>,
    #[serde(rename = "n", default)]
    pub(crate) phone_number_id: Option<String>,
    #[serde(rename = "ad", default)]
    pub(crate) is_adopted: bool,
}

impl ConversationImage {
    pub(crate) fn new(provider: &str, external_id: &str, known: &Conversation) -> Self {
        Self {
            provider: provider.to_owned(),
            external_id: external_id.to_owned(),
            tenant: known.tenant.clone(),
            agent_id: known.agent_id.clone(),
            phone_number_id: known.phone_number_id.clone(),
            is_adopted: known.origin == Origin::Adopted,
        }
    }

    pub(crate) fn conversation(&self) -> Conversation {
        Conversation {
            tenant: self.tenant.clone(),
            agent_id: self.agent_id.clone(),
            phone_number_id: self.phone_number_id.clone(),
            origin: if self.is_adopted { Origin::Adopted } else { Origin::Registered },
        }
    }
}

/// What is sealed.
#[derive(Serialize, Deserialize)]
struct Content {
    #[serde(rename = "v")]
    format: u8,
    #[serde(rename = "mk")]
    mask_key: Octets<32>,
    #[serde(rename = "at")]
    at: Timestamp,
    #[serde(rename = "m")]
    memory: Image,
    #[serde(rename = "l", default)]
    ledger: LedgerImage,
}

/// The file.
pub(crate) struct CacheFile {
    path: PathBuf,
    /// Which database it is about: host, port and name, without any password.
    database: String,
    seal: NodeSeal,
}

impl fmt::Debug for CacheFile {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("CacheFile").field("path", &self.path).finish_non_exhaustive()
    }
}

/// Why a file is as good as none.
#[derive(Debug, thiserror::Error)]
enum Unusable {
    #[error("it is not there")]
    Missing,
    #[error("the file `cache` cannot be read")]
    Io(#[source] io::Error),
    #[error("the file `cache` is damaged: it is none of ours, or larger than one can be")]
    NoSuch,
    #[error("the file `cache` does not open: it is damaged, or another installation's")]
    Sealed,
    #[error("another version of hookgate wrote the file `cache`")]
    Format,
}

impl CacheFile {
    /// The file at `path`, about the database that is called so.
    pub(crate) fn new(path: PathBuf, database: String, seal: NodeSeal) -> Self {
        Self { path, database, seal }
    }

    fn label(&self, store_id: Uuid) -> String {
        format!("store {store_id} in {}", self.database)
    }

    /// Replaces the file, durably. Blocks.
    ///
    /// # Errors
    ///
    /// What the file system says. The old file is there then.
    pub(crate) fn write(&self, snapshot: Snapshot) -> io::Result<()> {
        let mask_key = snapshot.mask_key.expose().try_into();
        let mask_key = mask_key.map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
        let content = Content {
            format: FORMAT,
            mask_key: Octets(mask_key),
            at: snapshot.at,
            memory: snapshot.memory,
            ledger: snapshot.ledger,
        };
        let mut bytes = Vec::new();
        head::encode(&content, &mut bytes);
        let sealed = (self.seal.seal)(&self.label(snapshot.store_id), &bytes)?;
        let whole = [MAGIC.as_slice(), snapshot.store_id.as_bytes(), &sealed].concat();
        file::replace(&self.path, &whole)
    }

    /// What the file has. One that is unusable is as good as none, and said. Blocks.
    pub(crate) fn read(&self) -> Option<Snapshot> {
        match self.try_read() {
            Ok(snapshot) => Some(snapshot),
            Err(Unusable::Missing) => None,
            Err(error) => {
                tracing::warn!(
                    error = %error,
                    cause = std::error::Error::source(&error).map(tracing::field::display),
                    "what was known when the database was there last is not used"
                );
                None
            }
        }
    }

    fn try_read(&self) -> Result<Snapshot, Unusable> {
        let length = match fs::metadata(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Unusable::Missing),
            found => found.map_err(Unusable::Io)?.len(),
        };
        if length > FILE_BYTES_MAX {
            return Err(Unusable::NoSuch);
        }
        let bytes = fs::read(&self.path).map_err(Unusable::Io)?;
        let rest = bytes.strip_prefix(MAGIC.as_slice()).ok_or(Unusable::NoSuch)?;
        let (store_id, sealed) = rest.split_first_chunk::<16>().ok_or(Unusable::NoSuch)?;
        let store_id = Uuid::from_bytes(*store_id);
        let opened = (self.seal.open)(&self.label(store_id), sealed).ok_or(Unusable::Sealed)?;
        let content: Content = head::decode(&opened).map_err(|_| Unusable::Format)?;
        if content.format != FORMAT {
            return Err(Unusable::Format);
        }
        Ok(Snapshot {
            store_id,
            mask_key: MaskKey::new(content.mask_key.0),
            at: content.at,
            memory: content.memory,
            ledger: content.ledger,
        })
    }
}

/// When the file is to be written: soon after a change, and not all the time.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pace {
    changed_at: Option<Moment>,
    written_at: Option<Moment>,
}

impl Pace {
    /// Something changed.
    pub(crate) fn changed(&mut self, now: Moment) {
        self.changed_at.get_or_insert(now);
    }

    /// When it is to be written, if at all: at once after a long time without a change,
    /// otherwise [`WRITE_PAUSE`] after it was last.
    pub(crate) fn due(&self) -> Option<Moment> {
        let changed = self.changed_at?;
        let earliest = self.written_at.map_or(changed, |it| it.saturating_add(WRITE_PAUSE));
        Some(changed.max(earliest))
    }

    /// It is being written now, with all changes so far. Where that fails, say
    /// [`Self::changed`].
    pub(crate) fn writing(&mut self, now: Moment) {
        self.changed_at = None;
        self.written_at = Some(now);
    }
}

#[cfg(test)]
mod tests;
