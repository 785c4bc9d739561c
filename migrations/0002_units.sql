-- What units look like. A snapshot is stored once and addressed by its content; events refer to it.

CREATE TABLE unit_snapshots (
    -- SHA-256 of the canonical JSON (RFC 8785) of the whole message body, which names its org, account and unit.
    hash        bytea       NOT NULL PRIMARY KEY,
    org_id      text        NOT NULL,
    account_id  text        NOT NULL,
    unit_id     text        NOT NULL,
    revision    bigint      NOT NULL,
    body        jsonb       NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT unit_snapshots_hash_is_sha256 CHECK (octet_length(hash) = 32),
    CONSTRAINT unit_snapshots_revision_from_one CHECK (revision >= 1)
);

CREATE INDEX unit_snapshots_unit ON unit_snapshots (org_id, unit_id, revision);

-- The newest snapshot of each unit: what a new link starts from.
CREATE TABLE units (
    org_id      text        NOT NULL,
    unit_id     text        NOT NULL,
    account_id  text        NOT NULL,
    revision    bigint      NOT NULL,
    hash        bytea       NOT NULL REFERENCES unit_snapshots (hash),
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (org_id, unit_id)
);

-- How many unit changes ended how: taken, older, duplicate, unlinked, dead letter and so on.
CREATE TABLE intake_tally (
    org_id     text        NOT NULL,
    outcome    text        NOT NULL,
    count      bigint      NOT NULL,
    last_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (org_id, outcome)
);
