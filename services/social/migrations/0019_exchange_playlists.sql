-- Addresses with which a player streams one playlist. Only the SHA-256 of a token is kept.
CREATE TABLE stream_tokens (
    token_id uuid PRIMARY KEY,
    token_hash bytea NOT NULL CONSTRAINT stream_tokens_hash_unique UNIQUE
        CONSTRAINT stream_tokens_sha256 CHECK (octet_length(token_hash) = 32),
    playlist_id uuid NOT NULL CONSTRAINT stream_tokens_playlist REFERENCES playlists ON DELETE CASCADE,
    user_id uuid NOT NULL CONSTRAINT stream_tokens_user REFERENCES users ON DELETE CASCADE,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz
);
CREATE INDEX stream_tokens_by_playlist ON stream_tokens (playlist_id);
CREATE INDEX stream_tokens_by_user ON stream_tokens (user_id, token_id);
CREATE INDEX stream_tokens_by_expiry ON stream_tokens (expires_at);
