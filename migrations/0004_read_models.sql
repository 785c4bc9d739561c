-- What people and roles read. Every table here is made from the journal by one projection and can be made again:
-- names are unqualified in the projections' SQL, so a rebuild runs the same statements in a schema of its own.
-- Every time comes from an event, never from a clock, so that a rebuilt row equals the live one.

-- How far each projection is. Written in the transaction that writes the rows.
CREATE TABLE projection_checkpoints (
    name       text        NOT NULL PRIMARY KEY,
    position   bigint      NOT NULL DEFAULT 0,
    events     bigint      NOT NULL DEFAULT 0,
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 50);

COMMENT ON TABLE projection_checkpoints IS 'Position of the last event each projection has applied, and how many it has applied in all.';

CREATE TABLE channel_targets (
    target_id         uuid        NOT NULL PRIMARY KEY,
    org_id            text        NOT NULL,
    account_id        text        NOT NULL,
    name              text        NOT NULL,
    channel           text        NOT NULL,
    base_url          text        NOT NULL,
    channel_account   text        NOT NULL,
    -- The reference to a secret, never its value.
    credential        text        NOT NULL,
    requests          integer     NOT NULL,
    window_ms         integer     NOT NULL,
    account_requests  integer,
    account_window_ms integer,
    lifecycle         text        NOT NULL,
    lifecycle_reason  text,
    health            text        NOT NULL,
    health_since      timestamptz NOT NULL,
    version           bigint      NOT NULL,
    created_by        text        NOT NULL,
    created_at        timestamptz NOT NULL,
    updated_at        timestamptz NOT NULL,
    position          bigint      NOT NULL,
    CONSTRAINT channel_targets_lifecycle_known CHECK (lifecycle IN ('active', 'paused', 'deleted')),
    CONSTRAINT channel_targets_health_known
        CHECK (health IN ('unknown', 'healthy', 'degraded', 'unreachable', 'unauthorised')),
    CONSTRAINT channel_targets_account_limit_whole CHECK ((account_requests IS NULL) = (account_window_ms IS NULL))
) WITH (fillfactor = 70);

CREATE INDEX channel_targets_org ON channel_targets (org_id, name);

COMMENT ON TABLE channel_targets IS 'Every target, deleted ones too. Projection channel_targets.';
COMMENT ON COLUMN channel_targets.lifecycle_reason IS 'Why it was paused or deleted last; NULL while it is active.';
COMMENT ON COLUMN channel_targets.version IS 'Sequence of the last event of the aggregate.';

CREATE TABLE channel_listings (
    listing_id        uuid        NOT NULL PRIMARY KEY,
    org_id            text        NOT NULL,
    account_id        text        NOT NULL,
    unit_id           text        NOT NULL,
    target_id         uuid        NOT NULL,
    state             text        NOT NULL,
    generation        integer     NOT NULL,
    external_id       text,
    revision          bigint,
    snapshot          bytea,
    accepted_snapshot bytea,
    pending_sync_id   uuid,
    last_sync_id      uuid,
    last_outcome      text,
    last_detail       text,
    rejected          jsonb       NOT NULL DEFAULT '[]',
    linked_by         text        NOT NULL,
    linked_at         timestamptz NOT NULL,
    last_accepted_at  timestamptz,
    version           bigint      NOT NULL,
    updated_at        timestamptz NOT NULL,
    position          bigint      NOT NULL,
    CONSTRAINT channel_listings_pair UNIQUE (target_id, unit_id),
    CONSTRAINT channel_listings_state_known CHECK (state IN ('active', 'paused', 'unlinked'))
) WITH (fillfactor = 60);

CREATE INDEX channel_listings_org_target ON channel_listings (org_id, target_id, unit_id);
CREATE INDEX channel_listings_org_unit ON channel_listings (org_id, unit_id);
CREATE INDEX channel_listings_external_id ON channel_listings (external_id) WHERE external_id IS NOT NULL;

