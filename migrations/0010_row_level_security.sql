-- The second wall between organisations. The API reads as the role distribution_reader, in a transaction that says whose
-- rows it may see; a statement that forgets its filter still sees nothing of others. The owner of the tables, as whom
-- everything else works, is not bound by this.

-- A role belongs to the whole server, so other databases may have made it already, or be making it right now.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'distribution_reader') THEN
        CREATE ROLE distribution_reader NOLOGIN;
    END IF;
EXCEPTION
    WHEN duplicate_object OR unique_violation THEN NULL;
    WHEN insufficient_privilege THEN
        RAISE EXCEPTION 'role distribution_reader is missing, and % may not create it', current_user
            USING HINT = 'as a superuser: CREATE ROLE distribution_reader NOLOGIN; GRANT distribution_reader TO '
                || quote_ident(current_user);
END
$$;

DO $$
BEGIN
    IF NOT pg_has_role(current_user, 'distribution_reader', 'MEMBER') THEN
        EXECUTE format('GRANT distribution_reader TO %I', current_user);
    END IF;
END
$$;

-- Whether the transaction may see rows of an organisation and account. distribution.accounts is a list with commas, or *.
CREATE FUNCTION reader_sees(org text, account text) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT org = current_setting('distribution.org', true)
        AND (current_setting('distribution.accounts', true) = '*'
            OR account = ANY (string_to_array(current_setting('distribution.accounts', true), ',')))
$$;

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY[
        'events', 'units', 'unit_snapshots', 'channel_targets', 'channel_listings', 'outbound_audit', 'outbound_attempts',
        'target_health', 'target_health_changes', 'sync_queue']
    LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY %I ON %I FOR SELECT TO distribution_reader USING (reader_sees(org_id, account_id))',
            name || '_reader', name);
        EXECUTE format('GRANT SELECT ON %I TO distribution_reader', name);
    END LOOP;
END
$$;

-- A lease says that a listing's sync is under way; it is seen with the work that waits. In a function of its own, as a
-- policy that named the table itself would keep a rebuild from putting another in its place.
CREATE FUNCTION reader_sees_work(listing uuid) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT EXISTS (SELECT FROM sync_queue AS q WHERE q.listing_id = listing)
$$;

ALTER TABLE dispatch_leases ENABLE ROW LEVEL SECURITY;
CREATE POLICY dispatch_leases_reader ON dispatch_leases FOR SELECT TO distribution_reader
    USING (reader_sees_work(listing_id));
GRANT SELECT ON dispatch_leases, projection_checkpoints TO distribution_reader;

-- Answers to requests that carried an Idempotency-Key, so that one that comes twice is done once.
CREATE TABLE api_answers (
    org_id       text        NOT NULL,
    subject      text        NOT NULL,
    key          text        NOT NULL,
    -- SHA-256 of method, path and body.
    request      bytea       NOT NULL,
    -- NULL while the first request is under way.
    status       integer,
    content_type text,
    etag         text,
    location     text,
    position     text,
    body         bytea,
    recorded_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (org_id, subject, key),
    CONSTRAINT api_answers_request_is_sha256 CHECK (octet_length(request) = 32)
);

CREATE INDEX api_answers_age ON api_answers (recorded_at);

COMMENT ON TABLE api_answers IS 'Kept for a day. Written by the API alone.';
