-- Both rows are written by one statement, and snapshots are never deleted: the check cost a look and a lock of the snapshot's row for each
-- change of a unit.
ALTER TABLE units DROP CONSTRAINT units_hash_fkey;
