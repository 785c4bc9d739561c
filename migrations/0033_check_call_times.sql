-- When each call of a check began and how long it took, in their order: a check that has to get a token first makes two, and each of them holds
-- a slot of the target's window for which syncs may wait. NULL in rows of before, of which latency_ms tells of the last call.
ALTER TABLE health_checks ADD COLUMN calls_started_at timestamptz[], ADD COLUMN calls_took_ms bigint[];

COMMENT ON COLUMN health_checks.calls_took_ms IS 'From the start to the answer or the time-out; one for each of calls_started_at.';
