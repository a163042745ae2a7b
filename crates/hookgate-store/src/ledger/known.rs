//! What the ledger has in memory, behind one lock: answers, and conversations that are just
//! becoming known.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use hookgate_core::attribution::Conversation;
use hookgate_core::event::{Claim, ClaimKind};
use hookgate_core::provider;
use hookgate_core::tenant::TenantId;

use super::cache::{Answer, Cache, ENTRIES_MAX};
use super::{adopted, place_of, remote};
use crate::lock;
use crate::postgres::cached::{ConversationImage, LedgerImage};
use crate::registry::memory::Effect;
use crate::registry::{self, RegistryError, Shared};
use crate::sql::Connection;

/// Adoptions in memory from which on those that the index has are moved to the cache. Each
/// such move makes whoever is asking a database at that moment ask anew.
const ADOPTIONS_MIN: usize = 1_024;

/// A conversation: the place of its provider, and its id there.
type Key<'a> = (usize, &'a str);

/// Whether the event that has this place was lost on its way to the disk.
pub(crate) type HasFailed = Box<dyn Fn(u64) -> bool + Send + Sync>;

/// What is in memory.
pub(crate) struct Known {
    has_failed: HasFailed,
    /// Grows with each change of what the databases say.
    version: u64,
    owners: Cache<TenantId>,
    conversations: Cache<Arc<Conversation>>,
    adopting: HashMap<usize, HashMap<Box<str>, Adopted>>,
    adoptions: usize,
    adoptions_wanted: usize,
    last_number: u64,
    /// The one that is being registered: the registry has one writer.
    registering: Option<(usize, Box<str>, Arc<Conversation>)>,
}

/// An adoption that the index may not have yet.
#[derive(Debug)]
struct Adopted {
    conversation: Arc<Conversation>,
    /// Tells it from a later one of the same conversation.
    number: u64,
    /// The place of the event that carries it, once it has one.
    seq: Option<u64>,
}

impl Default for Known {
    fn default() -> Self {
        let providers = provider::ALL.len();
        Self {
            has_failed: Box::new(|_| false),
            version: 0,
            owners: Cache::new(providers * ClaimKind::ALL.len(), ENTRIES_MAX),
            conversations: Cache::new(providers, ENTRIES_MAX),
            adopting: HashMap::new(),
            adoptions: 0,
            adoptions_wanted: ADOPTIONS_MIN,
            last_number: 0,
            registering: None,
        }
    }
}

impl fmt::Debug for Known {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Known").field("adoptions", &self.adoptions).finish_non_exhaustive()
    }
}

impl Known {
    pub(crate) fn attach(&mut self, has_failed: HasFailed) {
        self.has_failed = has_failed;
    }

    /// Forgets all answers: other nodes changed something. What this node's own events are
    /// just making known stays.
    pub(crate) fn forget_all(&mut self) {
        let providers = provider::ALL.len();
        self.owners = Cache::new(providers * ClaimKind::ALL.len(), ENTRIES_MAX);
        self.conversations = Cache::new(providers, ENTRIES_MAX);
        self.change();
    }

    /// Forgets what is in memory of some claims, or only that nobody knows a conversation.
    pub(super) fn forget(&mut self, provider: usize, claims: &[Claim], is_all: bool) {
        for claim in claims {
            let Some(id) = claim.external_id.as_deref() else { continue };
            match claim.kind {
                ClaimKind::Conversation
                    if is_all || matches!(self.conversation((provider, id)), Some(None)) =>
                {
                    self.conversations.forget(provider, id);
                }
                ClaimKind::Organization | ClaimKind::Conversation => {}
                kind if is_all => self.owners.forget(shelf(provider, kind), id),
                _ => {}
            }
        }
    }

    pub(super) fn version(&self) -> u64 {
        self.version
    }

    fn change(&mut self) {
        self.version = self.version.wrapping_add(1);
    }

    /// Forgets what a committed change has made untrue.
    pub(crate) fn note(&mut self, effect: &Effect) {
        match effect {
            Effect::Binding(provider, kind, id) => {
                if let Some(provider) = place_of(provider) {
                    self.owners.forget(shelf(provider, *kind), id);
                }
            }
            Effect::Conversation(provider, id) => {
                if let Some(provider) = place_of(provider) {
                    self.conversations.forget(provider, id);
                    self.remove_adoption((provider, id), |_| true);
                }
            }
            Effect::TenantEmptied(tenant) | Effect::TenantGone(tenant) => {
                self.owners.retain(|it| it != tenant);
                self.conversations.retain(|it| it.tenant != *tenant);
                for adoptions in self.adopting.values_mut() {
                    adoptions.retain(|_, it| it.conversation.tenant != *tenant);
                }
                self.adoptions = self.adopting.values().map(HashMap::len).sum();
            }
            Effect::Tenant(_)
            | Effect::Key(..)
            | Effect::KeyGone(_)
            | Effect::Token(..)
            | Effect::TokenGone(_)
            | Effect::Source(_)
            | Effect::SourceGone(_)
            | Effect::ToolSettings(..)
            | Effect::InstallationKey(_)
            | Effect::Sealed(_) => return,
        }
        self.change();
    }

