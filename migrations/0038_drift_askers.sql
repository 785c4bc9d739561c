-- Who had a listing looked at, and by which credential: a look for drift is no event, and these rows are all that is kept of it. NULL in rows
-- of before, and of a process of before.
ALTER TABLE drift_calls
    ADD COLUMN look_id       uuid,
    ADD COLUMN listing_id    uuid,
    ADD COLUMN created_by    text,
    ADD COLUMN credential    text,
    ADD COLUMN credential_id text;

COMMENT ON COLUMN drift_calls.look_id IS 'The same for the calls of one look.';
COMMENT ON COLUMN drift_calls.credential_id IS 'Which token or session it was, never a secret; NULL where the kind has none.';
