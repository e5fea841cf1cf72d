"""Recommendations: from the index by sound, from the tables by behaviour, for the caller alone."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np
import pytest

from benchmarks.recommendation.methods import pair_weights
from museed.retriever.v1 import profiles_pb2, profiles_pb2_grpc, retriever_pb2
from museed.social.v1 import recommendations_pb2, recommendations_pb2_grpc
from services.chassis.auth import Access, require_viewer
from services.chassis.errors import Aborted, DomainError, FailedPrecondition, NotFound, Unavailable
from services.chassis.server import Server, limit_time, time_left_s
from services.chassis.tokens import TokenVerifier
from services.social.actions.history import forget_all
from services.social.actions.recommending import Popular, Recommender
from services.social.domain.ids import TrackId, UserId
from services.social.domain.recommendation import Source
from services.social.domain.tokens import TokenIssuer, new_signing_key
from services.social.errors.tastes import TastesAway, TasteUncounted
from services.social.store import tastes
from services.social.store.database import Database
from services.social.store.trends import fold
from services.social.taste_client import TasteClient, connect_tastes
from services.social.workers.pairing import PairMaker
from services.social.workers.tallier import Tallier
from tests.conftest import free_port
from tests.integration.social.conftest import TIMEOUT_S, Client, Sql
from tests.integration.social.test_listening import NOW, make_artist, make_track, play, record
from tests.integration.social.test_tallier import make_person

_SERVICE = "/museed.retriever.v1.ProfileService"


@dataclass
class FakeTastes(profiles_pb2_grpc.ProfileServiceServicer):
    """A retriever that answers as the test says, to whom the profile is theirs."""

    people: list[tuple[str, float]] = field(default_factory=list)
    tracks: list[tuple[str, float]] = field(default_factory=list)
    failure: DomainError | None = None
    find_requests: list[profiles_pb2.FindProfilesRequest] = field(default_factory=list)
    track_requests: list[profiles_pb2.RecommendTracksRequest] = field(default_factory=list)
    times_left: list[float] = field(default_factory=list)
    on_tracks: Callable[[], Awaitable[object]] = lambda: asyncio.sleep(0)

    async def FindProfiles(
        self, request: profiles_pb2.FindProfilesRequest, context: object
    ) -> profiles_pb2.FindProfilesResponse:
        self._check(request.profile_id)
        self.find_requests.append(request)
        blocked = set(request.blocked_profile_ids)
        found = [(one, cosine) for one, cosine in self.people if one not in blocked][: request.limit]
        return profiles_pb2.FindProfilesResponse(
            profiles=[profiles_pb2.SimilarProfile(profile_id=one, similarity=cosine) for one, cosine in found]
        )

    async def RecommendTracks(
        self, request: profiles_pb2.RecommendTracksRequest, context: object
    ) -> profiles_pb2.RecommendTracksResponse:
        self._check(request.profile_id)
        self.track_requests.append(request)
        self.times_left.append(time_left_s() or 0.0)
        await self.on_tracks()
        hits = [retriever_pb2.Hit(track_id=one, similarity=cosine) for one, cosine in self.tracks]
        return profiles_pb2.RecommendTracksResponse(hits=hits)

    def _check(self, profile_id: str) -> None:
        assert require_viewer().user_id == profile_id
        assert require_viewer().job_id
        if self.failure is not None:
            raise self.failure


@dataclass
class Index:
    fake: FakeTastes
    recommender: Recommender


@pytest.fixture
async def index(database: Database) -> AsyncIterator[Index]:
    issuer, fake = TokenIssuer([new_signing_key()]), FakeTastes()

    async def keys() -> str:
        return issuer.jwks

    access = {f"{_SERVICE}/FindProfiles": Access.WORKER, f"{_SERVICE}/RecommendTracks": Access.WORKER}
    server = Server(f"127.0.0.1:{free_port()}", access, TokenVerifier(keys))
    profiles_pb2_grpc.add_ProfileServiceServicer_to_server(fake, server.grpc)
    await server.start()
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(server.drain, 0.1)
        channel = await stack.enter_async_context(connect_tastes(f"127.0.0.1:{server.port}"))

        def clock() -> datetime:
            return datetime.now(NOW.tzinfo)

        yield Index(fake, Recommender(database, TasteClient(channel, issuer, clock), lambda: NOW))


async def pair(database: Database, sql: Sql, day: datetime = NOW) -> int:
    await Tallier(database, [fold]).catch_up()
    return await PairMaker(database, lambda: day + timedelta(days=1)).catch_up()


async def hear_together(database: Database, sql: Sql, songs: list[TrackId], people: int, name: str) -> None:
    for number in range(people):
        fan = await make_person(sql, f"{name}{number}")
        await record(database, fan, *(play(song) for song in songs))


async def test_pairs_are_cosines_of_listeners_shrunk_where_they_are_few(database: Database, sql: Sql) -> None:
    a, b, c = [await make_track(sql, name) for name in "abc"]
    await hear_together(database, sql, [a, b], 4, "both")
    await hear_together(database, sql, [a, c], 2, "few")
    await hear_together(database, sql, [b], 5, "other")
    assert await pair(database, sql) == 3
    rows = await sql.fetch("SELECT track_id::text, other_id::text, weight FROM track_pairs")
    expected = 4 / (6 * 9) ** 0.5 * 4 / 14
    assert sorted((row["track_id"], row["other_id"]) for row in rows) == sorted([(a, b), (b, a)])
    assert [row["weight"] for row in rows] == pytest.approx([expected, expected], rel=1e-6)
    assert await pair(database, sql) == 0, "the day is done"


async def test_pairs_of_the_tables_are_those_that_the_benchmark_judges(database: Database, sql: Sql) -> None:
    heard = (np.random.default_rng(7).random((14, 8)) < 0.5).astype(float)
    songs = [await make_track(sql, f"song {number}") for number in range(heard.shape[1])]
    for number, row in enumerate(heard):
        fan = await make_person(sql, f"fan{number}")
        await record(database, fan, *(play(song) for song, is_heard in zip(songs, row, strict=True) if is_heard))
    await pair(database, sql)
    rows = await sql.fetch("SELECT track_id::text, other_id::text, weight FROM track_pairs")
    found = np.zeros((8, 8))
    for row in rows:
        found[songs.index(row["track_id"]), songs.index(row["other_id"])] = row["weight"]
    assert found == pytest.approx(pair_weights(heard), rel=1e-6)
    assert (found > 0).sum() > 20


async def test_a_round_goes_on_where_it_was_left(database: Database, sql: Sql) -> None:
    songs = [await make_track(sql, f"song {number}") for number in range(25)]
    await hear_together(database, sql, songs, 3, "fan")
    await Tallier(database, [fold]).catch_up()
    maker = PairMaker(database, lambda: NOW + timedelta(days=1))
    assert await maker._make_some() == 10
    assert await sql.fetchval("SELECT count(DISTINCT track_id) FROM track_pairs") == 10
    assert await maker.catch_up() == 15
    assert await sql.fetchval("SELECT count(DISTINCT track_id) FROM track_pairs") == 25


async def test_sound_and_behaviour_are_blended_and_nothing_known_or_blocked_is_in_it(
    database: Database, sql: Sql, index: Index
) -> None:
    who, artist = await make_person(sql, "who"), await make_artist(sql, "Blocked Artist")
    heard, near, both, liked, blocked = [await make_track(sql, name) for name in ("h", "n", "b", "l", "x")]
    banned = await make_track(sql, "banned", artist_id=artist)
    await sql.execute("UPDATE tracks SET artist = 'somebody else' WHERE track_id = $1", banned)
    await hear_together(database, sql, [heard, both, liked, blocked], 3, "fan")
    await pair(database, sql)
    await record(database, who, play(heard))
    await sql.execute("INSERT INTO blocked_tracks VALUES ($1, $2, now())", who, blocked)
    await sql.execute("INSERT INTO blocked_artists VALUES ($1, $2, now())", who, artist)
    index.fake.tracks = [(near, 0.75), (both, 0.5), (banned, 0.25), (blocked, 0.25)]

    found = await index.recommender.tracks(who, 0.5)
    assert (found.blend, found.is_sound_away) == (0.5, False)
    by_track = {one.track_id: one for one in found.tracks}
    assert set(by_track) == {near, both, liked}
    assert found.tracks[0].track_id == both
    assert [(one.source, one.similarity, one.because) for one in (by_track[both], by_track[near], by_track[liked])] == [
        (Source.BOTH, 0.5, heard),
        (Source.SOUND, 0.75, None),
        (Source.BEHAVIOUR, None, heard),
    ]
    request = index.fake.track_requests[0]
    assert (request.profile_id, request.include_known) == (who, False)
    assert list(request.filter.blocked_track_ids) == [blocked]
    assert list(request.filter.blocked_artists) == ["somebody else"], "as it stands in their tracks"

    natural = await index.recommender.tracks(who, None)
    assert natural.blend == pytest.approx(1 / 11)
    assert {one.track_id for one in (await index.recommender.tracks(who, 1.0)).tracks} == {both, liked}
    assert len(index.fake.track_requests) == 2, "behaviour alone asks nobody"
    index.fake.failure = Unavailable("away", reason="PROFILES_LOADING")
    alone = await index.recommender.tracks(who, 0.25)
    assert (alone.blend, alone.is_sound_away) == (1.0, True)
    assert {one.track_id for one in alone.tracks} == {both, liked}
    index.fake.failure = FailedPrecondition("nothing", reason="NO_TASTE")
    assert not (await index.recommender.tracks(who, 0.25)).is_sound_away


async def test_what_is_heard_or_away_is_not_recommended(database: Database, sql: Sql, index: Index) -> None:
    who = await make_person(sql, "who")
    heard, new, away = [await make_track(sql, name) for name in ("heard", "new", "away")]
    await record(database, who, play(heard))
    await sql.execute("UPDATE tracks SET missing_since = now() WHERE track_id = $1", away)
    # The index knows no more of a taste than its 1,000 heaviest tracks, and those a moment late.
    index.fake.tracks = [(heard, 0.9), (away, 0.8), (new, 0.7)]
    assert [one.track_id for one in (await index.recommender.tracks(who, None)).tracks] == [new]
    mix = await index.recommender.mix(who, NOW.date())
    assert [one.track_id for one in mix] == [new]
    await record(database, who, play(new))
    assert await index.recommender.mix(who, NOW.date()) == mix, "a mix may be heard"


async def test_who_hears_what_leads_to_nothing_is_given_what_many_hear(
    database: Database, sql: Sql, index: Index
) -> None:
    who = await make_person(sql, "who")
    own, common = await make_track(sql, "own"), await make_track(sql, "common")
    await record(database, who, play(own))
    await hear_together(database, sql, [common, own], 2, "one")
    await Tallier(database, [fold]).catch_up()
    index.fake.failure = FailedPrecondition("nothing", reason="NO_TASTE")
    found = await index.recommender.tracks(who, None)
    assert [(one.track_id, one.source) for one in found.tracks] == [(common, Source.POPULAR)]
    # Until the index was told of the first play: nobody is given nothing, and no mix is made without it.
    index.fake.failure = NotFound("nobody", reason="UNKNOWN_PROFILE")
    found = await index.recommender.tracks(who, None)
    assert ([one.track_id for one in found.tracks], found.is_sound_away) == ([common], True)
    with pytest.raises(TasteUncounted):
        await index.recommender.mix(who, NOW.date())
    assert await sql.fetchval("SELECT count(*) FROM mixes") == 0


async def test_an_index_that_hangs_leaves_half_of_the_time(database: Database, sql: Sql, index: Index) -> None:
    who, song = await make_person(sql, "who"), await make_track(sql, "song")
    await record(database, who, play(song))
    never = asyncio.Event()
    index.fake.on_tracks = never.wait
    limit_time(4.0)
    found = await index.recommender.tracks(who, None)
    assert found.is_sound_away
    assert index.fake.times_left[0] <= 2.0


async def test_a_mix_of_what_is_forgotten_meanwhile_is_not_kept(database: Database, sql: Sql, index: Index) -> None:
    who = await make_person(sql, "who")
    heard, new = await make_track(sql, "heard"), await make_track(sql, "new")
    await record(database, who, play(heard))
    index.fake.tracks = [(new, 0.5)]
    index.fake.on_tracks = lambda: forget_all(database, who, NOW)
    with pytest.raises(Aborted):
        await index.recommender.mix(who, NOW.date())
    assert await sql.fetchval("SELECT count(*) FROM mixes") == 0
    assert await index.recommender.mix(who, NOW.date()) == []


async def test_of_mixes_that_are_made_at_once_one_stays(database: Database, sql: Sql, index: Index) -> None:
    who, heard = await make_person(sql, "who"), await make_track(sql, "heard")
    songs = [await make_track(sql, f"song {number}") for number in range(12)]
    await sql.execute("UPDATE tracks SET artist = title")
    await record(database, who, play(heard))

    async def another() -> None:
        index.fake.tracks = [(songs.pop(), 0.5), (songs.pop(), 0.25)]

    index.fake.on_tracks = another
    mixes = await asyncio.gather(*(index.recommender.mix(who, NOW.date()) for _ in range(5)))
    assert mixes == [mixes[0]] * 5
    assert len(mixes[0]) == 2
    assert await index.recommender.mix(who, NOW.date()) == mixes[0]


async def test_what_many_hear_is_asked_for_once_in_a_while(database: Database, sql: Sql) -> None:
    now = NOW
    popular = Popular(database, lambda: now)
    for found in await asyncio.gather(popular.tracks(), popular.tracks()):
        assert found == []
    song = await make_track(sql, "song")
    await hear_together(database, sql, [song], 1, "one")
    await Tallier(database, [fold]).catch_up()
    now = NOW + timedelta(minutes=4)
    assert await popular.tracks() == []
    now = NOW + timedelta(minutes=5)
    assert await popular.tracks() == [song]


async def test_a_track_whose_pairs_take_too_long_stops_no_other(database: Database, sql: Sql) -> None:
    songs = sorted([await make_track(sql, f"song {number}") for number in range(3)])
    await hear_together(database, sql, songs, 3, "fan")
    await sql.execute("INSERT INTO track_pairs VALUES ($1, $2, 0.25)", songs[0], songs[1])
    # As where the server ends a statement that takes too long.
    await sql.execute(
        "CREATE FUNCTION cancel() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'too long' USING ERRCODE = 'query_canceled'; END $$;"
        f"CREATE TRIGGER cancel BEFORE INSERT ON track_pairs FOR EACH ROW WHEN (NEW.track_id = '{songs[0]}')"
        " EXECUTE FUNCTION cancel()"
    )
    assert await pair(database, sql) == 3
    rows = await sql.fetch("SELECT track_id::text, count(*) AS pairs FROM track_pairs GROUP BY 1 ORDER BY 1")
    assert [tuple(row) for row in rows] == [(songs[0], 1), (songs[1], 2), (songs[2], 2)]


async def test_nobody_of_many_who_block_somebody_is_found_by_them(database: Database, sql: Sql, index: Index) -> None:
    who, alike = await make_person(sql, "who"), await make_person(sql, "alike")
    await sql.execute(
        "INSERT INTO users (user_id, username, username_key, nickname, email, email_key, role, password_hash,"
        " created_at, updated_at) SELECT uuidv7(), n, n, n, n, n, 'user', '', now(), now()"
        " FROM (SELECT 'many' || number AS n FROM generate_series(1, 10100) AS number) AS names"
    )
    await sql.execute(
        "INSERT INTO user_blocks (blocker_id, blocked_id, at) SELECT user_id, $1, now() FROM users"
        " WHERE username LIKE 'many%'",
        who,
    )
    rows = await sql.fetch("SELECT user_id::text FROM users WHERE username LIKE 'many%'")
    await record(database, who, play(await make_track(sql, "song")))
    index.fake.people = [(alike, 0.5), *((row["user_id"], 0.25) for row in rows)]
    assert await index.recommender.people(who, 100) == [(alike, 0.5)]


async def test_who_heard_nothing_is_given_what_many_hear(database: Database, sql: Sql, index: Index) -> None:
    who = await make_person(sql, "who")
    rare, common = await make_track(sql, "rare"), await make_track(sql, "common")
    await hear_together(database, sql, [rare, common], 1, "both")
    await hear_together(database, sql, [common], 2, "one")
    await Tallier(database, [fold]).catch_up()
    found = await index.recommender.tracks(who, None)
    assert [(one.track_id, one.source) for one in found.tracks] == [(common, Source.POPULAR), (rare, Source.POPULAR)]
    assert index.fake.track_requests == []


async def test_people_are_found_who_may_be_and_are_not_followed_or_blocked(
    database: Database, sql: Sql, index: Index
) -> None:
    names = ("who", "alike", "followed", "blocked", "blocker", "unlisted", "suspended", "left")
    people = {name: await make_person(sql, name) for name in names}
    who = people["who"]
    await sql.execute("INSERT INTO follows VALUES ($1, $2, now())", who, people["followed"])
    await sql.execute("INSERT INTO user_blocks VALUES ($1, $2, now())", who, people["blocked"])
    await sql.execute("INSERT INTO user_blocks VALUES ($1, $2, now())", people["blocker"], who)
    for change, name in (
        ("is_listed = false", "unlisted"),
        ("suspended_at = now()", "suspended"),
        ("deleted_at = now()", "left"),
    ):
        await sql.execute(f"UPDATE users SET {change} WHERE user_id = $1", people[name])
    index.fake.people = [(people[name], 0.5) for name in names if name != "who"]
    assert await index.recommender.people(who, 20) == [], "nobody before the first play"
    assert index.fake.find_requests == []
    await record(database, who, play(await make_track(sql, "song")))
    assert await index.recommender.people(who, 20) == [(people["alike"], 0.5)]
    assert sorted(index.fake.find_requests[0].blocked_profile_ids) == sorted(
        people[name] for name in ("followed", "blocked", "blocker")
    )
    index.fake.failure = FailedPrecondition("nothing", reason="NO_TASTE")
    assert await index.recommender.people(who, 20) == []
    for failure, told in (
        (Unavailable("away", reason="INDEX_LOADING"), ("TASTES_AWAY", 1_000)),
        (NotFound("not told", reason="UNKNOWN_PROFILE"), ("TASTE_UNCOUNTED", 5_000)),
    ):
        index.fake.failure = failure
        with pytest.raises(TastesAway) as refusal:
            await index.recommender.people(who, 20)
        assert (refusal.value.reason, refusal.value.retry_after_ms) == told


async def test_a_days_mix_stays_and_loses_what_is_blocked(database: Database, sql: Sql, index: Index) -> None:
    who = await make_person(sql, "who")
    heard, *songs = [await make_track(sql, f"song {number}") for number in range(9)]
    await sql.execute("UPDATE tracks SET artist = title")
    await record(database, who, play(heard))
    index.fake.tracks = [(song, 0.5) for song in songs]
    index.fake.failure = Unavailable("away", reason="INDEX_LOADING")
    with pytest.raises(TastesAway):
        await index.recommender.mix(who, NOW.date())
    index.fake.failure = None
    first = await index.recommender.mix(who, NOW.date())
    assert sorted(one.track_id for one in first) == sorted(songs)
    index.fake.tracks = [(heard, 0.5)]
    again = [one.track_id for one in await index.recommender.mix(who, NOW.date())]
    assert again == [one.track_id for one in first]
    await sql.execute("INSERT INTO blocked_tracks VALUES ($1, $2, now())", who, again[0])
    assert [one.track_id for one in await index.recommender.mix(who, NOW.date())] == again[1:]
    async with database.connection() as connection:
        assert await tastes.sweep_mixes(connection, NOW.date(), 10) == 0
        assert await tastes.sweep_mixes(connection, NOW.date() + timedelta(days=1), 10) == 1


@pytest.mark.parametrize(
    ("day", "reason"),
    [
        ("yesterday", "MALFORMED"),
        ("20261122", "MALFORMED"),
        ("2026-02-30", "MALFORMED"),
        ("2020-01-01", "OUT_OF_RANGE"),
    ],
)
async def test_a_mix_of_no_day_is_refused(social: Client, day: str, reason: str) -> None:
    who = await social.sign_up("who")
    request = recommendations_pb2.GetDailyMixRequest(day=day)
    with pytest.raises(DomainError) as refusal:
        await stub(social).GetDailyMix(request, timeout=TIMEOUT_S, metadata=who.metadata)
    assert (refusal.value.reason, refusal.value.field) == (reason, "day")


def stub(social: Client) -> "recommendations_pb2_grpc.RecommendationServiceAsyncStub":
    return recommendations_pb2_grpc.RecommendationServiceStub(social.channel)


async def test_numbers_beyond_their_bounds_are_refused(social: Client) -> None:
    who = await social.sign_up("who")
    calls = stub(social)
    asked: tuple[recommendations_pb2.ListRecommendedTracksRequest, ...] = (
        recommendations_pb2.ListRecommendedTracksRequest(count=201),
        recommendations_pb2.ListRecommendedTracksRequest(count=-1),
        recommendations_pb2.ListRecommendedTracksRequest(blend=1.5),
        recommendations_pb2.ListRecommendedTracksRequest(blend=float("nan")),
    )
    for request, field_name in zip(asked, ("count", "count", "blend", "blend"), strict=True):
        with pytest.raises(DomainError) as refusal:
            await calls.ListRecommendedTracks(request, timeout=TIMEOUT_S, metadata=who.metadata)
        assert refusal.value.field == field_name
    people = recommendations_pb2.ListRecommendedUsersRequest(count=101)
    with pytest.raises(DomainError) as refusal:
        await calls.ListRecommendedUsers(people, timeout=TIMEOUT_S, metadata=who.metadata)
    assert refusal.value.field == "count"


async def test_a_retriever_that_knows_no_tastes_is_away(social: Client, sql: Sql, database: Database) -> None:
    who, song = await social.sign_up("who"), await make_track(sql, "song")
    now = datetime.now(NOW.tzinfo)
    await record(database, UserId(who.user_id), play(song, now), now=now)
    tracks = await stub(social).ListRecommendedTracks(
        recommendations_pb2.ListRecommendedTracksRequest(), timeout=TIMEOUT_S, metadata=who.metadata
    )
    assert (list(tracks.tracks), tracks.blend, tracks.is_sound_away) == ([], 1.0, True)
    with pytest.raises(DomainError) as refusal:
        await stub(social).ListRecommendedUsers(
            recommendations_pb2.ListRecommendedUsersRequest(), timeout=TIMEOUT_S, metadata=who.metadata
        )
    assert refusal.value.reason == "TASTES_AWAY"
