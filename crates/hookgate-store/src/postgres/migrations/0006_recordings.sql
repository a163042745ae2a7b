-- Recordings that events name. No file is in the database: archiving is refused with it.
CREATE TABLE recordings (
    n BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id BYTEA NOT NULL UNIQUE,
    event BYTEA NOT NULL,
    seq BIGINT NOT NULL,
    place BIGINT NOT NULL,
    tenant TEXT,
    source TEXT NOT NULL,
    provider TEXT NOT NULL,
    conversation TEXT,
    kind TEXT NOT NULL,
    digest BYTEA,
    state TEXT NOT NULL,
    reason TEXT,
    attempts BIGINT NOT NULL DEFAULT 0,
    due BIGINT,
    token BIGINT,
    leased_until BIGINT,
    size BIGINT,
    sha256 BYTEA,
    sound TEXT,
    received_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    finished_at BIGINT,
    UNIQUE (event, place)
);
CREATE INDEX recordings_tenant ON recordings (tenant, n);
CREATE INDEX recordings_tenant_age ON recordings (tenant, received_at);
CREATE INDEX recordings_source_age ON recordings (source, received_at);
CREATE INDEX recordings_conversation ON recordings (conversation, n)
    WHERE conversation IS NOT NULL;
CREATE INDEX recordings_state ON recordings (state, n) WHERE state <> 'fetched';
CREATE INDEX recordings_due ON recordings (due) WHERE state = 'pending';
CREATE INDEX recordings_leased ON recordings (leased_until) WHERE token IS NOT NULL;

GRANT SELECT, INSERT, UPDATE, DELETE ON recordings TO hookgate_app;
ALTER TABLE recordings ENABLE ROW LEVEL SECURITY;
ALTER TABLE recordings FORCE ROW LEVEL SECURITY;
CREATE POLICY scope ON recordings
    USING ((SELECT nullif(current_setting('hookgate.tenant', true), '')) IN ('*', tenant));
