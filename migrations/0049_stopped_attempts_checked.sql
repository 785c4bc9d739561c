-- The check of 0047 holds for what is written since. This reads what was there before, each row once, beside whoever reads and writes.
SET LOCAL statement_timeout = 0;

ALTER TABLE outbound_audit VALIDATE CONSTRAINT outbound_audit_class_known;
