//! Conversations that are known, registered and adopted together.

use hookgate_core::tenant::Scope;

use super::{Node, absent};
use crate::registry::{Conversation, ConversationFilter, RegistryError, Rows};

impl Node {
    pub(crate) async fn conversations(
        &self,
        _scope: &Scope,
        _filter: ConversationFilter,
        _page: Rows,
    ) -> Result<Vec<(u64, Conversation)>, RegistryError> {
        Err(RegistryError::Unavailable { doing: "asking PostgreSQL", source: absent() })
    }

    pub(crate) async fn conversation(
        &self,
        _scope: &Scope,
        _provider: &str,
        _external_id: &str,
    ) -> Result<Option<Conversation>, RegistryError> {
        Err(RegistryError::Unavailable { doing: "asking PostgreSQL", source: absent() })
    }
}
