"""What the adapter for Milvus does beside answering right: few calls, restarts, and patience while Milvus is away."""

import asyncio
import socket
import sys
import threading
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import numpy as np
import pytest

from museed.social.v1 import events_pb2
from services.chassis import vectors
from services.chassis.bus import LogBatch, LogEntry, LogPosition, vector_subject
from services.chassis.errors import InvalidArgument
from services.chassis.settings import SettingsError, load
from services.retriever.consumer import LogConsumer
from services.retriever.errors import EngineUnavailable
from services.retriever.index.index import TrackIndex
from services.retriever.live.live import LiveIndex
from services.retriever.milvus.milvus_engine import MilvusIndex
from services.retriever.milvus.milvus_keeper import MilvusKeeper
from services.retriever.milvus.milvus_store import MilvusStore
from services.retriever.profiles.profiles import Profile
from services.retriever.profiles.taste import taste_of
from services.retriever.settings import RetrieverSettings
from services.retriever.similarity import Float32Array
from services.retriever.tracks import Track
from tests.fakes.milvus import FakeMilvus

BEGUN = datetime(2026, 1, 1, tzinfo=UTC)
TRACKS = 3000


def unit(seed: int) -> Float32Array:
    vector = np.random.default_rng(seed).standard_normal(8)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def keep(index: MilvusIndex, position: LogPosition) -> None:
    if index.send():
        index.keep(position)


def filled(count: int = TRACKS) -> tuple[MilvusIndex, FakeMilvus]:
    store = FakeMilvus()
    index = MilvusIndex("enc", store)
    for number in range(count):
        index.upsert(Track(f"t{number:04d}", 1), unit(number))
    return index, store


def test_changes_are_sent_together_and_before_the_next_search() -> None:
    index, store = filled(600)
    assert store.calls == ["create", "write 256 0", "write 256 0"]
    index.remove("t0001")
    index.remove("t0599")  # never sent
    assert [track.track_id for track in index.nearest(unit(598), 1).tracks] == ["t0598"]
    assert store.calls[3] == "write 87 2"
    assert sorted(store.rows) == [f"t{number:04d}" for number in range(599) if number != 1]


def test_a_search_without_a_filter_is_two_calls() -> None:
    index, store = filled()
    index.nearest(unit(1), 100)
    store.calls.clear()
    index.nearest(unit(2), 100)
    assert store.calls == ["search 200", "vectors 100"]


def test_a_narrow_filter_asks_for_more_and_then_reads_what_is_wanted() -> None:
    index, store = filled(9000)
    index.nearest(unit(1), 1)
    store.calls.clear()
    found = index.nearest(unit(2), 9, lambda track: track.track_id.endswith("777"))
    assert store.calls == ["search 128", "search 1024", "search 8192", "vectors 9"]
    assert len(found.tracks) == 9


def test_a_log_that_is_read_again_writes_nothing() -> None:
    index, store = filled(100)
    index.nearest(unit(1), 1)
    store.calls.clear()
    for number in range(100):
        assert index.upsert(Track(f"t{number:04d}", 1), unit(number))
    index.nearest(unit(1), 1)
    assert store.calls == ["search 100", "vectors 1"]
    assert index.upsert(Track("t0001", 1), unit(5000))  # the same version with another sound
    index.nearest(unit(1), 1)
    assert store.calls[2] == "write 1 0"


def test_a_restart_knows_what_was_there_and_up_to_where_it_is_true() -> None:
    index, store = filled(300)
    keep(index, LogPosition(BEGUN, 300))
    index.upsert(Track("late", 2, title="after the point"), unit(9))
    index.nearest(unit(1), 1)
    again = MilvusIndex("enc", store)
    assert again.restore() == LogPosition(BEGUN, 300)
    assert (len(again), again.dimension) == (301, 8)
    assert again.track("late") == Track("late", 2, title="after the point")
    assert not again.upsert(Track("late", 1), unit(10))
    assert again.remove("t0001")
    assert again.nearest(unit(1), 300).tracks == sorted(
        again.nearest(unit(1), 300).tracks, key=lambda track: -round(float(again.vector(track.track_id) @ unit(1)), 6)
    )


def test_what_nobody_knows_the_point_of_is_forgotten() -> None:
    _, store = filled(300)
    again = MilvusIndex("enc", store)
    assert again.restore() is None
    assert (len(again), again.dimension, store.rows) == (0, 0, {})


def test_the_point_is_kept_after_everything_before_it_was_sent() -> None:
    index, store = filled(10)
    keep(index, LogPosition(BEGUN, 10))
    assert store.calls == ["create", "write 10 0", "seal", "write_position 10"]


