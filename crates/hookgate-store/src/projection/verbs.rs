//! Conversations as the store shows them: what is known of each, and what its events tell.

use std::sync::atomic::Ordering;

use hookgate_core::tenant::{Scope, TenantId};

use super::{Folded, FoldedFilter, Folding, query};
use crate::conversations::reading;
use crate::embedded::Embedded;
use crate::error::ReadError;
use crate::inner::Inner;
use crate::registry::{Conversation, ConversationFilter, Registry, RegistryError, Rows};
use crate::sql::{self, Connection};

/// The bits of a place in the list that say how far the folded ones are; those above say how
/// far the registered ones are. Room for 10^10 events and 10^8 registrations.
const FOLDED_BITS: u32 = 36;

/// The highest places.
const FOLDED_MAX: u64 = (1 << FOLDED_BITS) - 1;
const REGISTERED_MAX: u64 = u64::MAX >> FOLDED_BITS;

/// A conversation in a list: registered, or with events, or both.
#[derive(Clone, Debug)]
pub struct ListedConversation {
    /// The place behind which the next page begins.
    pub place: u64,
    /// What vouches for it.
    pub known: Option<Conversation>,
    /// What its events tell.
    pub folded: Option<Folded>,
}

/// A page of conversations.
#[derive(Clone, Debug)]
pub struct ConversationPage {
    /// The newest first.
    pub rows: Vec<ListedConversation>,
    /// So many places of the journal are not in it yet.
    pub behind: u64,
}

/// Where conversations are kept.
pub(crate) trait Telling: Sync {
    /// Where they are registered.
    fn registry(&self) -> &Registry;

    /// What is known of one.
    fn known(
        &self,
        scope: &Scope,
        provider: &str,
        external_id: &str,
    ) -> impl Future<Output = Result<Option<Conversation>, RegistryError>> + Send;

    /// Waits a moment for what was stored before; gives how many places are missing.
    fn catch_up(&self) -> impl Future<Output = Result<u64, ReadError>> + Send;

    /// Asks what was folded, within the scope, on a thread that may block.
    fn ask<T: Send + 'static>(
        &self,
        scope: &Scope,
        ask: impl FnOnce(&Connection) -> Result<T, sql::Error> + Send + 'static,
    ) -> impl Future<Output = Result<T, ReadError>> + Send;
}

/// A page of conversations, the newest first.
pub(crate) async fn list<S: Telling>(
    store: &S,
    scope: &Scope,
    mut filter: FoldedFilter,
    page: Rows,
) -> Result<ConversationPage, RegistryError> {
    if let Some(tenant) = scope.tenant() {
        if filter.tenant.as_ref().is_some_and(|it| it != tenant) {
            return Ok(ConversationPage { rows: Vec::new(), behind: 0 });
        }
        filter.tenant = Some(tenant.clone());
    }
    let behind = store.catch_up().await.map_err(reading)?;
    let place = page.after.unwrap_or(u64::MAX);
    let (mut at_registered, mut at_folded) = (place >> FOLDED_BITS, place & FOLDED_MAX);
    let is_whole = !filter.asks_for_content();
    let registered = if is_whole {
        let known =
            ConversationFilter { tenant: filter.tenant.clone(), provider: filter.provider.clone() };
        let rows = Rows { after: Some(at_registered), limit: page.limit };
        store.registry().conversations(known, rows).await?
    } else {
        Vec::new()
    };
    let folded = folded_page(store, (scope, &filter), (at_folded, page.limit), is_whole).await?;
    let mut registered = registered.into_iter().peekable();
    let mut folded = folded.into_iter().peekable();
    let mut rows = Vec::new();
    while u32::try_from(rows.len()).is_ok_and(|it| it < page.limit) {
        let is_registered = match (registered.peek(), folded.peek()) {
            (Some((_, a)), Some((_, b))) => a.created_at >= b.received_at,
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (None, None) => break,
        };
        let (known, told) = if is_registered {
            let Some((place, known)) = registered.next() else { break };
            at_registered = place;
            let told = folded_of(store, scope, &known).await?;
            (Some(known), told)
        } else {
            let Some((place, told)) = folded.next() else { break };
            at_folded = place;
            let known = store.known(scope, &told.provider, &told.external_id).await?;
            (known.filter(|it| Some(&it.tenant) == told.tenant.as_ref()), Some(told))
        };
        let place = (at_registered.min(REGISTERED_MAX) << FOLDED_BITS) | at_folded.min(FOLDED_MAX);
        rows.push(ListedConversation { place, known, folded: told });
    }
    Ok(ConversationPage { rows, behind })
}

