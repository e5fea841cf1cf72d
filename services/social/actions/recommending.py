"""Gathers what a person might like: asks the index of sound and the tables of behaviour, and blends both."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from services.chassis.errors import Aborted
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
from services.social.store import accounts, blocks, pairs, tastes
from services.social.store.database import Database
from services.social.taste_client import TasteClient

_POPULAR_DAYS = timedelta(days=2)
# It is the same for everybody, and reads all that was heard in these days.
_POPULAR_LIFE = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Recommendations:
    """Tracks, best first; the part of behaviour that was used; whether anything was heard; why sound is away."""

    tracks: list[Recommended]
    artists: dict[TrackId, str]
    blend: float
    is_by_taste: bool
    away: TastesAway | None

    @property
    def is_sound_away(self) -> bool:
        """Whether behaviour answered alone."""
        return self.away is not None


class Popular:
    """What most people heard lately, asked of the database once in a while.

    Args:
        database: The truth.
        clock: Time of day.
    """

    def __init__(self, database: Database, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._clock = clock
        self._asking = asyncio.Lock()
        self._asked_at: datetime | None = None
        self._found: list[TrackId] = []

    async def tracks(self) -> list[TrackId]:
        """Return tracks, those first that most people heard in the last three days, as of 5 minutes ago at most."""
        async with self._asking:
            now = self._clock()
            if self._asked_at is None or now - self._asked_at >= _POPULAR_LIFE:
                today = now.astimezone(UTC).date()
                async with self._database.connection() as connection:
                    self._found = await pairs.popular_tracks(
                        connection, today - _POPULAR_DAYS, today, 2 * MOST_RECOMMENDED
                    )
                self._asked_at = now
            return self._found


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
        self._popular = Popular(database, clock)

    async def tracks(self, user_id: UserId, blend: float | None) -> Recommendations:
        """Find at most 200 tracks that somebody might like, and has not heard yet.

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
        away: TastesAway | None = None
        if heard and used < 1:
            try:
                sound = await self._client.recommend_tracks(user_id, blocked)
            except TastesAway as error:
                away, used = error, 1.0
        kept, artists = await self._allowed(user_id, fuse(sound, behaviour, used))
        if not kept:
            kept, artists = await self._allowed(user_id, popular(await self._popular.tracks()))
        return Recommendations(kept[:MOST_RECOMMENDED], artists, used if heard else 0.0, bool(heard), away)

    async def people(self, user_id: UserId, count: int) -> list[tuple[UserId, float]]:
        """Find people of a like taste, with cosines, most alike first; nobody for who has heard nothing.

        Raises:
            TastesAway, TasteUncounted: Tastes cannot be compared now.
        """
        async with self._database.connection() as connection:
            if not await pairs.count_heard(connection, user_id):
                return []
            excluded = await pairs.excluded_people(connection, user_id)
        found = await self._client.find_people(user_id, excluded)
        async with self._database.connection() as connection:
            # The index may be late: who was blocked or left a moment ago is left out.
            allowed = await pairs.recommendable(connection, user_id, [one for one, _ in found])
        return [(one, cosine) for one, cosine in found if one in allowed][:count]

    async def mix(self, user_id: UserId, day: date) -> list[Recommended]:
        """Return somebody's mix of a day; what they block since it was made is left out.

        Raises:
            TastesAway, TasteUncounted: It was not made yet, and tastes cannot be compared now.
            Aborted: What it was made of was forgotten meanwhile.
        """
        async with self._database.connection() as connection:
            stored = await tastes.mix_of(connection, user_id, day)
        if stored is None:
            found = await self.tracks(user_id, None)
            if found.away is not None:
                raise found.away
            made = mix_of_day(found.tracks, found.artists, user_id, day)
            async with self._database.transaction() as connection:
                await accounts.lock_person(connection, user_id)
                if found.is_by_taste and not await pairs.count_heard(connection, user_id):
                    raise Aborted("what this mix was made of is forgotten, try again", retry_after_ms=100)
                if made:
                    await tastes.insert_mix(connection, user_id, day, [_stored(one) for one in made])
                # Of two that are made at once the first stays.
                stored = await tastes.mix_of(connection, user_id, day) or []
        tracks = [_mixed(one) for one in stored]
        async with self._database.connection() as connection:
            allowed = await pairs.allowed(connection, user_id, [one.track_id for one in tracks])
        return [one for one in tracks if one.track_id in allowed]

    async def _allowed(
        self, user_id: UserId, found: Sequence[Recommended]
    ) -> tuple[list[Recommended], dict[TrackId, str]]:
        """Return what somebody has not heard and may be given, and its artists."""
        track_ids = [one.track_id for one in found]
        async with self._database.connection() as connection:
            artists = await pairs.allowed(connection, user_id, track_ids)
            heard = await pairs.heard_of(connection, user_id, track_ids)
        return [one for one in found if one.track_id in artists and one.track_id not in heard], artists


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
