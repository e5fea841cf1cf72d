"""A retriever whose vectors are in Milvus: the same answers, and a start that goes on where the last one ended."""

import logging
from importlib.util import find_spec
from pathlib import Path

import pytest

from museed.retriever.v1 import retriever_pb2
from services.chassis import vectors
from services.retriever.milvus.milvus_engine import MilvusIndex
from services.retriever.milvus.milvus_store import MilvusStore
from tests.conftest import NatsServer
from tests.integration.retriever.conftest import Log, Retriever, running_retriever, unit

pytestmark = pytest.mark.skipif(
    find_spec("milvus_lite") is None or find_spec("pymilvus") is None,
    reason="milvus-lite is not installed: pip install 'museed[milvus]'",
)


async def search(retriever: Retriever, sound: int, **fields: object) -> list[str]:
    request = retriever_pb2.SearchRequest(vector=vectors.encode(unit(sound)), k=3)
    request.MergeFrom(retriever_pb2.SearchRequest(**fields))  # type: ignore[arg-type]  # any field of the message
    return [hit.track_id for hit in (await retriever.stub.Search(request, timeout=30)).hits]


async def test_milvus_serves_playlists_and_survives_a_restart(
    log: Log, nats_server: NatsServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    stores: list[MilvusStore] = []

    def open_milvus(encoder_id: str) -> MilvusIndex:
        stores.append(MilvusStore(str(tmp_path / "milvus.db"), "", encoder_id, 30.0))
        return MilvusIndex(encoder_id, stores[-1])

    for number in range(20):
        await log.put(f"t{number:02d}", number, genre="Rock" if number % 2 else "Jazz")
    async with running_retriever(nats_server, tmp_path / "snapshots", open_milvus=open_milvus) as retriever:
        await retriever.until(lambda: retriever.live.is_caught_up)
        described = await retriever.stub.DescribeIndex(retriever_pb2.DescribeIndexRequest(), timeout=30)
        assert (described.kind, described.track_count, described.dimension) == ("milvus", 20, 16)
        assert (await search(retriever, 7))[0] == "t07"
        jazz = await search(retriever, 7, filter=retriever_pb2.Filter(genres=["Jazz"]), k=20)
        assert sorted(jazz) == [f"t{number:02d}" for number in range(0, 20, 2)]
        request = retriever_pb2.BuildPlaylistRequest(
            seeds=[retriever_pb2.Seed(track_id="t07")], length=5, hub_damping=0.3, diversity=0.3
        )
        playlist = await retriever.stub.BuildPlaylist(request, timeout=30)
        assert len({track.track_id for track in playlist.tracks} - {"t07"}) == 5
    await log.put_raw("t07", b"")
    await log.put("t03", 903, version=2)
    caplog.clear()
    async with running_retriever(nats_server, tmp_path / "snapshots", open_milvus=open_milvus) as retriever:
        await retriever.until(lambda: retriever.live.is_caught_up)
        assert "t07" not in await search(retriever, 7, k=20)
        assert (await search(retriever, 903))[0] == "t03"
    caught_up = next(record for record in caplog.records if record.message == "log_caught_up")
    assert vars(caught_up)["entry_count"] == 2
    for store in stores:
        store.close()
