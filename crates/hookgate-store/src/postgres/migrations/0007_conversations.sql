-- Conversations as their events tell them. Everything here is made of the events, and can be
-- made again.
--
-- Whoever folds or erases holds the lock of folding (see `folded.rs`) until its commit.

-- `n` is the place of the first event of a conversation, which is of no other. `tenant` is
-- empty for nobody's.
CREATE TABLE folded (
    n BIGINT NOT NULL PRIMARY KEY,
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
CREATE INDEX folded_tenant ON folded (tenant, n);
CREATE INDEX folded_began ON folded (began_at);

-- Which event is in which conversation.
CREATE TABLE folded_entries (seq BIGINT NOT NULL PRIMARY KEY, n BIGINT NOT NULL);
CREATE INDEX folded_entries_n ON folded_entries (n);

-- Telephone numbers as digits from the last to the first, so that an end finds them.
CREATE TABLE folded_numbers (
    digits TEXT COLLATE "C" NOT NULL,
    n BIGINT NOT NULL,
    PRIMARY KEY (digits, n)
);
CREATE INDEX folded_numbers_n ON folded_numbers (n);

-- The words of a conversation: where they stand nobody asks.
CREATE TABLE folded_words (n BIGINT NOT NULL PRIMARY KEY, terms TSVECTOR NOT NULL);
CREATE INDEX folded_words_terms ON folded_words USING GIN (terms);

-- How far the folding is, and how many conversations there are.
CREATE TABLE folded_cursors (name TEXT NOT NULL PRIMARY KEY, at BIGINT NOT NULL);
CREATE TABLE folded_meta (name TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL);

-- Conversations of which something was erased: what is left of them is folded again.
CREATE TABLE folded_again (
    tenant TEXT NOT NULL,
    provider TEXT NOT NULL,
    external_id TEXT NOT NULL,
    PRIMARY KEY (external_id, provider, tenant)
);

-- Words without the marks on their letters, which nobody types.
CREATE FUNCTION folded_plain(words TEXT) RETURNS TEXT
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog AS $$
    SELECT normalize(regexp_replace(normalize(words, NFD), '[\u0300-\u036f]', '', 'g'), NFC)
$$;

-- Conversations with these words. An index on words serves nobody who is confined to rows: so
-- this alone looks with the rights of the owner, and gives places, of which a tenant finds its
-- own.
CREATE FUNCTION folded_with(wanted TEXT) RETURNS SETOF BIGINT
LANGUAGE sql STABLE STRICT SECURITY DEFINER SET search_path = hookgate, pg_temp AS $$
    SELECT n FROM folded_words WHERE terms @@ folded_plain(wanted)::tsquery
$$;
REVOKE ALL ON FUNCTION folded_with(TEXT) FROM PUBLIC;

GRANT SELECT, INSERT, UPDATE, DELETE ON folded, folded_entries, folded_numbers, folded_words,
    folded_cursors, folded_meta, folded_again TO hookgate_app;
GRANT EXECUTE ON FUNCTION folded_with(TEXT) TO hookgate_app;

ALTER TABLE folded ENABLE ROW LEVEL SECURITY;
ALTER TABLE folded FORCE ROW LEVEL SECURITY;
CREATE POLICY scope ON folded
    USING ((SELECT nullif(current_setting('hookgate.tenant', true), '')) IN ('*', tenant));

ALTER TABLE folded_again ENABLE ROW LEVEL SECURITY;
ALTER TABLE folded_again FORCE ROW LEVEL SECURITY;
CREATE POLICY scope ON folded_again
    USING ((SELECT nullif(current_setting('hookgate.tenant', true), '')) IN ('*', tenant));

-- What belongs to a conversation is seen by who sees the conversation.
ALTER TABLE folded_entries ENABLE ROW LEVEL SECURITY;
ALTER TABLE folded_entries FORCE ROW LEVEL SECURITY;
CREATE POLICY scope ON folded_entries USING (
    (SELECT current_setting('hookgate.tenant', true)) = '*'
    OR EXISTS (SELECT 1 FROM folded AS it WHERE it.n = folded_entries.n)
);

ALTER TABLE folded_numbers ENABLE ROW LEVEL SECURITY;
ALTER TABLE folded_numbers FORCE ROW LEVEL SECURITY;
CREATE POLICY scope ON folded_numbers USING (
    (SELECT current_setting('hookgate.tenant', true)) = '*'
    OR EXISTS (SELECT 1 FROM folded AS it WHERE it.n = folded_numbers.n)
);

ALTER TABLE folded_words ENABLE ROW LEVEL SECURITY;
ALTER TABLE folded_words FORCE ROW LEVEL SECURITY;
CREATE POLICY scope ON folded_words TO hookgate_app USING (
    (SELECT current_setting('hookgate.tenant', true)) = '*'
    OR EXISTS (SELECT 1 FROM folded AS it WHERE it.n = folded_words.n)
);
CREATE POLICY owner ON folded_words FOR SELECT TO CURRENT_USER USING (true);

-- These say nothing of anybody.
ALTER TABLE folded_cursors ENABLE ROW LEVEL SECURITY;
ALTER TABLE folded_cursors FORCE ROW LEVEL SECURITY;
CREATE POLICY scope ON folded_cursors
    USING (current_setting('hookgate.tenant', true) = '*');

ALTER TABLE folded_meta ENABLE ROW LEVEL SECURITY;
ALTER TABLE folded_meta FORCE ROW LEVEL SECURITY;
CREATE POLICY scope ON folded_meta USING (current_setting('hookgate.tenant', true) = '*');
