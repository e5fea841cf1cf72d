ALTER TABLE tracks ADD COLUMN has_cover boolean;
