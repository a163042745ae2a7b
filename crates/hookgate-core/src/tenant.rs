//! Tenants: whose data is whose, and who may see it.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The longest id of a tenant, in bytes. It stands in paths, file names and log lines.
pub const TENANT_ID_BYTES_MAX: usize = 64;

/// A tenant's id: letters, digits, `.`, `_` and `-`, and it begins with a letter or a
/// digit. Clones share their text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TenantId(Arc<str>);

/// A text that is no id of a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a tenant's id has 1 to 64 letters, digits, `.`, `_` and `-`, and begins with a letter or a digit"
)]
pub struct NotATenantId;

impl TenantId {
    /// Reads an id.
    ///
    /// # Errors
    ///
    /// [`NotATenantId`], whose sentence says what an id is made of.
    pub fn parse(text: &str) -> Result<Self, NotATenantId> {
        let fits = |it: u8| it.is_ascii_alphanumeric() || b"._-".contains(&it);
        let begins = text.bytes().next().is_some_and(|it| it.is_ascii_alphanumeric());
        let is_id = begins && text.len() <= TENANT_ID_BYTES_MAX && text.bytes().all(fits);
        if is_id { Ok(Self(text.into())) } else { Err(NotATenantId) }
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl fmt::Debug for TenantId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, out)
    }
}

impl Borrow<str> for TenantId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl Serialize for TenantId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for TenantId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(de::Error::custom)
    }
}

/// Whose data a read or a write may touch. Every function that does either takes one, so
/// that no caller forgets to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Everybody's: the operator's.
    Operator,
    /// That of one tenant. All else is not there.
    Tenant(TenantId),
}

impl Scope {
    /// Whether what belongs to `owner` (nobody: to the operator alone) is within it.
    #[must_use]
    pub fn covers(&self, owner: Option<&str>) -> bool {
        match self {
            Self::Operator => true,
            Self::Tenant(tenant) => owner == Some(tenant.as_str()),
        }
    }

    /// The tenant that it is confined to.
    #[must_use]
    pub fn tenant(&self) -> Option<&TenantId> {
        match self {
            Self::Operator => None,
            Self::Tenant(tenant) => Some(tenant),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_can_stand_in_a_path() {
        for good in ["a", "acme", "7", "Acme-2.eu_x", &"a".repeat(64)] {
            assert_eq!(TenantId::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", ".", "..", "-a", "_a", "a/b", "a b", "a%", "é", "a\n", &"a".repeat(65)] {
            assert_eq!(TenantId::parse(bad), Err(NotATenantId), "{bad:?}");
        }
    }

    #[test]
    fn a_scope_covers_its_own_alone() {
        let acme = Scope::Tenant(TenantId::parse("acme").unwrap());
        assert!(acme.covers(Some("acme")));
        assert!(!acme.covers(Some("other")) && !acme.covers(None));
        assert!(Scope::Operator.covers(Some("acme")) && Scope::Operator.covers(None));
    }
}
