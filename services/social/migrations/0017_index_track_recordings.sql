-- no-transaction
CREATE INDEX CONCURRENTLY tracks_by_recording ON tracks (musicbrainz_recording_id)
    WHERE musicbrainz_recording_id IS NOT NULL;
