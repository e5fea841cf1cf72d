"""Plays: which count, what is summed of them, and what is left when they are forgotten."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from deploy.local.postgres import Postgres
from museed.social.v1 import listening_pb2, listening_pb2_grpc, people_events_pb2
from services.chassis.errors import DomainError, NotFound
from services.social.actions.history import forget_all, forget_plays, record_plays
from services.social.domain.ids import PlaylistId, TrackId, UserId, new_id
from services.social.domain.listening import Play, PlayOutcome
from services.social.domain.ranges import ListeningRange
from services.social.domain.signals import added
from services.social.servicer.listening import ListeningServicer
from services.social.store import charts
from services.social.store.database import Database
from tests.conftest import fresh_database
from tests.integration.social.conftest import TIMEOUT_S, Client, Person, Sql, sha
from tests.integration.social.test_tallier import make_person, make_playlist, tallier

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
COUNTED, TOO_SHORT, TOO_SOON = PlayOutcome.COUNTED, PlayOutcome.TOO_SHORT, PlayOutcome.TOO_SOON
HALF_LIFE = timedelta(days=30)


async def make_artist(sql: Sql, name: str) -> str:
    artist_id = new_id()
    await sql.execute(
        "INSERT INTO artists (artist_id, name, name_key, search_name) VALUES ($1, $2, $2, $2)", artist_id, name
    )
    return artist_id


async def make_track(
    sql: Sql, name: str, genre: str = "Rock", seconds: float = 180.0, artist_id: str | None = None
) -> TrackId:
    track_id = TrackId(new_id())
    await sql.execute("INSERT INTO roots (root_id, location) VALUES ($1, '/music') ON CONFLICT DO NOTHING", new_id())
    root_id = await sql.fetchval("SELECT root_id FROM roots")
    await sql.execute(
        "INSERT INTO tracks (track_id, root_id, relative_path, file_hash, audio_hash, size_bytes, content_type, title,"
        " artist, album, raw_genre, genre, is_genre_known, year, header_seconds, search_title, search_text, artist_id)"
        " VALUES ($1, $2, $3, $4, $5, 1, 'audio/ogg', $6, 'Somebody', '', $7, $7, true, 1999, $8, $6, $6, $9)",
        track_id,
        root_id,
        name.encode(),
        sha(f"file {name}"),
        sha(f"audio {name}"),
        name,
        genre,
        seconds,
        artist_id,
    )
    return track_id


def play(
    track_id: TrackId,
    at: datetime = NOW,
    heard: float = 60.0,
    playlist_id: PlaylistId | None = None,
    play_id: str | None = None,
) -> Play:
    return Play(play_id or new_id(), track_id, playlist_id, at, heard)


async def record(database: Database, user_id: UserId, *plays: Play, now: datetime = NOW) -> list[PlayOutcome]:
    return await record_plays(database, user_id, plays, now)


async def figures(sql: Sql, user_id: UserId) -> dict[str, list[tuple[object, ...]]]:
    """Everything that is summed of a person's plays."""
    statements = {
        "tracks": "SELECT track_id::text, plays, first_at, last_at, round(score::numeric, 6) FROM listening"
        " WHERE user_id = $1 ORDER BY 1",
        "days": "SELECT day, genre, plays, seconds FROM daily_listening WHERE user_id = $1 ORDER BY 1, 2",
        "months": "SELECT month, track_id::text, plays FROM daily_tracks_of WHERE user_id = $1 ORDER BY 1, 2",
    }
    return {name: [tuple(row) for row in await sql.fetch(text, user_id)] for name, text in statements.items()}


async def test_a_play_is_summed_once_however_often_it_is_sent(database: Database, sql: Sql) -> None:
    who, song = await make_person(sql, "who"), await make_track(sql, "song")
    first = play(song, NOW - timedelta(hours=1))
    assert await record(database, who, first) == [COUNTED]
    after_one = await figures(sql, who)
    assert await record(database, who, first, first) == [PlayOutcome.DUPLICATE] * 2
    assert await figures(sql, who) == after_one
    at = NOW - timedelta(hours=1)
    score = added(None, 1.0, at, HALF_LIFE)
    (row,) = after_one["tracks"]
    assert row[:4] == (song, 1, at, at)
    assert float(str(row[4])) == pytest.approx(score, abs=1e-6)
    assert after_one["days"] == [(at.date(), "Rock", 1, 60.0)]
    assert after_one["months"] == [(at.date().replace(day=1), song, 1)]
    payloads = await sql.fetch("SELECT payload, key FROM outbox WHERE subject = 'museed.social.v1.track_played'")
    told = people_events_pb2.TrackPlayed.FromString(payloads[0]["payload"])
    assert len(payloads) == 1
    assert (told.play_id, told.user_id, told.track_id, payloads[0]["key"]) == (first.play_id, who, song, who)


