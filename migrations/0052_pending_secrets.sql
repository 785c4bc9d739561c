-- A value is put in the place of a secret before the journal has the event of it, and the two are kept apart: where the second is lost, by a
-- crash or with the database, this says whose value is there, until it is taken back. Never the value.
CREATE TABLE pending_secrets (
    change_id     uuid        NOT NULL PRIMARY KEY,
    put_id        uuid        NOT NULL,
    secret        text        NOT NULL,
    target_id     uuid        NOT NULL,
    org_id        text        NOT NULL,
    account_id    text        NOT NULL,
    at            timestamptz NOT NULL DEFAULT clock_timestamp(),
    kind          text        NOT NULL,
    state         text        NOT NULL DEFAULT 'pending',
    created_by    text        NOT NULL,
    credential    text        NOT NULL,
    credential_id text,
    CONSTRAINT pending_secrets_kind_known CHECK (kind IN ('create', 'rotate', 'move')),
    CONSTRAINT pending_secrets_state_known CHECK (state IN ('pending', 'void', 'taken_back', 'left'))
);

CREATE INDEX pending_secrets_target ON pending_secrets (target_id, at DESC);

COMMENT ON TABLE pending_secrets IS 'Values that the API has put in the place of a secret, or is about to, without an event. A row goes with its event; what came to none is kept for good.';
COMMENT ON COLUMN pending_secrets.change_id IS 'The target that is to be made, or the causation id of the event of a rotation.';
COMMENT ON COLUMN pending_secrets.put_id IS 'As what the keeper of the secret has the value.';
COMMENT ON COLUMN pending_secrets.state IS 'pending: the event may come; void: it cannot any more, and the value is to be taken back; taken_back: it was; left: there was nothing to take back, or it was left where it is.';

ALTER TABLE pending_secrets ENABLE ROW LEVEL SECURITY;
CREATE POLICY pending_secrets_reader ON pending_secrets FOR SELECT TO distribution_reader
    USING (reader_sees(org_id, account_id));
GRANT SELECT ON pending_secrets TO distribution_reader;

-- A commit may wait in Postgres, behind a lock say, for longer than its process lives. Once its value is to be taken back it must not come after
-- all: the event waits for whoever decides about the row, and is refused: by the code that builds of before take for
-- somebody who was faster, and by a name of its own, as it would be refused each time.
CREATE FUNCTION refuse_void_secret() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    change text := CASE NEW.event_type
        WHEN 'TargetCreated' THEN NEW.aggregate_id ELSE NEW.metadata ->> 'causation_id' END;
    stands text;
BEGIN
    -- What is no id of ours is no change that was announced, and not to be refused for its form.
    IF change ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN
        SELECT p.state INTO stands FROM public.pending_secrets AS p WHERE p.change_id = change::uuid FOR SHARE;
    END IF;
    IF stands <> 'pending' THEN
        RAISE EXCEPTION 'the secret of this change was given up' USING ERRCODE = 'serialization_failure',
            CONSTRAINT = 'secret_given_up';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER events_of_void_secrets BEFORE INSERT ON events
    FOR EACH ROW WHEN (NEW.event_type IN ('TargetCreated', 'CredentialRotated'))
    EXECUTE FUNCTION refuse_void_secret();
