"""A population of the size that MUSEED was designed for, loaded with COPY: people, follows, playlists, likes, plays.

Who is popular follows a power law, as it does everywhere: a few are followed by thousands, one follows 5,000. Triggers
and foreign keys are off while rows are copied; what triggers would have made of them is made afterwards (`derived`).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
import numpy as np
from numpy.typing import NDArray

from benchmarks.people.derived import Sql, derive

Int64Array = NDArray[np.int64]

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
# MUSEED's genres with their shares of the library in the documents it was designed by.
_GENRES = ("Rock", "Electronic", "Hip-Hop", "Experimental", "Pop", "Folk", "Instrumental", "Classical", "Jazz", "Metal")
_WORDS = "night river glass summer echo silver garden winter signal ocean paper violet engine mirror gold dust".split()
_CHUNK = 100_000
_BIGGEST_FOLLOWER = 5_000
_YEAR_S = 365 * 86_400
_TABLES = ("users", "playlists", "tracks", "follows", "playlist_entries", "likes", "activities", "plays")


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much of everything."""

    users: int = 100_000
    follows: int = 1_000_000
    playlists: int = 200_000
    likes: int = 2_500_000
    plays: int = 2_500_000
    tracks: int = 106_574

    def scaled(self, scale: float) -> "Sizes":
        """Return a smaller population, for a try."""
        names = ("users", "follows", "playlists", "likes", "plays", "tracks")
        return Sizes(**{name: max(20, int(getattr(self, name) * scale)) for name in names})


@dataclass(frozen=True, slots=True)
class Population:
    """What is there.

    Attributes:
        users: Ids, by number.
        public_playlists: Ids of lists that all may see.
        tracks: Ids.
        rows: How many a table has.
    """

    users: list[str]
    public_playlists: list[str]
    tracks: list[str]
    rows: dict[str, int]

    @property
    def busiest_follower(self) -> str:
        """Who follows the 5,000 most popular people."""
        return self.users[0]

    @property
    def quiet_follower(self) -> str:
        """Who follows the 5,000 people that have not done anything for the longest time."""
        return self.users[-1]


class _Loader:
    def __init__(self, sql: Sql, sizes: Sizes) -> None:
        self.sql = sql
        self._sizes = sizes
        self._random = np.random.default_rng(0)

    async def copy(self, table: str, columns: str, rows: Iterable[Sequence[object]]) -> None:
        chunk: list[Sequence[object]] = []

        async def flush() -> None:
            if chunk:
                await self.sql.copy_records_to_table(table, records=chunk, columns=columns.split())
                chunk.clear()

        for row in rows:
            chunk.append(row)
            if len(chunk) == _CHUNK:
                await flush()
        await flush()

    def popular(self, count: int, among: int) -> Int64Array:
        """Draw numbers below `among`, low ones more often: the share of rank r falls as r to the power of −0.7."""
        return np.minimum((among * self._random.random(count) ** (1 / 0.3)).astype(np.int64), among - 1)

    def anyone(self, count: int, among: int) -> Int64Array:
        return self._random.integers(0, among, count)

    def moments(self, count: int) -> list[datetime]:
        """Draw moments of the last year, the last weeks more often, in order."""
        ages = np.sort(self._random.exponential(_YEAR_S / 6, count).clip(0, _YEAR_S))[::-1]
        return [NOW - timedelta(seconds=age) for age in ages.tolist()]


def _ids(count: int, kind: int, moments: Sequence[datetime] | None = None) -> list[UUID]:
    """Return UUIDv7-like ids: by time where there is one, else in a row."""
    made = []
    for number in range(count):
        at = moments[number] if moments is not None else NOW - timedelta(days=400) + timedelta(seconds=number)
        ms = int(at.timestamp() * 1000)
        made.append(UUID(int=(ms << 80) | (0x7 << 76) | (kind << 64) | (0x2 << 62) | number))
    return made


async def loaded(url: str) -> Population | None:
    """Return the population that a database holds, None where it is empty."""
    sql = await asyncpg.connect(url, command_timeout=120)
    try:
        users, playlists, tracks = [
            [str(row[0]) for row in await sql.fetch(query)]
            for query in (
                "SELECT user_id FROM users ORDER BY user_id",
                "SELECT playlist_id FROM playlists WHERE visibility = 'PUBLIC' ORDER BY playlist_id",
                "SELECT track_id FROM tracks ORDER BY track_id",
            )
        ]
        counts = {table: await sql.fetchval(f"SELECT count(*) FROM {table}") for table in _TABLES}
    finally:
        await sql.close()
    return Population(users, playlists, tracks, counts) if users else None


async def load(url: str, sizes: Sizes) -> None:
    """Load a population into an empty, migrated database; nine minutes at full size."""
    sql = await asyncpg.connect(url, command_timeout=1800)
    try:
        await sql.execute("SET session_replication_role = replica; SET synchronous_commit = off")
        await _load(_Loader(sql, sizes), sizes)
        await derive(sql)
        await sql.execute("SET session_replication_role = origin")
        await sql.execute("VACUUM ANALYZE")
        await sql.execute("CHECKPOINT")
    finally:
        await sql.close()


