-- Messages that a transaction promised. Order holds within a key: whoever writes one has locked the key's row before.
CREATE TABLE outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- 'event' carries its message; 'vector' and 'work' name a track and a sound, whose message is composed when sent.
    kind text NOT NULL CONSTRAINT outbox_kind_known CHECK (kind IN ('event', 'vector', 'work')),
    key text NOT NULL,
    partition smallint NOT NULL GENERATED ALWAYS AS ((hashtextextended(key, 0) & 15)::smallint) STORED,
    event_id uuid NOT NULL CONSTRAINT outbox_event_unique UNIQUE,
    subject text,
    payload bytea,
    encoder_id text,
    version bigint,
    request_id text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT outbox_whole CHECK (CASE kind
        WHEN 'event' THEN subject IS NOT NULL AND payload IS NOT NULL
        WHEN 'vector' THEN encoder_id IS NOT NULL AND version IS NOT NULL
        ELSE encoder_id IS NOT NULL
    END)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
CREATE INDEX outbox_by_lane ON outbox (kind, partition, id);

-- The streams of NATS as they were last seen: another creation time means that their messages are lost.
CREATE TABLE streams (
    name text PRIMARY KEY,
    created_at timestamptz NOT NULL,
    -- While outbox rows of vectors up to here are left, the log is being rebuilt; null when it is whole.
    rebuild_through bigint
);
