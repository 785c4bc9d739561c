-- The journal: the one truth. It is also the outbox, so there is no second write.
-- The columns are those of postgres-es, plus position, event id, tenant and time.

CREATE TABLE events (
    -- CACHE 1 keeps positions in causal order per aggregate; appends take a shared fence lock, see the event store.
    position       bigint      NOT NULL GENERATED ALWAYS AS IDENTITY (CACHE 1) PRIMARY KEY,
    event_id       uuid        NOT NULL,
    org_id         text        NOT NULL,
    account_id     text        NOT NULL,
    aggregate_type text        NOT NULL,
    aggregate_id   text        NOT NULL,
    sequence       bigint      NOT NULL,
    event_type     text        NOT NULL,
    event_version  text        NOT NULL,
    payload        jsonb       NOT NULL,
    metadata       jsonb       NOT NULL,
    recorded_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT events_sequence_from_one CHECK (sequence >= 1),
    -- The optimistic lock.
    CONSTRAINT events_stream UNIQUE (aggregate_type, aggregate_id, sequence)
);

-- Which listings follow a unit, by the truth and not by a read model that may lag.
CREATE INDEX events_linked_unit ON events (org_id, (payload -> 'ListingLinked' ->> 'unit_id'))
    WHERE event_type = 'ListingLinked';

-- Which organisations are known: those that ever had a target.
CREATE INDEX events_target_created ON events (org_id) WHERE event_type = 'TargetCreated';

CREATE INDEX events_recorded_at ON events USING brin (recorded_at);

COMMENT ON TABLE events IS 'The journal. Appended by one function of the event store, never updated, never deleted.';

-- A cache: dropping every row changes nothing but speed.
CREATE TABLE aggregate_snapshots (
    aggregate_type text   NOT NULL,
    aggregate_id   text   NOT NULL,
    sequence       bigint NOT NULL,
    state          jsonb  NOT NULL,
    PRIMARY KEY (aggregate_type, aggregate_id)
);
