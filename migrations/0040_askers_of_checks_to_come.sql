-- The askers of the check that comes next, or is under way, until it is told. Of another check than check_id they count for nothing: a process of
-- before goes on to the next check and leaves them there.
ALTER TABLE dispatch_checks
    ADD COLUMN askers    jsonb NOT NULL DEFAULT '[]',
    ADD COLUMN askers_of uuid;

COMMENT ON COLUMN dispatch_checks.askers IS 'As health_checks.askers.';
COMMENT ON COLUMN dispatch_checks.askers_of IS 'Of which check.';
