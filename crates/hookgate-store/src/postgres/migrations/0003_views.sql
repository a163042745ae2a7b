-- The tables of a MightyCall receiver on Supabase, as views over what is stored here.
--
-- They show what the setting hookgate.tenant allows, as every table of this schema: one
-- tenant's rows, those of all for '*', and nothing where nobody set it. A view is read with
-- its owner's rights, and an owner may be a superuser, so the condition stands here again.

-- What a body says, or NULL where it is no JSON that jsonb can hold.
CREATE FUNCTION hookgate.json_or_null(body BYTEA) RETURNS JSONB
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog AS $$
BEGIN
    RETURN convert_from(body, 'UTF8')::jsonb;
EXCEPTION WHEN OTHERS THEN
    RETURN NULL;
END
$$;

-- Accepted events of MightyCall, whichever source they came by. A body over 1 MiB lies in
-- pieces; an erased event is gone from here.
CREATE VIEW hookgate.mightycall_raw_events WITH (security_barrier) AS
SELECT
    e.external_id AS external_event_id,
    e.tenant AS org_id,
    e.type AS event_type,
    hookgate.json_or_null(
        CASE
            WHEN e.blob IS NULL THEN e.payload
            ELSE (
                SELECT string_agg(b.bytes, ''::bytea ORDER BY b.n)
                FROM hookgate.blobs b
                WHERE b.id = e.blob
            )
        END
    ) AS payload,
    to_timestamp(e.received_at / 1000.0) AS received_at
FROM hookgate.events e
WHERE e.provider = 'mightycall' AND e.log = 0 AND e.status = 0 AND NOT e.erased
    AND nullif(current_setting('hookgate.tenant', true), '') IN ('*', e.tenant);

-- Integrations that are bound to a tenant. Credentials are sealed elsewhere and have no
-- column that could be read.
CREATE VIEW hookgate.org_integrations WITH (security_barrier) AS
SELECT
    b.external_id AS id,
    b.tenant AS org_id,
    b.provider AS provider,
    NULL::text AS encrypted_credentials,
    '{}'::jsonb AS metadata
FROM hookgate.bindings b
WHERE b.kind = 'integration'
    AND nullif(current_setting('hookgate.tenant', true), '') IN ('*', b.tenant);

GRANT SELECT ON hookgate.mightycall_raw_events, hookgate.org_integrations TO hookgate_app;
