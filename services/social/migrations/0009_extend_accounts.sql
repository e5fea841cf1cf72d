ALTER TABLE users
    ADD COLUMN email_verified_at timestamptz,
    ADD COLUMN suspended_at timestamptz,
    ADD COLUMN suspended_because text,
    -- The row of a person who left stays, without a name.
    ADD COLUMN deleted_at timestamptz,
    ADD COLUMN locale text NOT NULL DEFAULT 'en',
    -- Whether strangers find this person in lists and recommendations.
    ADD COLUMN is_listed boolean NOT NULL DEFAULT true,
    ADD COLUMN password_changed_at timestamptz;

ALTER TABLE sessions
    ADD COLUMN kind text NOT NULL DEFAULT 'LOGIN' CONSTRAINT sessions_kind_known CHECK (kind IN ('LOGIN', 'API')),
    ADD COLUMN user_agent text NOT NULL DEFAULT '',
    ADD COLUMN client text NOT NULL DEFAULT '',
    ADD COLUMN seen_at timestamptz;

-- Every log-in comes through here, of whichever release. The person's row is locked, so that who suspends comes either
-- before, and is seen, or after, and sees the session.
CREATE FUNCTION refuse_session_of_suspended() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    is_refused boolean;
BEGIN
    SELECT suspended_at IS NOT NULL OR deleted_at IS NOT NULL INTO is_refused
    FROM users WHERE user_id = NEW.user_id FOR NO KEY UPDATE;
    IF is_refused THEN
        RAISE EXCEPTION 'a suspended or deleted person gets no session'
            USING ERRCODE = 'check_violation', TABLE = 'sessions', CONSTRAINT = 'sessions_refuse_suspended';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER sessions_refuse_suspended BEFORE INSERT ON sessions
    FOR EACH ROW EXECUTE FUNCTION refuse_session_of_suspended();

-- Links sent by mail: each works once. Only the SHA-256 of a token is kept.
CREATE TABLE mail_tokens (
    token_id uuid PRIMARY KEY,
    token_hash bytea NOT NULL CONSTRAINT mail_tokens_hash_unique UNIQUE
        CONSTRAINT mail_tokens_sha256 CHECK (octet_length(token_hash) = 32),
    user_id uuid NOT NULL CONSTRAINT mail_tokens_user REFERENCES users ON DELETE CASCADE,
    purpose text NOT NULL
        CONSTRAINT mail_tokens_purpose_known CHECK (purpose IN ('VERIFY', 'RESET', 'CHANGE_EMAIL')),
    -- The address that it was sent to, and that it proves.
    email text NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    used_at timestamptz
);
CREATE INDEX mail_tokens_by_user ON mail_tokens (user_id, purpose);
CREATE INDEX mail_tokens_by_expiry ON mail_tokens (expires_at);

-- Mails that a transaction promised; one that was sent or given up is gone.
CREATE TABLE mails (
    mail_id uuid PRIMARY KEY,
    -- Null until somebody has looked whose the address is: who asks must not learn it, not even from the time it takes.
    user_id uuid CONSTRAINT mails_user REFERENCES users ON DELETE CASCADE,
    token_id uuid CONSTRAINT mails_token REFERENCES mail_tokens ON DELETE CASCADE,
    kind text NOT NULL,
    to_address text NOT NULL,
    attempts integer NOT NULL DEFAULT 0,
    run_after timestamptz NOT NULL,
    failure text NOT NULL DEFAULT ''
);
CREATE INDEX mails_due ON mails (run_after);
CREATE INDEX mails_by_user ON mails (user_id);
CREATE INDEX mails_by_token ON mails (token_id);

CREATE TABLE api_tokens (
    token_id uuid PRIMARY KEY,
    user_id uuid NOT NULL CONSTRAINT api_tokens_user REFERENCES users ON DELETE CASCADE,
    -- Every release sweeps expired sessions, and knows nothing of who refers to them.
    session_id uuid CONSTRAINT api_tokens_session REFERENCES sessions ON DELETE SET NULL,
    token_hash bytea NOT NULL CONSTRAINT api_tokens_hash_unique UNIQUE
        CONSTRAINT api_tokens_sha256 CHECK (octet_length(token_hash) = 32),
    name text NOT NULL,
    scopes text[] NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz,
    used_at timestamptz,
    revoked_at timestamptz
);
CREATE INDEX api_tokens_by_user ON api_tokens (user_id, token_id);
CREATE INDEX api_tokens_by_session ON api_tokens (session_id);

-- How often something was tried in a window of time. A crash may forget it.
CREATE UNLOGGED TABLE quota_windows (
    scope text NOT NULL,
    key bytea NOT NULL,
    window_start timestamptz NOT NULL,
    count integer NOT NULL,
    PRIMARY KEY (scope, key, window_start)
) WITH (fillfactor = 70);
CREATE INDEX quota_windows_by_start ON quota_windows (window_start);
