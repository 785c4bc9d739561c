-- Which process has a request with an Idempotency-Key under way, so that one that is asked for again after a crash is taken up at once, and
-- not a minute after it began. NULL in rows of before, and where the process could not be seen.
ALTER TABLE api_answers ADD COLUMN holder bigint, ADD COLUMN held_since timestamptz;

COMMENT ON COLUMN api_answers.holder IS 'The advisory lock that the process holds in a session of its own while it runs.';
COMMENT ON COLUMN api_answers.held_since IS 'What recorded_at was when that process began: one of an older build takes a row over without a word of the holder.';
