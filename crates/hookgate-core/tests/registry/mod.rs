//! A registry as simple as can be: what the decision is checked against.

use std::collections::BTreeMap;

use hookgate_core::attribution::{Adoption, Consulted, Conversation, Origin};
use hookgate_core::event::{Claim, ClaimKind};
use hookgate_core::tenant::TenantId;

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Registry {
    tenants: Vec<TenantId>,
    bindings: BTreeMap<(String, &'static str, String), TenantId>,
    conversations: BTreeMap<(String, String), Conversation>,
}

impl Registry {
    pub(crate) fn add_tenant(&mut self, id: &str) {
        self.tenants.push(TenantId::parse(id).unwrap());
    }

    pub(crate) fn bind(&mut self, provider: &str, kind: ClaimKind, id: &str, tenant: &str) {
        let key = (provider.to_owned(), kind.name(), id.to_owned());
        self.bindings.insert(key, TenantId::parse(tenant).unwrap());
    }

    pub(crate) fn unbind(&mut self, provider: &str, kind: ClaimKind, id: &str) {
        self.bindings.remove(&(provider.to_owned(), kind.name(), id.to_owned()));
    }

    /// Registers a conversation, unless it is another's.
    pub(crate) fn register(
        &mut self,
        provider: &str,
        id: &str,
        tenant: &str,
        (agent_id, phone_number_id): (Option<String>, Option<String>),
    ) {
        let tenant = TenantId::parse(tenant).unwrap();
        let key = (provider.to_owned(), id.to_owned());
        if self.conversations.get(&key).is_none_or(|it| it.tenant == tenant) {
            let origin = Origin::Registered;
            let conversation = Conversation { tenant, agent_id, phone_number_id, origin };
            self.conversations.insert(key, conversation);
        }
    }

    pub(crate) fn adopt(&mut self, adoption: &Adoption) {
        let key = (adoption.provider.to_owned(), adoption.external_id.clone());
        let before = self.conversations.insert(key, adoption.conversation.clone());
        assert_eq!(before, None, "only what is unknown is adopted");
    }

    pub(crate) fn owner(&self, provider: &str, kind: ClaimKind, id: &str) -> Option<&TenantId> {
        match kind {
            ClaimKind::Organization => self.tenants.iter().find(|it| it.as_str() == id),
            ClaimKind::Conversation => {
                let key = (provider.to_owned(), id.to_owned());
                self.conversations.get(&key).map(|it| &it.tenant)
            }
            _ => self.bindings.get(&(provider.to_owned(), kind.name(), id.to_owned())),
        }
    }

    pub(crate) fn consult(&self, provider: &str, claims: &[Claim]) -> Consulted {
        let owner = |claim: &Claim| {
            self.owner(provider, claim.kind, claim.external_id.as_deref()?).cloned()
        };
        let named = claims.iter().find(|it| it.kind == ClaimKind::Conversation);
        let conversation = named.and_then(|it| {
            self.conversations.get(&(provider.to_owned(), it.external_id.clone()?)).cloned()
        });
        Consulted {
            tenants_exist: !self.tenants.is_empty(),
            owners: claims.iter().map(owner).collect(),
            conversation,
        }
    }
}
