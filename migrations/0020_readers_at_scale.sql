-- What people and services read, by indexes that begin with whose it is: a list must not read what all organisations have, or
-- an account's reader all that its organisation has. No projection looks a row up by any of them, so a rebuild makes them last.

-- The audit of a caller who sees some accounts. Neither column of it changes, so that every update stays on its page.
CREATE INDEX outbound_audit_account ON outbound_audit (org_id, account_id, position);

-- Plots and service levels read a span of all accounts.
CREATE INDEX sync_activity_org ON sync_activity (org_id, minute);

-- The queue in the order in which it is due, page by page.
CREATE INDEX sync_queue_org ON sync_queue (org_id, due_at, listing_id);

-- The listings of a caller who sees some accounts, by unit.
CREATE INDEX channel_listings_account ON channel_listings (org_id, account_id, unit_id);

-- Listings that are paused or unlinked: few, among all of an organisation.
CREATE INDEX channel_listings_not_active ON channel_listings (org_id, unit_id) WHERE state <> 'active';
