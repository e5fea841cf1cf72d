"""GET and HEAD /stream/{secret}/{track_id}: audio for who has a stream token; exported playlists point here."""

from starlette.requests import Request
from starlette.responses import Response

from museed.social.v1 import exchange_pb2
from services.gateway.context import Parts
from services.gateway.ids import decode_id
from services.gateway.streaming import AudioStreams


class TokenStreams:
    """The route of audio by stream tokens.

    Args:
        parts: The parts of the process.
        streams: Sends the audio of tracks.
    """

    def __init__(self, parts: Parts, streams: AudioStreams) -> None:
        self._parts = parts
        self._streams = streams

    async def handle(self, request: Request) -> Response:
        """Let social decide, each time anew, and answer with the audio. Whoever asks is nobody here.

        Raises:
            PermissionDenied: STREAM_TOKEN_REFUSED.
            NotFound: No such file any more.
            FailedPrecondition: MEDIA_CHANGED.
        """
        await self._parts.authenticator.bind(None)
        track_id = decode_id(request.path_params["track_id"], "Track", "trackId")
        await self._parts.upstream.exchange.ResolveStreamToken(
            exchange_pb2.ResolveStreamTokenRequest(secret=request.path_params["secret"], track_id=track_id),
            timeout=self._parts.settings.upstream_timeout_s,
        )
        response = await self._streams.track_audio(request, track_id)
        # A token that was revoked must be asked about at the next time.
        response.headers["Cache-Control"] = "private, no-cache"
        return response
