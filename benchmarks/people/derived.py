"""What the service makes of the rows of a population: counts, heat, listening, activities."""

import math
from typing import TypeAlias

import asyncpg

from services.social.domain.badges import BADGES

Sql: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


async def derive(sql: Sql) -> None:
    """Make what triggers, tallier and workers make of the rows of a population."""
    half_life_s = 48 * 3600.0
    epoch = "extract(epoch FROM at - '2026-01-01Z'::timestamptz)"
    for statement in (
        # One for each public list, each like of one, and each follow; ids by the time of it.
        """INSERT INTO activities (activity_id, actor_id, kind, playlist_id, user_id, at)
           SELECT uuidv7(at - clock_timestamp()), actor_id, kind, playlist_id, user_id, at FROM (
             SELECT owner_id AS actor_id, 'CREATED' AS kind, playlist_id, NULL::uuid AS user_id, listed_at AS at
               FROM playlists WHERE visibility = 'PUBLIC'
             UNION ALL SELECT likes.user_id, 'LIKED', playlist_id, NULL, likes.at
               FROM likes JOIN playlists USING (playlist_id) WHERE visibility = 'PUBLIC'
             UNION ALL SELECT follower_id, 'FOLLOWED', NULL, followee_id, at FROM follows) AS done
           ORDER BY at""",
        """UPDATE playlists SET entry_count = n.entries, duration_seconds = n.seconds FROM (
             SELECT playlist_id, count(*) AS entries, sum(seconds) AS seconds FROM playlist_entries GROUP BY 1) AS n
           WHERE n.playlist_id = playlists.playlist_id""",
        # Somebody whose feed is far down: who follows those who were quiet for the longest time.
        """INSERT INTO follows (follower_id, followee_id, at)
           SELECT quiet.user_id, actor_id, now()
           FROM (SELECT user_id FROM users ORDER BY user_id DESC LIMIT 1) AS quiet, (
             SELECT actor_id FROM activities GROUP BY 1 ORDER BY max(at) LIMIT 5000) AS actors
           WHERE actor_id <> quiet.user_id
           ON CONFLICT DO NOTHING""",
        """INSERT INTO playlist_counts (playlist_id, likes) SELECT playlist_id, count(*) FROM likes GROUP BY 1""",
        """INSERT INTO person_counts (user_id, playlists, public_playlists, likes_given, likes_received, followers,
             following, plays)
           SELECT user_id, coalesce(p.n, 0), coalesce(p.public, 0), coalesce(g.n, 0), coalesce(r.n, 0),
             coalesce(f.n, 0), coalesce(t.n, 0), coalesce(h.n, 0)
           FROM users
           LEFT JOIN (SELECT owner_id, count(*) AS n, count(*) FILTER (WHERE visibility = 'PUBLIC') AS public
             FROM playlists GROUP BY 1) AS p ON p.owner_id = user_id
           LEFT JOIN (SELECT user_id AS id, count(*) AS n FROM likes GROUP BY 1) AS g ON g.id = user_id
           LEFT JOIN (SELECT owner_id AS id, count(*) AS n FROM likes
             JOIN playlists USING (playlist_id) GROUP BY 1) AS r ON r.id = user_id
           LEFT JOIN (SELECT followee_id AS id, count(*) AS n FROM follows GROUP BY 1) AS f ON f.id = user_id
           LEFT JOIN (SELECT follower_id AS id, count(*) AS n FROM follows GROUP BY 1) AS t ON t.id = user_id
           LEFT JOIN (SELECT user_id AS id, count(*) AS n FROM plays GROUP BY 1) AS h ON h.id = user_id""",
        f"""INSERT INTO playlist_heat (playlist_id, score)
           SELECT playlist_id, max(x) + log(2, sum(power(2.0, x - m))::numeric)::float8 FROM (
             SELECT playlist_id, {epoch} / {half_life_s} AS x,
               max({epoch} / {half_life_s}) OVER (PARTITION BY playlist_id) AS m
             FROM likes) AS decayed GROUP BY 1""",
        """INSERT INTO daily_listening (user_id, day, genre, plays, seconds)
           SELECT user_id, (played_at AT TIME ZONE 'UTC')::date, genre, count(*), sum(heard_seconds)
           FROM plays GROUP BY 1, 2, 3""",
        """INSERT INTO listening (user_id, track_id, plays, first_at, last_at, score)
           SELECT user_id, track_id, count(*), min(played_at), max(played_at),
             extract(epoch FROM max(played_at) - '2026-01-01Z'::timestamptz) / (30 * 86400.0)
           FROM plays GROUP BY 1, 2""",
        """INSERT INTO counters (name, value) VALUES ('users', (SELECT count(*) FROM users)),
             ('tracks', (SELECT count(*) FROM tracks)), ('playlists', (SELECT count(*) FROM playlists))
           ON CONFLICT (name) DO UPDATE SET value = excluded.value""",
    ):
        await sql.execute(statement)
    await award(sql)
    if not math.isfinite(await sql.fetchval("SELECT max(score) FROM playlist_heat")):
        raise AssertionError("scores overflow")


async def award(sql: Sql) -> None:
    """Give everybody the badges that they have come far enough for: else whoever does a thing gets a dozen at once."""
    tiers = [
        (badge.name, tier, badge.metric.value, threshold)
        for badge in BADGES
        for tier, threshold in enumerate(badge.thresholds, start=1)
    ]
    await sql.execute(_AWARD, *(list(column) for column in zip(*tiers, strict=True)))


_AWARD = """
WITH of_people AS (
    SELECT user_id, of_person.key AS metric, of_person.value::bigint AS amount
    FROM person_counts CROSS JOIN LATERAL jsonb_each_text(to_jsonb(person_counts) - 'user_id') AS of_person
    WHERE of_person.key = ANY ($3::text[])
    UNION ALL SELECT user_id, 'most_plays_of_a_track', max(plays) FROM listening GROUP BY 1
    UNION ALL SELECT user_id, 'artists', count(DISTINCT artist_id)
        FROM listening JOIN tracks USING (track_id) GROUP BY 1
    UNION ALL SELECT user_id, 'genres', count(DISTINCT genre) FROM daily_listening GROUP BY 1
    UNION ALL SELECT user_id, 'active_days', count(DISTINCT day) FROM daily_listening GROUP BY 1
    UNION ALL SELECT user_id, 'most_plays_of_a_day', max(plays) FROM (
        SELECT user_id, sum(plays) AS plays FROM daily_listening GROUP BY user_id, day) AS of_days GROUP BY 1
)
INSERT INTO badges (user_id, badge, tier, earned_at)
SELECT user_id, tier.badge, tier.number, now()
FROM of_people JOIN unnest($1::text[], $2::smallint[], $3::text[], $4::bigint[])
    AS tier (badge, number, metric, threshold) ON tier.metric = of_people.metric
WHERE amount >= tier.threshold
ON CONFLICT DO NOTHING
"""
