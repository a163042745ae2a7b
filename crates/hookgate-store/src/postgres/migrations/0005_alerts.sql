-- Alerts that were raised, so that a restart does not raise them again.
CREATE TABLE alerts (
    n BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id BYTEA NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    tenant TEXT REFERENCES tenants (id) ON DELETE CASCADE,
    text TEXT NOT NULL,
    facts TEXT NOT NULL,
    raised_at BIGINT NOT NULL,
    cleared_at BIGINT
);
CREATE UNIQUE INDEX alerts_raised ON alerts (kind, subject) WHERE cleared_at IS NULL;
CREATE INDEX alerts_raised_at ON alerts (raised_at);
CREATE INDEX alerts_tenant ON alerts (tenant) WHERE tenant IS NOT NULL;

GRANT SELECT, INSERT, UPDATE, DELETE ON alerts TO hookgate_app;
ALTER TABLE alerts ENABLE ROW LEVEL SECURITY;
ALTER TABLE alerts FORCE ROW LEVEL SECURITY;
CREATE POLICY scope ON alerts
    USING ((SELECT nullif(current_setting('hookgate.tenant', true), '')) IN ('*', tenant));
