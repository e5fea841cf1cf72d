"""Calls over a real socket: who may, what comes back, what is refused."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jwt
import pytest

from museed.retriever.v1 import retriever_pb2
from services.chassis import vectors
from services.chassis.bus import Bus
from services.chassis.channel import connect
from services.chassis.errors import (
    DomainError,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    Unauthenticated,
)
from services.chassis.tokens import TokenVerifier
from services.retriever.clients import Accounts
from tests.conftest import NatsServer
from tests.fakes.tokens import TokenSigner
from tests.integration.retriever.conftest import Log, Retriever, Social, running_retriever, unit

BUILD = retriever_pb2.BuildPlaylistRequest(seeds=[retriever_pb2.Seed(track_id="t0")], length=3)


@pytest.fixture
async def guarded(
    nats_server: NatsServer, bus: Bus, log: Log, social: Social, tmp_path: Path
) -> AsyncIterator[Retriever]:
    """A retriever with eight tracks that takes its keys from social."""
    for number in range(8):
        await log.put(f"t{number}", number, tags=["loud"] if number < 4 else [])
    channel = connect(social.address)
    async with running_retriever(
        nats_server, tmp_path, TokenVerifier(Accounts(channel).fetch_jwks, frozenset({"ended"}))
    ) as running:
        await running.until(lambda: running.live.is_caught_up)
        yield running
    await channel.close()


def bearing(token: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {token}"),) if token else ()


def rejected_tokens(signer: TokenSigner) -> dict[str, tuple[str, type[DomainError], str]]:
    forger = TokenSigner()  # the same key id, another key
    header, body, _ = signer.job_token().split(".")
    return {
        "none": ("", Unauthenticated, "LOGIN_REQUIRED"),
        "noise": ("noise", Unauthenticated, "TOKEN_INVALID"),
        "of another key": (forger.job_token(), Unauthenticated, "TOKEN_INVALID"),
        "of an unknown key": (TokenSigner("key-2").job_token(), Unauthenticated, "TOKEN_INVALID"),
        "without a signature": (f"{header}.{body}.", Unauthenticated, "TOKEN_INVALID"),
        "of no algorithm": (
            jwt.encode({"sub": "user-1", "kind": "job"}, "", algorithm="none", headers={"kid": "key-1"}),
            Unauthenticated,
            "TOKEN_INVALID",
        ),
        "expired": (signer.token(kind="job", job="j", sid=None, exp=1), Unauthenticated, "TOKEN_EXPIRED"),
        "for somebody else": (signer.token(kind="job", job="j", aud="other"), Unauthenticated, "TOKEN_INVALID"),
        "of a user": (signer.token(), PermissionDenied, "PERMISSION_DENIED"),
        "of an admin": (signer.token(role="admin"), PermissionDenied, "PERMISSION_DENIED"),
        "of an ended session": (signer.token(sid="ended"), Unauthenticated, "SESSION_REVOKED"),
    }


async def test_only_workers_build_playlists(guarded: Retriever, social: Social) -> None:
    for name, (token, kind, reason) in rejected_tokens(social.accounts.signer).items():
        with pytest.raises(kind) as refused:
            await guarded.stub.BuildPlaylist(BUILD, timeout=30, metadata=bearing(token))
        assert refused.value.reason == reason, name
    token = social.accounts.signer.job_token()
    response = await guarded.stub.BuildPlaylist(BUILD, timeout=30, metadata=bearing(token))
    assert len(response.tracks) == 3


async def test_guests_search_and_describe(guarded: Retriever) -> None:
    response = await guarded.stub.Search(retriever_pb2.SearchRequest(track_id="t0", k=3), timeout=30)
    assert len(response.hits) == 3
    assert "t0" not in {hit.track_id for hit in response.hits}
    assert [hit.similarity for hit in response.hits] == sorted(
        (pytest.approx(float(unit(0) @ unit(number)), abs=2e-6) for number in range(1, 8)),
        key=lambda each: -each.expected,
    )[:3]
    assert (await guarded.stub.DescribeIndex(retriever_pb2.DescribeIndexRequest(), timeout=30)).track_count == 8


async def test_a_playlist_tells_why_each_track_is_there(guarded: Retriever, social: Social) -> None:
    upload = retriever_pb2.Seed(vector=vectors.encode(unit(1)), weight=0.5)
    request = retriever_pb2.BuildPlaylistRequest(
        seeds=[retriever_pb2.Seed(track_id="t0"), upload],
        include_seed=True,
        length=4,
        exclude_track_ids=["t1"],
        arrangement=retriever_pb2.ARRANGEMENT_SIMILARITY,
        encoder_id=guarded.live.encoder_id,
    )
    metadata = bearing(social.accounts.signer.job_token())
    response = await guarded.stub.BuildPlaylist(request, timeout=30, metadata=metadata)
    first, *others = response.tracks
    assert (first.track_id, first.is_seed, list(first.shared_tags)) == ("t0", True, [])
    assert list(first.seed_similarities) == pytest.approx([1.0, float(unit(0) @ unit(1))], abs=2e-6)
    assert len(others) == 4
    assert [track.similarity for track in others] == sorted((track.similarity for track in others), reverse=True)
    for track in others:
        number = int(track.track_id[1:])
        assert number > 1
        assert not track.is_seed
        assert list(track.shared_tags) == (["loud"] if number < 4 else [])
        assert list(track.seed_similarities) == pytest.approx(
            [float(unit(0) @ unit(number)), float(unit(1) @ unit(number))], abs=2e-6
        )
    assert response.encoder_id == guarded.live.encoder_id
    assert {each.rule: each.count for each in response.removed}["seed"] == 1


@pytest.mark.parametrize(
    ("request_", "kind", "told"),
    [
        ({"track_id": "nobody"}, NotFound, ("UNKNOWN_TRACK", "track_id", "nobody", None)),
        ({"track_id": "t0", "k": 201}, InvalidArgument, ("OUT_OF_RANGE", "k", "201", "200")),
        ({"track_id": "t0", "encoder_id": "x"}, FailedPrecondition, ("ENCODER_MISMATCH", "encoder_id", "x", "SERVING")),
        ({"vector": b"12345678"}, InvalidArgument, ("DIMENSION_MISMATCH", "vector", "8", "64")),
    ],
)
async def test_bad_searches_are_refused_with_field_value_and_limit(
    guarded: Retriever,
    request_: dict[str, object],
    kind: type[DomainError],
    told: tuple[str, str, str, str | None],
) -> None:
    with pytest.raises(kind) as refused:
        await guarded.stub.Search(retriever_pb2.SearchRequest(**request_), timeout=30)  # type: ignore[arg-type]
    error = refused.value
    limit = guarded.live.encoder_id if told[3] == "SERVING" else told[3]
    assert (error.reason, error.field, error.value, error.limit) == (*told[:3], limit)


async def test_bad_playlists_are_refused_with_field_value_and_limit(guarded: Retriever, social: Social) -> None:
    metadata = bearing(social.accounts.signer.job_token())

    async def refusal(**fields: object) -> tuple[str, str | None, str | None, str | None]:
        with pytest.raises(DomainError) as refused:
            await guarded.stub.BuildPlaylist(
                retriever_pb2.BuildPlaylistRequest(**fields),  # type: ignore[arg-type]  # any field of the message
                timeout=30,
                metadata=metadata,
            )
        return refused.value.reason, refused.value.field, refused.value.value, refused.value.limit

    seed, nobody = retriever_pb2.Seed(track_id="t0"), retriever_pb2.Seed(track_id="nobody")
    opposite = [retriever_pb2.Seed(vector=vectors.encode(vector)) for vector in (unit(1), -unit(1))]
    everybody = [f"t{number}" for number in range(1, 8)]
    assert await refusal(seeds=[seed, nobody]) == ("UNKNOWN_TRACK", "seeds[1].track_id", "nobody", None)
    assert await refusal(seeds=[]) == ("MISSING_INPUT", "seeds", "0", "1")
    assert await refusal(seeds=[seed], length=10_000) == ("OUT_OF_RANGE", "length", "10000", "500")
    assert (await refusal(seeds=opposite))[:2] == ("SEEDS_CANCEL", "seeds")
    assert await refusal(seeds=[seed], exclude_track_ids=everybody) == (
        "NO_CANDIDATES",
        None,
        "seed=1, excluded=7",
        "8",
    )


async def test_a_path_leads_from_end_to_end_with_exactly_the_length(guarded: Retriever, social: Social) -> None:
    metadata = bearing(social.accounts.signer.job_token())
    request = retriever_pb2.BuildPathRequest(from_track_id="t0", to_track_id="t5", length=6)
    response = await guarded.stub.BuildPath(request, timeout=30, metadata=metadata)
    found = [track.track_id for track in response.tracks]
    assert (found[0], found[-1], len(set(found))) == ("t0", "t5", 6)
    assert [track.is_seed for track in response.tracks] == [True, False, False, False, False, True]
    assert response.encoder_id == guarded.live.encoder_id
    refusals: list[tuple[dict[str, Any], type[DomainError], tuple[str, str, str, str | None]]] = [
        ({"length": 9}, FailedPrecondition, ("CONSTRAINTS_UNREACHABLE", "length", "8", "9")),
        ({"to_track_id": "nobody"}, NotFound, ("UNKNOWN_TRACK", "to_track_id", "nobody", None)),
        ({"to_track_id": "t0"}, InvalidArgument, ("SAME_ENDS", "to_track_id", "t0", None)),
    ]
    for refused_request, kind, told in refusals:
        fields: dict[str, Any] = {"from_track_id": "t0", "to_track_id": "t5"} | refused_request
        with pytest.raises(kind) as refused:
            await guarded.stub.BuildPath(retriever_pb2.BuildPathRequest(**fields), timeout=30, metadata=metadata)
        error = refused.value
        assert (error.reason, error.field, error.value, error.limit) == told
    with pytest.raises(Unauthenticated):
        await guarded.stub.BuildPath(request, timeout=30)


async def test_an_accepted_suggestion_is_a_reason_for_the_next(guarded: Retriever, social: Social) -> None:
    metadata = bearing(social.accounts.signer.job_token())
    request = retriever_pb2.ExtendPlaylistRequest(track_ids=["t0"], accepted_track_ids=["unknown", "t5"])
    response = await guarded.stub.ExtendPlaylist(request, timeout=30, metadata=metadata)
    assert len(response.suggestions) == 6
    for track in response.suggestions:
        cosines = {name: float(unit(int(name[1:])) @ unit(int(track.track_id[1:]))) for name in ("t0", "t5")}
        assert track.nearest_track_id == max(cosines, key=lambda name: cosines[name])
        assert track.nearest_similarity == pytest.approx(max(cosines.values()), abs=2e-6)
        assert len(track.seed_similarities) == 1
    assert {track.nearest_track_id for track in response.suggestions} == {"t0", "t5"}


async def test_a_copy_of_an_upload_is_known_by_its_length(guarded: Retriever, social: Social) -> None:
    metadata = bearing(social.accounts.signer.job_token())
    sound = vectors.encode(unit(0))
    told = {}
    for seconds in (0.0, 98.5, 97.5):
        seed = retriever_pb2.Seed(vector=sound, duration_seconds=seconds)
        request = retriever_pb2.BuildPlaylistRequest(seeds=[seed], length=3)
        answer = await guarded.stub.BuildPlaylist(request, timeout=30, metadata=metadata)
        told[seconds] = "t0" in {track.track_id for track in answer.tracks}
    assert told == {0.0: True, 98.5: False, 97.5: True}
    named = retriever_pb2.Seed(
        vector=vectors.encode(unit(1)), duration_seconds=101, title="TITLE of t0", artist="artist of t0"
    )
    request = retriever_pb2.BuildPlaylistRequest(seeds=[named], length=7, allow_near_duplicates=True)
    answer = await guarded.stub.BuildPlaylist(request, timeout=30, metadata=metadata)
    assert {each.rule: each.count for each in answer.removed} == {"same_recording": 1}
    assert "t0" not in {track.track_id for track in answer.tracks}


async def test_suggestions_are_neither_in_the_playlist_nor_rejected(guarded: Retriever, social: Social) -> None:
    request = retriever_pb2.ExtendPlaylistRequest(
        track_ids=["t0", "t1"], accepted_track_ids=["t1"], rejected_track_ids=["t2", "unknown"], count=10
    )
    metadata = bearing(social.accounts.signer.job_token())
    response = await guarded.stub.ExtendPlaylist(request, timeout=30, metadata=metadata)
    assert {track.track_id for track in response.suggestions} == {"t3", "t4", "t5", "t6", "t7"}
    assert {each.rule: each.count for each in response.removed} == {"excluded": 1, "seed": 2}
    first = response.suggestions[0]
    number = int(first.track_id[1:])
    expected = [float(unit(0) @ unit(number)), float(unit(1) @ unit(number))]
    assert list(first.seed_similarities) == pytest.approx(expected, abs=2e-6)
    assert first.nearest_seed == int(expected[1] > expected[0])
    assert first.nearest_track_id == f"t{first.nearest_seed}"
    assert first.nearest_similarity == pytest.approx(max(expected), abs=2e-6)
    assert not first.HasField("quantile")  # eight tracks cannot tell
    with pytest.raises(NotFound) as refused:
        await guarded.stub.ExtendPlaylist(
            retriever_pb2.ExtendPlaylistRequest(track_ids=["t0", "nobody"]), timeout=30, metadata=metadata
        )
    assert (refused.value.reason, refused.value.field) == ("UNKNOWN_TRACK", "track_ids[1]")
    with pytest.raises(Unauthenticated):
        await guarded.stub.ExtendPlaylist(request, timeout=30)


async def test_a_playlist_that_must_be_complete_is_refused_with_both_numbers(
    guarded: Retriever, social: Social
) -> None:
    metadata = bearing(social.accounts.signer.job_token())
    fields: dict[str, Any] = {
        "seeds": [retriever_pb2.Seed(track_id="t0")],
        "length": 25,
        "filter": retriever_pb2.Filter(tags=["loud"]),
    }
    fewer = await guarded.stub.BuildPlaylist(
        retriever_pb2.BuildPlaylistRequest(**fields), timeout=30, metadata=metadata
    )
    assert {track.track_id for track in fewer.tracks} == {"t1", "t2", "t3"}
    assert {each.rule: each.count for each in fewer.removed} == {"filter": 4, "seed": 1}
    warning = fewer.warning
    assert (warning.reason, warning.field, warning.value, warning.limit) == (
        "CONSTRAINTS_UNREACHABLE",
        "length",
        "3",
        "25",
    )
    assert warning.message == "3 tracks satisfy the filters and rules, 25 are asked for; removed: seed=1, filter=4"
    with pytest.raises(FailedPrecondition) as refused:
        await guarded.stub.BuildPlaylist(
            retriever_pb2.BuildPlaylistRequest(**fields, require_length=True), timeout=30, metadata=metadata
        )
    error = refused.value
    assert (error.reason, error.field, error.value, error.limit) == ("CONSTRAINTS_UNREACHABLE", "length", "3", "25")
    assert error.message == warning.message
    fields["length"] = 3
    enough = await guarded.stub.BuildPlaylist(
        retriever_pb2.BuildPlaylistRequest(**fields), timeout=30, metadata=metadata
    )
    assert not enough.HasField("warning")
