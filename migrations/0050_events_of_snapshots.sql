-- With which event a state ends that is kept: its number alone is given a second time where the journal was put back to an earlier state.
-- NULL in rows of before, which are of no use any more. An older build, which moves a row on, leaves the event of the state before.
ALTER TABLE aggregate_snapshots ADD COLUMN event_id uuid;

COMMENT ON COLUMN aggregate_snapshots.event_id IS 'The event of that sequence, as it was when the state was kept. Where the journal has another one, the state is of no use.';
