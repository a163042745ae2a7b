//! The ledger: what the registry says of the claims of a request, from memory where it can.
//!
//! What holds:
//!
//! - **No statement on a hit.** Answers are kept, negative ones as well (see [`cache`]).
//! - **A change takes effect for the next request.** Whoever changes something removes its
//!   answer under the lock of [`Known`] and counts its `version` up; an answer that was read
//!   from a database is kept, and given, only if nothing changed since the reading began.
//! - **One adopts.** An adoption is inserted under the same lock and only over an answer
//!   that says "nobody's" and still holds.
//!
//! A conversation is looked for where it can be the newest first: among those that are being
//! registered, those that are being adopted, in the cache, in the registry, in the index. An
//! adoption stays in memory until the index has the event that carries it.

mod cache;
mod known;
mod remote;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::sql::{Connection, may_block};
use hookgate_core::attribution::{Adoption, Consulted, Conversation, Origin};
use hookgate_core::event::{Claim, ClaimKind};
use hookgate_core::provider;
use hookgate_core::tenant::TenantId;
use tokio::sync::watch;

pub use self::cache::ENTRIES_MAX;
pub(crate) use self::known::{HasFailed, Known, Reserved};
use crate::error::{ReadError, Unavailable};
use crate::index::query;
use crate::lock;
use crate::postgres::STATEMENT_MAX;
use crate::registry::memory::Memory;
use crate::registry::{self, Registry, Shared};

/// Times that a question is asked anew because something changed while it was: each takes
/// a commit that falls into a fraction of a millisecond.
const CONSULTINGS_MAX: u32 = 32;

/// Who owns what, for the requests that come. Clones share it.
#[derive(Clone)]
pub struct Ledger {
    shared: Arc<Shared>,
    /// Everything up to here is in the index.
    indexed: watch::Receiver<u64>,
}

/// Somebody adopted or registered the conversation meanwhile, or what the adoption rests
/// on changed: consult the ledger again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the conversation is known by now")]
pub struct Taken;

/// An adoption that everybody sees already. Dropped without [`Self::keep`] it is undone.
#[must_use = "an adoption that is dropped is undone"]
pub struct Adopting {
    shared: Arc<Shared>,
    provider: usize,
    external_id: String,
    number: u64,
}

impl Adopting {
    /// Keeps the adoption: the event that carries it has this place. Should it be lost on its
    /// way to the disk, the adoption never was.
    pub fn keep(mut self, seq: u64) {
        lock(&self.shared.known).keep((self.provider, &self.external_id), self.number, seq);
        // Nothing is undone any more.
        self.number = 0;
    }
}

impl Drop for Adopting {
    fn drop(&mut self) {
        if self.number != 0 {
            lock(&self.shared.known).undo((self.provider, &self.external_id), self.number);
        }
    }
}

impl fmt::Debug for Adopting {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Adopting").field("external_id", &self.external_id).finish_non_exhaustive()
    }
}

impl Ledger {
    pub(crate) fn new(registry: &Registry, indexed: watch::Receiver<u64>) -> Self {
        Self { shared: Arc::clone(registry.shared()), indexed }
    }

    /// What is known of the claims of a request, from memory alone; nothing if one of the
    /// answers is not there.
    #[must_use]
    pub fn consult_cached(&self, provider: &str, claims: &[Claim]) -> Option<Consulted> {
        if !self.shared.has_tenants() {
            // There is nothing to ask, and nothing to keep.
            return Some(nobody(false, claims));
        }
        let Some(provider) = place_of(provider) else { return Some(nobody(true, claims)) };
        if !self.shared.is_fresh() {
            return None;
        }
        let consulted =
            answer(&mut lock(&self.shared.known), &self.shared.memory(), provider, claims)?;
        // Another node may have made it known a moment ago.
        let is_unknown = consulted.conversation.is_none()
            && claims.iter().any(|it| it.kind == ClaimKind::Conversation);
        (!is_unknown || !self.shared.has_others()).then_some(consulted)
    }

    /// What was last known of the claims of a request, however long ago: for when the database
    /// is away, and what is decided by it is looked at again.
    #[must_use]
    pub fn consult_stale(&self, provider: &str, claims: &[Claim]) -> Option<Consulted> {
        let Some(provider) = place_of(provider) else { return Some(nobody(true, claims)) };
        answer(&mut lock(&self.shared.known), &self.shared.memory(), provider, claims)
    }

