-- What a channel has said of a target's credentials was said by the host that its address led to then: at another one it says nothing of
-- whose account it is. NULL as well in rows of before, where the host was another one once: a rebuild of channel_targets fills it in.
ALTER TABLE channel_targets ADD COLUMN host_position bigint;

COMMENT ON COLUMN channel_targets.host_position IS 'Position of the event by which its address came to lead to another host than before. NULL: it leads where it led when the target was made.';
