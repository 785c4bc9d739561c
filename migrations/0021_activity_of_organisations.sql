-- Plots and service levels read a span of all accounts.
CREATE INDEX sync_activity_org ON sync_activity (org_id, minute);
