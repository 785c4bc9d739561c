-- Everybody who asked for a check, with the credential of each: who asks while one is wanted or under way gets that one. No event tells of a
-- check, so this is all that is kept of them. NULL in rows of before, and of a process of before, which tell one name (asked_by).
ALTER TABLE health_checks ADD COLUMN askers jsonb;

COMMENT ON COLUMN health_checks.askers IS 'A list of {name, credential, credential_id}, in the order in which they asked; empty where its turn had come.';
