CREATE TABLE badges (
    user_id uuid NOT NULL CONSTRAINT badges_user REFERENCES users ON DELETE CASCADE,
    badge text NOT NULL,
    tier smallint NOT NULL CONSTRAINT badges_tier_positive CHECK (tier > 0),
    earned_at timestamptz NOT NULL,
    PRIMARY KEY (user_id, badge, tier)
);

-- What badges count and nobody signals: a playlist's first change, and a sound that is lent.
CREATE FUNCTION touch_gardener() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO touched_people (user_id, since) VALUES (NEW.owner_id, now()) ON CONFLICT (user_id) DO NOTHING;
    RETURN NULL;
END $$;
CREATE TRIGGER playlists_touch_gardener AFTER UPDATE OF version ON playlists
    FOR EACH ROW WHEN (OLD.version = 1 AND NEW.version > 1) EXECUTE FUNCTION touch_gardener();

CREATE FUNCTION touch_lender() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO touched_people (user_id, since) VALUES (NEW.user_id, now()) ON CONFLICT (user_id) DO NOTHING;
    RETURN NULL;
END $$;
CREATE TRIGGER uploads_touch_lender AFTER INSERT ON uploads FOR EACH ROW EXECUTE FUNCTION touch_lender();