async def test_of_plays_within_five_minutes_one_counts_however_late_they_are_told(database: Database, sql: Sql) -> None:
    who, song, other = await make_person(sql, "who"), await make_track(sql, "song"), await make_track(sql, "other")
    at = NOW - timedelta(days=2)
    assert await record(database, who, play(song, at)) == [COUNTED]
    near = [play(song, at + timedelta(seconds=299)), play(song, at - timedelta(seconds=299)), play(other, at)]
    assert await record(database, who, *near) == [TOO_SOON, TOO_SOON, COUNTED]
    far = [play(song, at + timedelta(minutes=10)), play(song, at + timedelta(minutes=5)), play(song, at, heard=29.0)]
    assert await record(database, who, *far) == [COUNTED, COUNTED, TOO_SHORT]
    assert [row[1] for row in sorted((await figures(sql, who))["tracks"], key=lambda row: str(row[0] != song))] == [
        3,
        1,
    ]


async def test_plays_of_no_track_and_of_another_time_are_left_out(database: Database, sql: Sql) -> None:
    who, song = await make_person(sql, "who"), await make_track(sql, "song", seconds=40.0)
    plays = [
        play(TrackId(new_id())),
        play(song, NOW + timedelta(seconds=61)),
        play(song, NOW - timedelta(days=14, seconds=1)),
        play(song, NOW, heard=19.9),
        play(song, NOW + timedelta(seconds=60), heard=20.0),
    ]
    assert await record(database, who, *plays) == [
        PlayOutcome.UNKNOWN_TRACK,
        PlayOutcome.IN_FUTURE,
        PlayOutcome.TOO_OLD,
        TOO_SHORT,
        COUNTED,
    ]
    assert await sql.fetchval("SELECT count(*) FROM plays") == 2


async def test_a_day_keeps_so_many_plays(database: Database, sql: Sql) -> None:
    who, song = await make_person(sql, "who"), await make_track(sql, "song")
    await sql.execute(
        "INSERT INTO plays SELECT uuidv7(), $1, $2, NULL, 'Rock', NULL, $3::timestamptz - interval '6 hours', 1, false,"
        " $3 FROM generate_series(1, 4999)",
        who,
        song,
        NOW,
    )
    plays = [play(song), play(song, NOW - timedelta(hours=1)), play(song, NOW - timedelta(days=1))]
    assert await record(database, who, *plays) == [PlayOutcome.TOO_MANY, COUNTED, COUNTED]
    assert await record(database, who, plays[0]) == [PlayOutcome.TOO_MANY], "it is not kept, and may be told again"
    assert await sql.fetchval("SELECT count(*) FROM plays") == 5_001


async def test_one_of_two_devices_that_tell_the_same_at_once_is_counted(database: Database, sql: Sql) -> None:
    who, song = await make_person(sql, "who"), await make_track(sql, "song")
    same = [play(song, NOW - timedelta(minutes=20 * number)) for number in range(5)]
    near = [play(song, NOW - timedelta(minutes=20 * number, seconds=30)) for number in range(5)]
    answers = await asyncio.gather(*(record(database, who, *told) for told in (same, near, same, near)))
    assert sum(outcome is COUNTED for answer in answers for outcome in answer) == 5
    assert [row[1] for row in (await figures(sql, who))["tracks"]] == [5]
    assert await sql.fetchval("SELECT sum(amount) FROM signals WHERE kind = 'play'") == 5


async def test_an_id_that_somebody_else_uses_is_theirs(database: Database, sql: Sql) -> None:
    who, other, song = await make_person(sql, "who"), await make_person(sql, "other"), await make_track(sql, "song")
    play_id = new_id()
    answers = await asyncio.gather(
        record(database, who, play(song, play_id=play_id)), record(database, other, play(song, play_id=play_id))
    )
    assert sorted(answers) == [[COUNTED], [PlayOutcome.DUPLICATE]]
    assert await sql.fetchval("SELECT count(*) FROM listening") == 1
    assert await sql.fetchval("SELECT count(*) FROM outbox WHERE subject LIKE '%track_played'") == 1


