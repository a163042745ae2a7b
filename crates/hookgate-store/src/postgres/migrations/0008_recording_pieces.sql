-- The sound of recordings, in pieces of 1 MiB.
--
-- Who fetches one writes its pieces in transactions that hold the row of the recording and find
-- their own token in it. So pieces are those of one attempt, and none comes after the row is
-- gone. Nothing refers to that row: what an erasure leaves here it removes piece by piece, and
-- nobody waits for gigabytes.
CREATE TABLE recording_pieces (
    recording BYTEA NOT NULL,
    n INT NOT NULL,
    bytes BYTEA NOT NULL,
    PRIMARY KEY (recording, n)
);
ALTER TABLE recording_pieces ALTER COLUMN bytes SET STORAGE EXTERNAL;

GRANT SELECT, INSERT, UPDATE, DELETE ON recording_pieces TO hookgate_app;
ALTER TABLE recording_pieces ENABLE ROW LEVEL SECURITY;
ALTER TABLE recording_pieces FORCE ROW LEVEL SECURITY;
-- What belongs to a recording is seen by who sees the recording.
CREATE POLICY scope ON recording_pieces USING (
    (SELECT nullif(current_setting('hookgate.tenant', true), '')) = '*'
    OR EXISTS (SELECT 1 FROM recordings AS it WHERE it.id = recording_pieces.recording)
);
