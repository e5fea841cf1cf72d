"""Counts of the whole, of playlists and of people, kept by the tallier alone."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime

from services.social.domain.ids import PlaylistId, UserId
from services.social.domain.signals import HEAT, HEAT_HALF_LIFE, SignalKind, added
from services.social.store.database import Connection
from services.social.store.signals import Signal

_COUNTERS = {
    SignalKind.USER_COUNT: "users",
    SignalKind.TRACK_COUNT: "tracks",
    SignalKind.PLAYLIST_COUNT: "playlists",
    SignalKind.PLAY: "plays",
}
_OF_PLAYLIST = {
    SignalKind.LIKE: "likes",
    SignalKind.SAVE: "saves",
    SignalKind.COMMENT: "comments",
    SignalKind.PLAY: "plays",
}
# Whose count each kind changes: that of who acts, and that of whom it happens to.
_OF_ACTOR = {
    SignalKind.LIKE: "likes_given",
    SignalKind.COMMENT: "comments",
    SignalKind.FOLLOW: "following",
    SignalKind.PLAY: "plays",
    SignalKind.PLAYLIST_COUNT: "playlists",
    SignalKind.PUBLIC_PLAYLIST_COUNT: "public_playlists",
}
_OF_OTHER = {
    SignalKind.LIKE: "likes_received",
    SignalKind.SAVE: "saves_received",
    SignalKind.FOLLOW: "followers",
}

ADD_TO_COUNTERS = """
    INSERT INTO counters (name, value) SELECT * FROM unnest($1::text[], $2::bigint[])
    ON CONFLICT (name) DO UPDATE SET value = counters.value + excluded.value
"""

# Columns come from the tables above, never from a caller. No row is made again whose playlist is gone, or whose person
# has left.
_ADD_TO_PLAYLISTS = """
    INSERT INTO playlist_counts (playlist_id, {column})
    SELECT playlist_id, amount FROM unnest($1::uuid[], $2::int[]) AS new (playlist_id, amount)
    WHERE EXISTS (SELECT FROM playlists WHERE playlists.playlist_id = new.playlist_id)
    ON CONFLICT (playlist_id) DO UPDATE SET {column} = greatest(0, playlist_counts.{column} + excluded.{column})
"""

_ADD_TO_PEOPLE = """
    INSERT INTO person_counts (user_id, {column})
    SELECT user_id, amount FROM unnest($1::uuid[], $2::int[]) AS new (user_id, amount)
    WHERE EXISTS (SELECT FROM users WHERE users.user_id = new.user_id AND deleted_at IS NULL)
    ON CONFLICT (user_id) DO UPDATE SET {column} = greatest(0, person_counts.{column} + excluded.{column})
"""

# A note that is there is locked, and stays as old as it is: who takes it waits until what it tells of can be read.
TOUCH_PEOPLE = """
    INSERT INTO touched_people AS known (user_id, since)
    SELECT user_id, now() FROM unnest($1::uuid[]) AS touched (user_id)
    WHERE EXISTS (SELECT FROM users WHERE users.user_id = touched.user_id AND deleted_at IS NULL)
    ON CONFLICT (user_id) DO UPDATE SET since = known.since
"""

OWNERS = "SELECT playlist_id, owner_id FROM playlists WHERE playlist_id = ANY($1::uuid[])"

LOCK_HEAT = "SELECT playlist_id, score FROM playlist_heat WHERE playlist_id = ANY($1::uuid[]) FOR UPDATE"

SET_HEAT = """
    INSERT INTO playlist_heat (playlist_id, score)
    SELECT playlist_id, score FROM unnest($1::uuid[], $2::float8[]) AS new (playlist_id, score)
    WHERE EXISTS (SELECT FROM playlists WHERE playlists.playlist_id = new.playlist_id)
    ON CONFLICT (playlist_id) DO UPDATE SET score = excluded.score