async def test_own_plays_do_not_lift_ones_own_playlist_and_nobodys_lift_what_is_closed_to_them(
    database: Database, sql: Sql
) -> None:
    owner, fan, song = await make_person(sql, "owner"), await make_person(sql, "fan"), await make_track(sql, "song")
    playlist_id = await make_playlist(sql, owner)
    await record(database, fan, play(song, NOW - timedelta(hours=3), playlist_id=playlist_id))
    (told,) = await sql.fetch("SELECT payload FROM outbox WHERE subject = 'museed.social.v1.track_played'")
    assert people_events_pb2.TrackPlayed.FromString(told["payload"]).playlist_id == "", "it is not for them"
    await sql.execute("UPDATE playlists SET visibility = 'PUBLIC'")
    await record(database, owner, play(song, playlist_id=playlist_id))
    await tallier(database).catch_up()
    assert await sql.fetchval("SELECT count(*) FROM playlist_heat") == 0
    assert await sql.fetchval("SELECT count(*) FROM playlist_counts") == 0
    await record(database, fan, play(song, playlist_id=playlist_id))
    await tallier(database).catch_up()
    assert await sql.fetchval("SELECT plays FROM playlist_counts") == 1
    assert await sql.fetchval("SELECT count(*) FROM playlist_heat") == 1
    assert await sql.fetchval("SELECT plays FROM person_counts WHERE user_id = $1", fan) == 2
    assert await sql.fetchval("SELECT value FROM counters WHERE name = 'plays'") == 3


async def test_what_is_forgotten_was_never_heard_and_cannot_be_told_again(database: Database, sql: Sql) -> None:
    who, owner = await make_person(sql, "who"), await make_person(sql, "owner")
    rock, jazz = await make_track(sql, "rock"), await make_track(sql, "jazz", "Jazz", 300.0)
    playlist_id = await make_playlist(sql, owner)
    await sql.execute("UPDATE playlists SET visibility = 'PUBLIC'")
    kept = [play(rock, NOW - timedelta(days=5), 50.0), play(jazz, NOW - timedelta(hours=5), 200.0)]
    await record(database, who, *kept)
    before = await figures(sql, who)
    gone = [
        play(rock, NOW - timedelta(days=5, hours=1), 40.0),
        play(rock, NOW - timedelta(hours=1), playlist_id=playlist_id),
        play(jazz, NOW - timedelta(days=13)),
    ]
    assert await record(database, who, *gone) == [COUNTED] * 3
    await tallier(database).catch_up()
    assert await figures(sql, who) != before

    await forget_plays(database, owner, [one.play_id for one in gone], NOW)
    assert await sql.fetchval("SELECT count(*) FROM plays") == 5, "they are somebody else's"
    await forget_plays(database, who, [one.play_id for one in gone], NOW)
    assert await figures(sql, who) == before
    await tallier(database).catch_up()
    assert await sql.fetchval("SELECT plays FROM playlist_counts") == 0
    assert await sql.fetchval("SELECT count(*) FROM playlist_heat") == 0
    assert await sql.fetchval("SELECT plays FROM person_counts WHERE user_id = $1", who) == 2
    assert await record(database, who, *gone) == [PlayOutcome.DUPLICATE] * 3
    assert await figures(sql, who) == before

    forgotten = "SELECT payload, key FROM outbox WHERE subject = 'museed.social.v1.history_deleted'"
    (row,) = await sql.fetch(forgotten)
    assert (people_events_pb2.HistoryDeleted.FromString(row["payload"]).user_id, row["key"]) == (who, who)
    await forget_all(database, who, NOW)
    assert len(await sql.fetch(forgotten)) == 2
    assert await figures(sql, who) == {"tracks": [], "days": [], "months": []}
    assert await sql.fetchval("SELECT count(*) FROM plays") == 0
    assert await record(database, who, *kept, *gone) == [PlayOutcome.DUPLICATE] * 5
    await forget_all(database, who, NOW)
    assert len(await sql.fetch(forgotten)) == 2, "nothing was left to forget"


