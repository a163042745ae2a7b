//! The store: one way in, and another to read. Two backends behind one closed list of verbs:
//! what each promises stands here, how it is kept stands there.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::task::Waker;

use hookgate_core::attribution::{Attributed, Quarantined, Readable, Rule};
use hookgate_core::received::{Blob, Unproven};
use hookgate_core::secret::MaskKey;
use hookgate_core::sound::Sound;
use hookgate_core::tenant::{Scope, TenantId};
use hookgate_core::time::Timestamp;
use tokio::sync::watch;
use uuid::Uuid;

use crate::blobs::BlobWriter;
use crate::body::Body;
use crate::decide::DecideError;
use crate::embedded::Embedded;
use crate::error::{OpenError, ReadError, Unavailable};
use crate::filter::{EventFilter, Page, RejectionFilter};
use crate::ledger::{Adopting, Ledger};
use crate::library::Stretch;
use crate::options::Options;
use crate::postgres::{Node, PgSettings};
use crate::projection::{self, ConversationPage, Folded, FoldedFilter, Folding};
use crate::receipt::Receipt;
use crate::record::{Event, EventId, Rejection};
use crate::registry::{
    Conversation, ConversationFilter, Erasure, ErasureTarget, LeasedRecording, Recording,
    RecordingFilter, RecordingId, Registry, RegistryError, Rows,
};
use crate::snapshot::{Snapshot, SpoolState};

/// Called once for each committed batch, with everyone who waits for it.
pub type Wake = Arc<dyn Fn(Vec<Waker>) + Send + Sync>;

/// The store. Clones share it.
#[derive(Clone, Debug)]
pub struct Store {
    backend: Backend,
}

/// Where it is kept.
#[derive(Clone, Debug)]
enum Backend {
    /// In a folder of this machine.
    Embedded(Embedded),
    /// In PostgreSQL, which this is one node of.
    Postgres(Node),
}

impl Store {
    /// Opens the store in `folder`, creating it if there is none, and recovers what a
    /// crash left. Blocks while it does.
    ///
    /// # Errors
    ///
    /// An [`OpenError`], whose sentence says what to do.
    pub fn open(folder: &Path, options: Options, wake: Wake) -> Result<Self, OpenError> {
        Ok(Self { backend: Backend::Embedded(Embedded::open(folder, options, wake)?) })
    }

    /// Opens the store in this database as one of its nodes, with its tables if nobody made
    /// them yet. Blocks, and must not be called on a thread of a runtime.
    ///
    /// # Errors
    ///
    /// An [`OpenError`], whose sentence says what to do.
    pub fn open_postgres(
        settings: &PgSettings,
        options: Options,
        wake: Wake,
    ) -> Result<Self, OpenError> {
        Ok(Self { backend: Backend::Postgres(Node::open(settings, options, wake)?) })
    }

    /// Whether a body of this length may be read now. Asked before it is.
    ///
    /// # Errors
    ///
    /// [`Unavailable`]: answer 503 with `Retry-After`.
    pub fn admit(&self, body_bytes: u64) -> Result<(), Unavailable> {
        match &self.backend {
            Backend::Embedded(it) => it.admit(body_bytes),
            Backend::Postgres(it) => it.admit(body_bytes),
        }
    }

    /// Stores an event that may be acted on, and with it that it makes its conversation
    /// known. It is on its way to the disk as soon as this is first polled, whether or not
    /// anyone waits for the receipt.
    ///
    /// # Errors
    ///
    /// [`Unavailable`]: nothing was stored.
    pub async fn append(
        &self,
        event: &Attributed,
        adopting: Option<Adopting>,
    ) -> Result<Receipt, Unavailable> {
        match &self.backend {
            Backend::Embedded(it) => it.append(event, adopting).await,
            Backend::Postgres(it) => it.append(event, adopting).await,
        }
    }

    /// Stores an event that nobody may act on.
    ///
    /// # Errors
    ///
    /// [`Unavailable`]: nothing was stored.
    pub async fn quarantine(&self, event: &Quarantined) -> Result<Receipt, Unavailable> {
        match &self.backend {
            Backend::Embedded(it) => it.quarantine(event).await,
            Backend::Postgres(it) => it.quarantine(event).await,
        }
    }

    /// Keeps a refused request in the ring of rejections, if its peer has not filled its
    /// share. Does not wait for the disk.
    pub fn reject(&self, refused: &Unproven, status: u16) {
        match &self.backend {
            Backend::Embedded(it) => it.reject(refused, status),
            Backend::Postgres(it) => it.reject(refused, status),
        }
    }

