-- Looks for drift are no syncs and no checks, and no event tells of them, but their calls take slots of the windows: a sync that waited
-- meanwhile can be explained afterwards. History like health_checks.
CREATE TABLE drift_calls (
    request_id uuid        NOT NULL PRIMARY KEY,
    target_id  uuid        NOT NULL,
    org_id     text        NOT NULL,
    account_id text        NOT NULL,
    started_at timestamptz NOT NULL,
    ended_at   timestamptz NOT NULL
);

CREATE INDEX drift_calls_target ON drift_calls (target_id, started_at);
CREATE INDEX drift_calls_started_at ON drift_calls (started_at);

COMMENT ON TABLE drift_calls IS 'The calls of looks for drift that came to their end, for three days. Written by whoever looked; the role health takes old ones away.';

ALTER TABLE drift_calls ENABLE ROW LEVEL SECURITY;
CREATE POLICY drift_calls_reader ON drift_calls FOR SELECT TO distribution_reader
    USING (reader_sees(org_id, account_id));
GRANT SELECT ON drift_calls TO distribution_reader;
