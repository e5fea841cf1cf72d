-- Measures of a sound, which no model makes: one row for all encoders. Null is not known; a sound without a row was
-- embedded before there were measures.
CREATE TABLE descriptors (
    audio_hash bytea PRIMARY KEY CONSTRAINT descriptors_sha256 CHECK (octet_length(audio_hash) = 32),
    -- Of the definitions: a higher one stands in the place of a lower one.
    revision integer NOT NULL CONSTRAINT descriptors_revision_positive CHECK (revision > 0),
    loudness_lufs double precision,
    peak_dbfs double precision,
    tempo_bpm double precision,
    key text CONSTRAINT descriptors_key_given CHECK (key <> ''),
    key_confidence double precision,
    energy double precision,
    created_at timestamptz NOT NULL DEFAULT now()
);
