-- How long windows are, as embedders say it; 0 is not known yet.
ALTER TABLE encoders ADD COLUMN window_seconds double precision NOT NULL DEFAULT 0;

ALTER TABLE jobs
    DROP CONSTRAINT jobs_kind_known,
    ADD CONSTRAINT jobs_kind_known CHECK (kind IN (
        'GENERATION', 'EXTENSION', 'REGENERATION', 'ENCODER_SWITCH', 'ACCOUNT_EXPORT', 'ACCOUNT_DELETION', 'HEARING'
    )) NOT VALID;

-- Blob of the windows; empty where none is kept, and again when the audio is gone.
ALTER TABLE upload_embeddings ADD COLUMN windows_digest bytea NOT NULL DEFAULT '';
-- All empty as yet, and so made at once.
CREATE INDEX upload_embeddings_by_windows ON upload_embeddings (windows_digest) WHERE windows_digest <> '';

-- Windows go with the audio, whichever release takes it away.
CREATE FUNCTION forget_windows_of_upload() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE upload_embeddings SET windows_digest = '' WHERE upload_id = NEW.upload_id AND windows_digest <> '';
    RETURN NULL;
END $$;
CREATE TRIGGER uploads_forget_windows AFTER UPDATE OF swept_at ON uploads
    FOR EACH ROW WHEN (OLD.swept_at IS NULL AND NEW.swept_at IS NOT NULL) EXECUTE FUNCTION forget_windows_of_upload();
