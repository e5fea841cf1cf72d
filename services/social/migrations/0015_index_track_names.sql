-- no-transaction
CREATE INDEX CONCURRENTLY tracks_by_name ON tracks (search_title, artist_key, track_id);
