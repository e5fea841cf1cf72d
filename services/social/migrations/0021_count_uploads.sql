-- The order of locks: playlists, then uploads.
LOCK TABLE playlists, uploads IN SHARE ROW EXCLUSIVE MODE;
ALTER TABLE uploads
    -- When its owner took it back.
    ADD COLUMN deleted_at timestamptz;
CREATE INDEX uploads_swept ON uploads (swept_at) WHERE swept_at IS NOT NULL;
-- Lists of one's own, newest first.
CREATE INDEX uploads_there ON uploads (user_id, upload_id) WHERE swept_at IS NULL;
-- Whose windows a blob holds.
CREATE INDEX embeddings_by_windows ON embeddings (windows_digest);

-- Audio of uploads by its digest, and how many uploads that were not swept refer to it.
CREATE TABLE upload_blobs (
    digest bytea PRIMARY KEY CONSTRAINT upload_blobs_sha256 CHECK (octet_length(digest) = 32),
    reference_count integer NOT NULL DEFAULT 0 CONSTRAINT upload_blobs_counted CHECK (reference_count >= 0),
    -- Since when nobody refers to it; its bytes may be gone.
    released_at timestamptz,
    CONSTRAINT upload_blobs_released_whole CHECK (released_at IS NULL OR reference_count = 0)
);
CREATE INDEX upload_blobs_released ON upload_blobs (released_at) WHERE released_at IS NOT NULL;

-- Digests are locked in their order.
CREATE FUNCTION refer_to_uploads() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO upload_blobs (digest, reference_count)
    SELECT digest, count(*) FROM added WHERE swept_at IS NULL GROUP BY digest ORDER BY digest
    ON CONFLICT (digest) DO UPDATE
    SET reference_count = upload_blobs.reference_count + excluded.reference_count, released_at = NULL;
    RETURN NULL;
END $$;
CREATE TRIGGER uploads_refer AFTER INSERT ON uploads
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION refer_to_uploads();

CREATE FUNCTION release_swept_uploads() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    change record;
BEGIN
    FOR change IN
        SELECT digest, sum(amount) AS amount, max(swept_at) AS swept_at FROM (
            SELECT digest, -1 AS amount, NULL::timestamptz AS swept_at FROM before WHERE before.swept_at IS NULL
            UNION ALL
            SELECT digest, CASE WHEN after.swept_at IS NULL THEN 1 ELSE 0 END, after.swept_at FROM after
        ) AS changes GROUP BY digest HAVING sum(amount) <> 0 ORDER BY digest
    LOOP
        UPDATE upload_blobs SET
            reference_count = reference_count + change.amount,
            released_at = CASE WHEN reference_count + change.amount = 0 THEN coalesce(change.swept_at, now()) END
        WHERE digest = change.digest;
    END LOOP;
    RETURN NULL;
END $$;
CREATE TRIGGER uploads_release_swept AFTER UPDATE ON uploads
    REFERENCING OLD TABLE AS before NEW TABLE AS after
    FOR EACH STATEMENT EXECUTE FUNCTION release_swept_uploads();

CREATE FUNCTION release_gone_uploads() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    change record;
BEGIN
    FOR change IN
        SELECT digest, count(*) AS amount FROM gone WHERE swept_at IS NULL GROUP BY digest ORDER BY digest
    LOOP
        UPDATE upload_blobs SET
            reference_count = reference_count - change.amount,
            released_at = CASE WHEN reference_count = change.amount THEN now() END
        WHERE digest = change.digest;
    END LOOP;
    RETURN NULL;
END $$;
CREATE TRIGGER uploads_release_gone AFTER DELETE ON uploads
    REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION release_gone_uploads();

INSERT INTO upload_blobs (digest, reference_count)
SELECT digest, count(*) FROM uploads WHERE swept_at IS NULL GROUP BY digest;

-- Uploads that a playlist's recipe names: they are kept while it does, and so read from it, whoever writes it.
CREATE TABLE playlist_uploads (
    playlist_id uuid NOT NULL CONSTRAINT playlist_uploads_playlist REFERENCES playlists ON DELETE CASCADE,
    upload_id uuid NOT NULL CONSTRAINT playlist_uploads_upload REFERENCES uploads ON DELETE CASCADE,
    PRIMARY KEY (playlist_id, upload_id)
);
CREATE INDEX playlist_uploads_by_upload ON playlist_uploads (upload_id);

CREATE FUNCTION uploads_of_recipe(recipe jsonb) RETURNS SETOF uuid LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT DISTINCT upload.upload_id
    FROM jsonb_path_query(recipe, '$.seeds[*].upload_id ? (@.type() == "string")') AS named
    JOIN uploads AS upload
        ON upload.upload_id = CASE WHEN pg_input_is_valid(named #>> '{}', 'uuid') THEN (named #>> '{}')::uuid END;
END;

CREATE FUNCTION keep_uploads_of_recipe() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        DELETE FROM playlist_uploads WHERE playlist_id = NEW.playlist_id;
    END IF;
    INSERT INTO playlist_uploads (playlist_id, upload_id)
    SELECT NEW.playlist_id, upload_id FROM uploads_of_recipe(NEW.recipe) AS upload_id;
    RETURN NULL;
END $$;
CREATE TRIGGER playlists_keep_uploads_insert AFTER INSERT ON playlists
    FOR EACH ROW WHEN (NEW.recipe IS NOT NULL) EXECUTE FUNCTION keep_uploads_of_recipe();
CREATE TRIGGER playlists_keep_uploads_update AFTER UPDATE OF recipe ON playlists
    FOR EACH ROW WHEN (OLD.recipe IS DISTINCT FROM NEW.recipe) EXECUTE FUNCTION keep_uploads_of_recipe();
INSERT INTO playlist_uploads (playlist_id, upload_id)
SELECT playlist_id, upload_id FROM playlists CROSS JOIN LATERAL uploads_of_recipe(recipe) AS upload_id
WHERE recipe IS NOT NULL;
