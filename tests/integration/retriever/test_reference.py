"""References over real sockets: candidates by their vectors, then window by window against brute force."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from museed.retriever.v1 import reference_pb2, retriever_pb2
from services.chassis import vectors
from services.chassis.blobs import BlobStore, open_blob_store
from services.chassis.bus import Bus
from services.chassis.channel import connect
from services.chassis.errors import (
    DomainError,
    FailedPrecondition,
    InvalidArgument,
    PermissionDenied,
    Unimplemented,
)
from services.chassis.tokens import TokenVerifier
from services.retriever.clients import Accounts
from services.retriever.similarity import Float32Array
from tests.conftest import NatsServer
from tests.integration.retriever.conftest import (
    DIMENSION,
    ENCODER_ID,
    Log,
    Retriever,
    Social,
    running_retriever,
    unit,
)


def windows(seed: int, count: int) -> Float32Array:
    """Windows of a track, around a middle of its own."""
    dice = np.random.default_rng(1000 + seed)
    rows = unit(seed) + 0.8 * dice.standard_normal((count, DIMENSION)) / np.sqrt(DIMENSION)
    units: Float32Array = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return units


def mean(rows: Float32Array) -> Float32Array:
    total = rows.sum(axis=0)
    unit_mean: Float32Array = (total / np.linalg.norm(total)).astype(np.float32)
    return unit_mean


class Tracks:
    """Puts tracks with windows into the blob store and on the log."""

    def __init__(self, blobs: BlobStore, log: Log) -> None:
        self.blobs = blobs
        self.log = log
        self.count = 0

    async def put(
        self, track_id: str, rows: Float32Array, seconds: float, blob: bytes | None = None, **more: Any
    ) -> None:
        """Put a track; the blob is that of its rows unless it is given."""
        heard = rows[rows.any(axis=1)]
        digest = await self.blobs.put(rows.astype("<f2").tobytes() if blob is None else blob)
        fields: dict[str, Any] = {
            "vector": vectors.encode(mean(heard)),
            "duration_seconds": seconds,
            "windows_digest": digest,
        }
        await self.log.put(track_id, 0, **(fields | more))
        self.count += 1


@pytest.fixture
async def running(nats_server: NatsServer, bus: Bus, tmp_path: Path) -> AsyncIterator[Retriever]:
    async with running_retriever(nats_server, tmp_path / "snapshots", blob_folder=tmp_path / "blobs") as started:
        await started.until(lambda: started.live.is_caught_up)
        yield started


@pytest.fixture
def tracks(running: Retriever, log: Log, tmp_path: Path) -> Tracks:
    return Tracks(open_blob_store(f"file://{tmp_path}/blobs"), log)


async def settle(running: Retriever, tracks: Tracks) -> None:
    await running.until(
        lambda: running.live.position is not None and running.live.position.sequence >= tracks.count, 10
    )


async def match(running: Retriever, rows: Float32Array, **fields: Any) -> reference_pb2.MatchReferenceResponse:
    request = reference_pb2.MatchReferenceRequest(windows=vectors.encode(rows), **fields)
    return await running.reference_stub.MatchReference(request, timeout=30)


async def test_seconds_of_the_demo_sound_like_seconds_of_the_track(running: Retriever, tracks: Tracks) -> None:
    """A minute of another track's sound stands in this one, behind ten silent seconds."""
    demo, song = windows(1, 6), windows(2, 8)
    song[0], song[7] = 0, demo[4]
    await tracks.put("song", song, 77.5)
    await tracks.put("other", windows(3, 4), 40.0)
    await settle(running, tracks)
    answer = await match(running, demo, k=1, segments_per_track=1, filter=retriever_pb2.Filter(track_ids=["song"]))
    (found,) = answer.matches
    (segment,) = found.segments
    assert segment.similarity == pytest.approx(1.0, abs=1e-4)
    assert (segment.reference.start_seconds, segment.reference.end_seconds) == (40, 50)
    assert (segment.track.start_seconds, segment.track.end_seconds) == (70, 77.5)
    assert found.similarity == pytest.approx(float(mean(demo) @ mean(song[1:])), abs=1e-5)
    assert (answer.encoder_id, answer.candidate_count) == (ENCODER_ID, 1)