/// Folded conversations before a place whose tenants are there; without those that are
/// registered, if these are listed beside them.
async fn folded_page<S: Telling>(
    store: &S,
    (scope, filter): (&Scope, &FoldedFilter),
    (mut before, limit): (u64, u32),
    without_registered: bool,
) -> Result<Vec<(u64, Folded)>, RegistryError> {
    let mut found = Vec::new();
    while u32::try_from(found.len()).is_ok_and(|it| it < limit) {
        let filter = filter.clone();
        let batch = store
            .ask(scope, move |connection| query::page(connection, &filter, Some(before), limit));
        let batch = batch.await.map_err(reading)?;
        let Some(last) = batch.last().map(|it| it.0) else { break };
        let is_last = u32::try_from(batch.len()).is_ok_and(|it| it < limit);
        before = last;
        for (place, folded) in batch {
            if !is_there(store.registry(), &folded) {
                continue;
            }
            if without_registered {
                let (provider, id) = (&folded.provider, &folded.external_id);
                let known = store.registry().conversation(provider, id).await?;
                if known.is_some_and(|it| Some(&it.tenant) == folded.tenant.as_ref()) {
                    continue;
                }
            }
            found.push((place, folded));
        }
        if is_last {
            break;
        }
    }
    Ok(found)
}

async fn folded_of<S: Telling>(
    store: &S,
    scope: &Scope,
    known: &Conversation,
) -> Result<Option<Folded>, RegistryError> {
    let (provider, id) = (known.provider.clone(), known.external_id.clone());
    let read = store.ask(scope, move |it| query::one(it, &provider, &id));
    let found = read.await.map_err(reading)?;
    Ok(found.into_iter().find(|it| it.tenant.as_ref() == Some(&known.tenant)))
}

/// What the events of a conversation tell, for each tenant that has some within the scope.
pub(crate) async fn one<S: Telling>(
    store: &S,
    scope: &Scope,
    provider: &str,
    external_id: &str,
) -> Result<(Vec<Folded>, u64), ReadError> {
    let behind = store.catch_up().await?;
    let (provider, id) = (provider.to_owned(), external_id.to_owned());
    let mut found = store.ask(scope, move |it| query::one(it, &provider, &id)).await?;
    found.retain(|it| {
        let tenant = it.tenant.as_ref().map(TenantId::as_str);
        scope.covers(tenant) && is_there(store.registry(), it)
    });
    Ok((found, behind))
}

/// Whether somebody may own what was folded: a tenant that is being erased has nothing.
fn is_there(registry: &Registry, folded: &Folded) -> bool {
    let memory = registry.shared().memory();
    folded.tenant.as_ref().is_none_or(|it| memory.owner(it.as_str()).is_some())
}

impl Telling for Embedded {
    fn registry(&self) -> &Registry {
        Self::registry(self)
    }

    async fn known(
        &self,
        scope: &Scope,
        provider: &str,
        external_id: &str,
    ) -> Result<Option<Conversation>, RegistryError> {
        self.conversation(scope, provider, external_id).await
    }

    async fn catch_up(&self) -> Result<u64, ReadError> {
        self.wait_for_index().await?;
        let target = *self.inner().door.indexed().borrow();
        Ok(self.inner().fold.projection.pace.catch_up(target).await)
    }

    async fn ask<T: Send + 'static>(
        &self,
        _: &Scope,
        ask: impl FnOnce(&Connection) -> Result<T, sql::Error> + Send + 'static,
    ) -> Result<T, ReadError> {
        self.blocking_read(move |inner| inner.fold.projection.read(ask)).await
    }
}

impl Embedded {
    pub(crate) async fn rebuild_conversations(&self) -> Result<(), ReadError> {
        let begin = |inner: &Inner| inner.fold.projection.begin_anew();
        self.blocking_read(move |inner| begin(inner).map_err(ReadError::database)).await
    }

    pub(crate) fn folding(&self) -> Folding {
        let inner = self.inner();
        let projection = &inner.fold.projection;
        let through = projection.pace.through();
        let behind = inner.door.indexed().borrow().saturating_sub(through);
        Folding { through, behind, conversations: projection.count.load(Ordering::Relaxed) }
    }
}