COMMENT ON TABLE channel_listings IS 'Every listing, unlinked ones too. A new link (generation) starts over. Projection channel_listings.';
COMMENT ON COLUMN channel_listings.snapshot IS 'The snapshot that was asked for last; its unit revision stands beside it.';
COMMENT ON COLUMN channel_listings.accepted_snapshot IS 'The newest snapshot that the channel took as a whole.';
COMMENT ON COLUMN channel_listings.last_sync_id IS 'The sync that ended last (a superseded one does not count); outcome, detail and rejected are its own.';

CREATE TABLE outbound_audit (
    sync_id          uuid        NOT NULL PRIMARY KEY,
    listing_id       uuid        NOT NULL,
    idempotency_key  bytea       NOT NULL,
    org_id           text        NOT NULL,
    account_id       text        NOT NULL,
    target_id        uuid        NOT NULL,
    unit_id          text,
    ordinal          bigint      NOT NULL,
    cause            text        NOT NULL,
    reason           text,
    revision         bigint      NOT NULL,
    snapshot         bytea       NOT NULL,
    needs            text[]      NOT NULL,
    outcome          text        NOT NULL,
    class            text,
    attempts         integer     NOT NULL,
    rejected         jsonb       NOT NULL DEFAULT '[]',
    detail           text,
    superseded_by    uuid,
    created_by       text        NOT NULL,
    credential       text        NOT NULL,
    correlation_id   uuid        NOT NULL,
    traceparent      text,
    requested_at     timestamptz NOT NULL,
    first_attempt_at timestamptz,
    next_attempt_at  timestamptz,
    finished_at      timestamptz,
    position         bigint      NOT NULL,
    updated_position bigint      NOT NULL,
    CONSTRAINT outbound_audit_one_job_per_key UNIQUE (listing_id, idempotency_key),
    CONSTRAINT outbound_audit_cause_known CHECK (cause IN ('unit_changed', 'linked', 'manual', 'replayed')),
    CONSTRAINT outbound_audit_outcome_known CHECK (outcome IN (
        'pending', 'accepted', 'accepted_with_rejections', 'skipped_unchanged', 'superseded', 'rejected',
        'unauthorised', 'exhausted', 'cancelled')),
    CONSTRAINT outbound_audit_class_known CHECK (class IN (
        'accepted', 'accepted_with_rejections', 'transient', 'throttled', 'unauthorised', 'rejected', 'unknown')),
    CONSTRAINT outbound_audit_ends_once CHECK ((outcome = 'pending') = (finished_at IS NULL))
) WITH (fillfactor = 60);

-- No column that changes is indexed, so that every update stays on its page.
CREATE INDEX outbound_audit_org ON outbound_audit (org_id, position);
CREATE INDEX outbound_audit_target ON outbound_audit (target_id, position);

COMMENT ON TABLE outbound_audit IS 'One row per sync job, from its request to its end. Projection outbound_audit.';
COMMENT ON COLUMN outbound_audit.class IS 'How the last attempt ended.';
COMMENT ON COLUMN outbound_audit.attempts IS 'Attempts that were burned, of five.';
COMMENT ON COLUMN outbound_audit.next_attempt_at IS 'When a deferred sync is due again.';
COMMENT ON COLUMN outbound_audit.superseded_by IS 'The later job that took its place; kept when the sync was under way and was accepted after all.';
COMMENT ON COLUMN outbound_audit.position IS 'Position of the request in the journal; updated_position is that of the last event about it.';

