-- Whether there is an identity provider, as the API knew it at its last start; one row at most. Links and tokens that this service gives out are
-- worth nothing beside one, which whoever gives them out at another shell could not know. Without a row nobody has said anything yet.
CREATE TABLE identity_mode (
    one      boolean     NOT NULL PRIMARY KEY DEFAULT true CHECK (one),
    provider text,
    told_at  timestamptz NOT NULL DEFAULT now()
);

COMMENT ON COLUMN identity_mode.provider IS 'The setting that says so, such as DISTRIBUTION_OIDC_ISSUER; NULL where there is none.';
