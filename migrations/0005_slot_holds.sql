-- Which call holds a slot: what is told late of a slot that has since gone to another call changes nothing.
ALTER TABLE rate_slots ADD COLUMN hold_id uuid;

-- How long a slot rests after its call was answered: the window and the margin of the domain's arithmetic.
ALTER TABLE rate_scopes ADD COLUMN rest_ms integer;
UPDATE rate_scopes SET rest_ms = window_ms + 50;
ALTER TABLE rate_scopes DROP CONSTRAINT rate_scopes_limit_whole;
ALTER TABLE rate_scopes ADD CONSTRAINT rate_scopes_limit_whole CHECK (
    (requests IS NULL) = (window_ms IS NULL) AND (requests IS NULL) = (rest_ms IS NULL));
ALTER TABLE rate_scopes ADD CONSTRAINT rate_scopes_rests_a_window CHECK (rest_ms > window_ms);
