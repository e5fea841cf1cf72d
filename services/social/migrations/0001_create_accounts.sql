-- One row for the whole mesh: who came first, and so is admin.
CREATE TABLE mesh (
    only_row boolean PRIMARY KEY DEFAULT true CONSTRAINT mesh_one_row CHECK (only_row),
    founder_id uuid
);
INSERT INTO mesh DEFAULT VALUES;

-- The *_key columns hold what must be unique: NFC, case folded by the service.
CREATE TABLE users (
    user_id uuid PRIMARY KEY,
    username text NOT NULL,
    username_key text NOT NULL CONSTRAINT users_username_unique UNIQUE,
    nickname text NOT NULL,
    email text NOT NULL,
    email_key text NOT NULL CONSTRAINT users_email_unique UNIQUE,
    role text NOT NULL CONSTRAINT users_role_known CHECK (role IN ('user', 'admin')),
    password_hash text NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);

CREATE TABLE sessions (
    session_id uuid PRIMARY KEY,
    user_id uuid NOT NULL CONSTRAINT sessions_user REFERENCES users ON DELETE CASCADE,
    created_at timestamptz NOT NULL,
    refreshed_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz,
    revoked_because text CONSTRAINT sessions_revoked_whole CHECK ((revoked_at IS NULL) = (revoked_because IS NULL))
);
CREATE INDEX sessions_by_user ON sessions (user_id);
CREATE INDEX sessions_by_expiry ON sessions (expires_at);
CREATE INDEX sessions_revoked ON sessions (revoked_at) WHERE revoked_at IS NOT NULL;

-- Only the SHA-256 of a refresh token is kept. A used one stays until it expires, so that its reuse is noticed.
CREATE TABLE refresh_tokens (
    token_hash bytea PRIMARY KEY CONSTRAINT refresh_tokens_sha256 CHECK (octet_length(token_hash) = 32),
    session_id uuid NOT NULL CONSTRAINT refresh_tokens_session REFERENCES sessions ON DELETE CASCADE,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    used_at timestamptz
);
CREATE INDEX refresh_tokens_by_session ON refresh_tokens (session_id);
CREATE INDEX refresh_tokens_by_expiry ON refresh_tokens (expires_at);

-- Ed25519, raw private key of 32 bytes. The newest that is not retired signs; all that are not retired verify.
CREATE TABLE signing_keys (
    key_id text PRIMARY KEY,
    private_key bytea NOT NULL CONSTRAINT signing_keys_ed25519 CHECK (octet_length(private_key) = 32),
    created_at timestamptz NOT NULL DEFAULT now(),
    retired_at timestamptz
);
