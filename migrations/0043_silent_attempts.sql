-- Since when a listing is in somebody's hands, and whose attempt was the first of which nobody has told since: who takes over a lease that
-- ran out writes both into its event, so that people can be told what took the time, and what may have been sent. NULL in leases of before.
ALTER TABLE dispatch_leases ADD COLUMN taken_at timestamptz, ADD COLUMN heir_of bigint;

COMMENT ON COLUMN dispatch_leases.taken_at IS 'When it was leased. Where that was taken over from somebody who let it run out: when the first of those had leased it.';
COMMENT ON COLUMN dispatch_leases.heir_of IS 'The ordinal of the job that that first one had leased it for; NULL where nothing was taken over.';
