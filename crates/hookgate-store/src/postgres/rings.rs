//! Refused requests, kept in a table that is trimmed.

use hookgate_core::received::Unproven;
use uuid::Uuid;

use super::{Node, absent};
use crate::error::ReadError;
use crate::filter::{Page, RejectionFilter};
use crate::library::Body;
use crate::record::{EventId, Rejection};

impl Node {
    pub(crate) fn reject(&self, _refused: &Unproven, _status: u16) {}

    pub(crate) fn settle(&self, _rejection: Uuid, _event: EventId) {}

    pub(crate) async fn rejections(
        &self,
        _filter: RejectionFilter,
        _page: Page,
    ) -> Result<Vec<Rejection>, ReadError> {
        Err(ReadError::Io(absent()))
    }

    pub(crate) async fn rejection(
        &self,
        _id: Uuid,
    ) -> Result<Option<(Rejection, Body)>, ReadError> {
        Err(ReadError::Io(absent()))
    }
}
