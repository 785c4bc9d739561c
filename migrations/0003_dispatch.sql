-- What dispatchers share: who works on which listing, and the windows. Operational state, not a read model: a rebuild
-- of the queue leaves it alone.

-- A scope of a rate limit: a target, an account at a channel, an address that calls leave from.
CREATE TABLE rate_scopes (
    scope         text        NOT NULL PRIMARY KEY,
    -- NULL: no limit is configured, but the channel can still pause the scope.
    requests      integer,
    window_ms     integer,
    paused_until  timestamptz NOT NULL DEFAULT '-infinity',
    CONSTRAINT rate_scopes_limit_whole CHECK ((requests IS NULL) = (window_ms IS NULL)),
    CONSTRAINT rate_scopes_requests_positive CHECK (requests >= 1),
    CONSTRAINT rate_scopes_window_positive CHECK (window_ms >= 1)
);

-- One row per request that a window admits. A slot is taken when a call starts and free again a window after its
-- answer; a crash frees it late, never early. All times are of the database's clock.
CREATE TABLE rate_slots (
    scope   text        NOT NULL REFERENCES rate_scopes (scope) ON DELETE CASCADE,
    slot    integer     NOT NULL,
    free_at timestamptz NOT NULL DEFAULT '-infinity',
    PRIMARY KEY (scope, slot)
) WITH (fillfactor = 50);

-- When a target may next have something to do. A hint with a lock: whoever holds the row claims for the target.
CREATE TABLE dispatch_lanes (
    target_id uuid        NOT NULL PRIMARY KEY,
    wake_at   timestamptz NOT NULL
) WITH (fillfactor = 50);

CREATE INDEX dispatch_lanes_wake_at ON dispatch_lanes (wake_at);

-- Who works on a listing until when, and up to which try of which job the work is done: the queue row may still be
-- there for a moment after that.
CREATE TABLE dispatch_leases (
    listing_id  uuid        NOT NULL PRIMARY KEY,
    holder      uuid        NOT NULL,
    ordinal     bigint      NOT NULL,
    tries       integer     NOT NULL,
    lease_until timestamptz NOT NULL,
    done        boolean     NOT NULL DEFAULT false
) WITH (fillfactor = 50);
