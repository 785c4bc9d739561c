-- What is looked for among many: the account of one target, listings that nobody asked a sync for, changes of health.

-- The text is that of `ACCOUNT_SCOPE` in adapters/src/dispatch/scope.rs.
CREATE INDEX channel_targets_account_scope
    ON channel_targets (('account:' || channel || '/' || base_url || '/' || channel_account))
    WHERE lifecycle <> 'deleted';

-- Linked a moment ago, and perhaps no sync was asked for. Not by the revision, which changes with every sync: an index that
-- names it, in its condition too, would make each of these changes one of all indexes.
CREATE INDEX channel_listings_linked_at ON channel_listings (linked_at);

-- Snapshots are only inserted, so the newest stand together.
CREATE INDEX unit_snapshots_recorded_at ON unit_snapshots USING brin (recorded_at);

-- How the health of an organisation's targets went over the last hours.
CREATE INDEX target_health_changes_org ON target_health_changes (org_id, at);
