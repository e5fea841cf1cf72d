-- Idempotency keys of sign-ups, whose person is not known before; only the SHA-256 of a key is kept. The person is
-- written behind the key, so that of two at once the second waits here.
CREATE TABLE sign_up_keys (
    key_hash bytea PRIMARY KEY CONSTRAINT sign_up_keys_sha256 CHECK (octet_length(key_hash) = 32),
    request_digest bytea NOT NULL,
    user_id uuid NOT NULL
        CONSTRAINT sign_up_keys_user REFERENCES users ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    expires_at timestamptz NOT NULL
);
CREATE INDEX sign_up_keys_by_expiry ON sign_up_keys (expires_at);
CREATE INDEX sign_up_keys_by_user ON sign_up_keys (user_id);
