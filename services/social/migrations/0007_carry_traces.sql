-- The span in which something was promised, as the W3C header `traceparent`; empty where none was recorded.
ALTER TABLE outbox ADD COLUMN trace_parent text NOT NULL DEFAULT '';
ALTER TABLE jobs ADD COLUMN trace_parent text NOT NULL DEFAULT '';
