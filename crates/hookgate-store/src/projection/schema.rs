//! The tables of the conversations. In PostgreSQL they have the same names and columns (see
//! `postgres/migrations/0007_conversations.sql`).

/// The version of the tables and of what is folded into them. Another one: made anew. It rises
/// too when `hookgate_core::conversation` folds in another way.
pub(crate) const VERSION: i64 = 3;

/// What tells the file from others of SQLite: `HgCv`.
pub(super) const APPLICATION: i64 = 0x4867_4376;

/// `n` is the place of the first event of a conversation, which is of no other. `tenant` is
/// empty for nobody's. `folded_entries` says which event is in which conversation;
/// `folded_numbers` has telephone numbers as digits from the last to the first, so that an end
/// finds them. A key that is the number of its row costs no tree of its own.
pub(super) const TABLES: &str = "
CREATE TABLE folded (
    n INTEGER PRIMARY KEY,
    tenant TEXT NOT NULL,
    provider TEXT NOT NULL,
    external_id TEXT NOT NULL,
    channel TEXT,
    status TEXT,
    phase TEXT,
    agent_id TEXT,
    agent_name TEXT,
    began_at BIGINT NOT NULL,
    received_at BIGINT NOT NULL,
    events BIGINT NOT NULL,
    words_mark BIGINT NOT NULL,
    state TEXT NOT NULL,
    UNIQUE (external_id, provider, tenant)
);
CREATE INDEX folded_tenant ON folded (tenant);
CREATE INDEX folded_began ON folded (began_at);
CREATE TABLE folded_entries (seq INTEGER PRIMARY KEY, n BIGINT NOT NULL);
CREATE INDEX folded_entries_n ON folded_entries (n);
CREATE TABLE folded_numbers (
    digits TEXT NOT NULL,
    n BIGINT NOT NULL,
    PRIMARY KEY (digits, n)
) WITHOUT ROWID;
CREATE INDEX folded_numbers_n ON folded_numbers (n);
CREATE TABLE folded_cursors (name TEXT NOT NULL PRIMARY KEY, at BIGINT NOT NULL);
CREATE TABLE folded_again (
    tenant TEXT NOT NULL,
    provider TEXT NOT NULL,
    external_id TEXT NOT NULL,
    PRIMARY KEY (external_id, provider, tenant)
);
CREATE TABLE folded_meta (name TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL);
";
