-- Checks of targets: which are wanted and made, what came of them, and which targets are left alone because they failed.
-- The first two are operational state of the dispatchers, like the lanes; the third is history, but no read model: single
-- checks are no events.

-- One row per target. A dispatcher makes a check that is due; the role health asks for them one by one, so does a
-- circuit that is open, and so may anybody who wants to know now.
CREATE TABLE dispatch_checks (
    target_id   uuid        NOT NULL PRIMARY KEY,
    -- Of the check that comes next, or is under way.
    check_id    uuid        NOT NULL DEFAULT gen_random_uuid(),
    asked_by    text        NOT NULL DEFAULT 'service:health',
    due_at      timestamptz NOT NULL DEFAULT 'infinity',
    lease_until timestamptz NOT NULL DEFAULT '-infinity',
    -- When the role health asks for one again.
    next_at     timestamptz NOT NULL DEFAULT 'infinity'
) WITH (fillfactor = 50);

CREATE INDEX dispatch_checks_due ON dispatch_checks (due_at) WHERE due_at < 'infinity';
CREATE INDEX dispatch_checks_next ON dispatch_checks (next_at);

-- Targets that failed last. An open circuit (opened > 0) closes the target's lane to everything but checks, until one
-- gets an answer; any answer takes the row away.
CREATE TABLE dispatch_circuits (
    target_id uuid        NOT NULL PRIMARY KEY,
    failures  integer     NOT NULL,
    opened    integer     NOT NULL,
    since     timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 50);

COMMENT ON COLUMN dispatch_circuits.failures IS 'In a row, of pushes and checks, in all processes together.';
COMMENT ON COLUMN dispatch_circuits.opened IS 'How often in a row it was opened: the longer, the longer until the next check. 0 while it is closed.';

CREATE TABLE health_checks (
    check_id   uuid        NOT NULL PRIMARY KEY,
    target_id  uuid        NOT NULL,
    org_id     text        NOT NULL,
    account_id text        NOT NULL,
    at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    asked_by   text        NOT NULL,
    calls      integer     NOT NULL,
    latency_ms bigint,
    status     integer,
    class      text        NOT NULL,
    detail     text,
    CONSTRAINT health_checks_class_known CHECK (class IN (
        'accepted', 'accepted_with_rejections', 'transient', 'throttled', 'unauthorised', 'rejected', 'unknown'))
);

CREATE INDEX health_checks_target ON health_checks (target_id, at DESC);
CREATE INDEX health_checks_at ON health_checks (at);

COMMENT ON TABLE health_checks IS 'Every check of a target, for three days. Written by the dispatchers; the role health takes old ones away.';
COMMENT ON COLUMN health_checks.latency_ms IS 'Of the last call; NULL where none was made.';

CREATE FUNCTION reader_sees_target(target uuid) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT EXISTS (SELECT FROM channel_targets AS t WHERE t.target_id = target)
$$;

ALTER TABLE health_checks ENABLE ROW LEVEL SECURITY;
CREATE POLICY health_checks_reader ON health_checks FOR SELECT TO distribution_reader
    USING (reader_sees(org_id, account_id));
ALTER TABLE dispatch_circuits ENABLE ROW LEVEL SECURITY;
CREATE POLICY dispatch_circuits_reader ON dispatch_circuits FOR SELECT TO distribution_reader
    USING (reader_sees_target(target_id));
GRANT SELECT ON health_checks, dispatch_circuits TO distribution_reader;
