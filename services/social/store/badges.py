"""Rows of badges that were earned, and what badges count of a person."""

from collections.abc import Sequence
from datetime import datetime

from services.social.domain.badges import Metric
from services.social.domain.ids import UserId
from services.social.store.database import Connection

# Copies are not made, and nobody's own likes count as what others like.
SELECT_METRICS = """
SELECT
    counts.likes_received - own.likes AS likes_received, counts.likes_given - own.likes AS likes_given,
    counts.public_playlists, counts.saves_received, counts.comments, counts.followers, counts.following, counts.plays,
    (SELECT count(*) FROM playlists WHERE owner_id = $1 AND copied_from IS NULL) AS playlists,
    (SELECT count(*) FROM playlists WHERE owner_id = $1 AND version > 1) AS edited_playlists,
    (SELECT count(*) FROM saves WHERE user_id = $1) AS saves_given,
    (SELECT max(plays) FROM listening WHERE user_id = $1) AS most_plays_of_a_track,
    (SELECT max(of_day.plays) FROM
        (SELECT sum(plays) AS plays FROM daily_listening WHERE user_id = $1 GROUP BY day) AS of_day)
        AS most_plays_of_a_day,
    (SELECT count(DISTINCT genre) FROM daily_listening WHERE user_id = $1) AS genres,
    (SELECT count(DISTINCT track.artist_id) FROM listening JOIN tracks AS track USING (track_id)
        WHERE listening.user_id = $1) AS artists,
    (SELECT count(DISTINCT day) FROM daily_listening WHERE user_id = $1) AS active_days,
    (SELECT count(*) FROM uploads WHERE user_id = $1) AS uploads
FROM (SELECT $1::uuid AS user_id) AS person LEFT JOIN person_counts AS counts USING (user_id) CROSS JOIN (
    SELECT count(*) AS likes FROM playlists JOIN likes USING (playlist_id) WHERE owner_id = $1 AND likes.user_id = $1
) AS own
"""
AWARD = """
INSERT INTO badges (user_id, badge, tier, earned_at) SELECT $1, badge, tier, $4
FROM unnest($2::text[], $3::smallint[]) AS new (badge, tier)
ON CONFLICT (user_id, badge, tier) DO NOTHING RETURNING badge, tier
"""
FORGET = """
DELETE FROM badges WHERE (user_id, badge, tier) IN (SELECT user_id, badge, tier FROM badges WHERE user_id = $1 LIMIT $2)
RETURNING badge
"""
SELECT_EARNED = "SELECT user_id, badge, tier, earned_at FROM badges WHERE user_id = ANY ($1::uuid[])"


async def metrics_of(connection: Connection, user_id: UserId) -> dict[Metric, int]:
    """Return what badges count of a person, what others did as of a second ago."""
    row = await connection.fetchrow(SELECT_METRICS, user_id)
    assert row is not None, "one person is one row"
    return {metric: max(0, int(row[metric.value] or 0)) for metric in Metric}


async def award(
    connection: Connection, user_id: UserId, tiers: Sequence[tuple[str, int]], now: datetime
) -> list[tuple[str, int]]:
    """Give tiers of badges; return those that the person did not have, whoever else gives them at the same time."""
    rows = await connection.fetch(AWARD, user_id, [name for name, _ in tiers], [tier for _, tier in tiers], now)
    return [(row["badge"], row["tier"]) for row in rows]


async def earned_by(
    connection: Connection, user_ids: Sequence[UserId]
) -> dict[UserId, dict[tuple[str, int], datetime]]:
    """Return when people earned each tier that they have, by badge and tier; all of them are in it."""
    found: dict[UserId, dict[tuple[str, int], datetime]] = {user_id: {} for user_id in user_ids}
    for row in await connection.fetch(SELECT_EARNED, user_ids):
        found[UserId(row["user_id"])][row["badge"], row["tier"]] = row["earned_at"]
    return found


async def forget(connection: Connection, user_id: UserId, limit: int) -> int:
    """Forget a person's badges; return how many of at most `limit`."""
    return len(await connection.fetch(FORGET, user_id, limit))
