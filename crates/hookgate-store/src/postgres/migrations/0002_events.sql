-- Events, and what is appended with them.
--
-- Whoever appends holds the lock of events until its commit (see `batch.rs`), and takes places
-- from `versions`: so the order of places is the order of commits, without gaps, and who reads
-- behind a place misses nothing. No index here that appending does not need.

CREATE TABLE events (
    seq BIGINT PRIMARY KEY,
    id UUID NOT NULL UNIQUE,
    log SMALLINT NOT NULL,                 -- 0 events, 1 the ring of requests without proof
    received_at BIGINT NOT NULL,           -- milliseconds since 1970
    source TEXT,
    provider TEXT,
    type TEXT,
    kind TEXT,
    status SMALLINT NOT NULL,              -- 0 accepted, 1 quarantined; the latest
    verdict SMALLINT NOT NULL,             -- 0 unattributed, 1 owned, 2 contradiction
    tenant TEXT,                           -- the latest; none: the operator's
    conversation TEXT,
    external_id TEXT,
    dedupe BYTEA UNIQUE,                   -- by which a repetition is recognised
    duplicates BIGINT NOT NULL DEFAULT 0,
    decided_kind TEXT,
    decided_tenant TEXT,
    decided_at BIGINT,
    decided_by TEXT,
    erased BOOLEAN NOT NULL DEFAULT FALSE,
    head BYTEA NOT NULL,                   -- as in a journal
    payload BYTEA,                         -- none: in `blobs`, or erased
    blob UUID
);
-- A webhook is about 2 KiB: it stays in its row as it is, because compressing it costs more
-- than the bytes.
ALTER TABLE events SET (toast_tuple_target = 8160);
CREATE INDEX events_unproven ON events (seq) WHERE log = 1;
CREATE INDEX events_blob ON events (blob) WHERE blob IS NOT NULL;

-- Bodies over 1 MiB, in pieces of that size, written before the event that has them.
CREATE TABLE blobs (
    id UUID NOT NULL,
    n INT NOT NULL,
    at BIGINT NOT NULL,
    bytes BYTEA NOT NULL,
    PRIMARY KEY (id, n)
);
ALTER TABLE blobs ALTER COLUMN bytes SET STORAGE EXTERNAL;
CREATE INDEX blobs_at ON blobs (at);

-- An event came again with the same bytes. It has an id too: after a commit whose outcome
-- nobody knows it is looked for.
CREATE TABLE repetitions (
    seq BIGINT PRIMARY KEY,
    id UUID NOT NULL UNIQUE,
    of BIGINT NOT NULL,
    at BIGINT NOT NULL,
    correlation_id TEXT NOT NULL
);

-- Conversations that an event made known. One row decides which tenant's, over all nodes.
CREATE TABLE adopted (
    seq BIGINT NOT NULL,
    provider TEXT NOT NULL,
    external_id TEXT NOT NULL,
    tenant TEXT NOT NULL,
    agent_id TEXT,
    phone_number_id TEXT,
    at BIGINT NOT NULL,
    PRIMARY KEY (external_id, provider)
);

-- Whose ids a contradiction names.
CREATE TABLE violation_tenants (
    tenant TEXT NOT NULL,
    seq BIGINT NOT NULL,
    PRIMARY KEY (tenant, seq)
);

-- A ring of refused requests.
CREATE TABLE rejections (
    seq BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id UUID NOT NULL UNIQUE,
    received_at BIGINT NOT NULL,
    source TEXT NOT NULL,
    head BYTEA NOT NULL,
    payload BYTEA,
    blob UUID,
    accepted_as UUID
);
CREATE INDEX rejections_blob ON rejections (blob) WHERE blob IS NOT NULL;

-- How often what a topic is about has changed; of `events`, the last place that was given.
CREATE TABLE IF NOT EXISTS versions (topic TEXT PRIMARY KEY, n BIGINT NOT NULL);
INSERT INTO versions (topic, n) VALUES ('events', 0), ('ledger', 0) ON CONFLICT (topic) DO NOTHING;
-- Written with each batch: room in its page keeps that from touching the index.
ALTER TABLE versions SET (fillfactor = 20);

GRANT SELECT, INSERT, UPDATE, DELETE
    ON events, blobs, repetitions, adopted, violation_tenants, rejections, versions TO hookgate_app;

ALTER TABLE events ENABLE ROW LEVEL SECURITY;
ALTER TABLE events FORCE ROW LEVEL SECURITY;
CREATE POLICY scope ON events
    USING (current_setting('hookgate.tenant', TRUE) IN ('*', tenant));

ALTER TABLE adopted ENABLE ROW LEVEL SECURITY;
ALTER TABLE adopted FORCE ROW LEVEL SECURITY;
CREATE POLICY scope ON adopted
    USING (current_setting('hookgate.tenant', TRUE) IN ('*', tenant));

ALTER TABLE violation_tenants ENABLE ROW LEVEL SECURITY;
ALTER TABLE violation_tenants FORCE ROW LEVEL SECURITY;
CREATE POLICY scope ON violation_tenants
    USING (current_setting('hookgate.tenant', TRUE) IN ('*', tenant));

-- What belongs to an event is seen by who sees the event.
ALTER TABLE blobs ENABLE ROW LEVEL SECURITY;
ALTER TABLE blobs FORCE ROW LEVEL SECURITY;
CREATE POLICY scope ON blobs USING (
    current_setting('hookgate.tenant', TRUE) = '*'
    OR EXISTS (SELECT 1 FROM events AS it WHERE it.blob = blobs.id)
);

ALTER TABLE repetitions ENABLE ROW LEVEL SECURITY;
ALTER TABLE repetitions FORCE ROW LEVEL SECURITY;
CREATE POLICY scope ON repetitions USING (
    current_setting('hookgate.tenant', TRUE) = '*'
    OR EXISTS (SELECT 1 FROM events AS it WHERE it.seq = repetitions.of)
);

-- What was refused is the operator's.
ALTER TABLE rejections ENABLE ROW LEVEL SECURITY;
ALTER TABLE rejections FORCE ROW LEVEL SECURITY;
CREATE POLICY scope ON rejections USING (current_setting('hookgate.tenant', TRUE) = '*');
