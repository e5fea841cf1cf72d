-- What was heard, liked and saved on a day. It names no person.
CREATE TABLE daily_trends (
    day date NOT NULL,
    dimension text NOT NULL
        CONSTRAINT daily_trends_dimension_known CHECK (dimension IN ('GENRE', 'TRACK', 'ARTIST', 'PLAYLIST')),
    subject text NOT NULL,
    plays bigint NOT NULL DEFAULT 0,
    listeners bigint NOT NULL DEFAULT 0,
    likes bigint NOT NULL DEFAULT 0,
    saves bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (dimension, day, subject)
) WITH (fillfactor = 80);
CREATE INDEX daily_trends_by_subject ON daily_trends (dimension, subject, day);

-- Plays until the tallier has counted them: one row for a play that counts, or that is forgotten again (−1). Who hears
-- a subject for the first time on a day is a listener of it: 1, or −1 where the last play of that day is forgotten.
CREATE TABLE trend_plays (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    day date NOT NULL,
    genre text NOT NULL,
    track_id uuid NOT NULL,
    artist_id uuid,
    playlist_id uuid,
    amount smallint NOT NULL,
    genre_listeners smallint NOT NULL,
    track_listeners smallint NOT NULL,
    artist_listeners smallint NOT NULL,
    playlist_listeners smallint NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
