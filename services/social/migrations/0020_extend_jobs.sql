-- An older release claims any job that is due by run_after, and knows generations by their old rules alone. What it
-- cannot do has run_after 'infinity', and its time in due_at.
ALTER TABLE jobs
    ADD COLUMN due_at timestamptz,
    -- Time left at stage_at, when the job last told how far it is.
    ADD COLUMN eta_seconds real,
    ADD COLUMN stage_at timestamptz,
    ADD COLUMN stage_unit text NOT NULL DEFAULT '',
    ADD COLUMN stage_done integer,
    ADD COLUMN stage_total integer,
    ADD COLUMN cancel_asked boolean NOT NULL DEFAULT false,
    DROP CONSTRAINT jobs_kind_known,
    ADD CONSTRAINT jobs_kind_known CHECK (kind IN (
        'GENERATION', 'EXTENSION', 'REGENERATION', 'ENCODER_SWITCH', 'ACCOUNT_EXPORT', 'ACCOUNT_DELETION'
    )) NOT VALID,
    ADD CONSTRAINT jobs_new_kinds_kept_apart CHECK (kind = 'GENERATION' OR run_after = 'infinity') NOT VALID,
    ADD CONSTRAINT jobs_due_known CHECK (run_after <> 'infinity' OR due_at IS NOT NULL) NOT VALID;
CREATE INDEX jobs_due_all ON jobs (coalesce(due_at, run_after), job_id) WHERE finished_at IS NULL;

-- How long a stage takes, by exponential average.
CREATE TABLE job_timings (
    kind text NOT NULL,
    stage text NOT NULL,
    mean_ms double precision NOT NULL,
    count bigint NOT NULL,
    PRIMARY KEY (kind, stage)
) WITH (fillfactor = 70);
