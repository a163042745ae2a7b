//! Conversations that are known, registered and adopted together; and contradictions.

use std::io;

use hookgate_core::attribution::Origin;
use hookgate_core::tenant::{Scope, TenantId};
use hookgate_core::time::Timestamp;

use crate::embedded::Embedded;
use crate::error::ReadError;
use crate::filter::{EventFilter, Page};
use crate::index::adopted::{Adopted, adopted, adopted_before};
use crate::library::Shown;
use crate::record::Event;
use crate::registry::{Conversation, ConversationFilter, Registry, RegistryError, Rows};

/// The bits of a place in the list that say how far the adopted ones are; those above say
/// how far the registered ones are. Room for 10^10 events and 10^8 registrations.
const ADOPTED_BITS: u32 = 36;

/// How far a list is, in registered and in adopted ones. Each is before this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cursor {
    registered: u64,
    adopted: u64,
}

impl Cursor {
    const START: Self =
        Self { registered: u64::MAX >> ADOPTED_BITS, adopted: (1 << ADOPTED_BITS) - 1 };

    fn read(place: u64) -> Self {
        Self { registered: place >> ADOPTED_BITS, adopted: place & Self::START.adopted }
    }

    fn print(self) -> u64 {
        (self.registered.min(Self::START.registered) << ADOPTED_BITS)
            | self.adopted.min(Self::START.adopted)
    }
}

impl Embedded {
    /// A page of contradictions: proven events whose ids contradict each other, or what is
    /// known. A tenant sees those that name one of its ids; **ids of others are in the
    /// claims**, for who shows them to hash ([`crate::foreign`]). Of the rest of an event a
    /// tenant sees what is no id.
    ///
    /// # Errors
    ///
    /// A [`ReadError`].
    pub(crate) async fn violations(
        &self,
        scope: &Scope,
        filter: EventFilter,
        page: Page,
    ) -> Result<Vec<Event>, ReadError> {
        self.list(scope, Shown::Violations, filter, page).await
    }

    /// A page of conversations, the newest first, each with the place behind which the next
    /// page begins.
    ///
    /// # Errors
    ///
    /// A [`RegistryError`].
    pub(crate) async fn conversations(
        &self,
        scope: &Scope,
        filter: ConversationFilter,
        page: Rows,
    ) -> Result<Vec<(u64, Conversation)>, RegistryError> {
        let adopted = |filter: ConversationFilter, before: u64| {
            self.read(move |_, indexes| {
                let tenant = filter.tenant.as_ref().map(TenantId::as_str);
                let words = (tenant, filter.provider.as_deref());
                let Some(index) = indexes.first() else { return Ok(Vec::new()) };
                adopted_before(index, words, Some(before), page.limit).map_err(ReadError::database)
            })
        };
        list(self.registry(), scope, filter, page, adopted).await
    }

    /// What is known of a conversation.
    ///
    /// # Errors
    ///
    /// A [`RegistryError`].
    pub(crate) async fn conversation(
        &self,
        scope: &Scope,
        provider: &str,
        external_id: &str,
    ) -> Result<Option<Conversation>, RegistryError> {
        let adopted = |provider: String, external_id: String| {
            self.read(move |_, indexes| {
                let Some(index) = indexes.first() else { return Ok(None) };
                adopted(index, &provider, &external_id).map_err(ReadError::database)
            })
        };
        one(self.registry(), scope, (provider, external_id), adopted).await
    }
}

