-- What people and services read begins with whose it is: a list must not read what all organisations have, or an account's reader
-- all that its organisation has. No projection looks a row up by these indexes, so a rebuild makes them last. A table each, so that
-- no two locks are held at once: a projector of the version before goes on, and takes the tables in another order.

-- The audit of a caller who sees some accounts. An update changes neither column, but where one wish is made twice.
CREATE INDEX outbound_audit_account ON outbound_audit (org_id, account_id, position);
