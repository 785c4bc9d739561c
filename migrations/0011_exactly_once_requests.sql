-- A request with an Idempotency-Key whose answer was lost, in a crash or with the connection to Postgres, is looked for
-- in the journal before it is done again: its events carry what the key stands for as their causation id.
ALTER TABLE api_answers
    -- What stands beside the events of the change.
    ADD COLUMN causation_id uuid    NOT NULL DEFAULT gen_random_uuid(),
    -- The first request ended, and nobody knows how.
    ADD COLUMN unknown_end  boolean NOT NULL DEFAULT false;

CREATE INDEX events_of_requests ON events ((metadata ->> 'causation_id'))
    WHERE metadata ->> 'credential' IN ('session', 'service_token', 'local_token') AND metadata ? 'causation_id';

-- Dead letters are no aggregates, so what people decide about them has its own journal. Nothing is deleted from it.
CREATE TABLE dead_letter_decisions (
    number     bigint      NOT NULL,
    decision   text        NOT NULL CHECK (decision IN ('replayed', 'discarded')),
    -- NULL where the message names no organisation.
    org_id     text,
    subject    text        NOT NULL,
    -- SHA-256 of the message's body.
    body       bytea       NOT NULL CHECK (octet_length(body) = 32),
    problems   jsonb       NOT NULL,
    decided_by text        NOT NULL,
    credential text        NOT NULL,
    decided_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    decision_id uuid       NOT NULL PRIMARY KEY
);

CREATE INDEX dead_letter_decisions_org ON dead_letter_decisions (org_id, decision_id);

ALTER TABLE dead_letter_decisions ENABLE ROW LEVEL SECURITY;
CREATE POLICY dead_letter_decisions_reader ON dead_letter_decisions FOR SELECT TO distribution_reader
    USING (org_id = current_setting('distribution.org', true) AND current_setting('distribution.accounts', true) = '*');
GRANT SELECT ON dead_letter_decisions TO distribution_reader;

COMMENT ON TABLE dead_letter_decisions IS 'Who replayed or discarded which dead letter. Written before it is done.';

-- A session that began with a one-time link ends as soon as there is an identity provider.
ALTER TABLE sessions ADD COLUMN by_link boolean NOT NULL DEFAULT false;

COMMENT ON COLUMN sessions.by_link IS 'Whether it began with a one-time link: no longer good where there is an identity provider.';