/// A page of conversations, where `adopted` gives the adopted ones that the filter lets pass
/// before a place, as many as the page has.
pub(crate) async fn list<F: Future<Output = Result<Vec<Adopted>, ReadError>>>(
    registry: &Registry,
    scope: &Scope,
    mut filter: ConversationFilter,
    page: Rows,
    adopted: impl Fn(ConversationFilter, u64) -> F,
) -> Result<Vec<(u64, Conversation)>, RegistryError> {
    if let Some(tenant) = scope.tenant() {
        if filter.tenant.as_ref().is_some_and(|it| it != tenant) {
            return Ok(Vec::new());
        }
        filter.tenant = Some(tenant.clone());
    }
    let mut at = page.after.map_or(Cursor::START, Cursor::read);
    let rows = Rows { after: Some(at.registered), limit: page.limit };
    let registered = registry.conversations(filter.clone(), rows).await?;
    let adopted = adopted_page(registry, &filter, (at.adopted, page.limit), adopted).await?;
    // Both are in the order of their places; which of the two comes next, its time says.
    let (mut registered, mut adopted) =
        (registered.into_iter().peekable(), adopted.into_iter().peekable());
    let mut merged = Vec::new();
    while u32::try_from(merged.len()).is_ok_and(|it| it < page.limit) {
        let is_registered = match (registered.peek(), adopted.peek()) {
            (Some((_, a)), Some((_, b))) => a.created_at >= b.created_at,
            (one, other) if one.is_none() && other.is_none() => break,
            (one, _) => one.is_some(),
        };
        let next = if is_registered { registered.next() } else { adopted.next() };
        let Some((place, conversation)) = next else { break };
        if is_registered {
            at.registered = place;
        } else {
            at.adopted = place;
        }
        merged.push((at.print(), conversation));
    }
    Ok(merged)
}

/// Adopted conversations before a place that are not registered as well.
async fn adopted_page<F: Future<Output = Result<Vec<Adopted>, ReadError>>>(
    registry: &Registry,
    filter: &ConversationFilter,
    (mut before, limit): (u64, u32),
    adopted: impl Fn(ConversationFilter, u64) -> F,
) -> Result<Vec<(u64, Conversation)>, RegistryError> {
    let mut found = Vec::new();
    while u32::try_from(found.len()).is_ok_and(|it| it < limit) {
        let batch = adopted(filter.clone(), before).await.map_err(reading)?;
        let Some(last) = batch.last() else { break };
        before = last.seq;
        for adopted in batch {
            let id = (&adopted.provider, &adopted.external_id);
            let is_registered = registry.conversation(id.0, id.1).await?.is_some();
            if !is_registered && is_owner(registry, &adopted.tenant) {
                found.extend(shown(adopted));
            }
        }
    }
    Ok(found)
}

/// What is known of one, where `adopted` says whether it was adopted.
pub(crate) async fn one<F: Future<Output = Result<Option<Adopted>, ReadError>>>(
    registry: &Registry,
    scope: &Scope,
    (provider, external_id): (&str, &str),
    adopted: impl FnOnce(String, String) -> F,
) -> Result<Option<Conversation>, RegistryError> {
    let mut found = registry.conversation(provider, external_id).await?;
    if found.is_none() {
        let adopted = adopted(provider.to_owned(), external_id.to_owned());
        let adopted = adopted.await.map_err(reading)?;
        let adopted = adopted.filter(|it| is_owner(registry, &it.tenant));
        found = adopted.and_then(shown).map(|(_, it)| it);
    }
    Ok(found.filter(|it| scope.covers(Some(it.tenant.as_str()))))
}

fn is_owner(registry: &Registry, tenant: &str) -> bool {
    registry.shared().memory().owner(tenant).is_some()
}

fn shown(adopted: Adopted) -> Option<(u64, Conversation)> {
    let conversation = Conversation {
        tenant: TenantId::parse(&adopted.tenant).ok()?,
        provider: adopted.provider,
        external_id: adopted.external_id,
        agent_id: adopted.agent_id,
        phone_number_id: adopted.phone_number_id,
        origin: Origin::Adopted,
        created_at: Timestamp::from_millis(adopted.at),
    };
    Some((adopted.seq, conversation))
}

pub(crate) fn reading(error: ReadError) -> RegistryError {
    let source = match error {
        ReadError::Io(error) => error,
        other => io::Error::other(other),
    };
    RegistryError::Unavailable { doing: "reading adopted conversations", source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_as_it_went_out() {
        for (registered, adopted) in [(0, 0), (1, 2), (77, (1 << 36) - 1), ((1 << 28) - 1, 5)] {
            let cursor = Cursor { registered, adopted };
            assert_eq!(Cursor::read(cursor.print()), cursor);
        }
        assert_eq!(Cursor::read(u64::MAX), Cursor::START);
    }
}
