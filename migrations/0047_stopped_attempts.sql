-- An attempt that was ended on our side has a class of its own. The journal tells of it beside the class of before, which builds of before read.
-- Every class of before is one still, so no row is looked at while all others wait: 0049 does that beside them.
ALTER TABLE outbound_audit DROP CONSTRAINT outbound_audit_class_known;
ALTER TABLE outbound_audit ADD CONSTRAINT outbound_audit_class_known CHECK (class IN (
    'accepted', 'accepted_with_rejections', 'transient', 'throttled', 'stopped', 'unauthorised', 'rejected', 'unknown')) NOT VALID;
