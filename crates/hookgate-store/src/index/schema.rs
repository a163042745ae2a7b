//! The tables of the index.

/// The version of the tables, in `user_version`. Another one: the index is made anew.
pub(crate) const VERSION: i64 = 2;

/// Marks the file as an index of Hookgate, in `application_id`.
pub(crate) const APPLICATION: i64 = 0x484b_4758;

/// Rows of `events` whose times share a row of `spans`, as a power of two.
pub(crate) const SPAN_BITS: u32 = 12;

/// Everything.
///
/// `events` holds what filters compare; all else of an event is in the journal. `words`
/// gives each source, type, … a small number. `spans` says between which times the events
/// of 4,096 consecutive places were received, so that a list of an old day need not pass
/// all that came later, although the clock may have jumped and late events are accepted
/// with the time of their refusal.
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
    tenant INTEGER,
    conversation TEXT,
    external_id TEXT,
    dedupe BLOB
) STRICT;
CREATE INDEX events_conversation ON events (conversation) WHERE conversation IS NOT NULL;
CREATE INDEX events_quarantined ON events (seq) WHERE status = 1;
CREATE INDEX events_unproven ON events (place) WHERE log = 1;
CREATE TABLE spans (span INTEGER PRIMARY KEY, first_at INTEGER NOT NULL, last_at INTEGER NOT NULL) STRICT;
CREATE TABLE duplicates (seq INTEGER PRIMARY KEY, count INTEGER NOT NULL) STRICT;
CREATE TABLE blobs (id BLOB PRIMARY KEY, seq INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE dedupe (key BLOB PRIMARY KEY, seq INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE progress (log INTEGER PRIMARY KEY, seq INTEGER NOT NULL, place INTEGER NOT NULL) STRICT;
CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
";
