-- The snapshots of the last minutes, for the intake. They are only inserted, so the newest stand together; vacuum, which would
-- note where, comes too rarely for that.
CREATE INDEX unit_snapshots_recorded_at ON unit_snapshots USING brin (recorded_at) WITH (autosummarize = on);
