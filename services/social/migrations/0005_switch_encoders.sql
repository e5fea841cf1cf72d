-- The encoder that is to be served once it knows the whole library, and the one that was served before.
ALTER TABLE serving_encoder
    ADD COLUMN candidate_id text CONSTRAINT serving_encoder_candidate REFERENCES encoders,
    ADD COLUMN previous_id text CONSTRAINT serving_encoder_previous REFERENCES encoders,
    ADD CONSTRAINT serving_encoder_candidate_differs CHECK (candidate_id <> encoder_id),
    ADD CONSTRAINT serving_encoder_previous_differs CHECK (previous_id <> encoder_id);