"""

DROP_HEAT = "DELETE FROM playlist_heat WHERE playlist_id = ANY($1::uuid[])"

COUNTERS = "SELECT name, value FROM counters"


async def add_to_counters(connection: Connection, batch: Sequence[Signal]) -> None:
    """Count users, tracks and playlists in all."""
    sums = Counter[str]()
    for signal in batch:
        if (name := _COUNTERS.get(signal.kind)) is not None:
            sums[name] += signal.amount
    if sums:
        await connection.execute(ADD_TO_COUNTERS, list(sums), list(sums.values()))


async def add_to_playlists(connection: Connection, batch: Sequence[Signal]) -> None:
    """Count what was done to playlists; plays by their owners do not count."""
    sums: defaultdict[str, Counter[PlaylistId]] = defaultdict(Counter)
    for signal in batch:
        if signal.playlist_id is not None and (column := _OF_PLAYLIST.get(signal.kind)) is not None:
            sums[column][signal.playlist_id] += signal.amount
    for column, of_playlists in sums.items():
        keys, amounts = _in_order(of_playlists)
        await connection.execute(_ADD_TO_PLAYLISTS.format(column=column), keys, amounts)


async def add_to_people(connection: Connection, batch: Sequence[Signal]) -> None:
    """Count what people did and what was done to them and their playlists; note whom it touches."""
    sums: defaultdict[str, Counter[UserId]] = defaultdict(Counter)
    for signal in batch:
        if signal.actor_id is not None and (column := _OF_ACTOR.get(signal.kind)) is not None:
            sums[column][signal.actor_id] += signal.amount
        if signal.user_id is not None and (column := _OF_OTHER.get(signal.kind)) is not None:
            sums[column][signal.user_id] += signal.amount
    for column, of_people in sums.items():
        keys, amounts = _in_order(of_people)
        await connection.execute(_ADD_TO_PEOPLE.format(column=column), keys, amounts)
    acting, concerned = [one.actor_id for one in batch], [one.user_id for one in batch if one.kind in _OF_OTHER]
    if people := sorted({one for one in acting + concerned if one is not None}):
        await connection.execute(TOUCH_PEOPLE, people)


async def add_heat(connection: Connection, batch: Sequence[Signal]) -> None:
    """Keep the score by which playlists are popular, with others than their owners; see `signals.added`."""
    hot = [(one.playlist_id, one) for one in batch if one.playlist_id is not None and one.kind in HEAT]
    owners = await connection.fetch(OWNERS, sorted({playlist_id for playlist_id, _ in hot}))
    owner_of: Mapping[PlaylistId, UserId] = {row["playlist_id"]: row["owner_id"] for row in owners}
    of_playlists: defaultdict[PlaylistId, list[tuple[float, datetime]]] = defaultdict(list)
    for playlist_id, signal in hot:
        if playlist_id in owner_of and signal.actor_id != owner_of[playlist_id]:
            of_playlists[playlist_id].append((HEAT[signal.kind] * signal.amount, signal.at))
    if not of_playlists:
        return
    rows = await connection.fetch(LOCK_HEAT, sorted(of_playlists))
    before: Mapping[PlaylistId, float] = {row["playlist_id"]: row["score"] for row in rows}
    after: dict[PlaylistId, float | None] = {}
    for playlist_id, steps in of_playlists.items():
        score = before.get(playlist_id)
        for weight, at in steps:
            score = added(score, weight, at, HEAT_HALF_LIFE)
        after[playlist_id] = score
    kept = sorted((playlist_id, score) for playlist_id, score in after.items() if score is not None)
    await connection.execute(SET_HEAT, [each[0] for each in kept], [each[1] for each in kept])
    await connection.execute(DROP_HEAT, [playlist_id for playlist_id, score in after.items() if score is None])


async def counters(connection: Connection) -> dict[str, int]:
    """Return how many users, tracks and playlists there are, as of a second ago."""
    return {row["name"]: row["value"] for row in await connection.fetch(COUNTERS)}


def _in_order(sums: Counter[PlaylistId] | Counter[UserId]) -> tuple[list[str], list[int]]:
    """Return keys and amounts, without those that come to nothing; always in one order, as rows are locked in it."""
    kept = sorted((str(key), amount) for key, amount in sums.items() if amount)
    return [key for key, _ in kept], [amount for _, amount in kept]
