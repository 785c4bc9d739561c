-- The listings of a caller who sees some accounts, by unit.
CREATE INDEX channel_listings_account ON channel_listings (org_id, account_id, unit_id);

-- Listings that are paused or unlinked: few, among all of an organisation.
CREATE INDEX channel_listings_not_active ON channel_listings (org_id, unit_id) WHERE state <> 'active';

-- Linked a moment ago, and perhaps no sync was asked for: the intake looks. Not by the revision, which changes with every sync:
-- an index that names it, in its condition too, would make each of these changes one of all indexes.
CREATE INDEX channel_listings_linked_at ON channel_listings (linked_at);
