-- A snapshot is kept as the canonical text whose SHA-256 is its address: nobody asks for parts of it, and to make jsonb of
-- it, and text again, costs more than all else that is done with it.
ALTER TABLE unit_snapshots ALTER COLUMN body TYPE json USING body::json;

-- lz4 costs a fifth of the default; a Postgres that was built without it keeps that.
DO $$
BEGIN
    ALTER TABLE unit_snapshots ALTER COLUMN body SET COMPRESSION lz4;
EXCEPTION WHEN feature_not_supported THEN
    NULL;
END $$;

COMMENT ON COLUMN unit_snapshots.body IS 'Canonical JSON (RFC 8785) of the message body; rows from before this migration have their keys in another order.';
