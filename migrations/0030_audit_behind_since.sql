-- The same of a job in the audit, for how long it took until the channel was no longer behind (sync_activity). NULL in rows of before.
ALTER TABLE outbound_audit ADD COLUMN behind_since timestamptz;

COMMENT ON COLUMN outbound_audit.behind_since IS 'Since when the channel had been behind: the first request that it had not got, of those whose place it took. NULL: since its own request.';
