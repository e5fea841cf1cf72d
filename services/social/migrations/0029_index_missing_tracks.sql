-- no-transaction
CREATE INDEX CONCURRENTLY tracks_missing ON tracks (track_id) WHERE missing_since IS NOT NULL;
