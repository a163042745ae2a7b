//! What requests ask of the registry, in memory: tenants, digests of keys and URL tokens,
//! sources, settings of tools, the installation's own data key. Loaded when the store opens,
//! changed with each committed change. Sealed credentials are there from when they were first
//! asked for until they change.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::sql::{self, Connection};
use hookgate_core::event::ClaimKind;
use hookgate_core::tenant::TenantId;

use super::sealed::Remembered;
use super::{
    SealedKey, SourceRow, Tenant, UrlToken, keys, sealed, sources, tenants, tokens, tool_settings,
};

/// A committed change.
#[derive(Debug)]
pub(crate) enum Effect {
    /// A tenant is there, or is another than before.
    Tenant(Arc<Tenant>),
    /// A tenant has nothing any more: it is being erased.
    TenantEmptied(TenantId),
    /// A tenant is gone.
    TenantGone(TenantId),
    /// A tenant has this key.
    Key([u8; 32], TenantId),
    /// This key is gone.
    KeyGone([u8; 32]),
    /// A URL token is there, or is another than before.
    Token([u8; 32], Arc<UrlToken>),
    /// This URL token is gone.
    TokenGone([u8; 32]),
    /// A source is there.
    Source(SourceRow),
    /// A source is gone, and its URL tokens with it.
    SourceGone(String),
    /// A binding was made or removed.
    Binding(&'static str, ClaimKind, String),
    /// A conversation was registered, changed or forgotten.
    Conversation(&'static str, String),
    /// A tenant has these settings of its tools, or none any more.
    ToolSettings(TenantId, Option<Arc<str>>),
    /// The installation's own data key is there, or is wrapped by another master key.
    InstallationKey(SealedKey),
    /// A credential of a tenant was set or removed, or its data key is another.
    Sealed(String),
}

impl Effect {
    pub(super) fn is_of_sources(&self) -> bool {
        matches!(self, Self::Source(_) | Self::SourceGone(_))
    }
}

/// What is in memory.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    pub(crate) tenants: HashMap<TenantId, Arc<Tenant>>,
    pub(super) keys: HashMap<[u8; 32], TenantId>,
    pub(super) tokens: HashMap<[u8; 32], Arc<UrlToken>>,
    pub(super) sources: BTreeMap<String, SourceRow>,
    pub(super) tool_settings: HashMap<TenantId, Arc<str>>,
    /// What opens the secrets of sources. Keys of tenants are not here: who erases a tenant
    /// erases its key, wherever it is.
    pub(super) installation_key: Option<SealedKey>,
    pub(super) sealed: Remembered,
}

impl Memory {
    pub(super) fn load(connection: &Connection) -> Result<Self, sql::Error> {
        let mut memory = Self::default();
        for tenant in tenants::load(connection)? {
            memory.tenants.insert(tenant.id.clone(), Arc::new(tenant));
        }
        memory.keys.extend(keys::load(connection)?);
        for (digest, token) in tokens::load(connection)? {
            memory.tokens.insert(digest, Arc::new(token));
        }
        for source in sources::load(connection)? {
            memory.sources.insert(source.name.clone(), source);
        }
        memory.tool_settings.extend(tool_settings::load(connection)?);
        memory.installation_key = sealed::find_key(connection, sealed::INSTALLATION)?;
        Ok(memory)
    }

    /// The id of a tenant that data may belong to: it is there and is not being erased.
    pub(crate) fn owner(&self, id: &str) -> Option<&TenantId> {
        self.tenants.get_key_value(id).filter(|(_, tenant)| !tenant.erasing).map(|(id, _)| id)
    }

    pub(super) fn apply(&mut self, effect: Effect) {
        match effect {
            Effect::Tenant(tenant) => {
                self.tenants.insert(tenant.id.clone(), tenant);
            }
            Effect::TenantEmptied(id) => self.empty(&id),
            Effect::TenantGone(id) => {
                self.empty(&id);
                self.tenants.remove(&id);
            }
            Effect::Key(digest, tenant) => {
                self.keys.insert(digest, tenant);
            }
            Effect::KeyGone(digest) => {
                self.keys.remove(&digest);
            }
            Effect::Token(digest, token) => {
                self.tokens.insert(digest, token);
            }
            Effect::TokenGone(digest) => {
                self.tokens.remove(&digest);
            }
            Effect::Source(source) => {
                self.sources.insert(source.name.clone(), source);
            }
            Effect::SourceGone(name) => {
                self.tokens.retain(|_, token| token.source != name);
                self.sources.remove(&name);
            }
            Effect::ToolSettings(tenant, Some(settings)) => {
                self.tool_settings.insert(tenant, settings);
            }
            Effect::ToolSettings(tenant, None) => {
                self.tool_settings.remove(&tenant);
            }
            Effect::InstallationKey(key) => self.installation_key = Some(key),
            Effect::Sealed(tenant) => self.sealed.forget(&tenant),
            Effect::Binding(..) | Effect::Conversation(..) => {}
        }
    }

    fn empty(&mut self, id: &TenantId) {
        self.keys.retain(|_, tenant| tenant != id);
        self.tokens.retain(|_, token| token.tenant.as_ref() != Some(id));
        self.tool_settings.remove(id);
        self.sealed.forget(id.as_str());
    }
}
