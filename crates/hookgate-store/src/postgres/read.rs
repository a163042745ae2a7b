//! Reading events.

use hookgate_core::tenant::Scope;

use super::{Node, absent};
use crate::error::ReadError;
use crate::filter::{EventFilter, Page};
use crate::library::{Body, Stretch};
use crate::record::{Event, EventId};

impl Node {
    pub(crate) async fn events(
        &self,
        _scope: &Scope,
        _filter: EventFilter,
        _page: Page,
    ) -> Result<Vec<Event>, ReadError> {
        Err(ReadError::Io(absent()))
    }

    pub(crate) async fn stretch(
        &self,
        _scope: &Scope,
        _filter: EventFilter,
        _after: u64,
        _limit: usize,
    ) -> Result<Stretch, ReadError> {
        Err(ReadError::Io(absent()))
    }

    pub(crate) async fn event(
        &self,
        _scope: &Scope,
        _id: EventId,
    ) -> Result<Option<Event>, ReadError> {
        Err(ReadError::Io(absent()))
    }

    pub(crate) async fn body(
        &self,
        _scope: &Scope,
        _id: EventId,
    ) -> Result<Option<Body>, ReadError> {
        Err(ReadError::Io(absent()))
    }

    pub(crate) async fn violations(
        &self,
        _scope: &Scope,
        _filter: EventFilter,
        _page: Page,
    ) -> Result<Vec<Event>, ReadError> {
        Err(ReadError::Io(absent()))
    }
}
