"""The report of what is heard: each play in it once, people by the day, and no title that is not public."""

import csv
import io
from datetime import datetime, timedelta

import pytest

from museed.social.v1 import trends_pb2, trends_pb2_grpc
from services.chassis.errors import DomainError, PermissionDenied
from services.social.actions.history import forget_plays
from services.social.domain.signals import SignalKind
from services.social.store import signals
from services.social.store.database import Database
from services.social.store.trends import fold
from services.social.workers.tallier import Tallier
from tests.integration.social.conftest import TIMEOUT_S, Client, Person, Sql
from tests.integration.social.test_listening import NOW, make_artist, make_track, play, record
from tests.integration.social.test_tallier import make_person, make_playlist

Figures = tuple[str, str, int, int, int, int]


async def count(database: Database) -> None:
    await Tallier(database, [fold]).catch_up()


async def figures(sql: Sql) -> set[Figures]:
    rows = await sql.fetch("SELECT dimension, subject, plays, listeners, likes, saves FROM daily_trends")
    return {tuple(row) for row in rows if any(tuple(row)[2:])}


async def test_plays_likes_and_copies_are_counted_and_taken_back(database: Database, sql: Sql) -> None:
    who, other, owner = [await make_person(sql, name) for name in ("who", "other", "owner")]
    artist = await make_artist(sql, "An Artist")
    one, two = await make_track(sql, "one", artist_id=artist), await make_track(sql, "two", artist_id=artist)
    playlist_id = await make_playlist(sql, owner)
    await sql.execute("UPDATE playlists SET visibility = 'PUBLIC'")
    mine = [play(one, playlist_id=playlist_id), play(two), play(one, NOW - timedelta(minutes=6))]
    await record(database, who, *mine)
    await record(database, other, play(one))
    async with database.transaction() as connection:
        for kind in (SignalKind.LIKE, SignalKind.SAVE, SignalKind.COMMENT):
            await signals.add(connection, kind, NOW, actor_id=other, playlist_id=playlist_id, user_id=owner)
    await count(database)
    assert await figures(sql) == {
        ("GENRE", "Rock", 4, 2, 0, 0),
        ("TRACK", one, 3, 2, 0, 0),
        ("TRACK", two, 1, 1, 0, 0),
        ("ARTIST", artist, 4, 2, 0, 0),
        ("PLAYLIST", playlist_id, 1, 1, 1, 1),
    }
    await forget_plays(database, who, [mine[2].play_id], NOW)
    await count(database)
    assert ("TRACK", one, 2, 2, 0, 0) in await figures(sql), "another play of that day is left"
    await forget_plays(database, who, [mine[0].play_id, mine[1].play_id], NOW)
    async with database.transaction() as connection:
        await signals.add(
            connection, SignalKind.LIKE, NOW, actor_id=other, playlist_id=playlist_id, user_id=owner, amount=-1
        )
    await count(database)
    assert await figures(sql) == {
        ("GENRE", "Rock", 1, 1, 0, 0),
        ("TRACK", one, 1, 1, 0, 0),
        ("ARTIST", artist, 1, 1, 0, 0),
        ("PLAYLIST", playlist_id, 0, 0, 0, 1),
    }
    assert await sql.fetchval("SELECT count(*) FROM trend_plays") == 0


async def test_plays_of_ones_own_playlist_are_none_of_the_playlist(database: Database, sql: Sql) -> None:
    owner, fan = await make_person(sql, "owner"), await make_person(sql, "fan")
    song = await make_track(sql, "song")
    playlist_id = await make_playlist(sql, owner)
    await sql.execute("UPDATE playlists SET visibility = 'PUBLIC'")
    own = play(song, playlist_id=playlist_id)
    await record(database, owner, own)
    await record(database, fan, play(song, playlist_id=playlist_id))
    await count(database)
    of_both = {("GENRE", "Rock", 2, 2, 0, 0), ("TRACK", song, 2, 2, 0, 0)}
    assert await figures(sql) == of_both | {("PLAYLIST", playlist_id, 1, 1, 0, 0)}
    await forget_plays(database, owner, [own.play_id], NOW)
    await count(database)
    assert ("PLAYLIST", playlist_id, 1, 1, 0, 0) in await figures(sql)


async def fill(sql: Sql, dimension: str, rows: list[tuple[str, str, int]]) -> None:
    for day, subject, plays in rows:
        await sql.execute(
            "INSERT INTO daily_trends (day, dimension, subject, plays, listeners) VALUES ($1, $2, $3, $4, 1)",
            datetime.fromisoformat(day).date(),
            dimension,
            subject,
            plays,
        )


def stub(social: Client) -> "trends_pb2_grpc.TrendServiceAsyncStub":
    return trends_pb2_grpc.TrendServiceStub(social.channel)


