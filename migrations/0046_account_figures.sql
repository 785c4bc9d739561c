-- Anybody can name any account at a channel, with a secret that is made up. Who is known to have it is told how its window stands: a reader
-- to whom a target belongs whose credentials the channel takes there now. Anybody else would learn whether the account is somebody's, by
-- what limit, and how busy that one is.

-- Whether the last that the channel has said of the credentials that a target has now is that it takes them. Of new ones it has said nothing
-- yet, nor after a resume that says they are good again, nor at another host: all of these make the health unknown, and where the channel
-- fails after that it stays so. A change away from healthy says that they were taken as well as one to it, which may be old, and deleted. A
-- target that is paused is not asked any more: what was said of its credentials may be over.
CREATE FUNCTION credentials_are_taken(target uuid) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT EXISTS (
        SELECT FROM channel_targets AS t
        WHERE t.target_id = target AND t.lifecycle = 'active'
            AND (t.health = 'healthy' OR t.health IN ('degraded', 'unreachable') AND (
                SELECT h.to_health NOT IN ('unknown', 'unauthorised') FROM target_health_changes AS h
                WHERE h.target_id = t.target_id AND h.position > coalesce(t.host_position, 0)
                    AND (h.to_health IN ('healthy', 'unknown', 'unauthorised') OR h.from_health = 'healthy')
                ORDER BY h.position DESC LIMIT 1) IS TRUE))
$$;

-- As in 0015_dashboard.sql, but for the credentials of the target by which the reader has the account.
CREATE OR REPLACE FUNCTION reader_sees_scope(scope text) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT CASE split_part(scope, ':', 1)
        WHEN 'target' THEN EXISTS (SELECT FROM channel_targets AS t WHERE t.target_id = substr(scope, 8)::uuid)
        WHEN 'account' THEN EXISTS (SELECT FROM channel_targets AS t
            WHERE scope = 'account:' || t.channel || '/' || t.base_url || '/' || t.channel_account
                AND credentials_are_taken(t.target_id))
        ELSE false
    END
$$;
