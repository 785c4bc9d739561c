-- On which server, and in which history of it, the windows were written. Another one may not know of slots that were taken.
CREATE TABLE dispatch_server (
    one    boolean     NOT NULL PRIMARY KEY DEFAULT true,
    server text        NOT NULL,
    since  timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT dispatch_server_is_one CHECK (one)
);

COMMENT ON TABLE dispatch_server IS 'One row: system identifier, timeline and database of the server that the dispatchers took their last slots on.';
