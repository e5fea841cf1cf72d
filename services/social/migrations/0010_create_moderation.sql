-- Hidden by moderation: only its owner sees it, and nobody shows it again, of whichever release, while that lasts.
ALTER TABLE playlists
    ADD COLUMN hidden_at timestamptz,
    -- What its visibility was.
    ADD COLUMN hidden_from text
        CONSTRAINT playlists_hidden_from_known CHECK (hidden_from IN ('PRIVATE', 'UNLISTED', 'PUBLIC')),
    ADD CONSTRAINT playlists_hidden_whole CHECK ((hidden_at IS NULL) = (hidden_from IS NULL)),
    ADD CONSTRAINT playlists_hidden_stays_private CHECK (hidden_at IS NULL OR visibility = 'PRIVATE');

CREATE TABLE reports (
    report_id uuid PRIMARY KEY,
    reporter_id uuid NOT NULL CONSTRAINT reports_reporter REFERENCES users ON DELETE CASCADE,
    subject_kind text NOT NULL
        CONSTRAINT reports_subject_known CHECK (subject_kind IN ('USER', 'PLAYLIST', 'COMMENT')),
    -- May be gone when the report is read.
    subject_id uuid NOT NULL,
    reason text NOT NULL
        CONSTRAINT reports_reason_known CHECK (reason IN ('SPAM', 'ABUSE', 'HATE', 'SEXUAL', 'COPYRIGHT', 'OTHER')),
    text text NOT NULL DEFAULT '',
    state text NOT NULL DEFAULT 'OPEN'
        CONSTRAINT reports_state_known CHECK (state IN ('OPEN', 'UPHELD', 'REJECTED')),
    created_at timestamptz NOT NULL,
    decided_at timestamptz,
    decided_by uuid,
    CONSTRAINT reports_end_whole CHECK ((decided_at IS NULL) = (state = 'OPEN'))
);
CREATE UNIQUE INDEX reports_open_once ON reports (reporter_id, subject_kind, subject_id) WHERE state = 'OPEN';
CREATE INDEX reports_by_reporter ON reports (reporter_id, report_id);
CREATE INDEX reports_by_state ON reports (state, report_id);
CREATE INDEX reports_by_subject ON reports (subject_id, report_id);

-- Who did what to whom, and why. No foreign keys: it outlives everybody whom it names.
CREATE TABLE audit_log (
    entry_id uuid PRIMARY KEY,
    actor_id uuid,
    action text NOT NULL,
    subject_kind text NOT NULL,
    -- Of whatever kind, and so no uuid; empty where it has none.
    subject_id text NOT NULL DEFAULT '',
    because text NOT NULL DEFAULT '',
    detail jsonb NOT NULL DEFAULT '{}',
    request_id text NOT NULL DEFAULT '',
    at timestamptz NOT NULL
);
CREATE INDEX audit_log_by_subject ON audit_log (subject_id, entry_id);

CREATE FUNCTION refuse_audit_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit log is only added to' USING ERRCODE = 'restrict_violation', TABLE = 'audit_log';
END $$;
CREATE TRIGGER audit_log_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_change();

-- A person's own data in one file of the blob store.
CREATE TABLE data_exports (
    export_id uuid PRIMARY KEY,
    user_id uuid NOT NULL CONSTRAINT data_exports_user REFERENCES users ON DELETE CASCADE,
    job_id uuid,
    digest bytea CONSTRAINT data_exports_sha256 CHECK (octet_length(digest) = 32),
    size_bytes bigint,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX data_exports_by_user ON data_exports (user_id, export_id);
CREATE INDEX data_exports_by_expiry ON data_exports (expires_at);
CREATE INDEX data_exports_by_digest ON data_exports (digest);

-- Admins find people by how a name or an address begins.
CREATE INDEX users_by_username_start ON users (username_key text_pattern_ops);
CREATE INDEX users_by_email_start ON users (email_key text_pattern_ops);
CREATE INDEX users_by_nickname_start ON users (lower(nickname) text_pattern_ops);

-- People who left, some of whose rows may still be there.
CREATE INDEX users_left ON users (deleted_at) WHERE deleted_at IS NOT NULL;