    /// Whose an id is, if that is in memory.
    pub(super) fn owner(
        &mut self,
        provider: usize,
        kind: ClaimKind,
        id: &str,
    ) -> Option<Answer<TenantId>> {
        self.owners.get(shelf(provider, kind), id)
    }

    /// Forgets the answers about conversations that are known, and adoptions up to a place:
    /// some are not known any more, and the index says which.
    pub(crate) fn forget_conversations(&mut self, indexed: u64) {
        self.conversations.retain(|_| false);
        for (provider, adoptions) in &mut self.adopting {
            let is_indexed = |it: &Adopted| it.seq.is_some_and(|seq| seq <= indexed);
            for (id, _) in adoptions.extract_if(|_, it| is_indexed(it)) {
                // "Nobody's" stands there from before it was adopted.
                self.conversations.forget(*provider, &id);
            }
        }
        self.adoptions = self.adopting.values().map(HashMap::len).sum();
        self.change();
    }

    /// What is known of a conversation, if that is in memory.
    pub(super) fn conversation(&mut self, key: Key<'_>) -> Option<Answer<Arc<Conversation>>> {
        if let Some(found) = self.becoming_known(key) {
            return Some(Some(Arc::clone(found)));
        }
        self.conversations.get(key.0, key.1)
    }

    fn becoming_known(&self, (provider, id): Key<'_>) -> Option<&Arc<Conversation>> {
        if let Some((at, name, conversation)) = &self.registering
            && (*at, &**name) == (provider, id)
        {
            return Some(conversation);
        }
        let adopted = self.adopting.get(&provider)?.get(id)?;
        // One whose event was lost never was.
        let is_lost = adopted.seq.is_some_and(|seq| (self.has_failed)(seq));
        (!is_lost).then_some(&adopted.conversation)
    }