def test_while_milvus_is_away_nothing_is_lost() -> None:
    index, store = filled(300)
    store.is_away = True
    for call in (lambda: index.nearest(unit(1), 1), lambda: index.vector("t0000"), lambda: index.clear()):
        with pytest.raises(EngineUnavailable) as caught:
            call()
        assert (caught.value.reason, caught.value.retry_after_ms) == ("ENGINE_UNAVAILABLE", 500)
    for number in range(300, 512):  # up to the bound they are gathered
        index.upsert(Track(f"t{number:04d}", 1), unit(number))
    with pytest.raises(EngineUnavailable):
        index.upsert(Track("one too many", 1), unit(1))
    assert index.track("one too many") is None
    store.is_away = False
    assert index.upsert(Track("one too many", 1), unit(1))
    assert len(index.nearest(unit(1), 1000).tracks) == len(index) == len(store.rows) == 513


def test_the_last_track_stays_when_it_cannot_be_removed() -> None:
    index, store = filled(1)
    store.is_away = True
    with pytest.raises(EngineUnavailable):
        index.remove("t0000")
    assert len(index) == 1
    store.is_away = False
    assert index.remove("t0000")
    assert (len(index), index.dimension) == (0, 0)


def test_a_track_of_which_too_much_is_known_is_refused_alone() -> None:
    index, _ = filled(3)
    with pytest.raises(InvalidArgument, match="Milvus takes 65535") as caught:
        index.upsert(Track("long", 1, title="x" * 70_000), unit(1))
    assert (caught.value.reason, caught.value.field) == ("TOO_LONG", "track")
    with pytest.raises(InvalidArgument, match="Milvus takes 512"):
        index.upsert(Track("i" * 513, 1), unit(1))
    assert len(index) == 3


def test_what_another_replica_added_is_not_found_before_its_message_was_read() -> None:
    index, store = filled(5)
    other = MilvusIndex("enc", store)
    keep(index, LogPosition(BEGUN, 5))
    other.restore()
    other.upsert(Track("ahead", 1), unit(77))
    other.nearest(unit(77), 1)
    assert "ahead" not in [track.track_id for track in index.nearest(unit(77), 5).tracks]


async def test_the_log_waits_until_milvus_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    store = FakeMilvus()
    index = MilvusIndex("enc", store)
    live = LiveIndex(cast(TrackIndex, index))  # as collections do
    attempts = []

    async def note(delay_s: float) -> None:
        attempts.append(delay_s)
        store.is_away = len(attempts) < 3

    monkeypatch.setattr("services.retriever.consumer.asyncio.sleep", note)
    store.is_away = True
    payloads = [
        events_pb2.TrackVector(
            track_id=name, encoder_id=encoder, version=1, vector=vectors.encode(unit(1))
        ).SerializeToString()
        for name, encoder in (("a", "another"), ("b", "enc"), ("c", "enc"))
    ]
    entries = [LogEntry(vector_subject("enc", "abc"[place]), place, payload) for place, payload in enumerate(payloads)]

    async def on_ready(is_ready: bool) -> None: ...

    log = LogConsumer(live, on_ready)
    await log._take(LogBatch(LogPosition(BEGUN, 3), entries, is_reset=False, is_caught_up=True))
    assert len(attempts) == 3
    assert sorted(index._tracks) == ["b", "c"]
    assert log.refused_count == 1  # of another encoder; counted once
    assert live.position == LogPosition(BEGUN, 3)
    live.close()


async def test_the_keeper_restores_and_keeps_the_point() -> None:
    index, store = filled(10)
    keep(index, LogPosition(BEGUN, 10))
    again = MilvusIndex("enc", store)
    live = LiveIndex(cast(TrackIndex, again))
    keeper = MilvusKeeper(live, again, 5, 3600)
    await keeper.restore()
    assert (live.position, live.is_caught_up, len(again)) == (LogPosition(BEGUN, 10), False, 10)
    await live.advance(lambda _: int(again.upsert(Track("new", 1), unit(3))), LogPosition(BEGUN, 11), is_caught_up=True)
    store.is_away = True
    assert not await keeper.save()
    store.is_away = False
    assert await keeper.save()
    assert store.position == LogPosition(BEGUN, 11)
    assert "new" in store.rows
    live.close()


def test_tracks_that_are_gone_make_the_point_worthless() -> None:
    """Somebody dropped the one collection and left the other: the log is read anew instead of waited for."""
    index, store = filled(10)
    keep(index, LogPosition(BEGUN, 10))
    store.rows, store.width = {}, 0
    again = MilvusIndex("enc", store)
    assert again.restore() is None
    assert (len(again), store.position) == (0, None)


