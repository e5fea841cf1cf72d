-- no-transaction
CREATE INDEX CONCURRENTLY tracks_jamo ON tracks USING gin (search_jamo gin_trgm_ops);
