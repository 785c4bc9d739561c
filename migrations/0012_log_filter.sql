-- What every process logs, where somebody has set it; one row at most.
CREATE TABLE log_filter (
    one        boolean     NOT NULL PRIMARY KEY DEFAULT true CHECK (one),
    filter     text        NOT NULL,
    changed_by text        NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now()
);

COMMENT ON TABLE log_filter IS 'Followed by every process within seconds; without a row each logs by its own RUST_LOG.';
