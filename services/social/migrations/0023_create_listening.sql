-- Ids come from who listened: what is sent again is known.
CREATE TABLE plays (
    play_id uuid PRIMARY KEY,
    user_id uuid NOT NULL CONSTRAINT plays_user REFERENCES users ON DELETE CASCADE,
    -- No foreign keys to what was heard: a play is a fact, and is written often.
    track_id uuid NOT NULL,
    playlist_id uuid,
    genre text NOT NULL,
    artist_id uuid,
    played_at timestamptz NOT NULL,
    heard_seconds real NOT NULL,
    counted boolean NOT NULL,
    received_at timestamptz NOT NULL
);
CREATE INDEX plays_by_user ON plays (user_id, played_at DESC, play_id DESC);

CREATE TABLE listening (
    user_id uuid NOT NULL CONSTRAINT listening_user REFERENCES users ON DELETE CASCADE,
    track_id uuid NOT NULL,
    plays integer NOT NULL,
    first_at timestamptz NOT NULL,
    last_at timestamptz NOT NULL,
    -- log2 of a sum of powers of two: order and ratios do not change with time.
    score double precision NOT NULL,
    PRIMARY KEY (user_id, track_id)
) WITH (fillfactor = 80);
CREATE INDEX listening_by_score ON listening (user_id, score DESC, track_id);
CREATE INDEX listening_by_track ON listening (track_id, last_at DESC);

CREATE TABLE daily_listening (
    user_id uuid NOT NULL CONSTRAINT daily_listening_user REFERENCES users ON DELETE CASCADE,
    day date NOT NULL,
    genre text NOT NULL,
    plays integer NOT NULL,
    seconds double precision NOT NULL,
    PRIMARY KEY (user_id, day, genre)
) WITH (fillfactor = 80);

CREATE TABLE daily_tracks_of (
    user_id uuid NOT NULL CONSTRAINT daily_tracks_of_user REFERENCES users ON DELETE CASCADE,
    -- The first day of a month.
    month date NOT NULL,
    track_id uuid NOT NULL,
    plays integer NOT NULL,
    PRIMARY KEY (user_id, month, track_id)
) WITH (fillfactor = 80);

-- Which version of a person's weights the index was told.
CREATE TABLE tastes (
    user_id uuid PRIMARY KEY CONSTRAINT tastes_user REFERENCES users ON DELETE CASCADE,
    version bigint NOT NULL DEFAULT 0,
    changed_at timestamptz NOT NULL,
    published_at timestamptz,
    is_listed boolean NOT NULL DEFAULT true
) WITH (fillfactor = 80);

CREATE TABLE track_pairs (
    track_id uuid NOT NULL,
    other_id uuid NOT NULL,
    weight real NOT NULL,
    PRIMARY KEY (track_id, other_id)
);

CREATE TABLE mixes (
    user_id uuid NOT NULL CONSTRAINT mixes_user REFERENCES users ON DELETE CASCADE,
    day date NOT NULL,
    tracks jsonb NOT NULL,
    PRIMARY KEY (user_id, day)
);

-- Plays that were forgotten, while they could be sent again: ids, and nothing of who heard what.
CREATE TABLE forgotten_plays (
    play_id uuid PRIMARY KEY,
    played_at timestamptz NOT NULL
);
CREATE INDEX forgotten_plays_by_time ON forgotten_plays (played_at);

-- Who wants to be listed no more, who is suspended or leaves: whoever writes that, their taste must be told anew.
CREATE FUNCTION touch_taste() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO touched_people (user_id, since) VALUES (NEW.user_id, now()) ON CONFLICT (user_id) DO NOTHING;
    RETURN NULL;
END $$;
CREATE TRIGGER users_touch_taste AFTER UPDATE OF is_listed, suspended_at, deleted_at ON users FOR EACH ROW
    WHEN ((OLD.is_listed, OLD.suspended_at, OLD.deleted_at) IS DISTINCT FROM (NEW.is_listed, NEW.suspended_at, NEW.deleted_at))
    EXECUTE FUNCTION touch_taste();

CREATE INDEX mixes_by_day ON mixes (day);

-- For which days the pairs of the tracks that were heard were made anew, and through which track.
CREATE TABLE pair_rounds (
    day date PRIMARY KEY,
    done_through text NOT NULL DEFAULT '',
    finished_at timestamptz
);
