-- The order of locks: people, tracks, playlists, as those who write them take them.
LOCK TABLE users, tracks, playlists IN SHARE ROW EXCLUSIVE MODE;

-- What somebody did, until the tallier has counted it: who acts adds a row and never waits for a popular counter.
CREATE TABLE signals (
    signal_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind text NOT NULL,
    -- No foreign keys: what is deleted meanwhile is left out when its signals are counted.
    actor_id uuid,
    playlist_id uuid,
    track_id uuid,
    user_id uuid,
    amount integer NOT NULL,
    at timestamptz NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
CREATE INDEX signals_by_playlist ON signals (playlist_id, kind) WHERE playlist_id IS NOT NULL;
CREATE INDEX signals_by_user ON signals (user_id, kind) WHERE user_id IS NOT NULL;

-- Counted by the tallier alone, and so a moment old.
CREATE TABLE person_counts (
    user_id uuid PRIMARY KEY CONSTRAINT person_counts_user REFERENCES users ON DELETE CASCADE,
    playlists integer NOT NULL DEFAULT 0,
    public_playlists integer NOT NULL DEFAULT 0,
    likes_given integer NOT NULL DEFAULT 0,
    likes_received integer NOT NULL DEFAULT 0,
    saves_received integer NOT NULL DEFAULT 0,
    comments integer NOT NULL DEFAULT 0,
    followers integer NOT NULL DEFAULT 0,
    following integer NOT NULL DEFAULT 0,
    plays bigint NOT NULL DEFAULT 0,
    first_play_at timestamptz,
    distinct_artists integer NOT NULL DEFAULT 0,
    distinct_genres integer NOT NULL DEFAULT 0,
    active_days integer NOT NULL DEFAULT 0,
    last_active_on date,
    touched_at timestamptz
) WITH (fillfactor = 70);

-- No index by score: a row that no index knows is updated in place.
CREATE TABLE playlist_counts (
    playlist_id uuid PRIMARY KEY CONSTRAINT playlist_counts_playlist REFERENCES playlists ON DELETE CASCADE,
    likes integer NOT NULL DEFAULT 0,
    saves integer NOT NULL DEFAULT 0,
    comments integer NOT NULL DEFAULT 0,
    plays bigint NOT NULL DEFAULT 0,
    -- log2 of a sum of powers of two, so that it decays without being written; null is no activity yet.
    score double precision
) WITH (fillfactor = 70);

-- Who must be looked at by badges and taste.
CREATE TABLE touched_people (
    user_id uuid PRIMARY KEY CONSTRAINT touched_people_user REFERENCES users ON DELETE CASCADE,
    since timestamptz NOT NULL
);
CREATE INDEX touched_people_by_time ON touched_people (since, user_id);

CREATE TABLE counters (
    name text PRIMARY KEY,
    value bigint NOT NULL
) WITH (fillfactor = 70);

-- Signals of what every release writes: from these triggers, and from nowhere else.
CREATE FUNCTION signal_new_users() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO signals (kind, amount, at)
    SELECT 'user_count', count(*), max(created_at) FROM added HAVING count(*) > 0;
    RETURN NULL;
END $$;
CREATE TRIGGER users_signal_insert AFTER INSERT ON users
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION signal_new_users();

CREATE FUNCTION signal_new_tracks() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO signals (kind, amount, at)
    SELECT 'track_count', count(*), max(created_at) FROM added HAVING count(*) > 0;
    RETURN NULL;
END $$;
CREATE TRIGGER tracks_signal_insert AFTER INSERT ON tracks
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION signal_new_tracks();

CREATE FUNCTION signal_gone_tracks() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO signals (kind, amount, at) SELECT 'track_count', -count(*), now() FROM gone HAVING count(*) > 0;
    RETURN NULL;
END $$;
CREATE TRIGGER tracks_signal_delete AFTER DELETE ON tracks
    REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION signal_gone_tracks();

-- playlist_count is how many a person has, playlist_created how many were ever made: it never falls.
CREATE FUNCTION signal_new_playlists() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO signals (kind, actor_id, user_id, amount, at)
    SELECT each.kind, owner_id, owner_id, each.amount, made_at
    FROM (
        SELECT owner_id, count(*) AS made, count(*) FILTER (WHERE visibility = 'PUBLIC') AS public,
            max(created_at) AS made_at
        FROM added GROUP BY owner_id
    ) AS owners CROSS JOIN LATERAL (VALUES
        ('playlist_count', made), ('playlist_created', made), ('public_playlist_count', public)
    ) AS each (kind, amount)
    WHERE each.amount > 0 ORDER BY owner_id, each.kind;
    RETURN NULL;
END $$;
CREATE TRIGGER playlists_signal_insert AFTER INSERT ON playlists
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION signal_new_playlists();

CREATE FUNCTION signal_gone_playlists() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO signals (kind, actor_id, user_id, amount, at)
    SELECT each.kind, owner_id, owner_id, -each.amount, now()
    FROM (
        SELECT owner_id, count(*) AS gone, count(*) FILTER (WHERE visibility = 'PUBLIC') AS public
        FROM gone GROUP BY owner_id
    ) AS owners CROSS JOIN LATERAL (VALUES ('playlist_count', gone), ('public_playlist_count', public))
        AS each (kind, amount)
    WHERE each.amount > 0 ORDER BY owner_id, each.kind;
    RETURN NULL;
END $$;
CREATE TRIGGER playlists_signal_delete AFTER DELETE ON playlists
    REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION signal_gone_playlists();

-- For each row: a statement's trigger would also be called for every change of a title or of a count.
CREATE FUNCTION signal_shown_playlist() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO signals (kind, actor_id, user_id, amount, at)
    VALUES (
        'public_playlist_count', NEW.owner_id, NEW.owner_id,
        CASE WHEN NEW.visibility = 'PUBLIC' THEN 1 ELSE -1 END, NEW.updated_at
    );
    RETURN NULL;
END $$;
CREATE TRIGGER playlists_signal_visibility AFTER UPDATE OF visibility ON playlists
    FOR EACH ROW WHEN ((OLD.visibility = 'PUBLIC') <> (NEW.visibility = 'PUBLIC'))
    EXECUTE FUNCTION signal_shown_playlist();

-- What was there before there were signals.
INSERT INTO counters (name, value) VALUES
    ('users', (SELECT count(*) FROM users)), ('tracks', (SELECT count(*) FROM tracks)),
    ('playlists', (SELECT count(*) FROM playlists)), ('plays', 0);
INSERT INTO person_counts (user_id, playlists, public_playlists)
SELECT owner_id, count(*), count(*) FILTER (WHERE visibility = 'PUBLIC') FROM playlists GROUP BY owner_id;