async def test_scores_are_those_of_brute_force_over_the_two_hundred_nearest(running: Retriever, tracks: Tracks) -> None:
    demo = windows(0, 7)
    library = {f"t{number:03d}": windows(number, 3 + number % 9) for number in range(1, 221)}
    for track_id, rows in library.items():
        await tracks.put(track_id, rows, 10.0 * len(rows) - 2)
    await settle(running, tracks)
    answer = await match(running, demo, k=200, segments_per_track=2, duration_seconds=64)
    whole = np.average(demo, axis=0, weights=[10] * 6 + [4])
    whole /= np.linalg.norm(whole)
    nearest = sorted(library, key=lambda one: -float(mean(library[one]) @ whole))[:200]
    weights = np.array([10] * 6 + [4])
    scores = {one: float(np.average((demo @ library[one].T).max(axis=1), weights=weights)) for one in nearest}
    assert (answer.candidate_count, answer.without_windows_count, answer.unreadable_count) == (200, 0, 0)
    found = {one.track_id: one for one in answer.matches}
    assert found.keys() == set(nearest)
    given = [one.score for one in answer.matches]
    assert given == sorted(given, reverse=True)
    for track_id, one in found.items():
        assert one.score == pytest.approx(scores[track_id], abs=1e-3)
        assert one.similarity == pytest.approx(float(mean(library[track_id]) @ whole), abs=1e-5)
        cosines = demo @ library[track_id].T
        assert one.segments[0].similarity == pytest.approx(float(cosines.max()), abs=1e-3)
        left, right = np.unravel_index(int(cosines.argmax()), cosines.shape)
        if np.sort(cosines, axis=None)[-2] < cosines.max() - 0.01:
            assert one.segments[0].reference.start_seconds == 10 * left
            assert one.segments[0].track.start_seconds == 10 * right
        assert one.segments[0].similarity >= one.segments[1].similarity
    assert [one.track_id for one in (await match(running, demo, duration_seconds=64)).matches] == [
        one.track_id for one in answer.matches[:20]
    ]


async def test_blobs_that_cannot_be_read_are_counted_and_their_tracks_come_last(
    running: Retriever, tracks: Tracks, tmp_path: Path
) -> None:
    demo = windows(1, 4)
    good = windows(9, 4)
    await tracks.put("good", good, 40)
    await tracks.put("missing", demo, 40, windows_digest=b"m" * 32)
    await tracks.put("short", demo, 40, blob=b"12345")
    await tracks.put("other-dimension", demo, 40, blob=windows(1, 3).astype("<f2").tobytes()[:-16])
    await tracks.put("not-unit", demo, 40, blob=(demo * 2).astype("<f2").tobytes())
    await tracks.put("none", windows(1, 5), 50, windows_digest=b"")
    await tracks.put("flipped", windows(1, 6), 60)
    await settle(running, tracks)
    flipped = await running.live.run(lambda index: index.track("flipped"))
    assert flipped is not None
    name = flipped.windows_digest.hex()
    path = tmp_path / "blobs" / "sha256" / name[:2] / name[2:4] / name
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))

    answer = await match(running, demo)
    assert (answer.candidate_count, answer.without_windows_count, answer.unreadable_count) == (7, 1, 5)
    assert answer.matches[0].track_id == "good"
    assert answer.matches[0].HasField("score")
    rest = answer.matches[1:]
    assert [one.similarity for one in rest] == sorted((one.similarity for one in rest), reverse=True)
    assert not any(one.HasField("score") or one.segments for one in rest)
    assert {one.track_id for one in rest} == {"missing", "short", "other-dimension", "not-unit", "none", "flipped"}
    assert [one.track_id for one in (await match(running, demo, k=1)).matches] == ["good"]


