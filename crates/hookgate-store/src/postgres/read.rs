//! Reading events.

use std::collections::HashMap;

use bytes::Bytes;
use hookgate_core::tenant::Scope;
use postgres::{Client, Row};
use uuid::Uuid;

use super::Node;
use super::pieces::{Of, Pieces};
use super::pool::Pool;
use super::query::{self, Found};
use crate::body::{Body, Large};
use crate::error::ReadError;
use crate::filter::{EventFilter, Order, Page};
use crate::library::{Shown, Stretch, fill};
use crate::record::{Event, EventId};

/// A page of events, with the number of those that cannot be read.
pub(super) fn stretch(
    client: &mut Client,
    (scope, shown): (&Scope, Shown),
    filter: &EventFilter,
    page: Page,
) -> Result<Stretch, ReadError> {
    let Some(filter) = shown.within(scope, filter) else { return Ok(Stretch::default()) };
    let look = |page| {
        let found = query::page(client, shown, &filter, page)?;
        let hidden = |it: &Found| shown == Shown::Events && !it.is_within(scope);
        Ok(found.into_iter().map(|it| (it.seq, Some(it).filter(|it| !hidden(it)))).collect())
    };
    fill(page, look, |found| Ok(Some(shown.of(scope, found.event(scope)?))))
}

/// One event that is within the scope.
pub(super) fn event(
    client: &mut Client,
    scope: &Scope,
    id: EventId,
) -> Result<Option<Event>, ReadError> {
    let found = query::by_id(client, id)?.filter(|it| it.is_within(scope));
    found.map(|it| it.event(scope)).transpose()
}

/// The exact bytes of the body of an event that is within the scope.
pub(super) fn body(
    pool: &Pool,
    client: &mut Client,
    scope: &Scope,
    id: EventId,
) -> Result<Option<Body>, ReadError> {
    let found = query::by_id(client, id)?.filter(|it| it.is_within(scope) && !it.is_erased);
    found.map_or(Ok(None), |it| body_of(pool, client, &it))
}

/// The exact bytes of the body of an event that is there.
pub(super) fn body_of(
    pool: &Pool,
    client: &mut Client,
    found: &Found,
) -> Result<Option<Body>, ReadError> {
    let size = found.head()?.size;
    let row = client.query_one("SELECT payload, blob FROM events WHERE id = $1", &[&found.id])?;
    let (payload, blob): (Option<Vec<u8>>, Option<Uuid>) = (row.try_get(0)?, row.try_get(1)?);
    match (payload, blob) {
        (Some(payload), _) if payload.len() as u64 == size => {
            Ok(Some(Body::Whole(Bytes::from(payload))))
        }
        (None, Some(blob)) => {
            let pieces = Pieces::open(pool, client, Of::Body(blob), size)?;
            Ok(pieces.map(|it| Body::Large(Large::pieces(it, size))))
        }
        _ => Err(ReadError::Damaged),
    }
}

/// The bodies of these events that have no more than so many bytes, in one question.
pub(super) fn small_bodies(
    client: &mut Client,
    ids: &[Uuid],
    bytes_max: i32,
) -> Result<HashMap<Uuid, Bytes>, ReadError> {
    let select = "SELECT id, payload FROM events WHERE id = ANY($1) \
                  AND octet_length(payload) <= $2";
    let rows = client.query(select, &[&ids, &bytes_max])?;
    let body = |row: &Row| {
        let payload: Vec<u8> = row.try_get(1)?;
        Ok((row.try_get(0)?, Bytes::from(payload)))
    };
    rows.iter().map(body).collect()
}

impl Node {
    pub(crate) async fn events(
        &self,
        scope: &Scope,
        filter: EventFilter,
        page: Page,
    ) -> Result<Vec<Event>, ReadError> {
        Ok(self.list((scope, Shown::Events), filter, page).await?.events)
    }

    pub(crate) async fn stretch(
        &self,
        scope: &Scope,
        filter: EventFilter,
        after: u64,
        limit: usize,
    ) -> Result<Stretch, ReadError> {
        let page = Page { order: Order::OldestFirst, after: Some(after), limit };
        self.list((scope, Shown::Events), filter, page).await
    }

    pub(crate) async fn event(
        &self,
        scope: &Scope,
        id: EventId,
    ) -> Result<Option<Event>, ReadError> {
        let within = scope.clone();
        self.pool().reading(scope, move |client| event(client, &within, id)).await
    }

    pub(crate) async fn body(&self, scope: &Scope, id: EventId) -> Result<Option<Body>, ReadError> {
        let (pool, within) = (self.pool().clone(), scope.clone());
        self.pool().reading(scope, move |client| body(&pool, client, &within, id)).await
    }

    pub(crate) async fn violations(
        &self,
        scope: &Scope,
        filter: EventFilter,
        page: Page,
    ) -> Result<Vec<Event>, ReadError> {
        Ok(self.list((scope, Shown::Violations), filter, page).await?.events)
    }

    async fn list(
        &self,
        (scope, shown): (&Scope, Shown),
        filter: EventFilter,
        page: Page,
    ) -> Result<Stretch, ReadError> {
        let within = scope.clone();
        let read = move |client: &mut Client| stretch(client, (&within, shown), &filter, page);
        self.pool().reading(scope, read).await
    }
}
