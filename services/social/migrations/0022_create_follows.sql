CREATE TABLE follows (
    follower_id uuid NOT NULL CONSTRAINT follows_follower REFERENCES users ON DELETE CASCADE,
    followee_id uuid NOT NULL CONSTRAINT follows_followee REFERENCES users ON DELETE CASCADE,
    at timestamptz NOT NULL,
    PRIMARY KEY (follower_id, followee_id),
    CONSTRAINT follows_differ CHECK (follower_id <> followee_id)
);
-- Without the other end: with it they would look to the planner as good as the key for the two ends together, and are
-- read from end to end for that.
CREATE INDEX follows_by_followee ON follows (followee_id, at DESC);
CREATE INDEX follows_by_follower ON follows (follower_id, at DESC);

CREATE TABLE user_blocks (
    blocker_id uuid NOT NULL CONSTRAINT user_blocks_blocker REFERENCES users ON DELETE CASCADE,
    blocked_id uuid NOT NULL CONSTRAINT user_blocks_blocked REFERENCES users ON DELETE CASCADE,
    at timestamptz NOT NULL,
    PRIMARY KEY (blocker_id, blocked_id),
    CONSTRAINT user_blocks_differ CHECK (blocker_id <> blocked_id)
);
CREATE INDEX user_blocks_by_blocked ON user_blocks (blocked_id);
CREATE INDEX user_blocks_by_blocker ON user_blocks (blocker_id, at DESC);

-- What feeds are read from; ids rise with time. To playlists and comments there is no foreign key: what is gone is left
-- out when it is read, and swept later. The same act, undone and done again, is one.
CREATE TABLE activities (
    activity_id uuid PRIMARY KEY,
    actor_id uuid NOT NULL CONSTRAINT activities_actor REFERENCES users ON DELETE CASCADE,
    kind text NOT NULL
        CONSTRAINT activities_kind_known CHECK (kind IN ('CREATED', 'LIKED', 'SAVED', 'FOLLOWED', 'COMMENTED')),
    playlist_id uuid,
    user_id uuid,
    comment_id uuid,
    at timestamptz NOT NULL,
    CONSTRAINT activities_once UNIQUE NULLS NOT DISTINCT (actor_id, kind, playlist_id, user_id, comment_id)
);
CREATE INDEX activities_by_actor ON activities (actor_id, activity_id DESC);
CREATE INDEX activities_by_playlist ON activities (playlist_id) WHERE playlist_id IS NOT NULL;

-- A playlist becomes public by whatever release and in whatever way, and is told of once.
CREATE FUNCTION record_public_playlist() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO activities (activity_id, actor_id, kind, playlist_id, at)
    VALUES (uuidv7(), NEW.owner_id, 'CREATED', NEW.playlist_id, NEW.listed_at)
    ON CONFLICT ON CONSTRAINT activities_once DO NOTHING;
    RETURN NULL;
END $$;
CREATE TRIGGER playlists_record_insert AFTER INSERT ON playlists
    FOR EACH ROW WHEN (NEW.visibility = 'PUBLIC') EXECUTE FUNCTION record_public_playlist();
CREATE TRIGGER playlists_record_update AFTER UPDATE OF visibility ON playlists
    FOR EACH ROW WHEN (NEW.visibility = 'PUBLIC' AND OLD.visibility <> 'PUBLIC')
    EXECUTE FUNCTION record_public_playlist();
INSERT INTO activities (activity_id, actor_id, kind, playlist_id, at)
SELECT uuidv7(listed_at - now()), owner_id, 'CREATED', playlist_id, listed_at
FROM playlists WHERE visibility = 'PUBLIC';
CREATE INDEX playlists_public_by_owner ON playlists (owner_id, playlist_id DESC)
    WHERE visibility = 'PUBLIC' AND hidden_at IS NULL;

CREATE TABLE notifications (
    notification_id uuid PRIMARY KEY,
    user_id uuid NOT NULL CONSTRAINT notifications_user REFERENCES users ON DELETE CASCADE,
    kind text NOT NULL,
    actor_id uuid,
    playlist_id uuid,
    comment_id uuid,
    -- A job that ended, or a report that was decided.
    subject_id uuid,
    badge text,
    at timestamptz NOT NULL,
    read_at timestamptz,
    CONSTRAINT notifications_once
        UNIQUE NULLS NOT DISTINCT (user_id, kind, actor_id, playlist_id, comment_id, subject_id, badge)
);
CREATE INDEX notifications_by_user ON notifications (user_id, notification_id DESC);
CREATE INDEX notifications_unread ON notifications (user_id, notification_id DESC) WHERE read_at IS NULL;
CREATE INDEX notifications_by_playlist ON notifications (playlist_id) WHERE playlist_id IS NOT NULL;

-- Ranks do not move under who reads them: each generation is whole, and stays for a while.
CREATE TABLE trending_generations (
    generation bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    made_at timestamptz NOT NULL
);
CREATE TABLE trending_ranks (
    generation bigint NOT NULL
        CONSTRAINT trending_ranks_generation REFERENCES trending_generations ON DELETE CASCADE,
    rank integer NOT NULL,
    playlist_id uuid NOT NULL,
    score double precision NOT NULL,
    PRIMARY KEY (generation, rank)
);
CREATE TABLE playlist_heat (
    playlist_id uuid PRIMARY KEY CONSTRAINT playlist_heat_playlist REFERENCES playlists ON DELETE CASCADE,
    score double precision NOT NULL
) WITH (fillfactor = 70);
CREATE INDEX playlist_heat_by_score ON playlist_heat (score DESC, playlist_id);