    /// What is known of the claims of a request. Asks the databases for what is not in
    /// memory.
    ///
    /// # Errors
    ///
    /// [`Unavailable`]: it cannot be said now.
    pub async fn consult(
        &self,
        provider: &str,
        claims: &[Claim],
    ) -> Result<Consulted, Unavailable> {
        if let Some(consulted) = self.consult_cached(provider, claims) {
            return Ok(consulted);
        }
        let Some(provider) = place_of(provider) else { return Ok(nobody(true, claims)) };
        let (shared, claims) = (Arc::clone(&self.shared), claims.to_vec());
        let has_spool = shared.has_spool();
        let consulting = tokio::task::spawn_blocking(move || {
            may_block(|| consult_now(&shared, provider, &claims))
        });
        let consulted = if has_spool {
            // There is another way: it is decided later.
            let consulted = tokio::time::timeout(STATEMENT_MAX, consulting).await;
            consulted.map_err(|_| Unavailable::Failed)?
        } else {
            consulting.await
        };
        consulted.unwrap_or(Err(Unavailable::Failed))
    }

    /// The same on a thread that may block.
    pub(crate) fn consult_here(
        &self,
        provider: &str,
        claims: &[Claim],
    ) -> Result<Consulted, Unavailable> {
        if let Some(consulted) = self.consult_cached(provider, claims) {
            return Ok(consulted);
        }
        let Some(provider) = place_of(provider) else { return Ok(nobody(true, claims)) };
        may_block(|| consult_now(&self.shared, provider, claims))
    }

    /// Whether a tenant is there and may get something.
    pub(crate) fn is_owner(&self, tenant: &TenantId) -> bool {
        self.shared.memory().owner(tenant.as_str()).is_some()
    }

    /// What was last known of the claims of a request, if each was somebody's: what nobody
    /// knew may be known by now, so that is no answer while the database is away.
    pub(crate) fn recall(&self, provider: &str, claims: &[Claim]) -> Option<Consulted> {
        if !self.shared.has_tenants() {
            return Some(nobody(false, claims));
        }
        let recalled = self.consult_stale(provider, claims)?;
        let is_whole = claims
            .iter()
            .zip(&recalled.owners)
            .all(|(claim, owner)| claim.external_id.is_none() || owner.is_some());
        is_whole.then_some(recalled)
    }

    /// Makes a conversation known, unless somebody else has: what [`Self::consult`] said of
    /// it must have been "nobody's" and still hold. Everybody sees it when this returns.
    ///
    /// # Errors
    ///
    /// [`Taken`]: consult again.
    pub fn adopt(&self, adoption: &Adoption) -> Result<Adopting, Taken> {
        let provider = place_of(adoption.provider).ok_or(Taken)?;
        let indexed = *self.indexed.borrow();
        let mut known = lock(&self.shared.known);
        if self.shared.memory().owner(adoption.conversation.tenant.as_str()).is_none() {
            return Err(Taken);
        }
        known.purge(indexed);
        let key = (provider, adoption.external_id.as_str());
        let number = known.adopt(key, Arc::new(adoption.conversation.clone())).ok_or(Taken)?;
        let external_id = adoption.external_id.clone();
        Ok(Adopting { shared: Arc::clone(&self.shared), provider, external_id, number })
    }

    /// Statements that were asked of a database until now.
    #[must_use]
    pub fn statements(&self) -> u64 {
        self.shared.statements.load(Ordering::Relaxed)
    }

    /// Answers in memory, and conversations whose adoption is not in the index yet.
    #[must_use]
    pub fn entries(&self) -> (usize, usize) {
        lock(&self.shared.known).len()
    }
}

impl fmt::Debug for Ledger {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Ledger").finish_non_exhaustive()
    }
}

/// The place of a provider among all.
fn place_of(provider: &str) -> Option<usize> {
    provider::ALL.iter().position(|it| it.name == provider)
}

fn nobody(tenants_exist: bool, claims: &[Claim]) -> Consulted {
    Consulted { tenants_exist, owners: vec![None; claims.len()], conversation: None }
}

