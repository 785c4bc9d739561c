-- Who has put a value in the place of a secret at the command line, with each target that used it then. That is no event of a target: it
-- changes nothing of what is known of its credentials, which a check finds out. Never the value, nor where it is.
CREATE TABLE secret_changes (
    change_id     uuid        NOT NULL,
    target_id     uuid        NOT NULL,
    org_id        text        NOT NULL,
    account_id    text        NOT NULL,
    at            timestamptz NOT NULL DEFAULT clock_timestamp(),
    kind          text        NOT NULL,
    created_by    text        NOT NULL,
    credential    text        NOT NULL,
    credential_id text,
    PRIMARY KEY (change_id, target_id),
    CONSTRAINT secret_changes_kind_known CHECK (kind IN ('secret_put', 'secret_rotate'))
);

CREATE INDEX secret_changes_target ON secret_changes (target_id, at DESC);

COMMENT ON TABLE secret_changes IS 'Values that the command line has put in the place of a secret, a row for each target that used it. Kept for good.';
COMMENT ON COLUMN secret_changes.change_id IS 'The same for all targets of one command.';
COMMENT ON COLUMN secret_changes.kind IS 'By which command.';

ALTER TABLE secret_changes ENABLE ROW LEVEL SECURITY;
CREATE POLICY secret_changes_reader ON secret_changes FOR SELECT TO distribution_reader
    USING (reader_sees(org_id, account_id));
GRANT SELECT ON secret_changes TO distribution_reader;
