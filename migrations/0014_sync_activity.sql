-- What happened in each minute, so that plots and service levels read some rows and not the whole audit. Written by the
-- projection outbound_audit, which knows when a job was asked for that has now ended; what happened before this table was
-- there comes with `distribution projections rebuild outbound_audit`.
CREATE TABLE sync_activity (
    org_id       text        NOT NULL,
    account_id   text        NOT NULL,
    minute       timestamptz NOT NULL,
    requested    bigint      NOT NULL DEFAULT 0,
    accepted     bigint      NOT NULL DEFAULT 0,
    skipped      bigint      NOT NULL DEFAULT 0,
    superseded   bigint      NOT NULL DEFAULT 0,
    failed       bigint      NOT NULL DEFAULT 0,
    cancelled    bigint      NOT NULL DEFAULT 0,
    finished     bigint      NOT NULL DEFAULT 0,
    within_5_min bigint      NOT NULL DEFAULT 0,
    total_ms     bigint      NOT NULL DEFAULT 0,
    longest_ms   bigint      NOT NULL DEFAULT 0,
    calls        bigint      NOT NULL DEFAULT 0,
    throttled    bigint      NOT NULL DEFAULT 0,
    call_errors  bigint      NOT NULL DEFAULT 0,
    PRIMARY KEY (org_id, account_id, minute)
) WITH (fillfactor = 50);

COMMENT ON TABLE sync_activity IS 'What happened in each minute (UTC, by the times of events). Counts only grow. Projection outbound_audit.';
COMMENT ON COLUMN sync_activity.skipped IS 'Nothing differed, when it was asked for or when its turn came.';
COMMENT ON COLUMN sync_activity.failed IS 'Ended without success: exhausted, rejected, unauthorised.';
COMMENT ON COLUMN sync_activity.finished IS 'Accepted or failed: what a channel was asked for to the end.';
COMMENT ON COLUMN sync_activity.within_5_min IS 'Of the accepted ones, those that were within five minutes of their request.';
COMMENT ON COLUMN sync_activity.total_ms IS 'From request to end, of the finished ones together; longest_ms is the longest of them.';
COMMENT ON COLUMN sync_activity.calls IS 'HTTP calls by their start; throttled are those answered with 429, call_errors those that failed otherwise.';

ALTER TABLE sync_activity ENABLE ROW LEVEL SECURITY;
CREATE POLICY sync_activity_reader ON sync_activity FOR SELECT TO distribution_reader
    USING (reader_sees(org_id, account_id));
GRANT SELECT ON sync_activity TO distribution_reader;

-- How long replays take is one of the service levels.
CREATE INDEX outbound_audit_replays ON outbound_audit (org_id, requested_at) WHERE cause = 'replayed';