async def test_ranges_say_what_was_heard_in_them(database: Database, sql: Sql) -> None:
    who, nobody = await make_person(sql, "who"), await make_person(sql, "nobody")
    artist = await make_artist(sql, "An Artist")
    rock = await make_track(sql, "rock", artist_id=artist)
    jazz = await make_track(sql, "jazz", "Jazz", artist_id=artist)
    folk = await make_track(sql, "folk", "Folk")
    heard: list[tuple[TrackId, Sequence[datetime]]] = [
        (rock, [datetime(2025, 11, 30, 23, 50, tzinfo=UTC), datetime(2025, 12, 1, tzinfo=UTC)]),
        (jazz, [datetime(2026, 10, 21, 23, 50, tzinfo=UTC), datetime(2026, 10, 22, tzinfo=UTC)]),
        (folk, [datetime(2026, 11, 13, 23, 50, tzinfo=UTC), datetime(2026, 11, 14, tzinfo=UTC)]),
    ]
    for track_id, times in heard:
        for at in times:
            assert await record(database, who, play(track_id, at), now=at) == [COUNTED]

    async def plays(span: ListeningRange) -> tuple[int, dict[str, int], dict[str, int], list[tuple[str, int]]]:
        async with database.connection() as connection:
            found = await charts.listening_of(connection, who, span, 10, NOW)
        names = {rock: "rock", jazz: "jazz", folk: "folk"}
        return (
            found.plays,
            {one.name: one.count for one in found.genres},
            {names[TrackId(one.key)]: one.plays for one in found.tracks},
            [(one.name, one.plays) for one in found.artists],
        )

    assert await plays(ListeningRange.WEEK) == (1, {"Folk": 1}, {"folk": 1}, [])
    assert await plays(ListeningRange.MONTH) == (
        3,
        {"Folk": 2, "Jazz": 1},
        {"folk": 2, "jazz": 1},
        [("An Artist", 1)],
    )
    assert await plays(ListeningRange.YEAR) == (
        5,
        {"Folk": 2, "Jazz": 2, "Rock": 1},
        {"folk": 2, "jazz": 2, "rock": 1},
        [("An Artist", 3)],
    )
    assert await plays(ListeningRange.ALL) == (
        6,
        {"Folk": 2, "Jazz": 2, "Rock": 2},
        {"folk": 2, "jazz": 2, "rock": 2},
        [("An Artist", 4)],
    )
    async with database.connection() as connection:
        assert await charts.is_open(connection, who, nobody) is True
        await sql.execute("UPDATE users SET is_listed = false WHERE user_id = $1", who)
        assert await charts.is_open(connection, who, nobody) is False
        assert await charts.is_open(connection, who, None) is False
        assert await charts.is_open(connection, who, who) is True


def stub(social: Client) -> "listening_pb2_grpc.ListeningServiceAsyncStub":
    return listening_pb2_grpc.ListeningServiceStub(social.channel)


async def send(social: Client, who: Person, *plays: listening_pb2.Play) -> list[str]:
    request = listening_pb2.RecordPlaysRequest(plays=plays)
    answer = await stub(social).RecordPlays(request, timeout=TIMEOUT_S, metadata=who.metadata)
    return [listening_pb2.PlayOutcome.Name(outcome).removeprefix("PLAY_OUTCOME_") for outcome in answer.outcomes]


def message(song: str, at: datetime, **more: object) -> listening_pb2.Play:
    sent = listening_pb2.Play(play_id=new_id(), track_id=song, heard_seconds=45.5)
    sent.played_at.FromDatetime(at)
    for name, value in more.items():
        setattr(sent, name, value)
    return sent


async def test_history_is_read_page_by_page_newest_first(social: Client, sql: Sql) -> None:
    who, other, song = await social.sign_up("who"), await social.sign_up("other"), await make_track(sql, "song")
    now = datetime.now(UTC)
    plays = [message(song, now - timedelta(minutes=4 * number)) for number in range(5)]
    assert await send(social, who, *plays) == ["COUNTED", "TOO_SOON", "COUNTED", "TOO_SOON", "COUNTED"]
    seen: list[tuple[str, bool]] = []
    request = listening_pb2.ListHistoryRequest(page_size=2)
    while True:
        page = await stub(social).ListHistory(request, timeout=TIMEOUT_S, metadata=who.metadata)
        seen += [(entry.play.play_id, entry.is_counted) for entry in page.entries]
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    assert seen == [(one.play_id, number % 2 == 0) for number, one in enumerate(plays)]
    page = await stub(social).ListHistory(
        listening_pb2.ListHistoryRequest(), timeout=TIMEOUT_S, metadata=other.metadata
    )
    assert list(page.entries) == []


@pytest.mark.parametrize(
    ("change", "field", "reason"),
    [
        ({"play_id": ""}, "plays[0].play_id", "REQUIRED"),
        ({"play_id": "mine"}, "plays[0].play_id", "MALFORMED"),
        ({"track_id": "x" * 100}, "plays[0].track_id", "MALFORMED"),
        ({"playlist_id": "mine"}, "plays[0].playlist_id", "MALFORMED"),
        ({"heard_seconds": -1.0}, "plays[0].heard_seconds", "OUT_OF_RANGE"),
        ({"heard_seconds": 86_401.0}, "plays[0].heard_seconds", "OUT_OF_RANGE"),
        ({"heard_seconds": float("nan")}, "plays[0].heard_seconds", "MALFORMED"),
    ],
)
async def test_a_play_beyond_its_bounds_is_refused(
    social: Client, sql: Sql, change: dict[str, object], field: str, reason: str
) -> None:
    who, song = await social.sign_up("who"), await make_track(sql, "song")
    with pytest.raises(DomainError) as refusal:
        await send(social, who, message(song, datetime.now(UTC), **change))
    assert (refusal.value.field, refusal.value.reason) == (field, reason)
    assert await sql.fetchval("SELECT count(*) FROM plays") == 0


