-- no-transaction
CREATE INDEX CONCURRENTLY tracks_initials ON tracks USING gin (search_initials gin_trgm_ops);
