-- What lists, erasures and retention look for, and when events were received.

CREATE INDEX IF NOT EXISTS events_tenant ON events (tenant, seq) WHERE tenant IS NOT NULL;
CREATE INDEX IF NOT EXISTS events_conversation ON events (conversation, seq) WHERE conversation IS NOT NULL;
CREATE INDEX IF NOT EXISTS events_quarantined ON events (seq) WHERE status = 1;
CREATE INDEX IF NOT EXISTS events_contradiction ON events (seq) WHERE verdict = 2;
-- Of a source all is listed in the order of places; retention looks for what is not erased.
CREATE INDEX IF NOT EXISTS events_kept ON events (source, seq) WHERE NOT erased;
CREATE INDEX IF NOT EXISTS events_blob ON events (blob) WHERE blob IS NOT NULL;
CREATE INDEX IF NOT EXISTS repetitions_of ON repetitions (of);
CREATE INDEX IF NOT EXISTS adopted_seq ON adopted (seq);
CREATE INDEX IF NOT EXISTS adopted_tenant ON adopted (tenant, seq);
CREATE INDEX IF NOT EXISTS violation_tenants_seq ON violation_tenants (seq);
CREATE INDEX IF NOT EXISTS rejections_accepted_as ON rejections (accepted_as) WHERE accepted_as IS NOT NULL;
CREATE INDEX IF NOT EXISTS rejections_blob ON rejections (blob) WHERE blob IS NOT NULL;

-- Between which times the events of 4,096 consecutive places were received.
CREATE TABLE spans (
    span BIGINT PRIMARY KEY,
    first_at BIGINT NOT NULL,
    last_at BIGINT NOT NULL
);
GRANT SELECT, INSERT ON spans TO hookgate_app;
-- They name nobody; who does not say whose rows it wants sees none all the same.
ALTER TABLE spans ENABLE ROW LEVEL SECURITY;
ALTER TABLE spans FORCE ROW LEVEL SECURITY;
CREATE POLICY scope ON spans
    USING ((SELECT nullif(current_setting('hookgate.tenant', true), '')) IS NOT NULL);

-- A contradiction is the operator's; those whose ids it names may see it, with what is
-- another's left out (see `library.rs`).
CREATE POLICY named ON events AS PERMISSIVE FOR SELECT TO hookgate_app USING (
    verdict = 2 AND EXISTS (
        SELECT 1 FROM violation_tenants AS it
        WHERE it.seq = events.seq AND it.tenant = current_setting('hookgate.tenant', TRUE)
    )
);