async def test_plays_out_of_time_and_too_many_are_refused(social: Client, sql: Sql) -> None:
    who, song = await social.sign_up("who"), await make_track(sql, "song")
    timeless = listening_pb2.Play(play_id=new_id(), track_id=song)
    broken = message(song, datetime.now(UTC))
    broken.played_at.seconds = 2**62
    for plays, wanted in (
        ([timeless], ("plays[0].played_at", "REQUIRED")),
        ([broken], ("plays[0].played_at", "OUT_OF_RANGE")),
        ([], ("plays", "REQUIRED")),
        ([message(song, datetime.now(UTC))] * 101, ("plays", "OUT_OF_RANGE")),
    ):
        with pytest.raises(DomainError) as refusal:
            await send(social, who, *plays)
        assert (refusal.value.field, refusal.value.reason) == wanted


async def test_one_says_what_to_forget(social: Client) -> None:
    who = await social.sign_up("who")
    for request in (
        listening_pb2.DeleteHistoryRequest(),
        listening_pb2.DeleteHistoryRequest(play_ids=[new_id()], all=True),
    ):
        with pytest.raises(DomainError) as refusal:
            await stub(social).DeleteHistory(request, timeout=TIMEOUT_S, metadata=who.metadata)
        assert refusal.value.reason == "REQUIRED"


async def test_listening_is_told_of_listed_people(social: Client, sql: Sql) -> None:
    who, other, song = await social.sign_up("who"), await social.sign_up("other"), await make_track(sql, "song")
    await send(social, who, message(song, datetime.now(UTC)))
    request = listening_pb2.GetListeningRequest(user_id=who.user_id)
    for metadata in (None, other.metadata, who.metadata):
        found = await stub(social).GetListening(request, timeout=TIMEOUT_S, metadata=metadata)
        assert (found.play_count, found.heard_seconds, found.top_genre) == (1, 45.5, "Rock")
        assert [(one.genre, one.count, one.share) for one in found.listened] == [("Rock", 1, 1.0)]
        assert [(one.track_id, one.play_count) for one in found.top_tracks] == [(song, 1)]
    await sql.execute("UPDATE users SET is_listed = false WHERE user_id = $1", who.user_id)
    for metadata, user_id in ((None, who.user_id), (other.metadata, who.user_id), (other.metadata, new_id())):
        with pytest.raises(NotFound) as refusal:
            await stub(social).GetListening(
                listening_pb2.GetListeningRequest(user_id=user_id), timeout=TIMEOUT_S, metadata=metadata
            )
        assert refusal.value.reason == "USER_NOT_FOUND"
    assert (await stub(social).GetListening(request, timeout=TIMEOUT_S, metadata=who.metadata)).play_count == 1


async def test_who_may_see_is_asked_of_the_first_database_and_figures_of_the_replica(
    postgres: Postgres, migrated: str, database_url: str, sql: Sql
) -> None:
    who = await make_person(sql, "who")
    async with fresh_database(postgres, migrated) as replica_url:
        behind = await asyncpg.connect(replica_url)
        database = await Database.connect(database_url, size=2, statement_timeout_ms=10_000, replica_url=replica_url)
        try:
            row = await sql.fetchrow("SELECT * FROM users")
            assert row is not None
            places = ", ".join(f"${number}" for number in range(1, len(row) + 1))
            await behind.execute(f"INSERT INTO users ({', '.join(row.keys())}) VALUES ({places})", *row.values())
            await behind.execute("INSERT INTO daily_listening VALUES ($1, $2, 'Rock', 5, 300)", who, NOW.date())
            servicer = ListeningServicer(database, lambda: NOW)
            request = listening_pb2.GetListeningRequest(user_id=who)
            found = await servicer.GetListening(request, None)  # type: ignore[arg-type]  # nobody asks the context
            assert found.play_count == 5
            await sql.execute("UPDATE users SET is_listed = false")
            with pytest.raises(NotFound):
                await servicer.GetListening(request, None)  # type: ignore[arg-type]  # nobody asks the context
        finally:
            await database.close()
            await behind.close()
