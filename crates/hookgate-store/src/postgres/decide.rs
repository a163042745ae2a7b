//! Decisions on stored events that come later.

use hookgate_core::attribution::Rule;
use hookgate_core::tenant::TenantId;
use hookgate_core::time::Timestamp;

use super::Node;
use crate::decide::DecideError;
use crate::error::Unavailable;
use crate::record::{Event, EventId};

impl Node {
    pub(crate) async fn release(
        &self,
        _id: EventId,
        _tenant: Option<TenantId>,
        _by: &str,
        _correlation_id: &str,
        _now: Timestamp,
    ) -> Result<Event, DecideError> {
        Err(DecideError::Unavailable(Unavailable::Failed))
    }

    pub(crate) async fn reattribute(
        &self,
        _id: EventId,
        _rule: &Rule,
        _by: &str,
        _correlation_id: &str,
        _now: Timestamp,
    ) -> Result<Event, DecideError> {
        Err(DecideError::Unavailable(Unavailable::Failed))
    }
}
