-- Letters as they lie on DEAD_LETTERS, which is filled from here when NATS has lost it.
CREATE TABLE dead_letters (
    -- Under which it was published, the same on every attempt.
    message_id text PRIMARY KEY,
    subject text NOT NULL,
    payload bytea NOT NULL,
    headers jsonb NOT NULL,
    kept_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX dead_letters_by_time ON dead_letters (kept_at);

-- Many have the same time: a page goes on behind one of them.
CREATE INDEX schedules_due_in_order ON schedules (next_at, playlist_id);
DROP INDEX schedules_due;
