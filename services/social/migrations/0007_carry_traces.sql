-- The span in which something was promised, as the W3C header `traceparent`; empty where none was recorded.
-- In the order in which everybody locks: a job, then what it promises.
ALTER TABLE jobs ADD COLUMN trace_parent text NOT NULL DEFAULT '';
ALTER TABLE outbox ADD COLUMN trace_parent text NOT NULL DEFAULT '';