@pytest.mark.parametrize(
    "record", ["", "[]", "{}", "null", "[1, 2", '["t", 1, "only", "four"]', "[" + "null," * 15 + "5]"]
)
def test_tracks_that_cannot_be_read_are_forgotten_all_together(record: str, caplog: pytest.LogCaptureFixture) -> None:
    index, store = filled(10)
    keep(index, LogPosition(BEGUN, 10))
    store.rows["t0005"] = store.rows["t0005"]._replace(record=record)
    again = MilvusIndex("enc", store)
    assert again.restore() is None
    assert (len(again), again.dimension, store.rows, store.position) == (0, 0, {}, None)
    assert [one.message for one in caplog.records] == ["milvus_unreadable"]
    assert again.upsert(Track("t0005", 1), unit(5))
    assert [track.track_id for track in again.nearest(unit(5), 3).tracks] == ["t0005"]


def test_what_another_replica_removed_is_no_error_of_ours() -> None:
    index, store = filled(5)
    keep(index, LogPosition(BEGUN, 5))
    other = MilvusIndex("enc", store)
    other.restore()
    other.remove("t0003")
    assert "t0003" not in [track.track_id for track in other.nearest(unit(3), 5).tracks]
    assert [track.track_id for track in index.nearest(unit(3), 9).tracks] != []
    with pytest.raises(EngineUnavailable, match="another replica"):
        index.vector("t0003")
    with pytest.raises(EngineUnavailable, match="another replica"):
        index.neighbour_means(["t0003"])
    assert set(index.vectors_of(["t0003", "t0004"])) == {"t0004"}
    assert index.remove("t0003")  # its message comes at last
    assert index.track("t0003") is None


def test_a_walk_through_all_keeps_only_the_best() -> None:
    index, store = filled(2500)
    index.nearest(unit(1), 1)
    store.calls.clear()
    found = index.nearest(unit(2), 5000, lambda track: not track.track_id.endswith("7"))
    assert store.calls == ["vectors 1000", "vectors 1000", "vectors 250"]
    few = index._ranked(unit(2), [track_id for track_id in store.rows if not track_id.endswith("7")], 20)
    assert [track.track_id for track in few.tracks] == [track.track_id for track in found.tracks[:20]]
    cosines = {track_id: float(row.vector @ unit(2)) for track_id, row in store.rows.items() if track_id[-1] != "7"}
    assert [track.track_id for track in few.tracks] == sorted(cosines, key=lambda one: (-round(cosines[one], 6), one))[
        :20
    ]
    assert (few.vectors.shape, found.vectors.shape) == ((20, 8), (2250, 8))


def test_a_taste_is_one_call_for_a_thousand_tracks() -> None:
    index, store = filled(1000)
    index.nearest(unit(1), 1)
    store.calls.clear()
    heard = Profile("p", 1, tuple(f"t{number:04d}" for number in range(900)), np.ones(900, np.float32), is_listed=True)
    assert taste_of(heard, index) is not None
    assert store.calls == ["vectors 900"]


async def test_searches_go_on_while_milvus_puts_things_away() -> None:
    index, store = filled(10)
    live = LiveIndex(cast(TrackIndex, index))
    keeper = MilvusKeeper(live, index, 5, 3600)
    await live.advance(lambda _: 10, LogPosition(BEGUN, 10), is_caught_up=True)
    release = threading.Event()
    seal = store.seal

    def slowly() -> None:
        release.wait(600)
        seal()

    store.seal = slowly  # type: ignore[method-assign]
    saving = asyncio.create_task(keeper.save())
    while not any(call.startswith("write 10") for call in store.calls):
        await asyncio.sleep(0.001)
    found = await asyncio.wait_for(live.run(lambda _: index.nearest(unit(3), 1)), 60)
    assert [track.track_id for track in found.tracks] == ["t0003"]
    await live.advance(
        lambda _: int(index.upsert(Track("later", 1), unit(77))), LogPosition(BEGUN, 11), is_caught_up=True
    )
    release.set()
    assert await saving
    assert store.position == LogPosition(BEGUN, 10)  # what came later is read again
    assert await keeper.save()
    assert store.position == LogPosition(BEGUN, 11)
    live.close()


class GarbageClient:
    """A client of pymilvus that gets anything as an answer, or an error."""

    def __init__(self, answer: object) -> None:
        self._answer = answer

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: object, **named: object) -> object:
            if isinstance(self._answer, Exception):
                raise self._answer
            if name == "query_iterator":
                return self
            return True if name == "has_collection" else self._answer

        return call


TOKEN = "root:Milvus-s3cret"


def garbage_store(answer: object, monkeypatch: pytest.MonkeyPatch, uri: str = "http://h:1") -> MilvusStore:
    package = ModuleType("pymilvus")
    monkeypatch.setattr(package, "MilvusClient", lambda *_, **__: GarbageClient(answer), raising=False)
    monkeypatch.setitem(sys.modules, "pymilvus", package)
    return MilvusStore(uri, TOKEN, "enc", 1.0)


