//! Why a secret cannot be had or kept.

use std::io;
use std::sync::Arc;

use hookgate_egress::EgressError;
use hookgate_store::RegistryError;

use crate::seal::NotOpened;

/// Why a secret cannot be had or kept. A cause names tenants, names and places, and never a
/// value, a token or what a secret store said.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SecretsError {
    /// It is no name of a credential.
    #[error(
        "a credential's name has 1 to 64 lower-case letters, digits, `.`, `-` and `_`, and begins \
         with a letter or a digit"
    )]
    Name,
    /// The value is larger than [`crate::VALUE_BYTES_MAX`].
    #[error("a credential has 64 KiB at most")]
    TooLarge,
    /// Nothing can be sealed or opened without a key.
    #[error("there is no master key: set HOOKGATE_MASTER_KEY or HOOKGATE_MASTER_KEY_FILE")]
    NoMasterKey,
    /// Another master key wraps the tenant's data key.
    #[error("none of the master keys is {master}, which the tenant's data key is sealed with")]
    UnknownMasterKey {
        /// The id of the key that is needed.
        master: String,
    },
    /// A sealed row does not open.
    #[error("what is stored does not open: it was changed, or belongs elsewhere")]
    NotOpened(#[source] NotOpened),
    /// Credentials are kept elsewhere, and written there.
    #[error("credentials come from {0}: change them there")]
    ReadOnly(&'static str),
    /// Two tenants would ask the secret store under the same name.
    #[error(
        "the name under which the secret store is asked could be another tenant's too: rename one of \
         them, or choose another template"
    )]
    Ambiguous,
    /// The operating system gives no random bytes.
    #[error("sealing failed")]
    Random(#[source] Arc<io::Error>),
    /// The registry does not do it.
    #[error("the registry did not do it")]
    Registry(#[source] Arc<RegistryError>),
    /// The secret store does not give it.
    #[error("{place} gave no answer that can be used")]
    Backend {
        /// Which one.
        place: &'static str,
        /// Why.
        #[source]
        cause: BackendError,
    },
}

/// Why a secret store does not give a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BackendError {
    /// It cannot be reached, or not in time.
    #[error("it cannot be reached")]
    Unreachable(#[source] EgressError),
    /// It answered with a status that says nothing of the secret.
    #[error("it answered {0}")]
    Status(u16),
    /// It does not take our credentials, or does not let us read this.
    #[error("it refused us with {0}")]
    Refused(u16),
    /// It has no such place: the configuration names another.
    #[error("it has no such mount or path: see the configuration")]
    NoSuchPlace,
    /// What it answered is not what its documentation says.
    #[error("its answer cannot be read")]
    Unreadable,
    /// The value is larger than [`crate::VALUE_BYTES_MAX`].
    #[error("the value is larger than 64 KiB")]
    TooLarge,
    /// A file cannot be read.
    #[error("its file cannot be read: {0}")]
    File(io::ErrorKind),
    /// The secret that we sign in with is not to be had.
    #[error("what we sign in with cannot be read: {0}")]
    Reference(String),
}

impl SecretsError {
    /// Whether the answer of before may stand in while this lasts. What is a matter of
    /// whose secret it is never is.
    pub(crate) fn is_passing(&self) -> bool {
        matches!(self, Self::Registry(_) | Self::Backend { .. })
    }
}

impl From<NotOpened> for SecretsError {
    fn from(cause: NotOpened) -> Self {
        Self::NotOpened(cause)
    }
}

impl From<RegistryError> for SecretsError {
    fn from(cause: RegistryError) -> Self {
        Self::Registry(Arc::new(cause))
    }
}
