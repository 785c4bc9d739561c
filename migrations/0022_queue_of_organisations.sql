-- The queue in the order in which it is due, page by page.
CREATE INDEX sync_queue_org ON sync_queue (org_id, due_at, listing_id);
