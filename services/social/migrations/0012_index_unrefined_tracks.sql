-- no-transaction
CREATE INDEX CONCURRENTLY tracks_unrefined ON tracks (track_id) WHERE refined < 1;
