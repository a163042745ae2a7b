//! The words of destinations.

use std::fmt;
use std::io;
use std::time::Duration;

use hookgate_core::delivery::{Breaker, DestinationSettings, Disabled};
use hookgate_core::tenant::TenantId;
use hookgate_core::time::Timestamp;
use uuid::Uuid;

use crate::random;

/// Destinations of one tenant at most, and as many of the operator: each is asked about each
/// event.
pub const DESTINATIONS_PER_TENANT_MAX: u64 = 100;

/// The longest time for which a secret that was replaced still signs.
pub const OVERLAP_MAX: Duration = Duration::from_hours(7 * 24);

/// The id of a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DestinationId(pub Uuid);

impl fmt::Display for DestinationId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "dst_{}", self.0.simple())
    }
}

impl DestinationId {
    /// An id that nobody has: a secret is sealed for it before the destination is kept.
    ///
    /// # Errors
    ///
    /// The system gives no random bytes.
    pub fn draw(now: Timestamp) -> io::Result<Self> {
        random::id(now).map(Self)
    }

    /// What its secret is sealed for. Whoever seals it and whoever opens it must say the same.
    #[must_use]
    pub fn secret_label(self) -> String {
        format!("destination/{self}")
    }

    /// The id that `text` names, with or without its prefix.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Uuid::try_parse(text.strip_prefix("dst_").unwrap_or(text)).ok().map(Self)
    }
}

/// A destination that is to be kept.
#[derive(Clone, PartialEq)]
pub struct NewDestination {
    /// Its id, which nobody has.
    pub id: DestinationId,
    /// Whose it is; nobody's: the operator's.
    pub tenant: Option<TenantId>,
    /// What it wants.
    pub settings: DestinationSettings,
    /// What signs its deliveries, sealed.
    pub sealed_secret: Vec<u8>,
    /// When.
    pub created_at: Timestamp,
}

/// A destination as it is kept.
#[derive(Clone, PartialEq)]
pub struct Destination {
    /// Its place among all, by which pages are cut.
    pub n: u64,
    /// Its id.
    pub id: DestinationId,
    /// Whose it is; nobody's: the operator's.
    pub tenant: Option<TenantId>,
    /// What it wants.
    pub settings: DestinationSettings,
    /// What signs its deliveries.
    pub secrets: SealedSecrets,
    /// Why it gets nothing, if so.
    pub disabled: Option<Disabled>,
    /// Since when.
    pub disabled_at: Option<Timestamp>,
    /// Its breaker.
    pub breaker: Breaker,
    /// When it was made.
    pub created_at: Timestamp,
    /// When its settings or secrets were last changed.
    pub updated_at: Timestamp,
}

/// A secret in the place of another.
#[derive(Clone, PartialEq, Eq)]
pub struct NewSecret {
    /// The new one, sealed.
    pub sealed: Vec<u8>,
    /// How long the one before signs too; [`OVERLAP_MAX`] at most.
    pub overlap: Duration,
}

/// The secrets of a destination, sealed.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct SealedSecrets {
    /// The one in force.
    pub now: Vec<u8>,
    /// The one before, and until when it signs too.
    pub before: Option<(Vec<u8>, Timestamp)>,
}

impl SealedSecrets {
    /// Those that sign at this time, the newest first.
    pub fn at(&self, now: Timestamp) -> impl Iterator<Item = &[u8]> {
        let before = self.before.as_ref().filter(|(_, until)| now < *until);
        std::iter::once(self.now.as_slice()).chain(before.map(|(sealed, _)| sealed.as_slice()))
    }
}

impl fmt::Debug for SealedSecrets {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("SealedSecrets").finish_non_exhaustive()
    }
}

impl fmt::Debug for NewSecret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("NewSecret").field("overlap", &self.overlap).finish_non_exhaustive()
    }
}

impl fmt::Debug for NewDestination {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = out.debug_struct("NewDestination");
        out.field("id", &self.id).field("tenant", &self.tenant).finish_non_exhaustive()
    }
}

impl fmt::Debug for Destination {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = out.debug_struct("Destination");
        out.field("n", &self.n).field("id", &self.id).field("tenant", &self.tenant);
        out.field("disabled", &self.disabled).field("breaker", &self.breaker);
        out.finish_non_exhaustive()
    }
}