async def read(social: Client, admin: Person, request: trends_pb2.ListTrendsRequest) -> list[tuple[str, str, int]]:
    found: list[tuple[str, str, int]] = []
    while True:
        page = await stub(social).ListTrends(request, timeout=TIMEOUT_S, metadata=admin.metadata)
        assert len(page.trends) <= request.page_size
        found += [(one.day, one.subject, one.play_count) for one in page.trends]
        if not page.next_page_token:
            return found
        request.page_token = page.next_page_token


@pytest.mark.parametrize("size", [1, 2, 3, 500])
async def test_pages_together_are_the_report(social: Client, sql: Sql, size: int) -> None:
    admin = await social.sign_up("admin")
    await fill(
        sql,
        "GENRE",
        [
            ("2026-10-30", "Rock", 100),
            ("2026-10-31", "Rock", 1),
            ("2026-11-01", "Rock", 2),
            ("2026-11-01", "Jazz", 3),
            ("2026-11-16", "Jazz", 4),
            ("2026-11-17", "Jazz", 5),
            ("2026-11-18", "Jazz", 200),
        ],
    )

    def request(period: trends_pb2.TrendPeriod.ValueType, subject: str = "") -> trends_pb2.ListTrendsRequest:
        return trends_pb2.ListTrendsRequest(
            dimension=trends_pb2.TREND_DIMENSION_GENRE,
            from_day="2026-10-31",
            to_day="2026-11-17",
            period=period,
            subject=subject,
            page_size=size,
        )

    assert await read(social, admin, request(trends_pb2.TREND_PERIOD_DAY)) == [
        ("2026-10-31", "Rock", 1),
        ("2026-11-01", "Jazz", 3),
        ("2026-11-01", "Rock", 2),
        ("2026-11-16", "Jazz", 4),
        ("2026-11-17", "Jazz", 5),
    ]
    assert await read(social, admin, request(trends_pb2.TREND_PERIOD_WEEK)) == [
        ("2026-10-26", "Jazz", 3),
        ("2026-10-26", "Rock", 3),
        ("2026-11-16", "Jazz", 9),
    ]
    assert await read(social, admin, request(trends_pb2.TREND_PERIOD_MONTH, "Jazz")) == [("2026-11-01", "Jazz", 12)]


async def test_a_file_comes_in_parts_without_formulas_and_closed_titles(social: Client, sql: Sql) -> None:
    admin = await social.sign_up("admin")
    owner = await make_person(sql, "owner")
    lists = [await make_playlist(sql, owner) for _ in range(3)]
    await sql.execute("UPDATE playlists SET visibility = 'PUBLIC', title = '=SUM(1)' WHERE playlist_id = $1", lists[0])
    await fill(sql, "PLAYLIST", [("2026-11-16", playlist_id, 2) for playlist_id in lists])
    request = trends_pb2.ExportTrendsRequest(
        dimension=trends_pb2.TREND_DIMENSION_PLAYLIST, from_day="2026-11-16", to_day="2026-11-16", page_size=2
    )
    first = await stub(social).ExportTrends(request, timeout=TIMEOUT_S, metadata=admin.metadata)
    request.page_token = first.next_page_token
    last = await stub(social).ExportTrends(request, timeout=TIMEOUT_S, metadata=admin.metadata)
    assert last.next_page_token == ""
    rows = list(csv.reader(io.StringIO((first.content + last.content).decode(), newline="")))
    assert rows == [
        ["day", "subject", "label", "plays", "listeners", "likes", "saves"],
        *(["2026-11-16", one, "'=SUM(1)" if one == lists[0] else "", "2", "1", "0", "0"] for one in sorted(lists)),
    ]


async def test_reports_are_for_admins_and_within_bounds(social: Client) -> None:
    admin, user = await social.sign_up("admin"), await social.sign_up("user")
    good = {"dimension": trends_pb2.TREND_DIMENSION_TRACK, "from_day": "2026-11-16", "to_day": "2026-11-16"}

    def request(**change: object) -> trends_pb2.ListTrendsRequest:
        return trends_pb2.ListTrendsRequest(**{**good, **change})  # type: ignore[arg-type]  # any field

    with pytest.raises(PermissionDenied):
        await stub(social).ListTrends(request(), timeout=TIMEOUT_S, metadata=user.metadata)
    for change, field in (
        ({"dimension": 0}, "dimension"),
        ({"dimension": 99}, "dimension"),
        ({"period": 99}, "period"),
        ({"from_day": ""}, "from_day"),
        ({"to_day": "2026-11-15"}, "to_day"),
        ({"subject": "Rock"}, "subject"),
        ({"page_size": -1}, "page_size"),
        ({"page_token": "x"}, "page_token"),
    ):
        with pytest.raises(DomainError) as refusal:
            await stub(social).ListTrends(request(**change), timeout=TIMEOUT_S, metadata=admin.metadata)
        assert refusal.value.field == field
