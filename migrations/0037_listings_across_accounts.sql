-- A unit may be linked to a target of another account by whoever has both. What else of it is of another account than the target's is not
-- sent there. NULL as well in rows of before, when nobody noted it.
ALTER TABLE channel_listings ADD COLUMN from_account_id text;

COMMENT ON COLUMN channel_listings.from_account_id IS 'The account that the unit was of when it was linked, where that is another than the target''s.';
