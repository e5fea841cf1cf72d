-- no-transaction
CREATE INDEX CONCURRENTLY tracks_unfolded ON tracks (refined, track_id) WHERE refined < 2;