    /// Notes that a refused request was judged again and became an event.
    pub fn settle(&self, rejection: Uuid, event: EventId) {
        match &self.backend {
            Backend::Embedded(it) => it.settle(rejection, event),
            Backend::Postgres(it) => it.settle(rejection, event),
        }
    }

    /// Begins a large body. Takes its bytes from the budget of bodies in flight.
    ///
    /// # Errors
    ///
    /// [`Unavailable`]: the budget is spent, or the disk is full.
    pub async fn begin_blob(&self) -> Result<BlobWriter, Unavailable> {
        match &self.backend {
            Backend::Embedded(it) => it.begin_blob().await,
            Backend::Postgres(it) => it.begin_blob().await,
        }
    }

    /// Removes a large body that was finished and is not wanted. One that becomes part of
    /// an event or a refused request must not be given here; one that is forgotten goes a
    /// quarter of an hour later.
    pub fn discard_blob(&self, blob: &Blob) {
        match &self.backend {
            Backend::Embedded(it) => it.discard_blob(blob),
            Backend::Postgres(it) => it.discard_blob(blob),
        }
    }

    /// Reads a large body that was finished, kept or not.
    ///
    /// # Errors
    ///
    /// What the file system says.
    pub fn open_blob(&self, blob: &Blob) -> io::Result<fs::File> {
        match &self.backend {
            Backend::Embedded(it) => it.open_blob(blob),
            Backend::Postgres(it) => it.open_blob(blob),
        }
    }

    /// A page of events. Waits until the index holds every receipt issued before. A tenant
    /// sees what was accepted and is its own.
    ///
    /// # Errors
    ///
    /// A [`ReadError`].
    pub async fn events(
        &self,
        scope: &Scope,
        filter: EventFilter,
        page: Page,
    ) -> Result<Vec<Event>, ReadError> {
        match &self.backend {
            Backend::Embedded(it) => it.events(scope, filter, page).await,
            Backend::Postgres(it) => it.events(scope, filter, page).await,
        }
    }

    /// The events behind `after`, oldest first, as far as they can be listed now: it waits
    /// for nothing. Who follows [`Self::listed`] reads what comes so. A tenant sees what
    /// was accepted and is its own.
    ///
    /// # Errors
    ///
    /// A [`ReadError`].
    pub async fn stretch(
        &self,
        scope: &Scope,
        filter: EventFilter,
        after: u64,
        limit: usize,
    ) -> Result<Stretch, ReadError> {
        match &self.backend {
            Backend::Embedded(it) => it.stretch(scope, filter, after, limit).await,
            Backend::Postgres(it) => it.stretch(scope, filter, after, limit).await,
        }
    }

    /// One event; nothing if there is none within the scope.
    ///
    /// # Errors
    ///
    /// A [`ReadError`].
    pub async fn event(&self, scope: &Scope, id: EventId) -> Result<Option<Event>, ReadError> {
        match &self.backend {
            Backend::Embedded(it) => it.event(scope, id).await,
            Backend::Postgres(it) => it.event(scope, id).await,
        }
    }

    /// The exact bytes of an event's body, in pieces. `None` if it was erased, or there is
    /// no such event within the scope.
    ///
    /// # Errors
    ///
    /// A [`ReadError`].
    pub async fn body(&self, scope: &Scope, id: EventId) -> Result<Option<Body>, ReadError> {
        match &self.backend {
            Backend::Embedded(it) => it.body(scope, id).await,
            Backend::Postgres(it) => it.body(scope, id).await,
        }
    }

    /// A page of refused requests.
    ///
    /// # Errors
    ///
    /// A [`ReadError`].
    pub async fn rejections(
        &self,
        filter: RejectionFilter,
        page: Page,
    ) -> Result<Vec<Rejection>, ReadError> {
        match &self.backend {
            Backend::Embedded(it) => it.rejections(filter, page).await,
            Backend::Postgres(it) => it.rejections(filter, page).await,
        }
    }

    /// One refused request and its bytes.
    ///
    /// # Errors
    ///
    /// A [`ReadError`].
    pub async fn rejection(&self, id: Uuid) -> Result<Option<(Rejection, Body)>, ReadError> {
        match &self.backend {
            Backend::Embedded(it) => it.rejection(id).await,
            Backend::Postgres(it) => it.rejection(id).await,
        }
    }

