//! Where Hookgate keeps what it accepted: the journal with the exact bytes, and an index
//! that can be rebuilt from it.
//!
//! One folder:
//!
//! | name | what |
//! |---|---|
//! | `journal/` | the log `events`, and the ring `unproven` of accepted requests without proof |
//! | `rejections/` | the ring of refused requests, and their large bodies |
//! | `blobs/` | bodies over 1 MiB, a file each |
//! | `recordings/` | recordings, a file each |
//! | `index.sqlite` | what lists filter by; disposable |
//! | `conversations.sqlite` | what events tell of conversations; disposable |
//! | `registry.sqlite` | what cannot be made again |
//!
//! What holds:
//!
//! - **A [`Receipt`] is on disk.** It is made only from a committed record.
//! - **The journal is the truth.** The index has nothing that is not made from it.
//! - **A read sees every receipt issued before it**, or says that it cannot.
//! - **A repetition is recognised for ever**, over restarts too, and only by an event that
//!   was stored and accepted.
//! - **No token of a header is in any file**: only keyed hashes are.
//! - **Every read has a scope.** A tenant sees what was accepted and is its own.
//! - **The latest decision counts**, and none is ever rewritten.
//! - **What is erased is in no file**, but for the head of its record.
//!
//! Reading order: `store.rs` (the verbs), `embedded.rs`, `inner.rs` and `door.rs` (the hot path),
//! `head.rs` (what is written), `index/` (what follows it), `library.rs` (reading),
//! `projection/` (conversations), `registry/` and `ledger/` (whose it is), `attribute.rs` and `decide.rs` (who decides),
//! `erasure.rs` and `retention.rs` (what goes), `opening.rs`.

// Tests within share what the tests outside stand on.
#[cfg(test)]
extern crate self as hookgate_store;

mod archive;
mod attribute;
mod blobs;
mod bloom;
mod body;
mod conversations;
mod copy;
mod decide;
mod dedupe;
mod door;
mod embedded;
mod erasure;
mod error;
mod filter;
mod head;
mod index;
mod inner;
mod keeper;
mod layout;
mod ledger;
mod library;
mod limits;
mod maintenance;
mod opening;
mod options;
mod peers;
mod postgres;
mod prepare;
mod priority;
mod projection;
mod random;
mod receipt;
mod record;
mod recordings;
mod registry;
mod rejections;
mod retention;
mod scrub;
mod snapshot;
mod space;
mod sql;
mod store;
mod view;

pub use crate::postgres::{
    APP_ROLE, ConnectError, ConnectFault, Listener, PgSettings, PgUrlError, RoleError,
    SEED_INTEGRATIONS_MAX, SeedError, SeedIntegration, SeedIntegrations, ensure_role, is_url,
    seed_integrations,
};
pub use archive::Archive;
pub use attribute::{Admitted, Settled};
pub use blobs::BlobWriter;
pub use body::{Body, Large};
pub use copy::{Copied, CopyError, CopyPlace, copy};
pub use decide::DecideError;
pub use erasure::foreign;
pub use error::{OpenError, ReadError, Unavailable, is_database_away};
pub use filter::{EventFilter, Order, Page, RejectionFilter};
pub use hookgate_journal::{Health, Histogram, LogStatistics, Pending, Statistics};
pub use ledger::{Adopting, ENTRIES_MAX, Ledger, Taken};
pub use library::Stretch;
pub use maintenance::{
    MaintenanceError, Progress, Report, backup, check, rebuild, remove_conversations,
};
pub use options::{
    BLOBS_IN_FLIGHT_BYTES_MAX, DISK_FULL_PERCENT, DISK_WARN_PERCENT, Faults, GATHER,
    GENERATION_KEYS_MAX, Hook, INDEX_LAG_MAX, NodeSeal, OpenNode, Options, PROBE_INTERVAL,
    RECORDINGS_IN_FLIGHT_BYTES_MAX, REJECTIONS_BYTES_MAX, REJECTIONS_RECORDS_MAX, Ring,
    SPOOL_BYTES_MAX, START_WAIT, SealNode, Share, UNPROVEN_BYTES_MAX, UNPROVEN_RECORDS_MAX,
};
pub use postgres::{
    SPOOL_BYTES_MIN, SPOOL_FOLDER, SpoolContents, check_database, check_postgres, look_at_spool,
    look_for_left_spool, rehearse,
};
pub use priority::lower_priority;
pub use projection::{ConversationPage, Folded, FoldedFilter, Folding, ListedConversation};
pub use receipt::Receipt;
pub use record::{Event, EventId, LaterDecision, Rejection, Status, parse_rejection_id};
pub use registry::{
    ALERTS_MAX, ANSWER_KEPT, ANSWERS_MAX, ARGUMENTS_BYTES_MAX, Alert, Answer, Attempt,
    BINDINGS_MAX, Begun, Binding, BindingFilter, CONVERSATIONS_MAX, CREDENTIALS_PER_TENANT_MAX,
    Claim, Claimed, Conversation, ConversationFilter, CredentialAndKey, Cursor,
    DESTINATIONS_PER_TENANT_MAX, Decision, DecisionKind, Delivery, DeliveryCounts, DeliveryFilter,
    DeliveryId, DeliveryStatus, Destination, DestinationId, ERASURES_MAX, EXTERNAL_ID_BYTES_MAX,
    Erased, Erasure, ErasureTarget, FinishedToolCall, GRACE_MAX, KEYS_PER_TENANT_MAX, Leased,
    LeasedRecording, Made, NAME_BYTES_MAX, NewAlert, NewDelivery, NewDestination, NewRecording,
    NewSecret, NewToolCall, NumberedDecision, OVERLAP_MAX, Quota, REPLY_BYTES_MAX,
    RESPONSE_BYTES_MAX, Recording, RecordingCounts, RecordingFilter, RecordingId, RecordingState,
    Registry, RegistryError, Replaying, Retried, Rows, SEALED_BYTES_MAX, SETTINGS_BYTES_MAX,
    SOURCES_MAX, SealedCredential, SealedKey, SealedSecrets, Settling, SourceRow, TENANTS_MAX,
    TOKENS_MAX, TOOL_SETTINGS_BYTES_MAX, Tenant, TenantKey, ToolCall, ToolCallFilter, ToolCallId,
    ToolCallState, ToolTimes, Unfetched, UrlToken, Written, open_registry,
};
pub use snapshot::{Blobs, Dedupe, Index, Recovered, Rejections, Snapshot, SpoolState, Unproven};
pub use space::{Disk, volatile};
pub use store::{Store, Wake};

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks, also after a panic elsewhere: every critical section of this crate leaves its
/// data whole at each step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
