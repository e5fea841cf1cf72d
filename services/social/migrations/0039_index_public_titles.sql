-- no-transaction
CREATE INDEX CONCURRENTLY playlists_search ON playlists USING gin (search_words(title) gin_trgm_ops)
    WHERE visibility = 'PUBLIC' AND hidden_at IS NULL;
