-- A key that an index has in its middle can be asked of it, by reading all of it; where a plan is made while the queue is
-- empty, that costs as little as a look at the primary key, and the plan stays when the queue is long.
DROP INDEX sync_queue_org;
CREATE INDEX sync_queue_org ON sync_queue (org_id, due_at);
