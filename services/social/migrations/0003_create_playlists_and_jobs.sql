CREATE TABLE playlists (
    playlist_id uuid PRIMARY KEY,
    owner_id uuid NOT NULL CONSTRAINT playlists_owner REFERENCES users ON DELETE CASCADE,
    title text NOT NULL CONSTRAINT playlists_title_given CHECK (title <> ''),
    description text NOT NULL DEFAULT '',
    visibility text NOT NULL
        CONSTRAINT playlists_visibility_known CHECK (visibility IN ('PRIVATE', 'UNLISTED', 'PUBLIC')),
    -- What it was made from and whose ear chose; null where a person put it together.
    recipe jsonb,
    encoder_id text CONSTRAINT playlists_encoder REFERENCES encoders,
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX playlists_by_owner ON playlists (owner_id, playlist_id);

CREATE TABLE playlist_entries (
    entry_id uuid PRIMARY KEY,
    playlist_id uuid NOT NULL CONSTRAINT playlist_entries_playlist REFERENCES playlists ON DELETE CASCADE,
    track_id uuid NOT NULL CONSTRAINT playlist_entries_track REFERENCES tracks,
    position integer NOT NULL,
    is_seed boolean NOT NULL DEFAULT false,
    similarity real,
    -- Cosine to each seed, in the recipe's order.
    seed_similarities real[] NOT NULL DEFAULT '{}',
    shared_tags text[] NOT NULL DEFAULT '{}',
    added_at timestamptz NOT NULL DEFAULT now(),
    -- Deferred, so that one statement can renumber a list.
    CONSTRAINT playlist_entries_position_unique UNIQUE (playlist_id, position) DEFERRABLE INITIALLY DEFERRED
);
CREATE INDEX playlist_entries_by_track ON playlist_entries (track_id);

CREATE TABLE jobs (
    job_id uuid PRIMARY KEY,
    kind text NOT NULL CONSTRAINT jobs_kind_known CHECK (kind IN ('GENERATION')),
    user_id uuid CONSTRAINT jobs_user REFERENCES users ON DELETE CASCADE,
    -- What to do, by kind.
    request jsonb NOT NULL,
    state text NOT NULL CONSTRAINT jobs_state_known CHECK (
        state IN ('QUEUED', 'EMBEDDING', 'SEARCHING', 'ARRANGING', 'SUCCEEDED', 'FAILED', 'CANCELLED')
    ),
    progress real NOT NULL DEFAULT 0,
    playlist_id uuid CONSTRAINT jobs_playlist REFERENCES playlists ON DELETE SET NULL,
    failure_reason text NOT NULL DEFAULT '',
    failure_message text NOT NULL DEFAULT '',
    -- Times that a worker took it, and times that one gave it back by itself: the difference is workers that died.
    attempt integer NOT NULL DEFAULT 0,
    releases integer NOT NULL DEFAULT 0,
    -- Not before this time, and not while somebody's lease lasts.
    run_after timestamptz NOT NULL DEFAULT now(),
    lease_until timestamptz,
    request_id text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    CONSTRAINT jobs_end_whole CHECK ((finished_at IS NOT NULL) = (state IN ('SUCCEEDED', 'FAILED', 'CANCELLED')))
) WITH (fillfactor = 70);
CREATE INDEX jobs_due ON jobs (run_after, job_id) WHERE finished_at IS NULL;
CREATE INDEX jobs_open_by_user ON jobs (user_id) WHERE finished_at IS NULL;
CREATE INDEX jobs_by_user ON jobs (user_id, job_id);
CREATE INDEX jobs_by_playlist ON jobs (playlist_id);

-- The same key with the same request has the same effect once.
CREATE TABLE idempotency_keys (
    user_id uuid NOT NULL CONSTRAINT idempotency_keys_user REFERENCES users ON DELETE CASCADE,
    operation text NOT NULL,
    key text NOT NULL,
    request_digest bytea NOT NULL,
    -- What the first request made.
    result_id uuid NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (user_id, operation, key)
);
CREATE INDEX idempotency_keys_by_expiry ON idempotency_keys (expires_at);
