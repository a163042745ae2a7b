//! Erasing, and what need not be kept longer.

use hookgate_core::tenant::TenantId;
use hookgate_core::time::Timestamp;
use tokio::sync::watch;

use super::{Node, absent};
use crate::error::Unavailable;
use crate::registry::{Erasure, RegistryError};

impl Node {
    pub(crate) async fn erase_tenant(
        &self,
        _tenant: &TenantId,
        _now: Timestamp,
    ) -> Result<Erasure, RegistryError> {
        Err(RegistryError::Unavailable { doing: "asking PostgreSQL", source: absent() })
    }

    pub(crate) async fn erase_conversation(
        &self,
        _provider: &str,
        _external_id: &str,
        _now: Timestamp,
    ) -> Result<Erasure, RegistryError> {
        Err(RegistryError::Unavailable { doing: "asking PostgreSQL", source: absent() })
    }

    pub(crate) fn erasing(&self) -> watch::Receiver<u64> {
        self.inner.erasing.subscribe()
    }

    pub(crate) fn set_retention(&self, _sources: impl IntoIterator<Item = (String, u32)>) {}

    pub(crate) async fn sweep(&self, _now: Timestamp) -> Result<u64, Unavailable> {
        Err(Unavailable::Failed)
    }
}