async def test_a_blob_with_windows_left_out_tells_no_times(running: Retriever, tracks: Tracks) -> None:
    await tracks.put("earlier", windows(1, 3), 50)
    await settle(running, tracks)
    (found,) = (await match(running, windows(1, 3), segments_per_track=3)).matches
    assert found.score == pytest.approx(1.0, abs=1e-3)
    assert {one.reference.start_seconds for one in found.segments} == {0, 10, 20}
    assert not any(one.HasField("track") for one in found.segments)


async def test_nothing_is_left_open(running: Retriever, tracks: Tracks) -> None:
    for number in range(40):
        await tracks.put(f"t{number}", windows(number, 3), 30)
    await settle(running, tracks)
    await match(running, windows(0, 3))
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        await match(running, windows(0, 3))
        with contextlib.suppress(DomainError, TimeoutError):
            request = reference_pb2.MatchReferenceRequest(windows=vectors.encode(windows(0, 3)))
            await running.reference_stub.MatchReference(request, timeout=0.002)
    async with asyncio.timeout(60):  # what is being compared for a caller who is gone is compared to its end
        while len(os.listdir("/proc/self/fd")) > before:
            await asyncio.sleep(0.01)


async def match_blob(running: Retriever, digest: bytes, **fields: Any) -> reference_pb2.MatchReferenceResponse:
    request = reference_pb2.MatchReferenceRequest(windows_digest=digest, **fields)
    return await running.reference_stub.MatchReference(request, timeout=30)


async def test_windows_of_a_blob_are_compared_like_those_of_the_request(running: Retriever, tracks: Tracks) -> None:
    demo = windows(1, 5)
    demo[2] = 0
    for number in range(1, 6):
        await tracks.put(f"t{number}", windows(number, 4), 40)
    await settle(running, tracks)
    digest = await tracks.blobs.put(demo.astype("<f2").tobytes())
    fields: dict[str, Any] = {"duration_seconds": 47.5, "vector": vectors.encode(mean(demo[[0, 1, 3, 4]]))}
    of_blob, of_request = await match_blob(running, digest, **fields), await match(running, demo, **fields)
    assert of_blob.candidate_count == 5
    for one, other in zip(of_blob.matches, of_request.matches, strict=True):
        assert one.track_id == other.track_id
        assert one.score == pytest.approx(other.score, abs=1e-3)
        assert [pair.reference for pair in one.segments] == [pair.reference for pair in other.segments]
    starts = {pair.reference.start_seconds for one in of_blob.matches for pair in one.segments}
    assert starts <= {0, 10, 30, 40}


async def test_blob_of_windows_that_cannot_be_read_is_refused(running: Retriever, tracks: Tracks) -> None:
    await tracks.put("song", windows(1, 3), 30)
    await settle(running, tracks)
    damaged = [b"m" * 32, await tracks.blobs.put(b"12345")]
    await match(running, windows(1, 3))
    before = len(os.listdir("/proc/self/fd"))
    for digest in damaged:
        with pytest.raises(FailedPrecondition) as refusal:
            await match_blob(running, digest)
        assert (refusal.value.reason, refusal.value.field) == ("WINDOWS_UNREADABLE", "windows_digest")
        assert refusal.value.value == digest.hex()
    assert len(os.listdir("/proc/self/fd")) <= before
    long = await tracks.blobs.put(windows(1, 721).astype("<f2").tobytes())
    with pytest.raises(InvalidArgument) as too_long:
        await match_blob(running, long)
    assert (too_long.value.reason, too_long.value.value, too_long.value.limit) == ("OUT_OF_RANGE", "721", "720")


