//! What is in memory, as bytes: so that a node can serve while its database is away.
//!
//! `MessagePack`, by short names; unknown names are ignored, missing ones have a default.

use std::sync::Arc;

use hookgate_core::tenant::TenantId;
use hookgate_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::memory::Memory;
use super::sealed::INSTALLATION;
use super::{Quota, SealedKey, SourceRow, Tenant, UrlToken};
use crate::head::Octets;

/// What requests ask of the registry.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Image {
    #[serde(rename = "t")]
    tenants: Vec<TenantImage>,
    #[serde(rename = "k")]
    keys: Vec<(Octets<32>, TenantId)>,
    #[serde(rename = "u")]
    tokens: Vec<TokenImage>,
    #[serde(rename = "s")]
    sources: Vec<SourceImage>,
    #[serde(rename = "o")]
    tool_settings: Vec<(TenantId, String)>,
    #[serde(rename = "ik")]
    installation_key: Option<KeyImage>,
}

/// The data key of the installation, wrapped.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
struct KeyImage {
    #[serde(rename = "m")]
    master: [u8; 8],
    #[serde(rename = "w")]
    wrapped: Vec<u8>,
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
struct TenantImage {
    #[serde(rename = "n")]
    row: u64,
    id: TenantId,
    name: String,
    #[serde(rename = "at")]
    created_at: Timestamp,
    #[serde(rename = "rd", default)]
    retention_days: Option<u32>,
    #[serde(rename = "qe", default)]
    events_per_second: Option<u32>,
    #[serde(rename = "qb", default)]
    bytes_per_second: Option<u64>,
    #[serde(rename = "qf", default)]
    in_flight: Option<u32>,
    #[serde(rename = "er", default)]
    erasing: bool,
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
struct TokenImage {
    #[serde(rename = "d")]
    digest: Octets<32>,
    id: String,
    #[serde(rename = "s")]
    source: String,
    #[serde(rename = "t", default)]
    tenant: Option<TenantId>,
    #[serde(rename = "h")]
    hint: String,
    #[serde(rename = "at")]
    created_at: Timestamp,
    #[serde(rename = "ex", default)]
    expires_at: Option<Timestamp>,
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
struct SourceImage {
    #[serde(rename = "n")]
    name: String,
    #[serde(rename = "p")]
    provider: String,
    #[serde(rename = "s")]
    settings: String,
    #[serde(rename = "at")]
    created_at: Timestamp,
}

impl Memory {
    /// As it is now. Sealed values in it stay sealed.
    pub(crate) fn image(&self) -> Image {
        let tenants = self.tenants.values().map(|it| TenantImage {
            row: it.row,
            id: it.id.clone(),
            name: it.name.clone(),
            created_at: it.created_at,
            retention_days: it.retention_days,
            events_per_second: it.quota.events_per_second,
            bytes_per_second: it.quota.bytes_per_second,
            in_flight: it.quota.in_flight,
            erasing: it.erasing,
        });
        let tokens = self.tokens.iter().map(|(digest, it)| TokenImage {
            digest: Octets(*digest),
            id: it.id.clone(),
            source: it.source.clone(),
            tenant: it.tenant.clone(),
            hint: it.hint.clone(),
            created_at: it.created_at,
            expires_at: it.expires_at,
        });
        let sources = self.sources.values().map(|it| SourceImage {
            name: it.name.clone(),
            provider: it.provider.clone(),
            settings: it.settings.clone(),
            created_at: it.created_at,
        });
        let settings = self.tool_settings.iter();
        let key = self.installation_key.as_ref();
        Image {
            tenants: tenants.collect(),
            keys: self.keys.iter().map(|(digest, it)| (Octets(*digest), it.clone())).collect(),
            tokens: tokens.collect(),
            sources: sources.collect(),
            tool_settings: settings.map(|(id, it)| (id.clone(), it.to_string())).collect(),
            installation_key: key
                .map(|it| KeyImage { master: it.master, wrapped: it.wrapped.clone() }),
        }
    }
}

impl From<Image> for Memory {
    fn from(image: Image) -> Self {
        let mut memory = Self::default();
        for it in image.tenants {
            let quota = Quota {
                events_per_second: it.events_per_second,
                bytes_per_second: it.bytes_per_second,
                in_flight: it.in_flight,
            };
            let tenant = Tenant {
                row: it.row,
                id: it.id.clone(),
                name: it.name,
                created_at: it.created_at,
                retention_days: it.retention_days,
                quota,
                erasing: it.erasing,
            };
            memory.tenants.insert(it.id, Arc::new(tenant));
        }
        memory.keys.extend(image.keys.into_iter().map(|(digest, it)| (digest.0, it)));
        for it in image.tokens {
            let token = UrlToken {
                id: it.id,
                source: it.source,
                tenant: it.tenant,
                hint: it.hint,
                created_at: it.created_at,
                expires_at: it.expires_at,
            };
            memory.tokens.insert(it.digest.0, Arc::new(token));
        }
        for it in image.sources {
            let source = SourceRow {
                name: it.name.clone(),
                provider: it.provider,
                settings: it.settings,
                created_at: it.created_at,
            };
            memory.sources.insert(it.name, source);
        }
        let settings = image.tool_settings.into_iter();
        memory.tool_settings.extend(settings.map(|(id, it)| (id, Arc::from(it))));
        memory.installation_key = image.installation_key.map(|it| SealedKey {
            tenant: INSTALLATION.to_owned(),
            master: it.master,
            wrapped: it.wrapped,
        });
        memory
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A memory with something of everything.
    pub(crate) fn memory() -> Memory {
        let mut memory = Memory::default();
        let at = Timestamp::from_millis(1_800_000_000_000);
        let acme = TenantId::parse("acme").unwrap();
        let quota = Quota { in_flight: Some(7), ..Quota::default() };
        let tenant = Tenant {
            row: 3,
            id: acme.clone(),
            name: "Acme".to_owned(),
            created_at: at,
            retention_days: Some(30),
            quota,
            erasing: false,
        };
        memory.tenants.insert(acme.clone(), Arc::new(tenant));
        memory.keys.insert([1; 32], acme.clone());
        let token = UrlToken {
            id: "tok_1".to_owned(),
            source: "retell".to_owned(),
            tenant: Some(acme.clone()),
            hint: "abcd".to_owned(),
            created_at: at,
            expires_at: None,
        };
        memory.tokens.insert([2; 32], Arc::new(token));
        let source = SourceRow {
            name: "mine".to_owned(),
            provider: "generic".to_owned(),
            settings: r#"{"secret":"sealed:canary"}"#.to_owned(),
            created_at: at,
        };
        memory.sources.insert("mine".to_owned(), source);
        memory.tool_settings.insert(acme, Arc::from("{}"));
        memory.installation_key =
            Some(SealedKey { tenant: String::new(), master: [4; 8], wrapped: vec![5; 40] });
        memory
    }

    #[test]
    fn a_memory_that_was_written_down_is_the_same_again() {
        let memory = memory();
        let mut bytes = Vec::new();
        crate::head::encode(&memory.image(), &mut bytes);
        let again = Memory::from(crate::head::decode::<Image>(&bytes).unwrap());
        assert_eq!(again.tenants, memory.tenants);
        assert_eq!(again.keys, memory.keys);
        assert_eq!(again.tokens, memory.tokens);
        assert_eq!(again.sources, memory.sources);
        assert_eq!(again.tool_settings, memory.tool_settings);
        assert_eq!(again.installation_key, memory.installation_key);
    }
}