CREATE TABLE outbound_attempts (
    request_id  uuid        NOT NULL PRIMARY KEY,
    sync_id     uuid        NOT NULL,
    listing_id  uuid        NOT NULL,
    org_id      text        NOT NULL,
    account_id  text        NOT NULL,
    target_id   uuid        NOT NULL,
    attempt     integer     NOT NULL,
    call_index  integer     NOT NULL,
    purpose     text        NOT NULL,
    method      text        NOT NULL,
    path        text        NOT NULL,
    status      integer,
    class       text        NOT NULL,
    started_at  timestamptz NOT NULL,
    duration_ms bigint      NOT NULL,
    detail      text,
    late        boolean     NOT NULL,
    position    bigint      NOT NULL,
    CONSTRAINT outbound_attempts_sync FOREIGN KEY (sync_id) REFERENCES outbound_audit (sync_id),
    CONSTRAINT outbound_attempts_class_known CHECK (class IN (
        'accepted', 'accepted_with_rejections', 'transient', 'throttled', 'unauthorised', 'rejected', 'unknown'))
);

CREATE INDEX outbound_attempts_sync ON outbound_attempts (sync_id);
CREATE INDEX outbound_attempts_org ON outbound_attempts (org_id, position);

COMMENT ON TABLE outbound_attempts IS 'Every HTTP call of every sync job. Projection outbound_audit.';
COMMENT ON COLUMN outbound_attempts.call_index IS 'Counts the calls of one attempt from 0; with position it orders the calls of a sync.';
COMMENT ON COLUMN outbound_attempts.late IS 'Made by an attempt whose job had ended by another one.';

CREATE TABLE target_health (
    target_id            uuid        NOT NULL PRIMARY KEY,
    org_id               text        NOT NULL,
    account_id           text        NOT NULL,
    health               text        NOT NULL,
    since                timestamptz NOT NULL,
    reason               text,
    last_success_at      timestamptz,
    last_failure_at      timestamptz,
    last_error           text,
    consecutive_failures integer     NOT NULL DEFAULT 0,
    position             bigint      NOT NULL,
    CONSTRAINT target_health_known
        CHECK (health IN ('unknown', 'healthy', 'degraded', 'unreachable', 'unauthorised'))
) WITH (fillfactor = 50);

CREATE INDEX target_health_org ON target_health (org_id);

COMMENT ON TABLE target_health IS 'How each target answers now. A refusal of content or a rate limit is no failure of the target. Projection target_health.';

CREATE TABLE target_health_changes (
    position    bigint      NOT NULL PRIMARY KEY,
    target_id   uuid        NOT NULL,
    org_id      text        NOT NULL,
    account_id  text        NOT NULL,
    at          timestamptz NOT NULL,
    from_health text        NOT NULL,
    to_health   text        NOT NULL,
    reason      text        NOT NULL
);

CREATE INDEX target_health_changes_target ON target_health_changes (target_id, position);

COMMENT ON TABLE target_health_changes IS 'Every change of a target''s health. Projection target_health.';

CREATE TABLE sync_queue (
    listing_id   uuid        NOT NULL PRIMARY KEY,
    org_id       text        NOT NULL,
    account_id   text        NOT NULL,
    target_id    uuid        NOT NULL,
    sync_id      uuid        NOT NULL,
    ordinal      bigint      NOT NULL,
    tries        integer     NOT NULL,
    snapshot     bytea       NOT NULL,
    revision     bigint      NOT NULL,
    needs        text[]      NOT NULL,
    rank         timestamptz NOT NULL,
    due_at       timestamptz NOT NULL,
    requested_at timestamptz NOT NULL,
    position     bigint      NOT NULL
) WITH (fillfactor = 60);

CREATE INDEX sync_queue_rank ON sync_queue (target_id, rank);
CREATE INDEX sync_queue_due ON sync_queue (target_id, due_at);

COMMENT ON TABLE sync_queue IS 'What is still to be sent, at most one job per listing: latest wins. Projection sync_queue.';
COMMENT ON COLUMN sync_queue.rank IS 'Work of a target is taken in this order: when it was asked for, plus the patience of its most urgent section.';
COMMENT ON COLUMN sync_queue.tries IS 'Attempts of this job that were deferred, burned or not.';

-- Deleted targets by the truth: a sync asked for after the deletion must not wait for ever.
CREATE INDEX events_target_deleted ON events (aggregate_id) WHERE event_type = 'TargetDeleted';
