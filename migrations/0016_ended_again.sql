-- A job that had ended, as superseded for one, and was taken by the channel after all has ended twice in sync_activity. How
-- many did is counted beside, so that what waits can be told back in time from what waits now.
ALTER TABLE sync_activity ADD COLUMN ended_again bigint NOT NULL DEFAULT 0;

COMMENT ON COLUMN sync_activity.ended_again IS 'Of those that ended, the ones that had ended before: superseded, cancelled or failed, and taken after all.';