async def _load(loader: _Loader, sizes: Sizes) -> None:
    users, playlists, tracks = _ids(sizes.users, 1), _ids(sizes.playlists, 2), _ids(sizes.tracks, 3)
    root = _ids(1, 4)[0]
    await loader.sql.execute("INSERT INTO roots (root_id, location) VALUES ($1, '/music')", root)
    await loader.copy(
        "users",
        "user_id username username_key nickname email email_key role password_hash created_at updated_at",
        _users(users),
    )
    await loader.copy(
        "tracks",
        "track_id root_id relative_path file_hash audio_hash size_bytes content_type title artist album raw_genre genre"
        " is_genre_known year header_seconds search_title search_text",
        _tracks(loader, tracks, root),
    )
    await loader.copy(
        "follows", "follower_id followee_id at", _pairs(loader, users, users, sizes.follows, _BIGGEST_FOLLOWER)
    )
    owners = loader.popular(sizes.playlists, sizes.users)
    made = loader.moments(sizes.playlists)
    await loader.copy(
        "playlists",
        "playlist_id owner_id title visibility created_at updated_at share_slug listed_at",
        _playlists(playlists, users, owners, made),
    )
    lengths = loader._random.integers(5, 46, sizes.playlists)
    await loader.copy(
        "playlist_entries",
        "entry_id playlist_id track_id position seconds",
        _entries(loader, playlists, tracks, lengths),
    )
    await loader.copy("likes", "user_id playlist_id at", _pairs(loader, users, playlists, sizes.likes, 2_000))
    await _plays(loader, users, tracks)


def _users(users: Sequence[UUID]) -> Iterator[Sequence[object]]:
    for number, each in enumerate(users):
        name = f"person{number}"
        email = f"{name}@example.org"
        yield each, name, name, f"Person {number}", email, email, "user", "", NOW, NOW


def _playlists(
    playlists: Sequence[UUID], users: Sequence[UUID], owners: Int64Array, made: Sequence[datetime]
) -> Iterator[Sequence[object]]:
    for number, (each, owner, at) in enumerate(zip(playlists, owners.tolist(), made, strict=True)):
        is_public = number % 10 >= 3
        title, visibility = f"{_WORDS[number % 16]} {number}", "PUBLIC" if is_public else "PRIVATE"
        yield each, users[owner], title, visibility, at, at, f"slug-{number}", at if is_public else None


def _tracks(loader: _Loader, tracks: Sequence[UUID], root: UUID) -> Iterator[Sequence[object]]:
    random = loader._random
    for number, each in enumerate(tracks):
        words = random.choice(_WORDS, 2)
        title, artist, album = (
            f"{words[0]} {words[1]} {number % 997}",
            f"artist {number % 9001}",
            f"album {number % 14001}",
        )
        digest = number.to_bytes(32, "big")
        seconds = float(random.integers(90, 420))
        text = f"{title} {artist} {album}"
        genre = _GENRES[number % len(_GENRES)]
        path, year = f"{number}.ogg".encode(), 1960 + number % 65
        yield (
            each, root, path, digest, digest, 4_000_000, "audio/ogg", title, artist, album, genre, genre, True, year,
            seconds, title, text,
        )  # fmt: skip


def _pairs(
    loader: _Loader, users: Sequence[UUID], others: Sequence[UUID], count: int, most: int
) -> Iterator[Sequence[object]]:
    """Yield who follows or likes what: any person, what is popular; the first of them `most` things."""
    first = np.zeros(min(most, count // 10, len(others) - 1), np.int64)
    people = np.concatenate([first, 1 + loader.anyone(count, len(users) - 1)])
    things = np.concatenate([1 + np.arange(len(first)), loader.popular(count, len(others))])
    keys = np.unique(people * len(others) + things)
    if others is users:
        keys = keys[keys // len(others) != keys % len(others)]
    for key, at in zip(loader._random.permutation(keys)[:count].tolist(), loader.moments(count), strict=False):
        yield users[key // len(others)], others[key % len(others)], at


def _entries(
    loader: _Loader, playlists: Sequence[UUID], tracks: Sequence[UUID], lengths: Int64Array
) -> Iterator[Sequence[object]]:
    number = 0
    for playlist, length in zip(playlists, lengths.tolist(), strict=True):
        for position, track in enumerate(loader.popular(length, len(tracks)).tolist()):
            yield UUID(int=(5 << 64) | (0x7 << 76) | (0x2 << 62) | number), playlist, tracks[track], position, 200.0
            number += 1


async def _plays(loader: _Loader, users: Sequence[UUID], tracks: Sequence[UUID]) -> None:
    count = loader._sizes.plays
    people, heard = loader.anyone(count, len(users)), loader.popular(count, len(tracks))
    moments = loader.moments(count)
    await loader.copy(
        "plays",
        "play_id user_id track_id genre played_at heard_seconds counted received_at",
        (
            (play, users[person], tracks[track], _GENRES[track % len(_GENRES)], at, 60.0, True, at)
            for play, person, track, at in zip(
                _ids(count, 8, moments), people.tolist(), heard.tolist(), moments, strict=True
            )
        ),
    )
