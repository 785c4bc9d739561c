-- Who is signed in. Cookies, links and states are secrets, so that only their SHA-256 stands here: whoever reads these
-- tables, or a backup of them, cannot sign in with what is found.
CREATE TABLE sessions (
    secret_hash  bytea       PRIMARY KEY CHECK (octet_length(secret_hash) = 32),
    session_id   uuid        NOT NULL UNIQUE,
    org_id       text        NOT NULL,
    subject      text        NOT NULL,
    roles        text[]      NOT NULL CHECK (cardinality(roles) > 0),
    account_ids  text[],
    created_at   timestamptz NOT NULL DEFAULT now(),
    last_seen_at timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz NOT NULL
);

CREATE INDEX sessions_of_subject ON sessions (subject);
CREATE INDEX sessions_expired ON sessions (expires_at);

COMMENT ON TABLE sessions IS 'One row per browser that is signed in; signing out deletes it.';
COMMENT ON COLUMN sessions.secret_hash IS 'SHA-256 of the cookie''s value.';
COMMENT ON COLUMN sessions.session_id IS 'What the journal and the logs name the session by; no secret.';
COMMENT ON COLUMN sessions.account_ids IS 'The accounts that may be seen; null means all of the organisation.';
COMMENT ON COLUMN sessions.last_seen_at IS 'Written at most once a minute.';
COMMENT ON COLUMN sessions.expires_at IS 'The end, however busy the session is.';

CREATE TABLE sign_in_links (
    secret_hash bytea       PRIMARY KEY CHECK (octet_length(secret_hash) = 32),
    org_id      text        NOT NULL,
    subject     text        NOT NULL,
    roles       text[]      NOT NULL CHECK (cardinality(roles) > 0),
    account_ids text[],
    created_by  text        NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    expires_at  timestamptz NOT NULL
);

COMMENT ON TABLE sign_in_links IS 'One-time links that were not used yet; the use deletes the row.';
COMMENT ON COLUMN sign_in_links.created_by IS 'Who had it printed.';

CREATE TABLE login_attempts (
    state_hash    bytea       PRIMARY KEY CHECK (octet_length(state_hash) = 32),
    browser_hash  bytea       NOT NULL CHECK (octet_length(browser_hash) = 32),
    nonce         text        NOT NULL,
    pkce_verifier text        NOT NULL,
    return_to     text        NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT now(),
    expires_at    timestamptz NOT NULL
);

CREATE INDEX login_attempts_expired ON login_attempts (expires_at);

COMMENT ON TABLE login_attempts IS 'Logins at the OpenID provider that are under way; the provider''s answer deletes the row.';
COMMENT ON COLUMN login_attempts.browser_hash IS 'SHA-256 of the cookie of the browser that began: nobody ends a login in another''s browser.';
COMMENT ON COLUMN login_attempts.pkce_verifier IS 'Worth something only together with a code of the provider, for minutes.';
