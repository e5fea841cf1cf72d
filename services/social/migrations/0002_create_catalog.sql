CREATE EXTENSION IF NOT EXISTS pg_trgm;

CREATE TABLE roots (
    root_id uuid PRIMARY KEY,
    location text NOT NULL CONSTRAINT roots_location_unique UNIQUE,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- What files are, as their ingest client read them. What the models hear in them stands in embeddings.
CREATE TABLE tracks (
    track_id uuid PRIMARY KEY,
    root_id uuid NOT NULL CONSTRAINT tracks_root REFERENCES roots,
    relative_path bytea NOT NULL CONSTRAINT tracks_path_length CHECK (octet_length(relative_path) BETWEEN 1 AND 4096),
    -- A path may be longer than what an index entry holds.
    path_hash bytea NOT NULL GENERATED ALWAYS AS (sha256(relative_path)) STORED,
    file_hash bytea NOT NULL CONSTRAINT tracks_file_sha256 CHECK (octet_length(file_hash) = 32),
    audio_hash bytea NOT NULL CONSTRAINT tracks_audio_sha256 CHECK (octet_length(audio_hash) = 32),
    size_bytes bigint NOT NULL,
    content_type text NOT NULL,
    title text NOT NULL CONSTRAINT tracks_title_given CHECK (title <> ''),
    artist text NOT NULL,
    album text NOT NULL,
    raw_genre text NOT NULL,
    genre text NOT NULL,
    -- False where genre is the fallback: the raw genre is empty or has no mapping.
    is_genre_known boolean NOT NULL,
    year integer NOT NULL,
    -- By the file's header; the decoded length stands in embeddings.
    header_seconds double precision NOT NULL,
    -- Title, and title with artist and album, folded by the service: no case, no accents.
    search_title text NOT NULL,
    search_text text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT tracks_place_unique UNIQUE (root_id, path_hash)
) WITH (fillfactor = 90);
CREATE INDEX tracks_by_title ON tracks (search_title, track_id);
CREATE INDEX tracks_by_genre ON tracks (genre, search_title, track_id);
CREATE INDEX tracks_by_audio ON tracks (audio_hash);
CREATE INDEX tracks_by_file ON tracks (file_hash);
CREATE INDEX tracks_search ON tracks USING gin (search_text gin_trgm_ops);

CREATE TABLE encoders (
    encoder_id text PRIMARY KEY,
    name text NOT NULL,
    dimension integer NOT NULL CONSTRAINT encoders_dimension_positive CHECK (dimension > 0),
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE serving_encoder (
    only_row boolean PRIMARY KEY DEFAULT true CONSTRAINT serving_encoder_one_row CHECK (only_row),
    encoder_id text NOT NULL CONSTRAINT serving_encoder_encoder REFERENCES encoders,
    since timestamptz NOT NULL DEFAULT now()
);

-- What a model hears, by sound and not by file: a re-tagged file or a duplicate is never embedded again.
CREATE TABLE embeddings (
    encoder_id text NOT NULL CONSTRAINT embeddings_encoder REFERENCES encoders,
    audio_hash bytea NOT NULL CONSTRAINT embeddings_sha256 CHECK (octet_length(audio_hash) = 32),
    vector bytea NOT NULL,
    duration_seconds double precision NOT NULL,
    window_count integer NOT NULL,
    windows_digest bytea NOT NULL,
    -- [[name, score], …], best first.
    tags jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (encoder_id, audio_hash)
);

-- Sound that a model refused: never tried again.
CREATE TABLE embedding_failures (
    encoder_id text NOT NULL CONSTRAINT embedding_failures_encoder REFERENCES encoders,
    audio_hash bytea NOT NULL CONSTRAINT embedding_failures_sha256 CHECK (octet_length(audio_hash) = 32),
    reason text NOT NULL,
    message text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (encoder_id, audio_hash)
);

-- Work that is out: one piece for each sound, however many tracks carry it. Its row is the lock of the sound.
CREATE TABLE embedding_work (
    encoder_id text NOT NULL CONSTRAINT embedding_work_encoder REFERENCES encoders,
    audio_hash bytea NOT NULL CONSTRAINT embedding_work_sha256 CHECK (octet_length(audio_hash) = 32),
    -- Whose file is heard.
    track_id uuid NOT NULL CONSTRAINT embedding_work_track REFERENCES tracks ON DELETE CASCADE,
    -- The message that carries it, and where in EMBED_WORK it lies; null until that is confirmed.
    event_id uuid NOT NULL CONSTRAINT embedding_work_event_unique UNIQUE,
    sequence bigint,
    -- How often the message was gone from the queue without a result.
    losses integer NOT NULL DEFAULT 0,
    sent_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (encoder_id, audio_hash)
);
CREATE INDEX embedding_work_by_track ON embedding_work (track_id);
CREATE INDEX embedding_work_by_sent ON embedding_work (sent_at);

-- How far each track is on its way to the index of each encoder, apart from tracks: it changes often, they seldom.
CREATE TABLE track_embeddings (
    encoder_id text NOT NULL CONSTRAINT track_embeddings_encoder REFERENCES encoders,
    track_id uuid NOT NULL CONSTRAINT track_embeddings_track REFERENCES tracks ON DELETE CASCADE,
    root_id uuid NOT NULL CONSTRAINT track_embeddings_root REFERENCES roots,
    audio_hash bytea NOT NULL,
    -- Rises with every change that the index must hear of.
    version bigint NOT NULL DEFAULT 1,
    state text NOT NULL
        CONSTRAINT track_embeddings_state_known CHECK (state IN ('PENDING', 'EMBEDDED', 'INDEXED', 'FAILED')),
    failure_reason text NOT NULL DEFAULT '',
    failure_message text NOT NULL DEFAULT '',
    changed_at timestamptz NOT NULL DEFAULT now(),
    -- What the VECTORS log was last told: at least this version, at this point of that very stream.
    published_version bigint,
    stream_created_at timestamptz,
    sequence bigint,
    PRIMARY KEY (encoder_id, track_id)
) WITH (fillfactor = 80);
CREATE INDEX track_embeddings_by_audio ON track_embeddings (encoder_id, audio_hash);
CREATE INDEX track_embeddings_by_track ON track_embeddings (track_id);
CREATE INDEX track_embeddings_by_root ON track_embeddings (encoder_id, root_id, state);
CREATE INDEX track_embeddings_read_point ON track_embeddings (encoder_id, stream_created_at, sequence);
CREATE INDEX track_embeddings_failed ON track_embeddings (encoder_id, changed_at, track_id) WHERE state = 'FAILED';

CREATE TABLE uploads (
    upload_id uuid PRIMARY KEY,
    user_id uuid NOT NULL CONSTRAINT uploads_user REFERENCES users ON DELETE CASCADE,
    digest bytea NOT NULL CONSTRAINT uploads_sha256 CHECK (octet_length(digest) = 32),
    size_bytes bigint NOT NULL,
    content_type text NOT NULL,
    file_name text NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    -- When its audio was deleted; the row stays while a recipe names it.
    swept_at timestamptz
);
CREATE INDEX uploads_by_user ON uploads (user_id, created_at);
CREATE INDEX uploads_by_digest ON uploads (digest);
CREATE INDEX uploads_by_expiry ON uploads (expires_at) WHERE swept_at IS NULL;

CREATE TABLE upload_embeddings (
    upload_id uuid NOT NULL CONSTRAINT upload_embeddings_upload REFERENCES uploads ON DELETE CASCADE,
    encoder_id text NOT NULL CONSTRAINT upload_embeddings_encoder REFERENCES encoders,
    vector bytea NOT NULL,
    duration_seconds double precision NOT NULL,
    tags jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (upload_id, encoder_id)
);
