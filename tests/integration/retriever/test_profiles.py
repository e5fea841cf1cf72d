"""Profiles over real sockets: followed on their log, found by taste, refused with reasons."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import numpy as np
import pytest

from museed.retriever.v1 import profiles_pb2, retriever_pb2
from services.chassis.bus import PROFILES, VECTORS, Bus
from services.chassis.channel import connect
from services.chassis.errors import DomainError, Unavailable
from services.chassis.tokens import TokenVerifier
from services.retriever.clients import Accounts, Kept
from services.retriever.profiles.profiles import Profile
from tests.conftest import NatsServer
from tests.integration.retriever.conftest import (
    ENCODER_ID,
    Log,
    Retriever,
    Social,
    running_retriever,
    unit,
)
from tests.integration.retriever.test_collections import OTHER_ID, put_other, until_held

TRACKS = 30


async def until(is_true: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not is_true():
            await asyncio.sleep(0.01)


@pytest.fixture
async def people(retriever: Retriever, log: Log) -> Retriever:
    """A retriever with thirty tracks, three of each artist, and twelve people."""
    for number in range(TRACKS):
        await log.put(f"t{number:02d}", number, artist=f"artist {number // 3}", genre="Rock" if number % 2 else "Jazz")
    for number, weights in enumerate(WEIGHTS):
        await log.put_profile(f"p{number:02d}", weights, is_listed=number != 5)
    await until(lambda: len(retriever.profiles) == len(WEIGHTS) and retriever.profiles.is_caught_up)
    await retriever.until(lambda: retriever.live.position is not None and retriever.live.position.sequence == TRACKS)
    return retriever


def _weights(number: int) -> dict[str, float]:
    dice = np.random.default_rng(number)
    return {f"t{track:02d}": float(dice.integers(1, 9)) for track in dice.choice(TRACKS, 4, replace=False)}


WEIGHTS = [_weights(number) for number in range(12)]
WORST = Profile("", 0, (), np.zeros(0, np.float32), is_listed=False)


def taste(weights: dict[str, float]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    mean = np.sum([weight * unit(int(track_id[1:])) for track_id, weight in weights.items()], axis=0)
    unit_mean: np.ndarray[tuple[int], np.dtype[np.float64]] = mean / np.linalg.norm(mean)
    return unit_mean


def expected(number: int, without: set[int]) -> list[tuple[str, float]]:
    own = taste(WEIGHTS[number])
    found = [
        (f"p{other:02d}", float(own @ taste(weights)))
        for other, weights in enumerate(WEIGHTS)
        if other not in {number, *without}
    ]
    return sorted(found, key=lambda one: -one[1])


async def find(retriever: Retriever, profile_id: str, **fields: object) -> list[tuple[str, float]]:
    request = profiles_pb2.FindProfilesRequest(profile_id=profile_id, **fields)  # type: ignore[arg-type]  # any field
    answer = await retriever.profile_stub.FindProfiles(request, timeout=30)
    assert answer.encoder_id == fields.get("encoder_id", ENCODER_ID)
    return [(one.profile_id, one.similarity) for one in answer.profiles]


async def recommended(retriever: Retriever, profile_id: str, **fields: object) -> profiles_pb2.RecommendTracksResponse:
    request = profiles_pb2.RecommendTracksRequest(profile_id=profile_id, **fields)  # type: ignore[arg-type]  # any field
    return await retriever.profile_stub.RecommendTracks(request, timeout=30)


async def test_the_nearest_are_found_without_oneself_the_blocked_and_the_unlisted(people: Retriever) -> None:
    found = await find(people, "p00")
    wanted = expected(0, {5})
    assert [one for one, _ in found] == [one for one, _ in wanted]
    assert [one for _, one in found] == pytest.approx([one for _, one in wanted], abs=1e-5)
    found = await find(people, "p00", limit=3, blocked_profile_ids=["p03", "p07", "nobody"])
    assert [one for one, _ in found] == [one for one, _ in expected(0, {3, 5, 7})][:3]
    lowest = (wanted[2][1] + wanted[3][1]) / 2
    assert len(await find(people, "p00", min_similarity=lowest)) == 3
    # Who is not listed may still ask.
    assert [one for one, _ in await find(people, "p05")] == [one for one, _ in expected(5, set())]


async def test_a_change_of_weights_of_tracks_and_of_profiles_is_followed(people: Retriever, log: Log) -> None:
    await log.put_profile("p01", WEIGHTS[0], version=2)
    await log.put_profile_raw("p02", b"")
    await log.put_profile("p03", WEIGHTS[0], version=0)  # an older state
    await until(lambda: people.profiles.get("p02") is None)
    found = await find(people, "p00")
    assert found[0][0] == "p01"
    assert found[0][1] == pytest.approx(1.0, abs=1e-6)
    assert "p02" not in dict(found)
    wanted = dict(expected(0, {5}))
    assert dict(found)["p03"] == pytest.approx(wanted["p03"], abs=1e-5)

    before = (await find(people, "p00"))[0]
    track_id = next(iter(WEIGHTS[0]))
    ack = await log.put(track_id, 500, version=2)
    await people.until(lambda: people.live.position is not None and people.live.position.sequence >= ack.sequence)
    assert (await find(people, "p00"))[0] == before  # they share all tracks
    own = np.sum(
        [weight * unit(500 if one == track_id else int(one[1:])) for one, weight in WEIGHTS[0].items()], axis=0
    )
    third = taste(WEIGHTS[3])
    if track_id not in WEIGHTS[3]:
        found = await find(people, "p00")
        assert dict(found)["p03"] == pytest.approx(float(own @ third) / float(np.linalg.norm(own)), abs=1e-5)


async def test_a_log_that_was_lost_is_read_anew(people: Retriever, bus: Bus, log: Log) -> None:
    await bus.jetstream.delete_stream(PROFILES)
    await bus.ensure_streams()
    await log.put_profile("p00", WEIGHTS[0])
    await log.put_profile("p20", WEIGHTS[1])
    await until(lambda: {one.profile_id for one in people.profiles.all()} == {"p00", "p20"})
    assert [one for one, _ in await find(people, "p00")] == ["p20"]


async def test_tastes_follow_a_log_of_vectors_that_begins_anew(people: Retriever, bus: Bus, log: Log) -> None:
    """Half of the tracks are there no more: nothing of what was computed of them may stay."""
    await log.put_profile("gone", {"t01": 1.0, "t03": 1.0})
    await until(lambda: people.profiles.get("gone") is not None)
    assert "gone" in dict(await find(people, "p00"))
    await bus.jetstream.delete_stream(VECTORS)
    await bus.ensure_streams()
    info = await bus.jetstream.stream_info(VECTORS)
    kept = range(0, TRACKS, 2)
    for number in kept:
        await log.put(f"t{number:02d}", number)

    def is_read() -> bool:
        position = people.live.position
        return position is not None and (position.created_at, position.sequence) == (info.created, len(kept))

    await people.until(lambda: is_read() and people.live.is_caught_up)

    def left(number: int) -> dict[str, float]:
        return {one: weight for one, weight in WEIGHTS[number].items() if int(one[1:]) in kept}

    similarities = {
        f"p{number:02d}": float(taste(left(0)) @ taste(left(number)))
        for number in range(12)
        if number not in (0, 5) and left(number)
    }
    found = await find(people, "p00")
    assert [one for one, _ in found] == sorted(similarities, key=lambda one: -similarities[one])
    assert dict(found) == pytest.approx(similarities, abs=1e-5)


async def test_a_message_that_is_none_is_counted_and_passed_over(people: Retriever, log: Log) -> None:
    await log.put_profile_raw("p00", b"\xff\xff\xff")
    await log.put_profile("p01", {"t00": -1.0}, version=9)
    await log.put_profile("p12", WEIGHTS[0])
    await until(lambda: people.profiles.get("p12") is not None)
    assert people.profile_consumer.refused_count == 2
    found = await find(people, "p00")
    assert found[0][0] == "p12"
    assert found[0][1] == pytest.approx(1.0, abs=1e-6)
    # Nobody knows what p01 wanted to be told, so it is told to nobody.
    assert "p01" not in dict(found)
    await log.put_profile("p01", WEIGHTS[1], version=10)
    await until(lambda: (people.profiles.get("p01") or WORST).version == 10)
    assert dict(await find(people, "p00"))["p01"] == pytest.approx(dict(expected(0, {5}))["p01"], abs=1e-5)


async def test_tracks_are_recommended_that_are_not_known(people: Retriever) -> None:
    ranked = sorted(range(TRACKS), key=lambda number: -float(unit(number) @ taste(WEIGHTS[0])))
    ids = [f"t{number:02d}" for number in ranked]
    answer = await recommended(people, "p00", limit=200, max_per_artist=200, include_known=True)
    assert [hit.track_id for hit in answer.hits] == ids
    assert answer.hits[0].similarity == pytest.approx(float(unit(ranked[0]) @ taste(WEIGHTS[0])), abs=1e-5)
    assert (answer.encoder_id, list(answer.removed)) == (ENCODER_ID, [])
    answer = await recommended(people, "p00", limit=26, max_per_artist=3)
    assert [hit.track_id for hit in answer.hits] == [one for one in ids if one not in WEIGHTS[0]]
    assert {one.rule: one.count for one in answer.removed} == {"known": 4}
    answer = await recommended(people, "p00", limit=5, max_per_artist=1)
    assert len({int(hit.track_id[1:]) // 3 for hit in answer.hits}) == 5
    answer = await recommended(people, "p00", limit=30, filter=retriever_pb2.Filter(genres=["rock"]))
    assert {int(hit.track_id[1:]) % 2 for hit in answer.hits} == {1}


async def test_a_playlist_is_tilted_towards_the_taste_of_its_owner(people: Retriever) -> None:
    request = retriever_pb2.BuildPlaylistRequest(
        seeds=[retriever_pb2.Seed(track_id="t00")],
        length=6,
        max_per_artist=500,
        arrangement=retriever_pb2.ARRANGEMENT_SIMILARITY,
        artist_window=1,
    )

    async def built(**fields: object) -> set[str]:
        request.MergeFrom(retriever_pb2.BuildPlaylistRequest(**fields))  # type: ignore[arg-type]  # any field
        answer = await people.stub.BuildPlaylist(request, timeout=30)
        return {track.track_id for track in answer.tracks}

    def nearest(target: np.ndarray[tuple[int], np.dtype[np.float64]]) -> set[str]:
        ranked = sorted(range(1, TRACKS), key=lambda number: -float(unit(number) @ target))
        return {f"t{number:02d}" for number in ranked[:6]}

    plain = unit(0).astype(np.float64)
    assert await built() == nearest(plain)
    assert await built(profile_id="nobody", profile_weight=1.0) == nearest(plain)
    assert await built(profile_id="p00", profile_weight=1.0) == nearest(taste(WEIGHTS[0]))
    tilted = await built(profile_weight=0.5)
    assert tilted == nearest(0.5 * plain + 0.5 * taste(WEIGHTS[0]))
    assert tilted != nearest(plain)


async def test_a_recommendation_waits_for_its_point_of_the_log(
    people: Retriever, bus: Bus, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = await bus.jetstream.stream_info(VECTORS)
    assert info.created is not None
    ack = await log.put("new", 0)
    point = retriever_pb2.ReadPoint(sequence=ack.sequence)
    point.stream_created_at.FromDatetime(info.created)
    request = profiles_pb2.RecommendTracksRequest(
        profile_id="p00", limit=200, max_per_artist=200, include_known=True, min_read_point=point
    )
    answer = await people.profile_stub.RecommendTracks(request, timeout=30)
    assert "new" in [hit.track_id for hit in answer.hits]
    point.sequence += 1
    request.min_read_point.CopyFrom(point)
    monkeypatch.setattr("services.retriever.servicer.waiting._ANSWER_S", 59.5)
    with pytest.raises(Unavailable) as refused:
        await people.profile_stub.RecommendTracks(request, timeout=60)
    assert refused.value.reason == "INDEX_BEHIND"


async def test_tastes_lie_in_the_space_of_the_encoder_that_is_asked_for(people: Retriever, log: Log, bus: Bus) -> None:
    await put_other(log, "t00", 700)
    await put_other(log, "t01", 701)
    people.kept = Kept(ENCODER_ID, (OTHER_ID,))
    await until_held(people, bus)
    await log.put_profile("x", {"t00": 1.0})
    await log.put_profile("y", {"t01": 1.0})
    await until(lambda: people.profiles.get("y") is not None)
    similarity = dict(await find(people, "x", encoder_id=OTHER_ID))["y"]
    assert similarity == pytest.approx(float(unit(700, 8) @ unit(701, 8)), abs=1e-5)
    assert dict(await find(people, "x"))["y"] == pytest.approx(float(unit(0) @ unit(1)), abs=1e-5)
    answer = await recommended(people, "x", encoder_id=OTHER_ID)
    assert (answer.encoder_id, [hit.track_id for hit in answer.hits]) == (OTHER_ID, ["t01"])


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"limit": 101}, ("OUT_OF_RANGE", "limit", "101", "100")),
        ({"limit": -1}, ("OUT_OF_RANGE", "limit", "-1", "1")),
        ({"blocked_profile_ids": ["x"] * 10_001}, ("OUT_OF_RANGE", "blocked_profile_ids", "10001", "10000")),
        ({"min_similarity": 1.5}, ("OUT_OF_RANGE", "min_similarity", "1.5", "1")),
        ({"min_similarity": float("nan")}, ("OUT_OF_RANGE", "min_similarity", "nan", "1")),
        ({"profile_id": "nobody"}, ("UNKNOWN_PROFILE", "profile_id", "nobody", None)),
        ({"profile_id": ""}, ("MISSING_INPUT", "profile_id", "0", "1")),
        ({"profile_id": "p" * 101}, ("OUT_OF_RANGE", "profile_id", "101", "100")),
        ({"encoder_id": "other"}, ("ENCODER_MISMATCH", "encoder_id", "other", ENCODER_ID)),
    ],
)
async def test_bad_questions_for_profiles_are_refused(
    people: Retriever, fields: dict[str, object], told: tuple[str, str, str, str | None]
) -> None:
    with pytest.raises(DomainError) as refused:
        await find(people, **({"profile_id": "p00"} | fields))  # type: ignore[arg-type]  # any field
    error = refused.value
    assert (error.reason, error.field, error.value, error.limit) == told


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"limit": 201}, ("OUT_OF_RANGE", "limit", "201", "200")),
        ({"max_per_artist": -1}, ("OUT_OF_RANGE", "max_per_artist", "-1", "1")),
        ({"max_per_artist": 201}, ("OUT_OF_RANGE", "max_per_artist", "201", "200")),
        ({"filter": retriever_pb2.Filter(tags=["x"] * 21)}, ("OUT_OF_RANGE", "filter.tags", "21", "20")),
        ({"profile_id": "nobody"}, ("UNKNOWN_PROFILE", "profile_id", "nobody", None)),
        ({"encoder_id": "other"}, ("ENCODER_MISMATCH", "encoder_id", "other", ENCODER_ID)),
    ],
)
async def test_bad_questions_for_tracks_are_refused(
    people: Retriever, fields: dict[str, object], told: tuple[str, str, str, str | None]
) -> None:
    with pytest.raises(DomainError) as refused:
        await recommended(people, **({"profile_id": "p00"} | fields))  # type: ignore[arg-type]  # any field
    error = refused.value
    assert (error.reason, error.field, error.value, error.limit) == told


async def test_a_profile_of_unknown_tracks_has_no_taste(people: Retriever, log: Log) -> None:
    await log.put_profile("new", {"unheard": 1.0})
    await until(lambda: people.profiles.get("new") is not None)
    for asking in (find(people, "new"), recommended(people, "new")):
        with pytest.raises(DomainError) as refused:
            await asking
        assert (refused.value.code, refused.value.reason, refused.value.value) == (
            "FAILED_PRECONDITION",
            "NO_TASTE",
            "new",
        )
    assert "new" not in dict(await find(people, "p00"))


async def test_without_their_log_profiles_are_loading_and_tracks_are_not(
    nats_server: NatsServer, bus: Bus, log: Log, tmp_path: Path
) -> None:
    """An older social declares no such stream: everything else is served all the same."""
    await bus.jetstream.delete_stream(PROFILES)
    await log.put("t00", 0)
    async with running_retriever(nats_server, tmp_path) as running:
        await running.until(lambda: running.live.is_caught_up and running.live.position is not None)
        for asking in (find(running, "p"), recommended(running, "p")):
            with pytest.raises(Unavailable) as refused:
                await asking
            assert refused.value.reason == "PROFILES_LOADING"
        await running.stub.Search(retriever_pb2.SearchRequest(track_id="t00"), timeout=30)
        await bus.ensure_streams()
        await log.put_profile("p", {"t00": 1.0})
        await until(lambda: running.profiles.get("p") is not None and running.profiles.is_caught_up)
        assert await find(running, "p") == []


async def test_only_workers_may_ask_and_for_the_person_they_work_for(
    nats_server: NatsServer, bus: Bus, log: Log, social: Social, tmp_path: Path
) -> None:
    channel = connect(social.address)
    verifier = TokenVerifier(Accounts(channel).fetch_jwks)
    async with running_retriever(nats_server, tmp_path, verifier) as running:
        own, others = "user-1", "user-2"
        await log.put("t00", 0)
        await log.put_profile(own, {"t00": 1.0})
        await log.put_profile(others, {"t00": 1.0})
        await until(lambda: len(running.profiles) == 2 and running.profiles.is_caught_up)
        await running.until(lambda: running.live.is_caught_up and running.live.position is not None)

        async def every(profile_id: str, token: str) -> list[str]:
            """What each call with a profile says to a caller."""
            metadata = (("authorization", f"Bearer {token}"),) if token else ()
            calls: list[Awaitable[object]] = [
                running.profile_stub.FindProfiles(
                    profiles_pb2.FindProfilesRequest(profile_id=profile_id), timeout=30, metadata=metadata
                ),
                running.profile_stub.RecommendTracks(
                    profiles_pb2.RecommendTracksRequest(profile_id=profile_id), timeout=30, metadata=metadata
                ),
                running.stub.BuildPlaylist(
                    retriever_pb2.BuildPlaylistRequest(
                        seeds=[retriever_pb2.Seed(track_id="t00")], profile_id=profile_id, include_seed=True
                    ),
                    timeout=30,
                    metadata=metadata,
                ),
            ]
            told = []
            for call in calls:
                try:
                    await call
                    told.append("answered")
                except DomainError as error:
                    told.append(error.reason)
            return told

        signer = social.accounts.signer
        assert await every(own, "") == ["LOGIN_REQUIRED"] * 3
        assert await every(own, signer.token()) == ["PERMISSION_DENIED"] * 3
        worker = signer.job_token(own)
        assert set(await every(own, worker)) <= {"answered", "NO_CANDIDATES"}
        # A profile that is there and one that is not look alike to somebody else's worker.
        for profile_id in (others, "nobody"):
            assert await every(profile_id, worker) == ["PROFILE_OF_ANOTHER"] * 3
    await channel.close()
