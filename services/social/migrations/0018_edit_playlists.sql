-- The order of locks: people, playlists, entries.
LOCK TABLE users IN SHARE ROW EXCLUSIVE MODE;

-- 122 random bits in 22 characters of an address.
CREATE FUNCTION new_share_slug() RETURNS text LANGUAGE sql VOLATILE
    RETURN translate(rtrim(encode(uuid_send(gen_random_uuid()), 'base64'), '='), '+/', '-_');

ALTER TABLE playlists
    -- Kept by triggers, whoever writes entries.
    ADD COLUMN entry_count integer NOT NULL DEFAULT 0,
    ADD COLUMN duration_seconds double precision NOT NULL DEFAULT 0,
    ADD COLUMN share_slug text CONSTRAINT playlists_share_slug_unique UNIQUE,
    -- No foreign key: what it was copied from may go.
    ADD COLUMN copied_from uuid,
    ADD COLUMN made_by text NOT NULL DEFAULT 'GENERATION',
    -- When it became public.
    ADD COLUMN listed_at timestamptz;
ALTER TABLE playlist_entries
    -- Null where a generation put it there.
    ADD COLUMN added_by uuid,
    -- Which seed it is nearest to, from 0 in the recipe's order, and the share of the library that is farther away.
    ADD COLUMN nearest_seed smallint,
    ADD COLUMN quantile real,
    -- What its track lasted, by the file's header, when it was added: what was added is what is taken away again.
    ADD COLUMN seconds double precision;

CREATE FUNCTION measure_entry() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- An unknown track is the foreign key's to refuse.
    NEW.seconds := coalesce((SELECT header_seconds FROM tracks WHERE track_id = NEW.track_id), 0);
    RETURN NEW;
END $$;
CREATE TRIGGER playlist_entries_measure BEFORE INSERT ON playlist_entries
    FOR EACH ROW WHEN (NEW.seconds IS NULL) EXECUTE FUNCTION measure_entry();

-- Playlists are locked in the order of their ids.
CREATE FUNCTION count_added_entries() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM playlists WHERE playlist_id IN (SELECT playlist_id FROM added) ORDER BY playlist_id FOR NO KEY UPDATE;
    UPDATE playlists SET
        entry_count = playlists.entry_count + more.entries,
        duration_seconds = playlists.duration_seconds + more.seconds
    FROM (SELECT playlist_id, count(*) AS entries, sum(seconds) AS seconds FROM added GROUP BY playlist_id) AS more
    WHERE playlists.playlist_id = more.playlist_id;
    RETURN NULL;
END $$;
CREATE TRIGGER playlist_entries_count_insert AFTER INSERT ON playlist_entries
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION count_added_entries();

-- Where the playlist itself is deleted, nothing is left to count. An empty list lasts exactly 0 s: no rest of rounding.
CREATE FUNCTION count_gone_entries() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM playlists WHERE playlist_id IN (SELECT playlist_id FROM gone) ORDER BY playlist_id FOR NO KEY UPDATE;
    UPDATE playlists SET
        entry_count = playlists.entry_count - less.entries,
        duration_seconds = CASE WHEN playlists.entry_count > less.entries
            THEN greatest(0, playlists.duration_seconds - less.seconds) ELSE 0 END
    FROM (SELECT playlist_id, count(*) AS entries, sum(seconds) AS seconds FROM gone GROUP BY playlist_id) AS less
    WHERE playlists.playlist_id = less.playlist_id;
    RETURN NULL;
END $$;
CREATE TRIGGER playlist_entries_count_delete AFTER DELETE ON playlist_entries
    REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION count_gone_entries();

-- Counted is what is added and deleted: an entry moves within its list only.
CREATE FUNCTION refuse_entry_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'an entry keeps its playlist, its track and its length'
        USING ERRCODE = 'check_violation', TABLE = 'playlist_entries', CONSTRAINT = 'playlist_entries_keep_track';
END $$;

