-- A listing's refused parts outlive syncs that do not touch their section; those of one sync stand in outbound_audit.
COMMENT ON COLUMN channel_listings.last_sync_id IS 'The sync that ended last (a superseded one does not count); outcome and detail are its own.';
COMMENT ON COLUMN channel_listings.rejected IS 'What the mapping leaves out of the unit as it was asked for last, and of each section what the channel refused when it was sent last.';
