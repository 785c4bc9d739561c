-- Wakes that no dispatcher has taken to its lanes yet. The projection of the queue writes here and waits for nobody: a
-- lane's row is locked by the round that looks at it.
CREATE TABLE dispatch_wakes (
    target_id uuid        NOT NULL,
    wake_at   timestamptz NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

COMMENT ON TABLE dispatch_wakes IS 'When a lane has something to do, as the projection sync_queue tells; taken by the next round of any dispatcher.';

-- One projection writes both tables, in the order of the journal. The key cost a lookup and a row lock for every call.
-- Both tables at once and in the projector's order, so that a running one is waited for.
LOCK TABLE outbound_audit, outbound_attempts IN ACCESS EXCLUSIVE MODE;
ALTER TABLE outbound_attempts DROP CONSTRAINT outbound_attempts_sync;
