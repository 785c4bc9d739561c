-- When a target's circuit was open: a sync that waited meanwhile can be explained afterwards. History like health_checks,
-- and no read model: circuits are no events.
CREATE TABLE circuit_openings (
    target_id uuid        NOT NULL,
    opened_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    closed_at timestamptz,
    PRIMARY KEY (target_id, opened_at)
);

CREATE UNIQUE INDEX circuit_openings_open ON circuit_openings (target_id) WHERE closed_at IS NULL;
CREATE INDEX circuit_openings_closed ON circuit_openings (closed_at);

COMMENT ON TABLE circuit_openings IS 'From when to when each circuit was open, for 90 days. Written by the dispatchers; the role health takes old ones away.';

-- Those that are open now.
INSERT INTO circuit_openings (target_id, opened_at) SELECT target_id, since FROM dispatch_circuits WHERE opened > 0;

ALTER TABLE circuit_openings ENABLE ROW LEVEL SECURITY;
CREATE POLICY circuit_openings_reader ON circuit_openings FOR SELECT TO distribution_reader
    USING (reader_sees_target(target_id));
GRANT SELECT ON circuit_openings TO distribution_reader;
