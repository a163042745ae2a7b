//! The tables of the index.

/// The version of the tables, in `user_version`. Another one: the index is made anew.
pub(crate) const VERSION: i64 = 3;

/// Marks the file as an index of Hookgate, in `application_id`.
pub(crate) const APPLICATION: i64 = 0x484b_4758;

/// Rows of `events` whose times share a row of `spans`, as a power of two.
pub(crate) const SPAN_BITS: u32 = 12;

/// The verdict on ownership in a column.
pub(crate) const UNATTRIBUTED: u8 = 0;
/// It is a tenant's.
pub(crate) const OWNED: u8 = 1;
/// It contradicts. Queries say this number as it is, so that the partial index fits.
pub(crate) const CONTRADICTION: u8 = 2;

/// Everything.
///
/// `events` holds what filters compare; all else of an event is in the journal. `words`
/// gives each source, type, … a small number. `spans` says between which times the events
/// of 4,096 consecutive places were received, so that a list of an old day need not pass
/// all that came later, although the clock may have jumped and late events are accepted
/// with the time of their refusal.
///
/// `events` has the latest `status` and `tenant`; `decided` says who decided so later. What
/// is in `erased` has lost its tenant, its ids and its large body. `conversations` has those
/// that were adopted, each at the place of the event that did it. `violation_tenants` says
/// whose ids a contradiction names.
///
/// An event of nobody touches none of the partial indexes: each costs a write on the way
/// of every request.
pub(crate) const TABLES: &str = "
CREATE TABLE words (id INTEGER PRIMARY KEY, word TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE events (
    seq INTEGER PRIMARY KEY,
    id BLOB NOT NULL,
    log INTEGER NOT NULL,
    place INTEGER NOT NULL,
    received_at INTEGER NOT NULL,
    source INTEGER NOT NULL,
    provider INTEGER NOT NULL,
    type INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    status INTEGER NOT NULL,
    verdict INTEGER NOT NULL,
    tenant INTEGER,
    conversation TEXT,
    external_id TEXT,
    dedupe BLOB
) STRICT;
CREATE INDEX events_conversation ON events (conversation) WHERE conversation IS NOT NULL;
CREATE INDEX events_quarantined ON events (seq) WHERE status = 1;
CREATE INDEX events_unproven ON events (place) WHERE log = 1;
CREATE INDEX events_tenant ON events (tenant) WHERE tenant IS NOT NULL;
CREATE INDEX events_contradiction ON events (seq) WHERE verdict = 2;
CREATE TABLE spans (span INTEGER PRIMARY KEY, first_at INTEGER NOT NULL, last_at INTEGER NOT NULL) STRICT;
CREATE TABLE duplicates (seq INTEGER PRIMARY KEY, count INTEGER NOT NULL) STRICT;
CREATE TABLE blobs (seq INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE) STRICT;
CREATE TABLE dedupe (key BLOB PRIMARY KEY, seq INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE decided (
    seq INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    tenant TEXT,
    at INTEGER NOT NULL,
    by TEXT NOT NULL
) STRICT;
CREATE TABLE erased (seq INTEGER PRIMARY KEY) STRICT;
CREATE TABLE conversations (
    seq INTEGER PRIMARY KEY,
    provider INTEGER NOT NULL,
    external_id TEXT NOT NULL,
    tenant INTEGER NOT NULL,
    agent_id TEXT,
    phone_number_id TEXT,
    at INTEGER NOT NULL,
    UNIQUE (external_id, provider)
) STRICT;
CREATE INDEX conversations_tenant ON conversations (tenant);
CREATE TABLE violation_tenants (tenant INTEGER NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (tenant, seq)) STRICT, WITHOUT ROWID;
CREATE INDEX violation_tenants_seq ON violation_tenants (seq);
CREATE TABLE progress (log INTEGER PRIMARY KEY, seq INTEGER NOT NULL, place INTEGER NOT NULL) STRICT;
CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
";

/// Conversations that an erased event made known, while the index is made anew: they are
/// kept if an event of theirs is left. In memory or a file of SQLite's own that goes.
pub(crate) const REVIVED: &str = "
CREATE TEMP TABLE IF NOT EXISTS revived (
    seq INTEGER PRIMARY KEY,
    provider INTEGER NOT NULL,
    external_id TEXT NOT NULL,
    tenant INTEGER NOT NULL,
    agent_id TEXT,
    phone_number_id TEXT,
    at INTEGER NOT NULL
);
";
