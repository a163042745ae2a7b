//! Credentials of tenants: sealed in the store, or kept in a secret store of the operator's.
//!
//! - **Sealed.** A master key of the operator wraps one data key for each tenant, and that
//!   seals the tenant's values. A value is bound to its tenant and its name: moved elsewhere
//!   it does not open. Rotating the master key rewraps data keys and touches no value.
//! - **Kept elsewhere.** [`Backend`] is a closed set: the environment, files, HashiCorp
//!   Vault or OpenBao (KV version 2), Azure Key Vault. The remote ones are asked through a
//!   cache: a value is fresh for minutes, stands in for a day while its store is away, and
//!   many who want it at once are one request.
//! - **Whose it is is never guessed.** Where two tenants could mean the same name in a
//!   secret store, neither gets an answer.
//! - **Nothing prints.** Values, keys, tokens and what a secret store says are in no error,
//!   no log and no `Debug`.
//!
//! Where to begin reading: `secrets.rs` (what callers see), `seal.rs` (the format),
//! `cache.rs` (when a store is asked).

mod backend;
mod cache;
mod error;
mod key;
mod node;
mod owners;
mod seal;
mod secrets;
mod settings;
mod square;
mod template;
mod value;

pub use self::backend::{Backend, Clock, References, Surroundings, Variables, system_clock};
pub use self::error::{BackendError, SecretsError};
pub use self::key::{MASTER_KEYS_MAX, MasterKeys, NotMasterKeys};
pub use self::seal::NotOpened;
pub use self::secrets::{OpenError, Secrets};
pub use self::settings::{
    AzureSettings, BackendName, EnvSettings, FileSettings, Reference, SecretsSettings,
    SettingsError, VaultSettings,
};
pub use self::square::{Environment, NotSquare, SquareCredential};
pub use self::value::{SecretValue, VALUE_BYTES_MAX};
