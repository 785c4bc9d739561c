-- Listings whose last sync ended without success, by unit: few, among all of an organisation, and each waits for somebody. Not by whether another
-- sync waits: that changes with every sync, and an index that names it, in its condition too, would make each of these changes one of all indexes.
CREATE INDEX channel_listings_failed ON channel_listings (org_id, unit_id)
    WHERE last_outcome IN ('rejected', 'unauthorised', 'exhausted');