    /// Tenants, keys, bindings, sources: what was configured over the API.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        match &self.backend {
            Backend::Embedded(it) => it.registry(),
            Backend::Postgres(it) => it.registry(),
        }
    }

    /// Whose the ids are that requests name.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        match &self.backend {
            Backend::Embedded(it) => it.ledger(),
            Backend::Postgres(it) => it.ledger(),
        }
    }

    /// The key under which header tokens are hashed.
    #[must_use]
    pub fn mask_key(&self) -> &MaskKey {
        match &self.backend {
            Backend::Embedded(it) => it.mask_key(),
            Backend::Postgres(it) => it.mask_key(),
        }
    }

    /// The id that the store got when it was made. A backup of it has the same.
    #[must_use]
    pub fn id(&self) -> Uuid {
        match &self.backend {
            Backend::Embedded(it) => it.id(),
            Backend::Postgres(it) => it.id(),
        }
    }

    /// Follows the place up to which events can be listed. Whoever waits for new events
    /// waits for a change of it.
    #[must_use]
    pub fn listed(&self) -> watch::Receiver<u64> {
        match &self.backend {
            Backend::Embedded(it) => it.listed(),
            Backend::Postgres(it) => it.listed(),
        }
    }

    /// How the store is.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        match &self.backend {
            Backend::Embedded(it) => it.snapshot(),
            Backend::Postgres(it) => it.snapshot(),
        }
    }

    /// The spool of a node, and whether it is needed; nothing where there is none.
    #[must_use]
    pub fn spool(&self) -> Option<SpoolState> {
        match &self.backend {
            Backend::Embedded(_) => None,
            Backend::Postgres(it) => it.spool(),
        }
    }

    /// Whether events go into a spool now.
    pub(crate) fn is_spooling(&self) -> bool {
        match &self.backend {
            Backend::Embedded(_) => false,
            Backend::Postgres(it) => it.is_spooling(),
        }
    }

    /// The registry could not be asked: from now on events go into the spool. False: there
    /// is none.
    pub(crate) fn lose(&self) -> bool {
        match &self.backend {
            Backend::Embedded(_) => false,
            Backend::Postgres(it) => it.lose(),
        }
    }

    /// Puts a request into the spool whose owner cannot be told now. Nothing: it can.
    pub(crate) async fn defer(&self, readable: &Readable) -> Result<Option<Receipt>, Unavailable> {
        match &self.backend {
            Backend::Embedded(_) => Ok(None),
            Backend::Postgres(it) => it.defer(readable).await,
        }
    }

    /// Finishes what was begun and closes. Blocks. What is left in a spool then, [`Self::spool`]
    /// says.
    pub fn close(&self) {
        match &self.backend {
            Backend::Embedded(it) => it.close(),
            Backend::Postgres(it) => it.close(),
        }
    }

    /// Lets an event out of quarantine; from then on it is the tenant's, or without one the
    /// operator's alone. Its verdicts stay, and nothing acts on it by itself.
    ///
    /// # Errors
    ///
    /// A [`DecideError`].
    #[expect(clippy::too_many_arguments, reason = "what, to whom, and who says so when")]
    pub async fn release(
        &self,
        id: EventId,
        tenant: Option<TenantId>,
        by: &str,
        correlation_id: &str,
        now: Timestamp,
    ) -> Result<Event, DecideError> {
        match &self.backend {
            Backend::Embedded(it) => it.release(id, tenant, by, correlation_id, now).await,
            Backend::Postgres(it) => it.release(id, tenant, by, correlation_id, now).await,
        }
    }

    /// Judges the claims of a stored event again, by `rule` and what the registry says now.
    /// Only what ownership keeps in quarantine, or what is accepted and nobody's, can become
    /// somebody's; where it does not, nothing is written down. The event comes back with
    /// the verdict of now.
    ///
    /// # Errors
    ///
    /// A [`DecideError`].
    #[expect(clippy::too_many_arguments, reason = "what, by which rule, and who says so when")]
    pub async fn reattribute(
        &self,
        id: EventId,
        rule: &Rule,
        by: &str,
        correlation_id: &str,
        now: Timestamp,
    ) -> Result<Event, DecideError> {
        match &self.backend {
            Backend::Embedded(it) => it.reattribute(id, rule, by, correlation_id, now).await,
            Backend::Postgres(it) => it.reattribute(id, rule, by, correlation_id, now).await,
        }
    }

    /// A page of contradictions: proven events whose ids contradict each other, or what is
    /// known. A tenant sees those that name one of its ids; **ids of others are in the
    /// claims**, for who shows them to hash ([`crate::foreign`]). Of the rest of an event a
    /// tenant sees what is no id.
    ///
    /// # Errors
    ///
    /// A [`ReadError`].
    pub async fn violations(
        &self,
        scope: &Scope,
        filter: EventFilter,
        page: Page,
    ) -> Result<Vec<Event>, ReadError> {
        match &self.backend {
            Backend::Embedded(it) => it.violations(scope, filter, page).await,
            Backend::Postgres(it) => it.violations(scope, filter, page).await,
        }
    }

    /// A page of conversations, the newest first, each with the place behind which the next
    /// page begins.
    ///
    /// # Errors
    ///
    /// A [`RegistryError`].
    pub async fn conversations(
        &self,
        scope: &Scope,
        filter: ConversationFilter,
        page: Rows,
    ) -> Result<Vec<(u64, Conversation)>, RegistryError> {
        match &self.backend {
            Backend::Embedded(it) => it.conversations(scope, filter, page).await,
            Backend::Postgres(it) => it.conversations(scope, filter, page).await,
        }
    }

    /// What is known of a conversation.
    ///
    /// # Errors
    ///
    /// A [`RegistryError`].
    pub async fn conversation(
        &self,
        scope: &Scope,
        provider: &str,
        external_id: &str,
    ) -> Result<Option<Conversation>, RegistryError> {
        match &self.backend {
            Backend::Embedded(it) => it.conversation(scope, provider, external_id).await,
            Backend::Postgres(it) => it.conversation(scope, provider, external_id).await,
        }
    }

    /// A page of conversations with what their events tell, the newest first. Of those that
    /// are registered and have no event only the tenant and the provider are known: a filter
    /// that asks for more leaves them out. Waits a moment for events that were stored before,
    /// and says how many are missing.
    ///
    /// # Errors
    ///
    /// A [`RegistryError`].
    pub async fn list_conversations(
        &self,
        scope: &Scope,
        filter: FoldedFilter,
        page: Rows,
    ) -> Result<ConversationPage, RegistryError> {
        match &self.backend {
            Backend::Embedded(it) => projection::list(it, scope, filter, page).await,
            Backend::Postgres(it) => projection::list(it, scope, filter, page).await,
        }
    }

    /// What the events of a conversation tell, for each tenant that has some within the scope;
    /// and how many places of the journal are not in it yet.
    ///
    /// # Errors
    ///
    /// A [`ReadError`].
    pub async fn folded_conversation(
        &self,
        scope: &Scope,
        provider: &str,
        external_id: &str,
    ) -> Result<(Vec<Folded>, u64), ReadError> {
        match &self.backend {
            Backend::Embedded(it) => projection::one(it, scope, provider, external_id).await,
            Backend::Postgres(it) => projection::one(it, scope, provider, external_id).await,
        }
    }

    /// Makes the conversations anew from the first event. It goes on in the background;
    /// [`Self::folding`] says how far it is.
    ///
    /// # Errors
    ///
    /// A [`ReadError`].
    pub async fn rebuild_conversations(&self) -> Result<(), ReadError> {
        match &self.backend {
            Backend::Embedded(it) => it.rebuild_conversations().await,
            Backend::Postgres(it) => it.rebuild_conversations().await,
        }
    }

    /// How far the conversations are.
    #[must_use]
    pub fn folding(&self) -> Folding {
        match &self.backend {
            Backend::Embedded(it) => it.folding(),
            Backend::Postgres(it) => it.folding(),
        }
    }

    /// Begins to erase a tenant with all its events. When this returns, it has nothing in
    /// the registry any more, nothing becomes its own, and the rest is erased even if the
    /// process is killed. What belongs to it is not readable from here on by its keys; the
    /// erasure shows how far the rest is.
    ///
    /// # Errors
    ///
    /// A [`RegistryError`].
    pub async fn erase_tenant(
        &self,
        tenant: &TenantId,
        now: Timestamp,
    ) -> Result<Erasure, RegistryError> {
        self.begin_erasure(ErasureTarget::Tenant(tenant.clone()), now).await
    }

    /// Begins to erase a conversation with all its events, whoever they belong to.
    ///
    /// # Errors
    ///
    /// A [`RegistryError`].
    pub async fn erase_conversation(
        &self,
        provider: &str,
        external_id: &str,
        now: Timestamp,
    ) -> Result<Erasure, RegistryError> {
        let (provider, external_id) = (provider.to_owned(), external_id.to_owned());
        self.begin_erasure(ErasureTarget::Conversation { provider, external_id }, now).await
    }

    async fn begin_erasure(
        &self,
        target: ErasureTarget,
        now: Timestamp,
    ) -> Result<Erasure, RegistryError> {
        let written = self.registry().add_erasure(target, now).await?;
        match &self.backend {
            Backend::Embedded(it) => it.erase_soon(),
            Backend::Postgres(it) => it.erase_soon(),
        }
        Ok(written.into_inner())
    }

    /// Changes whenever an erasure has come further.
    #[must_use]
    pub fn erasing(&self) -> watch::Receiver<u64> {
        match &self.backend {
            Backend::Embedded(it) => it.erasing(),
            Backend::Postgres(it) => it.erasing(),
        }
    }

    /// Says after how many days what came to each source is erased. A source that is not
    /// named keeps everything.
    pub fn set_retention(&self, sources: impl IntoIterator<Item = (String, u32)>) {
        match &self.backend {
            Backend::Embedded(it) => it.set_retention(sources),
            Backend::Postgres(it) => it.set_retention(sources),
        }
    }

    /// Erases what is too old at `now`, and gives how many events that were. This is done
    /// at every start and every hour, too.
    ///
    /// # Errors
    ///
    /// [`Unavailable`]: what is left is erased another time.
    pub async fn sweep(&self, now: Timestamp) -> Result<u64, Unavailable> {
        match &self.backend {
            Backend::Embedded(it) => it.sweep(now).await,
            Backend::Postgres(it) => it.sweep(now).await,
        }
    }

    /// Begins the file of a recording. Nothing: its lease was lost, or it was erased.
    ///
    /// # Errors
    ///
    /// [`Unavailable`]: there is no room now.
    pub async fn begin_recording(
        &self,
        leased: &LeasedRecording,
    ) -> Result<Option<BlobWriter>, Unavailable> {
        match &self.backend {
            Backend::Embedded(it) => it.begin_recording(leased).await,
            Backend::Postgres(it) => it.begin_recording(leased).await,
        }
    }

    /// Keeps a recording that is complete. False: its lease was lost, or it was erased, and it
    /// is removed.
    ///
    /// # Errors
    ///
    /// A [`RegistryError`].
    pub async fn keep_recording(
        &self,
        leased: &LeasedRecording,
        blob: Blob,
        sound: Sound,
        now: Timestamp,
    ) -> Result<bool, RegistryError> {
        match &self.backend {
            Backend::Embedded(it) => it.keep_recording(leased, blob, sound, now).await,
            Backend::Postgres(it) => it.keep_recording(leased, blob, sound, now).await,
        }
    }

    /// The file of a recording that lies in its place already: a crash came before that was
    /// noted. Whatever lies there is whole.
    ///
    /// # Errors
    ///
    /// What the file system says.
    pub async fn left_recording(
        &self,
        leased: &LeasedRecording,
    ) -> io::Result<Option<(Blob, Sound)>> {
        match &self.backend {
            Backend::Embedded(it) => it.left_recording(leased).await,
            // Pieces that nobody noted are those of an attempt that failed.
            Backend::Postgres(_) => Ok(None),
        }
    }

    /// A page of recordings, the newest first. A tenant sees those of events that it sees.
    ///
    /// # Errors
    ///
    /// A [`ReadError`].
    pub async fn recordings(
        &self,
        scope: &Scope,
        filter: RecordingFilter,
        page: Rows,
    ) -> Result<Vec<Recording>, ReadError> {
        match &self.backend {
            Backend::Embedded(it) => it.recordings(scope, filter, page).await,
            Backend::Postgres(it) => it.recordings(scope, filter, page).await,
        }
    }

    /// One recording; nothing if there is none within the scope.
    ///
    /// # Errors
    ///
    /// A [`ReadError`].
    pub async fn recording(
        &self,
        scope: &Scope,
        id: RecordingId,
    ) -> Result<Option<Recording>, ReadError> {
        match &self.backend {
            Backend::Embedded(it) => it.recording(scope, id).await,
            Backend::Postgres(it) => it.recording(scope, id).await,
        }
    }

    /// The bytes of a recording that was read within a scope. Nothing: it is not here.
    ///
    /// # Errors
    ///
    /// A [`ReadError`].
    pub async fn recorded(&self, recording: &Recording) -> Result<Option<Body>, ReadError> {
        match &self.backend {
            Backend::Embedded(it) => it.recorded(recording).await,
            Backend::Postgres(it) => it.recorded(recording).await,
        }
    }
}
