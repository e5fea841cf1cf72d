-- Keys are folded, and cut, by the service: a key must fit into an index entry.
CREATE TABLE artists (
    artist_id uuid PRIMARY KEY,
    name text NOT NULL,
    name_key text NOT NULL CONSTRAINT artists_name_unique UNIQUE
        CONSTRAINT artists_key_short CHECK (octet_length(name_key) <= 800),
    musicbrainz_id uuid,
    search_name text NOT NULL,
    search_jamo text NOT NULL DEFAULT '',
    search_initials text NOT NULL DEFAULT ''
);
CREATE INDEX artists_by_name ON artists (search_name, artist_id);
CREATE INDEX artists_search ON artists USING gin (search_name gin_trgm_ops);
CREATE INDEX artists_jamo ON artists USING gin (search_jamo gin_trgm_ops);
CREATE INDEX artists_initials ON artists USING gin (search_initials gin_trgm_ops);
CREATE INDEX artists_by_musicbrainz ON artists (musicbrainz_id) WHERE musicbrainz_id IS NOT NULL;

-- One title by one artist, or in one folder where nobody is named.
CREATE TABLE albums (
    album_id uuid PRIMARY KEY,
    title text NOT NULL,
    title_key text NOT NULL CONSTRAINT albums_key_short CHECK (octet_length(title_key) <= 800),
    artist_id uuid CONSTRAINT albums_artist REFERENCES artists,
    folder_key text NOT NULL DEFAULT '' CONSTRAINT albums_folder_short CHECK (octet_length(folder_key) <= 800),
    musicbrainz_id uuid,
    year integer NOT NULL DEFAULT 0,
    search_title text NOT NULL,
    search_jamo text NOT NULL DEFAULT '',
    search_initials text NOT NULL DEFAULT '',
    CONSTRAINT albums_unique UNIQUE NULLS NOT DISTINCT (title_key, artist_id, folder_key)
) WITH (fillfactor = 90);
CREATE INDEX albums_by_title ON albums (search_title, album_id);
CREATE INDEX albums_by_artist ON albums (artist_id, album_id);
CREATE INDEX albums_search ON albums USING gin (search_title gin_trgm_ops);
CREATE INDEX albums_jamo ON albums USING gin (search_jamo gin_trgm_ops);
CREATE INDEX albums_initials ON albums USING gin (search_initials gin_trgm_ops);

ALTER TABLE tracks
    ADD COLUMN artist_id uuid CONSTRAINT tracks_artist REFERENCES artists,
    ADD COLUMN album_id uuid CONSTRAINT tracks_album REFERENCES albums,
    ADD COLUMN artist_key text CONSTRAINT tracks_artist_key_short CHECK (octet_length(artist_key) <= 800),
    ADD COLUMN search_jamo text,
    ADD COLUMN search_initials text,
    ADD COLUMN sub_genres text[] NOT NULL DEFAULT '{}',
    ADD COLUMN source_tags text[] NOT NULL DEFAULT '{}',
    ADD COLUMN isrc text,
    ADD COLUMN musicbrainz_recording_id uuid,
    ADD COLUMN licence text NOT NULL DEFAULT '',
    ADD COLUMN source text NOT NULL DEFAULT '',
    -- Of the file, in nanoseconds since 1970, as ingest saw it; null is not known.
    ADD COLUMN mtime_ns bigint,
    ADD COLUMN missing_since timestamptz,
    -- Revision of what is derived from the names: artist, album, key, jamo. 0 is to be done.
    ADD COLUMN refined smallint NOT NULL DEFAULT 0;
-- All null as yet, and so made at once.
CREATE INDEX tracks_by_artist ON tracks (artist_id, search_title, track_id) WHERE artist_id IS NOT NULL;
CREATE INDEX tracks_by_album ON tracks (album_id, search_title, track_id) WHERE album_id IS NOT NULL;

-- A release that does not know what is derived from names changes them: they are derived again. Who knows writes the
-- derived ones in the same statement.
CREATE FUNCTION unrefine_track() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.refined := 0;
    RETURN NEW;
END $$;
CREATE TRIGGER tracks_unrefine BEFORE UPDATE ON tracks FOR EACH ROW WHEN (
    OLD.refined = NEW.refined AND OLD.refined <> 0
    AND (OLD.title, OLD.artist, OLD.album, OLD.search_title, OLD.search_text)
        IS DISTINCT FROM (NEW.title, NEW.artist, NEW.album, NEW.search_title, NEW.search_text)
    AND (OLD.artist_id, OLD.album_id, OLD.artist_key, OLD.search_jamo, OLD.search_initials)
        IS NOT DISTINCT FROM (NEW.artist_id, NEW.album_id, NEW.artist_key, NEW.search_jamo, NEW.search_initials)
) EXECUTE FUNCTION unrefine_track();

-- What a person never wants to hear.
CREATE TABLE blocked_tracks (
    user_id uuid NOT NULL CONSTRAINT blocked_tracks_user REFERENCES users ON DELETE CASCADE,
    track_id uuid NOT NULL CONSTRAINT blocked_tracks_track REFERENCES tracks ON DELETE CASCADE,
    at timestamptz NOT NULL,
    PRIMARY KEY (user_id, track_id)
);
CREATE INDEX blocked_tracks_by_time ON blocked_tracks (user_id, at DESC, track_id);
CREATE INDEX blocked_tracks_by_track ON blocked_tracks (track_id);
CREATE TABLE blocked_artists (
    user_id uuid NOT NULL CONSTRAINT blocked_artists_user REFERENCES users ON DELETE CASCADE,
    artist_id uuid NOT NULL CONSTRAINT blocked_artists_artist REFERENCES artists ON DELETE CASCADE,
    at timestamptz NOT NULL,
    PRIMARY KEY (user_id, artist_id)
);
CREATE INDEX blocked_artists_by_time ON blocked_artists (user_id, at DESC, artist_id);
CREATE INDEX blocked_artists_by_artist ON blocked_artists (artist_id);
