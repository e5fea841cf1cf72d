"""Every service is served, whether or not somebody wrote its servicer: what is missing is refused with a reason."""

from collections.abc import AsyncIterator

import grpc
import pytest

from museed.social.v1 import playlists_pb2, playlists_pb2_grpc, work_pb2, work_pb2_grpc
from services.chassis.auth import Access
from services.chassis.channel import connect
from services.chassis.errors import PermissionDenied, Unauthenticated, Unimplemented
from services.chassis.server import Server
from services.social.servicer.access import ACCESS
from services.social.wiring.registering import register

TIMEOUT_S = 60.0
# Nobody needs a token but for DeletePlaylist; UpdatePlaylist has no row.
OPEN = {name: Access.PUBLIC for name in ACCESS if "/UpdatePlaylist" not in name}
OPEN["/museed.social.v1.PlaylistService/DeletePlaylist"] = Access.USER


class Half(playlists_pb2_grpc.PlaylistServiceServicer):
    """Has one RPC of four."""

    async def GetPlaylist(
        self,
        request: playlists_pb2.GetPlaylistRequest,
        context: grpc.aio.ServicerContext[playlists_pb2.GetPlaylistRequest, playlists_pb2.GetPlaylistResponse],
    ) -> playlists_pb2.GetPlaylistResponse:
        return playlists_pb2.GetPlaylistResponse(playlist=playlists_pb2.Playlist(playlist_id=request.playlist_id))


def half() -> Half:
    return Half()  # type: ignore[abstract]  # that is what is tested


@pytest.fixture
async def channel() -> AsyncIterator[grpc.aio.Channel]:
    server = Server("127.0.0.1:0", OPEN)
    register(server.grpc, [half()])
    await server.start()
    async with connect(f"127.0.0.1:{server.port}") as opened:
        yield opened
    await server.drain(0)


async def test_service_without_a_servicer_is_unimplemented_with_a_reason(channel: grpc.aio.Channel) -> None:
    stub: work_pb2_grpc.WorkServiceAsyncStub = work_pb2_grpc.WorkServiceStub(channel)
    with pytest.raises(Unimplemented) as refusal:
        await stub.ListStreams(work_pb2.ListStreamsRequest(), timeout=TIMEOUT_S)
    assert (refusal.value.reason, refusal.value.message) == (
        "UNIMPLEMENTED",
        "WorkService.ListStreams is not offered yet",
    )


async def test_half_a_servicer_answers_what_it_has_and_refuses_the_rest(channel: grpc.aio.Channel) -> None:
    stub: playlists_pb2_grpc.PlaylistServiceAsyncStub = playlists_pb2_grpc.PlaylistServiceStub(channel)
    answer = await stub.GetPlaylist(playlists_pb2.GetPlaylistRequest(playlist_id="here"), timeout=TIMEOUT_S)
    assert answer.playlist.playlist_id == "here"
    with pytest.raises(Unimplemented) as refusal:
        await stub.ListMyPlaylists(playlists_pb2.ListMyPlaylistsRequest(), timeout=TIMEOUT_S)
    assert refusal.value.message == "PlaylistService.ListMyPlaylists is not offered yet"


async def test_door_comes_before_what_is_missing(channel: grpc.aio.Channel) -> None:
    stub: playlists_pb2_grpc.PlaylistServiceAsyncStub = playlists_pb2_grpc.PlaylistServiceStub(channel)
    with pytest.raises(Unauthenticated):
        await stub.DeletePlaylist(playlists_pb2.DeletePlaylistRequest(), timeout=TIMEOUT_S)
    with pytest.raises(PermissionDenied):
        await stub.UpdatePlaylist(playlists_pb2.UpdatePlaylistRequest(), timeout=TIMEOUT_S)


async def test_two_servicers_of_one_service_and_strangers_are_refused() -> None:
    with pytest.raises(TypeError, match="PlaylistService has 2 servicers"):
        register(Server("127.0.0.1:0", OPEN).grpc, [half(), half()])
    with pytest.raises(TypeError, match="of no service"):
        register(Server("127.0.0.1:0", OPEN).grpc, [object()])