/// What is in memory, if all of it is.
fn answer(
    known: &mut Known,
    memory: &Memory,
    provider: usize,
    claims: &[Claim],
) -> Option<Consulted> {
    let mut owners = Vec::with_capacity(claims.len());
    let mut conversation: Option<Option<Arc<Conversation>>> = None;
    for claim in claims {
        let Some(id) = claim.external_id.as_deref() else {
            owners.push(None);
            continue;
        };
        let owner = match claim.kind {
            ClaimKind::Organization => memory.owner(id).cloned(),
            ClaimKind::Conversation => {
                let found = known.conversation((provider, id))?;
                let found = found.filter(|it| memory.owner(it.tenant.as_str()).is_some());
                let owner = found.as_ref().map(|it| it.tenant.clone());
                conversation.get_or_insert(found);
                owner
            }
            kind => {
                let owner = known.owner(provider, kind, id)?;
                owner.filter(|it| memory.owner(it.as_str()).is_some())
            }
        };
        owners.push(owner);
    }
    let conversation = conversation.flatten().map(|it| Conversation::clone(&it));
    Some(Consulted { tenants_exist: !memory.tenants.is_empty(), owners, conversation })
}

/// What a database says of one claim.
enum Said<'a> {
    Owner(ClaimKind, &'a str, Option<TenantId>),
    Conversation(&'a str, Option<Arc<Conversation>>),
}

fn consult_now(
    shared: &Shared,
    provider: usize,
    claims: &[Claim],
) -> Result<Consulted, Unavailable> {
    if shared.has_others() {
        // What other nodes did may not be known here.
        lock(&shared.known).forget(provider, claims, !shared.is_fresh());
    }
    for _ in 0..CONSULTINGS_MAX {
        let (version, missing) = {
            let mut known = lock(&shared.known);
            if let Some(consulted) = answer(&mut known, &shared.memory(), provider, claims) {
                return Ok(consulted);
            }
            (known.version(), known.missing(provider, claims))
        };
        let said = ask(shared, provider, &missing).map_err(|error| {
            tracing::warn!(error = %error, "the registry cannot say whose an event is");
            match error {
                ReadError::Behind => Unavailable::Behind,
                ReadError::Damaged | ReadError::Io(_) => Unavailable::Failed,
            }
        })?;
        let mut known = lock(&shared.known);
        if known.version() != version {
            continue;
        }
        for said in said {
            match said {
                Said::Owner(kind, id, owner) => known.note_owner((provider, kind, id), owner),
                Said::Conversation(id, found) => {
                    // What is left of a tenant that is being erased is nobody's.
                    let memory = shared.memory();
                    let found = found.filter(|it| memory.owner(it.tenant.as_str()).is_some());
                    known.note_conversation((provider, id), found);
                }
            }
        }
        if let Some(consulted) = answer(&mut known, &shared.memory(), provider, claims) {
            return Ok(consulted);
        }
    }
    Err(Unavailable::Behind)
}

/// Asks the databases, the registry at one moment.
fn ask<'a>(
    shared: &Shared,
    provider: usize,
    missing: &[&'a Claim],
) -> Result<Vec<Said<'a>>, ReadError> {
    let name = provider::ALL.get(provider).map_or("", |it| it.name);
    let count = |statements| shared.statements.fetch_add(statements, Ordering::Relaxed);
    let ids = missing.iter().filter_map(|it| Some((it.kind, it.external_id.as_deref()?)));
    // One moment for all that is asked.
    let look = |connection: &Connection| {
        let mut said = Vec::with_capacity(missing.len());
        for (kind, id) in ids {
            count(1);
            said.push(match kind {
                ClaimKind::Conversation => {
                    let found = registry::conversations::find(connection, name, id)?;
                    let found = match found.map(|it| it.known()) {
                        None => remote::adopted(connection, name, id)?,
                        found => found,
                    };
                    Said::Conversation(id, found.map(Arc::new))
                }
                kind => {
                    let owner = registry::bindings::owner(connection, name, kind, id)?;
                    Said::Owner(kind, id, owner)
                }
            });
        }
        Ok(said)
    };
    let mut said =
        shared.look_up(|connection| connection.at_one_moment(look)).map_err(ReadError::database)?;
    for said in &mut said {
        if let Said::Conversation(id, found @ None) = said {
            count(1);
            *found = adopted(shared, name, id)?.map(Arc::new);
        }
    }
    Ok(said)
}

/// What the index says of a conversation that may have been adopted.
fn adopted(
    shared: &Shared,
    provider: &str,
    external_id: &str,
) -> Result<Option<Conversation>, ReadError> {
    let Some(pool) = shared.index.get() else { return Ok(None) };
    let found = pool.read(None, |connection| {
        query::adopted(connection, provider, external_id).map_err(ReadError::database)
    })?;
    Ok(found.and_then(|it| {
        Some(Conversation {
            tenant: TenantId::parse(&it.tenant).ok()?,
            agent_id: it.agent_id,
            phone_number_id: it.phone_number_id,
            origin: Origin::Adopted,
        })
    }))
}
