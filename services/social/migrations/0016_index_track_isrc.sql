-- no-transaction
CREATE INDEX CONCURRENTLY tracks_by_isrc ON tracks (isrc) WHERE isrc IS NOT NULL;
