-- Playlists that are made anew, and when next.
CREATE TABLE schedules (
    playlist_id uuid PRIMARY KEY CONSTRAINT schedules_playlist REFERENCES playlists ON DELETE CASCADE,
    user_id uuid NOT NULL CONSTRAINT schedules_user REFERENCES users ON DELETE CASCADE,
    every text NOT NULL CONSTRAINT schedules_every_known CHECK (every IN ('DAILY', 'WEEKLY', 'MONTHLY')),
    next_at timestamptz NOT NULL,
    last_job_id uuid,
    -- The first time, from which the others are counted: a month has its day of the month from it.
    first_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX schedules_due ON schedules (next_at);
CREATE INDEX schedules_by_user ON schedules (user_id);

-- Tracks that an extension proposes. No foreign keys to tracks and jobs: both stay.
CREATE TABLE suggestions (
    playlist_id uuid NOT NULL CONSTRAINT suggestions_playlist REFERENCES playlists ON DELETE CASCADE,
    track_id uuid NOT NULL,
    state text NOT NULL DEFAULT 'PROPOSED'
        CONSTRAINT suggestions_state_known CHECK (state IN ('PROPOSED', 'ACCEPTED', 'REJECTED')),
    similarity real,
    job_id uuid,
    at timestamptz NOT NULL,
    PRIMARY KEY (playlist_id, track_id)
);
CREATE INDEX suggestions_by_similarity ON suggestions (playlist_id, state, similarity DESC, track_id);
CREATE INDEX suggestions_by_time ON suggestions (playlist_id, state, at DESC, track_id);
