-- A job that took the place of others counts from the first of their requests that the channel had not got: see outbound_audit.behind_since.
-- Minutes of before are as they were until outbound_audit is rebuilt.
COMMENT ON COLUMN sync_activity.within_5_min IS 'Of the accepted ones, those after which the channel had been behind for five minutes at most.';
COMMENT ON COLUMN sync_activity.total_ms IS 'For how long the channel had been behind at the end of each finished one, together; longest_ms is the longest of them.';
