-- Two who decide about one dead letter at the same time do it once, and a decision whose answer was lost is found again. Rows of before
-- name no letter, since numbers begin anew with a stream that was lost: none of them is in the way of the index.
ALTER TABLE dead_letter_decisions
    ADD COLUMN letter_id    uuid,
    ADD COLUMN causation_id uuid,
    ADD COLUMN held_until   timestamptz,
    ADD COLUMN done         boolean;

CREATE UNIQUE INDEX dead_letter_decisions_letter ON dead_letter_decisions (letter_id) WHERE done IS NOT FALSE;
CREATE INDEX dead_letter_decisions_of_requests ON dead_letter_decisions (causation_id) WHERE causation_id IS NOT NULL;

COMMENT ON COLUMN dead_letter_decisions.letter_id IS 'Its number in the stream and when it was stored there, as a UUIDv5. NULL where it came back to the stream later.';
COMMENT ON COLUMN dead_letter_decisions.causation_id IS 'What the Idempotency-Key of the request stands for.';
COMMENT ON COLUMN dead_letter_decisions.held_until IS 'Until then nobody else decides about the letter, unless it is done.';
COMMENT ON COLUMN dead_letter_decisions.done IS 'Whether the letter left the stream by it. NULL: it is under way, or nobody knows.';
