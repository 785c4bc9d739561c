-- What the dashboard reads beside the read models: the windows as the limiter sees them, and look-ups for its search.
-- Comparisons of text patterns are leakproof, so Postgres uses these indexes under row-level security too.

CREATE INDEX channel_listings_unit_prefix ON channel_listings (org_id, unit_id text_pattern_ops);

-- A trace id stands at the start of a traceparent, after the version: 00-<trace id>-<span id>-01.
CREATE INDEX outbound_audit_trace ON outbound_audit (traceparent text_pattern_ops) WHERE traceparent IS NOT NULL;

-- Whether a scope is that of a target that the transaction may see, or of such a target's account at its channel. What
-- leaves from one address belongs to everybody, and is shown to nobody.
CREATE FUNCTION reader_sees_scope(scope text) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT CASE split_part(scope, ':', 1)
        WHEN 'target' THEN EXISTS (SELECT FROM channel_targets AS t WHERE t.target_id = substr(scope, 8)::uuid)
        WHEN 'account' THEN EXISTS (SELECT FROM channel_targets AS t
            WHERE scope = 'account:' || t.channel || '/' || t.base_url || '/' || t.channel_account)
        ELSE false
    END
$$;

ALTER TABLE rate_scopes ENABLE ROW LEVEL SECURITY;
ALTER TABLE rate_slots ENABLE ROW LEVEL SECURITY;
CREATE POLICY rate_scopes_reader ON rate_scopes FOR SELECT TO distribution_reader USING (reader_sees_scope(scope));
CREATE POLICY rate_slots_reader ON rate_slots FOR SELECT TO distribution_reader USING (reader_sees_scope(scope));
GRANT SELECT ON rate_scopes, rate_slots TO distribution_reader;
