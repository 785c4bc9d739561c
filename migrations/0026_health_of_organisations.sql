-- How the health of an organisation's targets went over the last hours.
CREATE INDEX target_health_changes_org ON target_health_changes (org_id, at);
