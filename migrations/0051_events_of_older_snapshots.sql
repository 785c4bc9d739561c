-- States that were kept before 0050 name no event, and whoever reads such an aggregate for the first time would read all of its events.
-- This trusts the number of each once more, as the builds of before do. What has no such event, or names one already, stays as it is.
SET LOCAL statement_timeout = 0;

UPDATE aggregate_snapshots s
SET event_id = e.event_id
FROM events e
WHERE s.event_id IS NULL
    AND e.aggregate_type = s.aggregate_type AND e.aggregate_id = s.aggregate_id AND e.sequence = s.sequence;