    /// The claims that a database must be asked about.
    pub(super) fn missing<'a>(&mut self, provider: usize, claims: &'a [Claim]) -> Vec<&'a Claim> {
        let mut missing = Vec::with_capacity(claims.len());
        for claim in claims {
            let Some(id) = claim.external_id.as_deref() else { continue };
            let is_there = match claim.kind {
                ClaimKind::Organization => true,
                ClaimKind::Conversation => self.conversation((provider, id)).is_some(),
                kind => self.owner(provider, kind, id).is_some(),
            };
            if !is_there {
                missing.push(claim);
            }
        }
        missing
    }

    pub(super) fn note_owner(
        &mut self,
        (provider, kind, id): (usize, ClaimKind, &str),
        owner: Option<TenantId>,
    ) {
        self.owners.put(shelf(provider, kind), id, owner);
    }

    pub(super) fn note_conversation(
        &mut self,
        (provider, id): Key<'_>,
        conversation: Option<Arc<Conversation>>,
    ) {
        self.conversations.put(provider, id, conversation);
    }

    /// Adopts a conversation that is known to be nobody's. Gives the adoption's number.
    pub(super) fn adopt(&mut self, key: Key<'_>, conversation: Arc<Conversation>) -> Option<u64> {
        // Without an answer in memory nobody knows whether it is still nobody's.
        if !matches!(self.conversation(key), Some(None)) {
            return None;
        }
        self.last_number = self.last_number.wrapping_add(1);
        let adopted = Adopted { conversation, number: self.last_number, seq: None };
        let lost = self.adopting.entry(key.0).or_default().insert(key.1.into(), adopted);
        self.adoptions = self.adoptions.saturating_add(usize::from(lost.is_none()));
        Some(self.last_number)
    }

    /// Notes the place of the event that carries an adoption.
    pub(super) fn keep(&mut self, (provider, id): Key<'_>, number: u64, seq: u64) {
        let adopted = self.adopting.get_mut(&provider).and_then(|it| it.get_mut(id));
        if let Some(adopted) = adopted.filter(|it| it.number == number) {
            adopted.seq = Some(seq);
        }
    }

    /// Takes an adoption back. What is in the cache is "nobody's" as before.
    pub(super) fn undo(&mut self, key: Key<'_>, number: u64) {
        self.remove_adoption(key, |it| it.number == number);
    }

    fn remove_adoption(&mut self, (provider, id): Key<'_>, which: impl Fn(&Adopted) -> bool) {
        let Some(adoptions) = self.adopting.get_mut(&provider) else { return };
        if adoptions.get(id).is_some_and(which) {
            adoptions.remove(id);
            self.adoptions = self.adoptions.saturating_sub(1);
        }
    }

    /// Moves to the cache what is in the index by now, when there is much of it.
    pub(super) fn purge(&mut self, indexed: u64) {
        if self.adoptions < self.adoptions_wanted {
            return;
        }
        let has_failed = &self.has_failed;
        for (provider, adoptions) in &mut self.adopting {
            adoptions.retain(|_, it| !it.seq.is_some_and(has_failed));
            let is_indexed = |it: &Adopted| it.seq.is_some_and(|seq| seq <= indexed);
            for (id, adopted) in adoptions.extract_if(|_, it| is_indexed(it)) {
                self.conversations.put(*provider, &id, Some(adopted.conversation));
            }
        }
        self.adoptions = self.adopting.values().map(HashMap::len).sum();
        self.adoptions_wanted = self.adoptions.saturating_mul(2).max(ADOPTIONS_MIN);
        // Who looked into the index before does not know them, and finds them here no more.
        self.change();
    }

    /// What is known, to be written down; without what is nobody's.
    pub(crate) fn image(&self) -> LedgerImage {
        let kinds = ClaimKind::ALL.len();
        let owners = self.owners.known().filter_map(|(shelf, id, owner)| {
            let provider = provider::ALL.get(shelf / kinds)?.name.to_owned();
            let kind = *ClaimKind::ALL.iter().find(|it| **it as usize == shelf % kinds)?;
            Some((provider, kind, id.to_owned(), owner.clone()))
        });
        let conversations = self.conversations.known().filter_map(|(provider, id, it)| {
            Some(ConversationImage::new(provider::ALL.get(provider)?.name, id, it))
        });
        LedgerImage { owners: owners.collect(), conversations: conversations.collect() }
    }

    /// Takes in what was written down.
    pub(crate) fn restore(&mut self, image: LedgerImage) {
        for (provider, kind, id, owner) in image.owners {
            if let Some(provider) = place_of(&provider) {
                self.note_owner((provider, kind, &id), Some(owner));
            }
        }
        for it in image.conversations {
            if let Some(provider) = place_of(&it.provider) {
                let known = Arc::new(it.conversation());
                self.note_conversation((provider, &it.external_id), Some(known));
            }
        }
        self.change();
    }

    /// Answers, and adoptions.
    pub(super) fn len(&self) -> (usize, usize) {
        (self.owners.len().saturating_add(self.conversations.len()), self.adoptions)
    }
}

/// The shelf of a kind of id at a provider.
fn shelf(provider: usize, kind: ClaimKind) -> usize {
    provider * ClaimKind::ALL.len() + kind as usize
}

/// A conversation that is being registered: everybody sees it, and nobody adopts it, until
/// this is dropped. Who makes one holds the registry's writer.
pub(crate) struct Reserved<'a> {
    shared: &'a Shared,
}

impl<'a> Reserved<'a> {
    /// Reserves a conversation that is not registered, for a tenant. What that tenant adopted
    /// it with, and does not say anew, is kept.
    pub(crate) fn begin(
        shared: &'a Shared,
        connection: &Connection,
        provider: &'static str,
        wanted: &mut registry::Conversation,
    ) -> Result<Self, registry::Stop> {
        let Some(place) = place_of(provider) else {
            return Err(RegistryError::Invalid("there is no such provider").into());
        };
        let id = wanted.external_id.clone();
        loop {
            let version = lock(&shared.known).version();
            let in_index = match remote::adopted_for_good(connection, provider, &id)? {
                None => adopted(shared, provider, &id).map_err(registry::Stop::Index)?,
                found => found,
            };
            let mut known = lock(&shared.known);
            // What was being adopted when the index was read may have moved on.
            if known.version() != version {
                continue;
            }
            let becoming = known.becoming_known((place, &id)).map(|it| Conversation::clone(it));
            let adopted = becoming.or(in_index);
            if let Some(adopted) = &adopted
                && adopted.tenant != wanted.tenant
                && shared.memory().tenants.contains_key(&adopted.tenant)
            {
                return Err(RegistryError::Taken.into());
            }
            if let Some(adopted) = adopted.filter(|it| it.tenant == wanted.tenant) {
                wanted.keep(adopted.agent_id, adopted.phone_number_id);
            }
            known.registering = Some((place, id.into_boxed_str(), Arc::new(wanted.known())));
            known.change();
            return Ok(Self { shared });
        }
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        let mut known = lock(&self.shared.known);
        known.registering = None;
        known.change();
    }
}
