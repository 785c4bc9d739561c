-- The targets that share an account. The text is that of `ACCOUNT_SCOPE` in adapters/src/dispatch/scope.rs.
CREATE INDEX channel_targets_account_scope
    ON channel_targets (('account:' || channel || '/' || base_url || '/' || channel_account))
    WHERE lifecycle <> 'deleted';
