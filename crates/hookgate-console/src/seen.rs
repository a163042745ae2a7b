//! What a tenant sees where ids of others stand: a hash, under a key of this installation.
//! It tells whether two of them are the same, and nothing else.

use hookgate_core::event::Claim;
use hookgate_core::secret::MaskKey;
use hookgate_core::tenant::{Scope, TenantId};
use serde::Serialize;
use utoipa::ToSchema;

/// So much of a hash is shown, in bytes: enough that no two ids share it by chance.
const HASH_BYTES: usize = 8;

/// Whose eyes, and the key of what they may not see.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Eyes<'a> {
    pub(crate) scope: &'a Scope,
    pub(crate) key: &'a MaskKey,
}

/// An id that the provider attests, as it may be seen.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SeenClaim)]
pub(crate) struct SeenClaim {
    kind: &'static str,
    /// The id, or a hash of what is not the tenant's own; null if no text stood in its
    /// place.
    #[schema(required)]
    external_id: Option<String>,
    /// Whose it was, or a hash of another.
    #[schema(required)]
    tenant: Option<String>,
}

impl Eyes<'_> {
    /// A claim of something that is not the tenant's: only its own ids are shown.
    pub(crate) fn claim(self, claim: &Claim) -> SeenClaim {
        let owner = claim.tenant.as_ref().map(TenantId::as_str);
        let is_own = self.scope.covers(owner);
        let shown = |field, text: &str| {
            if is_own { text.to_owned() } else { self.hash(field, text) }
        };
        SeenClaim {
            kind: claim.kind.name(),
            external_id: claim.external_id.as_deref().map(|it| shown("id", it)),
            tenant: owner.map(|it| shown("tenant", it)),
        }
    }

    /// A tenant.
    pub(crate) fn tenant(self, id: &str) -> String {
        if self.scope.covers(Some(id)) { id.to_owned() } else { self.hash("tenant", id) }
    }

    fn hash(self, field: &str, text: &str) -> String {
        // The same key hashes tokens: what is hashed here is never one of them.
        let hash = self.key.hash(format!("seen/{field}/{text}").as_bytes());
        format!("sha256:{}", hex::encode(hash.get(..HASH_BYTES).unwrap_or_default()))
    }
}