UPDATE playlist_entries AS entry SET seconds = track.header_seconds
FROM tracks AS track WHERE track.track_id = entry.track_id;
ALTER TABLE playlist_entries ALTER COLUMN seconds SET NOT NULL;
CREATE TRIGGER playlist_entries_keep_track BEFORE UPDATE OF playlist_id, track_id, seconds ON playlist_entries
    FOR EACH ROW
    WHEN ((OLD.playlist_id, OLD.track_id, OLD.seconds) IS DISTINCT FROM (NEW.playlist_id, NEW.track_id, NEW.seconds))
    EXECUTE FUNCTION refuse_entry_change();

UPDATE playlists SET
    share_slug = new_share_slug(),
    listed_at = CASE WHEN visibility = 'PUBLIC' THEN created_at END,
    entry_count = (SELECT count(*) FROM playlist_entries AS entry WHERE entry.playlist_id = playlists.playlist_id),
    duration_seconds =
        (SELECT coalesce(sum(seconds), 0) FROM playlist_entries AS entry
         WHERE entry.playlist_id = playlists.playlist_id);
ALTER TABLE playlists
    ALTER COLUMN share_slug SET DEFAULT new_share_slug(),
    ALTER COLUMN share_slug SET NOT NULL;

-- By the clock of who writes. What moderation shows again is not new; who gives a time of their own has it.
CREATE FUNCTION list_playlist() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.listed_at := NEW.updated_at;
    RETURN NEW;
END $$;
CREATE TRIGGER playlists_list_insert BEFORE INSERT ON playlists
    FOR EACH ROW WHEN (NEW.visibility = 'PUBLIC' AND NEW.listed_at IS NULL) EXECUTE FUNCTION list_playlist();
CREATE TRIGGER playlists_list_update BEFORE UPDATE OF visibility ON playlists FOR EACH ROW WHEN (
    NEW.visibility = 'PUBLIC' AND OLD.visibility <> 'PUBLIC' AND NEW.listed_at IS NOT DISTINCT FROM OLD.listed_at
    AND (OLD.hidden_at IS NULL OR OLD.listed_at IS NULL)
) EXECUTE FUNCTION list_playlist();
CREATE INDEX playlists_latest ON playlists (listed_at DESC, playlist_id DESC)
    WHERE visibility = 'PUBLIC' AND hidden_at IS NULL;

CREATE TABLE likes (
    user_id uuid NOT NULL CONSTRAINT likes_user REFERENCES users ON DELETE CASCADE,
    playlist_id uuid NOT NULL CONSTRAINT likes_playlist REFERENCES playlists ON DELETE CASCADE,
    at timestamptz NOT NULL,
    PRIMARY KEY (user_id, playlist_id)
);
-- Not covering: else the planner takes them for a look-up of both ends, and reads all likes of a popular playlist.
CREATE INDEX likes_by_playlist ON likes (playlist_id, at DESC);
CREATE INDEX likes_by_user ON likes (user_id, at DESC);

CREATE TABLE saves (
    user_id uuid NOT NULL CONSTRAINT saves_user REFERENCES users ON DELETE CASCADE,
    playlist_id uuid NOT NULL CONSTRAINT saves_playlist REFERENCES playlists ON DELETE CASCADE,
    -- No foreign key: the copy may go.
    copy_id uuid NOT NULL,
    at timestamptz NOT NULL,
    PRIMARY KEY (user_id, playlist_id)
);
CREATE INDEX saves_by_playlist ON saves (playlist_id);

CREATE TABLE comments (
    comment_id uuid PRIMARY KEY,
    playlist_id uuid NOT NULL CONSTRAINT comments_playlist REFERENCES playlists ON DELETE CASCADE,
    -- Null where its author has left.
    user_id uuid CONSTRAINT comments_user REFERENCES users ON DELETE SET NULL,
    text text NOT NULL,
    created_at timestamptz NOT NULL,
    edited_at timestamptz,
    deleted_at timestamptz,
    hidden_at timestamptz
);
CREATE INDEX comments_by_playlist ON comments (playlist_id, comment_id);
CREATE INDEX comments_by_user ON comments (user_id, comment_id);
