-- What was answered to a call of a look for drift: those that were refused for their rate (429) count in a service level, as those of syncs and
-- of health checks do. NULL in rows of before.
ALTER TABLE drift_calls ADD COLUMN status integer;

COMMENT ON COLUMN drift_calls.status IS 'NULL where no answer came.';
