"""Gathers what a person might like: asks the index of sound and the tables of behaviour, and blends both."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from services.social.domain.ids import TrackId, UserId
from services.social.domain.recommendation import (
    MOST_RECOMMENDED,
    Recommended,
    Source,
    fuse,
    mix_of_day,
    natural_blend,
    popular,
)
from services.social.errors.tastes import TastesAway
from services.social.store import blocks, pairs, tastes
from services.social.store.database import Connection, Database
from services.social.taste_client import TasteClient

_POPULAR_DAYS = timedelta(days=2)


@dataclass(frozen=True, slots=True)
class Recommendations:
    """Tracks, best first; the part of behaviour that was used; whether sound could not be asked."""

    tracks: list[Recommended]
    artists: dict[TrackId, str]
    blend: float
    is_sound_away: bool


class Recommender:
    """Finds tracks and people for somebody.

    Args:
        database: The truth.
        client: Asks the index.
        clock: Time of day.
    """

    def __init__(self, database: Database, client: TasteClient, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._client = client
        self._clock = clock

    async def tracks(self, user_id: UserId, blend: float | None) -> Recommendations:
        """Find at most 200 tracks that somebody might like.

        Args:
            user_id: For whom.
            blend: Part of behaviour, 0 to 1; None lets it rise with what is known of them. Where sound is away,
                behaviour answers alone.
        """
        async with self._database.connection() as connection:
            heard = await pairs.count_heard(connection, user_id)
            blocked = await blocks.blocks_of(connection, user_id)
            behaviour = await pairs.behaviour_of(connection, user_id, 2 * MOST_RECOMMENDED)
        used = natural_blend(heard) if blend is None else blend
        sound: list[tuple[TrackId, float]] = []
        is_away = False
        if heard and used < 1:
            try:
                sound = await self._client.recommend_tracks(user_id, blocked.track_ids, blocked.artists)
            except TastesAway:
                is_away, used = True, 1.0
        async with self._database.connection() as connection:
            found = fuse(sound, behaviour, used) if heard else await self._popular(connection)
            artists = await pairs.allowed(connection, user_id, [one.track_id for one in found])
        kept = [one for one in found if one.track_id in artists]
        return Recommendations(kept[:MOST_RECOMMENDED], artists, used if heard else 0.0, is_away)

    async def people(self, user_id: UserId, count: int) -> list[tuple[UserId, float]]:
        """Find people of a like taste, with cosines, most alike first.

        Raises:
            TastesAway: Tastes cannot be compared now.
        """
        async with self._database.connection() as connection:
            excluded = await pairs.excluded_people(connection, user_id)
        found = await self._client.find_people(user_id, excluded)
        async with self._database.connection() as connection:
            # The index may be late: who was blocked or left a moment ago is left out.
            gone = set(await pairs.excluded_people(connection, user_id))
            listed = await pairs.listed_people(connection, [one for one, _ in found])
        return [(one, cosine) for one, cosine in found if one in listed - gone and one != user_id][:count]

    async def mix(self, user_id: UserId, day: date) -> list[Recommended]:
        """Return somebody's mix of a day; what they block since it was made is left out.

        Raises:
            TastesAway: It was not made yet, and tastes cannot be compared now.
        """
        async with self._database.connection() as connection:
            stored = await tastes.mix_of(connection, user_id, day)
        if stored is None:
            found = await self.tracks(user_id, None)
            if found.is_sound_away:
                raise TastesAway("a mix is made of sound too")
            made = mix_of_day(found.tracks, found.artists, user_id, day)
            async with self._database.transaction() as connection:
                if made:
                    await tastes.insert_mix(connection, user_id, day, [_stored(one) for one in made])
                # Of two that are made at once the first stays.
                stored = await tastes.mix_of(connection, user_id, day) or []
        tracks = [_mixed(one) for one in stored]
        async with self._database.connection() as connection:
            allowed = await pairs.allowed(connection, user_id, [one.track_id for one in tracks])
        return [one for one in tracks if one.track_id in allowed]

    async def _popular(self, connection: Connection) -> list[Recommended]:
        today = self._clock().astimezone(UTC).date()
        return popular(await pairs.popular_tracks(connection, today - _POPULAR_DAYS, today, 2 * MOST_RECOMMENDED))


def _stored(one: Recommended) -> list[object]:
    return [one.track_id, one.source.value, one.similarity, one.because]


def _mixed(stored: list[object]) -> Recommended:
    track_id, source, similarity, because = stored
    return Recommended(
        TrackId(str(track_id)),
        Source(str(source)),
        similarity if isinstance(similarity, float) else None,
        TrackId(str(because)) if because is not None else None,
        0.0,
    )
