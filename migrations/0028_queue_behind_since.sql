-- A change that supersedes is asked for anew, but the channel has been behind since the first one that it has not got: a listing that
-- changes every minute while something holds it waits for hours and not for a minute. NULL as well in rows of before: they count from
-- their own request until they are superseded or the queue is rebuilt. No index names it, as it changes with syncs.
ALTER TABLE sync_queue ADD COLUMN behind_since timestamptz;

COMMENT ON COLUMN sync_queue.behind_since IS 'Since when the channel has been behind: the first request that it has not got. Of several after an attempt that came through, when that began. NULL: since its own request.';