async def test_matches_tell_shared_tags_and_how_near_that_is(running: Retriever, tracks: Tracks) -> None:
    for number in range(1, 121):
        await tracks.put(f"t{number:03d}", windows(number, 3), 30, tags=["guitar", f"tag {number}", "slow"])
    await settle(running, tracks)
    demo = windows(7, 3)
    answer = await match(running, demo, k=2, tags=["slow", "tag 7", "loud"])
    first, second = answer.matches
    assert (first.track_id, list(first.shared_tags), list(second.shared_tags)) == ("t007", ["tag 7", "slow"], ["slow"])
    sample = np.stack([mean(windows(number, 3)) for number in range(1, 121)])
    pairs = (sample @ sample.T)[np.triu_indices(120, k=1)]
    for one in (first, second):
        assert one.quantile == pytest.approx(float((pairs < one.similarity).mean()), abs=0.001)
    assert not (await match(running, demo, k=1)).matches[0].shared_tags
    for damping in (0.0, 0.5):
        near = retriever_pb2.SearchRequest(track_id="t007", k=5, with_quantiles=True, hub_damping=damping)
        for hit in (await running.stub.Search(near, timeout=30)).hits:
            assert hit.quantile == pytest.approx(float((pairs < hit.similarity).mean()), abs=0.001)
    plain = await running.stub.Search(retriever_pb2.SearchRequest(track_id="t007", k=5), timeout=30)
    assert not any(hit.HasField("quantile") for hit in plain.hits)


async def test_an_empty_index_matches_nothing(running: Retriever) -> None:
    answer = await match(running, windows(0, 3))
    assert (answer.encoder_id, list(answer.matches), answer.candidate_count) == (ENCODER_ID, [], 0)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"k": 201}, ("OUT_OF_RANGE", "k", "201", "200")),
        ({"k": -1}, ("OUT_OF_RANGE", "k", "-1", "1")),
        ({"segments_per_track": 21}, ("OUT_OF_RANGE", "segments_per_track", "21", "20")),
        ({"windows": b"123"}, ("DIMENSION_MISMATCH", "windows", "3", "64")),
        ({"windows": b""}, ("MISSING_INPUT", "windows", "0", "1")),
        ({"windows": bytes(128)}, ("REFERENCE_SILENT", "windows", "2", None)),
        ({"hop_seconds": float("nan")}, ("OUT_OF_RANGE", "hop_seconds", "nan", "600")),
        ({"encoder_id": "other"}, ("ENCODER_MISMATCH", "encoder_id", "other", ENCODER_ID)),
        ({"filter": retriever_pb2.Filter(keys=["x"] * 25)}, ("OUT_OF_RANGE", "filter.keys", "25", "24")),
    ],
)
async def test_bad_references_are_refused(
    running: Retriever, tracks: Tracks, fields: dict[str, Any], told: tuple[str, str, str | None, str | None]
) -> None:
    await tracks.put("song", windows(1, 3), 30)
    await settle(running, tracks)
    request = reference_pb2.MatchReferenceRequest(**({"windows": vectors.encode(windows(0, 3))} | fields))
    with pytest.raises(DomainError) as refused:
        await running.reference_stub.MatchReference(request, timeout=30)
    error = refused.value
    assert (error.reason, error.field, error.value, error.limit) == told


async def test_without_a_blob_store_it_is_not_implemented_and_names_the_setting(retriever: Retriever) -> None:
    with pytest.raises(Unimplemented) as refused:
        await match(retriever, windows(0, 3))
    assert refused.value.reason == "NO_BLOB_STORE"
    assert "RETRIEVER_BLOB_STORE_URL" in refused.value.message


async def test_only_workers_may_ask(nats_server: NatsServer, bus: Bus, social: Social, tmp_path: Path) -> None:
    channel = connect(social.address)
    verifier = TokenVerifier(Accounts(channel).fetch_jwks)
    async with running_retriever(nats_server, tmp_path, verifier, blob_folder=tmp_path / "blobs") as started:
        await started.until(lambda: started.live.is_caught_up)
        request = reference_pb2.MatchReferenceRequest(windows=vectors.encode(windows(0, 3)))
        person = (("authorization", f"Bearer {social.accounts.signer.token()}"),)
        with pytest.raises(PermissionDenied):
            await started.reference_stub.MatchReference(request, timeout=30, metadata=person)
        worker = (("authorization", f"Bearer {social.accounts.signer.job_token()}"),)
        answer = await started.reference_stub.MatchReference(request, timeout=30, metadata=worker)
        assert answer.candidate_count == 0
    await channel.close()