@pytest.mark.parametrize(
    "answer",
    [
        5,
        "text",
        [[{}]],
        [{"track_id": "a", "vector": "x", "distance": "y", "created_at": 5, "sequence": "z"}],
        KeyError("name"),
        StopIteration(),  # which no future takes: whoever waited for it would wait for ever
        IndexError(),
        RuntimeError(),
    ],
)
def test_garbage_is_no_answer(answer: object, monkeypatch: pytest.MonkeyPatch) -> None:
    store = garbage_store(answer, monkeypatch)
    for call in (
        store.dimension,
        lambda: store.search(unit(1), 3),
        lambda: store.vectors(["a"]),
        lambda: list(store.records()),
        store.read_position,
    ):
        with pytest.raises(EngineUnavailable) as refused:
            call()
        assert (refused.value.reason, refused.value.value) == ("ENGINE_UNAVAILABLE", "Milvus")


def test_nobody_is_told_a_secret(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Callers learn no address, and the log no token and no password."""
    error = RuntimeError(f"cannot log in at http://me:pa55word@milvus:19530 with {TOKEN}, or with Milvus-s3cret")
    store = garbage_store(error, monkeypatch, "http://me:pa55word@milvus:19530")
    with pytest.raises(EngineUnavailable) as refused:
        store.read_position()
    assert refused.value.message == "Milvus does not answer: RuntimeError"
    (record,) = caplog.records
    told = vars(record)["error"]
    assert told == "RuntimeError: cannot log in at http://me:***@milvus:19530 with ***, or with ***"
    with pytest.raises(SettingsError) as wrong:
        MilvusStore("ftp://me:pa55word@milvus", TOKEN, "enc", 1.0)
    assert str(wrong.value) == "RETRIEVER_MILVUS_URI is neither http(s)://host:port nor a path that ends in .db"


def test_a_walk_that_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    store = garbage_store([], monkeypatch)
    clock = iter([0.0, 1.9, 2.1])
    monkeypatch.setattr("services.retriever.milvus.milvus_store.time.monotonic", lambda: next(clock))
    with pytest.raises(EngineUnavailable, match="reading 5000 vectors takes too long"):
        store.vectors([str(number) for number in range(5000)])


def test_a_missing_package_is_told_with_the_extra_that_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pymilvus", None)
    with pytest.raises(SettingsError, match=r"ENGINE_NOT_INSTALLED: .*pip install 'museed\[retriever,milvus\]'"):
        MilvusStore("http://127.0.0.1:9", "", "enc", 1.0)


def test_an_engine_without_an_address_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in {"SOCIAL_ADDRESS": "x:1", "ENCODER_ID": "e", "SNAPSHOT_FOLDER": str(tmp_path)}.items():
        monkeypatch.setenv(f"RETRIEVER_{name}", value)
    assert load(RetrieverSettings).engine == "faiss"
    monkeypatch.setenv("RETRIEVER_ENGINE", "milvus")
    with pytest.raises(SettingsError, match="RETRIEVER_MILVUS_URI is missing"):
        load(RetrieverSettings)


@pytest.mark.skipif(find_spec("pymilvus") is None, reason="pymilvus is not installed: pip install 'museed[milvus]'")
def test_a_milvus_that_takes_calls_and_never_answers_is_given_up() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        store = MilvusStore(f"http://127.0.0.1:{silent.getsockname()[1]}", "", "enc", 0.2)
        with pytest.raises(EngineUnavailable, match="Milvus does not answer"):
            store.read_position()


@pytest.mark.skipif(
    find_spec("milvus_lite") is None, reason="milvus-lite is not installed: pip install 'museed[milvus]'"
)
def test_a_real_store_keeps_point_and_tracks_apart_from_those_of_another_encoder(tmp_path: Path) -> None:
    path = str(tmp_path / "milvus.db")
    stores = [MilvusStore(path, "", encoder_id, 30.0) for encoder_id in ("a-b", "a_2db")]
    for number, store in enumerate(stores):
        index = MilvusIndex("enc", store)
        assert index.restore() is None
        for track in range(number + 2):
            index.upsert(Track(f"t{track}", 1, title=f"of {number}"), unit(track))
        keep(index, LogPosition(BEGUN, number + 2))
    for number, store in enumerate(stores):
        again = MilvusIndex("enc", store)
        assert again.restore() == LogPosition(BEGUN, number + 2)
        assert [each.title for each in again.nearest(unit(1), 9).tracks] == [f"of {number}"] * (number + 2)
    stores[0].drop()
    assert stores[0].read_position() is None
    assert stores[1].read_position() == LogPosition(BEGUN, 3)
    for store in stores:
        store.close()
