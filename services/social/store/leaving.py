"""Takes away what a person who left had, batch by batch: each statement takes at most so many rows, by an index.

What others count is counted back by signals, in the statement that deletes; they name the other person only.
"""

from services.social.domain.ids import UserId
from services.social.store.database import Connection


def _of(table: str, column: str, more: str = "") -> str:
    """Delete rows that name the person $1, at most $2."""
    return f"""
        DELETE FROM {table} WHERE ctid = ANY (ARRAY(SELECT ctid FROM {table} WHERE {column} = $1 {more} LIMIT $2))
    """


def _on_own(table: str, more: str = "") -> str:
    """Delete rows on playlists of the person $1, at most $2: else deleting a popular list would take too long.

    Lists are held, so that who deletes one meanwhile does not count off what is counted off here.
    """
    return f"""
        DELETE FROM {table} WHERE ctid = ANY (ARRAY(
            SELECT x.ctid FROM playlists AS p JOIN {table} AS x USING (playlist_id)
            WHERE p.owner_id = $1 {more} LIMIT $2 FOR KEY SHARE OF p
        ))
    """


def _given(table: str, kind: str, at: str, more: str = "") -> str:
    """Like `_on_own`, of what others gave and were counted for."""
    return f"""
        WITH gone AS ({_on_own(table, more)} RETURNING user_id, {at})
        INSERT INTO signals (kind, actor_id, amount, at) SELECT '{kind}', user_id, -1, {at} FROM gone
    """


def _own(table: str, kind: str) -> str:
    """Delete what the person $1 gave to playlists, at most $2, and count it off for their owners; lists are held."""
    return f"""
        WITH held AS (
            SELECT x.playlist_id FROM {table} AS x JOIN playlists AS p USING (playlist_id)
            WHERE x.user_id = $1 LIMIT $2 FOR KEY SHARE OF p
        ), gone AS (
            DELETE FROM {table} WHERE user_id = $1 AND playlist_id = ANY (ARRAY(SELECT playlist_id FROM held))
            RETURNING playlist_id, at
        )
        INSERT INTO signals (kind, playlist_id, user_id, amount, at)
        SELECT '{kind}', playlist_id, p.owner_id, -1, gone.at FROM gone JOIN playlists AS p USING (playlist_id)
    """


# In order. A playlist goes when nothing hangs on it but its entries; an upload when no list of the person names it.
STEPS: dict[str, str] = {
    "api_tokens": _of("api_tokens", "user_id"),
    "mails": _of("mails", "user_id"),
    "mail_tokens": _of("mail_tokens", "user_id"),
    "sessions": """
        UPDATE sessions SET user_agent = '', client = '' WHERE ctid = ANY (ARRAY(
            SELECT ctid FROM sessions WHERE user_id = $1 AND (user_agent, client) <> ('', '') LIMIT $2
        ))
    """,
    "plays": _of("plays", "user_id"),
    "listening": _of("listening", "user_id"),
    "daily_listening": _of("daily_listening", "user_id"),
    "daily_tracks_of": _of("daily_tracks_of", "user_id"),
    "mixes": _of("mixes", "user_id"),
    "tastes": _of("tastes", "user_id"),
    "badges": _of("badges", "user_id"),
    "blocked_tracks": _of("blocked_tracks", "user_id"),
    "blocked_artists": _of("blocked_artists", "user_id"),
    "notifications": _of("notifications", "user_id"),
    "activities": _of("activities", "actor_id"),
    "user_blocks": _of("user_blocks", "blocker_id"),
    "user_blocks by others": _of("user_blocks", "blocked_id"),
    "likes": _own("likes", "like"),
    "saves": _own("saves", "save"),
    "follows": """
        WITH gone AS (
            DELETE FROM follows WHERE ctid = ANY (ARRAY(SELECT ctid FROM follows WHERE follower_id = $1 LIMIT $2))
            RETURNING followee_id, at
        )
        INSERT INTO signals (kind, user_id, amount, at) SELECT 'follow', followee_id, -1, at FROM gone
    """,
    "follows by others": """
        WITH gone AS (
            DELETE FROM follows WHERE ctid = ANY (ARRAY(SELECT ctid FROM follows WHERE followee_id = $1 LIMIT $2))
            RETURNING follower_id, at
        )
        INSERT INTO signals (kind, actor_id, amount, at) SELECT 'follow', follower_id, -1, at FROM gone
    """,
    "comments": """
        UPDATE comments SET user_id = NULL
        WHERE ctid = ANY (ARRAY(SELECT ctid FROM comments WHERE user_id = $1 LIMIT $2))
    """,
    "likes of own lists": _given("likes", "like", "at"),
    "saves of own lists": _on_own("saves"),
    # What moderation hid, and what was deleted, is counted off already.
    "comments on own lists": _given(
        "comments", "comment", "created_at", "AND x.deleted_at IS NULL AND x.hidden_at IS NULL"
    ),
    "uncounted comments on own lists": _on_own("comments"),
    "suggestions for own lists": _on_own("suggestions"),
    "activities about own lists": _on_own("activities"),
    "schedules": _of("schedules", "user_id"),
    "stream_tokens": _of("stream_tokens", "user_id"),
    # A list has hundreds of entries.
    "playlists": """
        DELETE FROM playlists WHERE playlist_id = ANY (ARRAY(
            SELECT playlist_id FROM playlists WHERE owner_id = $1 ORDER BY playlist_id LIMIT greatest(1, $2 / 50)
        ))
    """,
    # Their bytes go by the sweep of audio that nobody refers to.
    "uploads": _of("uploads", "user_id"),
    "idempotency_keys": _of("idempotency_keys", "user_id"),
    "sign_up_keys": _of("sign_up_keys", "user_id"),
    # A switch under way is the mesh's, whoever began it.
    "switches": """
        UPDATE jobs SET user_id = NULL WHERE ctid = ANY (ARRAY(
            SELECT ctid FROM jobs
            WHERE user_id = $1 AND kind = 'ENCODER_SWITCH' AND finished_at IS NULL LIMIT $2
        ))
    """,
    "jobs": _of("jobs", "user_id", "AND kind <> 'ACCOUNT_DELETION'"),
    # Nobody who counts makes these again for somebody who left.
    "person_counts": _of("person_counts", "user_id"),
    "touched_people": _of("touched_people", "user_id"),
}


async def take(connection: Connection, statement: str, user_id: UserId, limit: int) -> int:
    """Take one batch away; returns how many rows that were."""
    return int((await connection.execute(statement, user_id, limit)).rpartition(" ")[2])
