ALTER TABLE tracks
    ADD COLUMN musicbrainz_artist_id uuid,
    ADD COLUMN musicbrainz_release_id uuid;
-- Next to none of all tracks, and so made at once.
CREATE INDEX tracks_missing ON tracks (track_id) WHERE missing_since IS NOT NULL;
