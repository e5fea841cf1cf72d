"""gRPC in: playlists as files, and stream tokens."""

import asyncio
import hashlib
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import replace
from datetime import datetime

import grpc

from museed.social.v1 import exchange_pb2, exchange_pb2_grpc
from services.chassis.auth import require_viewer
from services.social.actions.importing import LeftOut, import_playlist
from services.social.domain import fields, paging, stream_tokens
from services.social.domain.idempotency import check_key, digest_of
from services.social.domain.ids import PlaylistId, StreamTokenId, TrackId, UserId, is_id, new_id
from services.social.domain.playlists import LONGEST_TITLE, Playlist, Visibility
from services.social.domain.visibility import may_open, thing_of
from services.social.errors import Malformed, PlaylistNotFound
from services.social.errors.exchange import StreamTokenNotFound, StreamTokenRefused, TooManyStreamTokens
from services.social.exchange import formats
from services.social.exchange.rows import Format, WrittenPlaylist, check_size
from services.social.servicer.playlist_messages import person, playlist_id_of, to_playlist, to_visibility
from services.social.store import accounts, exchange, playlists
from services.social.store import stream_tokens as tokens
from services.social.store.claims import Claim
from services.social.store.database import Connection, Database
from services.social.wire import moment, timestamp

_DEFAULT_PAGE, _LARGEST_PAGE = 20, 100


class ExchangeServicer(exchange_pb2_grpc.ExchangeServiceServicer):
    """Serves ExchangeService.

    Args:
        database: The truth.
        readers: Reads files beside the event loop.
        public_url: Where the mesh is reached, without a slash at its end; what links of exported files begin with.
        playlists_per_user: How many playlists a person may have.
        clock: Time of day.
    """

    def __init__(
        self,
        database: Database,
        readers: Executor,
        public_url: str,
        playlists_per_user: int,
        clock: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._readers = readers
        self._public_url = public_url.rstrip("/")
        self._playlists_per_user = playlists_per_user
        self._clock = clock

    async def ImportPlaylist(
        self,
        request: exchange_pb2.ImportPlaylistRequest,
        context: grpc.aio.ServicerContext[exchange_pb2.ImportPlaylistRequest, exchange_pb2.ImportPlaylistResponse],
    ) -> exchange_pb2.ImportPlaylistResponse:
        """Make a playlist of a file; the same key with the same request returns the same one."""
        user_id, key = UserId(require_viewer().user_id), check_key(request.idempotency_key)
        format_, title = _format(request.format), fields.line(request.title, "title", longest=LONGEST_TITLE)
        visibility = to_visibility(request.visibility) or Visibility.PRIVATE
        check_size(request.content)
        loop = asyncio.get_running_loop()
        file = await loop.run_in_executor(self._readers, formats.read, format_, request.content)
        content = hashlib.sha256(request.content).hexdigest()
        digest = digest_of(format=format_, content=content, title=title, visibility=visibility)
        claim = Claim(user_id, "ImportPlaylist", key, digest)
        playlist_id, matched = await import_playlist(
            self._database, claim, file, title, visibility, self._playlists_per_user, self._clock()
        )
        async with self._database.connection() as connection:
            found = await playlists.open_for(connection, playlist_id, user_id)
        return exchange_pb2.ImportPlaylistResponse(
            playlist=to_playlist(found, user_id),
            unmatched=[_unmatched(one) for one in matched.left_out],
            row_count=len(file.rows),
        )

    async def ExportPlaylist(
        self,
        request: exchange_pb2.ExportPlaylistRequest,
        context: grpc.aio.ServicerContext[exchange_pb2.ExportPlaylistRequest, exchange_pb2.ExportPlaylistResponse],
    ) -> exchange_pb2.ExportPlaylistResponse:
        """Write a playlist that the caller may open, or has a token of, as a file."""
        viewer_id, playlist_id, format_ = person(), playlist_id_of(request.playlist_id), _format(request.format)
        if request.links not in exchange_pb2.PlaylistLinks.values():
            raise Malformed("links", request.links, "PATHS or TOKEN")
        has_token = request.links == exchange_pb2.PLAYLIST_LINKS_TOKEN
        async with self._database.snapshot() as connection:
            if has_token:
                found = await self._played(connection, request.stream_secret, playlist_id, viewer_id)
            else:
                found = await playlists.open_for(connection, playlist_id, viewer_id)
            rows = await exchange.rows_of(connection, playlist_id)
        secret = request.stream_secret if has_token else ""
        written = WrittenPlaylist(
            found.title,
            found.description,
            [replace(row, address=self._address(secret, track_id)) if secret else row for track_id, row in rows],
        )
        content = formats.write(format_, written)
        check_size(content, "format")
        return exchange_pb2.ExportPlaylistResponse(
            content=content,
            content_type=formats.CONTENT_TYPES[format_],
            file_name=formats.file_name(found.title, format_),
        )

    async def CreateStreamToken(
        self,
        request: exchange_pb2.CreateStreamTokenRequest,
        context: grpc.aio.ServicerContext[
            exchange_pb2.CreateStreamTokenRequest, exchange_pb2.CreateStreamTokenResponse
        ],
    ) -> exchange_pb2.CreateStreamTokenResponse:
        """Make a token with which anybody may play a playlist of the caller's; its secret is shown once."""
        user_id, key = UserId(require_viewer().user_id), check_key(request.idempotency_key)
        playlist_id, now = playlist_id_of(request.playlist_id), self._clock()
        given = moment(request.expires_at, "expires_at") if request.HasField("expires_at") else None
        said = "" if given is None else given.isoformat()
        claim = Claim(user_id, "CreateStreamToken", key, digest_of(playlist_id=playlist_id, expires_at=said))
        made, secret = StreamTokenId(new_id()), stream_tokens.new_secret()
        async with self._database.transaction() as connection:
            await accounts.lock_person(connection, user_id)
            await playlists.lock_own(connection, playlist_id, user_id)
            token_id = StreamTokenId(await claim.bind(connection, made, now))
            if token_id != made:
                known = await tokens.find_token(connection, token_id, user_id)
                if known is None:
                    raise StreamTokenNotFound(token_id)
                return exchange_pb2.CreateStreamTokenResponse(token=_token(known))
            expires_at = stream_tokens.check_expiry(given, now)
            count = await tokens.count_living(connection, playlist_id, now)
            if count >= stream_tokens.MOST_TOKENS:
                raise TooManyStreamTokens(count, stream_tokens.MOST_TOKENS)
            token_hash = stream_tokens.hash_secret(secret)
            token = await tokens.insert_token(connection, made, token_hash, playlist_id, user_id, now, expires_at)
        return exchange_pb2.CreateStreamTokenResponse(token=_token(token), secret=secret)

    async def ListStreamTokens(
        self,
        request: exchange_pb2.ListStreamTokensRequest,
        context: grpc.aio.ServicerContext[exchange_pb2.ListStreamTokensRequest, exchange_pb2.ListStreamTokensResponse],
    ) -> exchange_pb2.ListStreamTokensResponse:
        """List the living tokens of a playlist of the caller's, newest first."""
        user_id, playlist_id = UserId(require_viewer().user_id), playlist_id_of(request.playlist_id)
        size = paging.page_size(request.page_size, _DEFAULT_PAGE, _LARGEST_PAGE)
        scope = f"ListStreamTokens {playlist_id}"
        key = paging.decode_token(scope, request.page_token, [is_id])
        before = None if key is None else StreamTokenId(str(key[0]))
        async with self._database.connection() as connection:
            playlist = await playlists.open_for(connection, playlist_id, user_id)
            if playlist.owner_id != user_id:
                raise PlaylistNotFound(playlist_id)
            found = await tokens.living_tokens(connection, playlist_id, self._clock(), before, size + 1)
        page = paging.cut(found, size, scope, lambda one: (one.token_id,))
        return exchange_pb2.ListStreamTokensResponse(
            tokens=[_token(one) for one in page.items], next_page_token=page.next_token
        )

    async def RevokeStreamToken(
        self,
        request: exchange_pb2.RevokeStreamTokenRequest,
        context: grpc.aio.ServicerContext[
            exchange_pb2.RevokeStreamTokenRequest, exchange_pb2.RevokeStreamTokenResponse
        ],
    ) -> exchange_pb2.RevokeStreamTokenResponse:
        """Revoke a token of the caller's; a revoked one stays so."""
        user_id, given = UserId(require_viewer().user_id), request.token_id
        async with self._database.transaction() as connection:
            if not is_id(given) or not await tokens.revoke(connection, StreamTokenId(given), user_id, self._clock()):
                raise StreamTokenNotFound(given)
        return exchange_pb2.RevokeStreamTokenResponse()

    async def ResolveStreamToken(
        self,
        request: exchange_pb2.ResolveStreamTokenRequest,
        context: grpc.aio.ServicerContext[
            exchange_pb2.ResolveStreamTokenRequest, exchange_pb2.ResolveStreamTokenResponse
        ],
    ) -> exchange_pb2.ResolveStreamTokenResponse:
        """Say where the audio of a track lies, for who has a token of a playlist with it."""
        if not is_id(request.track_id) or len(request.secret) > stream_tokens.LONGEST_SECRET:
            raise StreamTokenRefused
        token_hash = stream_tokens.hash_secret(request.secret)
        async with self._database.connection() as connection:
            media = await tokens.resolve(connection, token_hash, TrackId(request.track_id), self._clock())
        if media is None:
            raise StreamTokenRefused
        return exchange_pb2.ResolveStreamTokenResponse(
            root_location=media.root_location,
            relative_path=media.relative_path,
            file_hash=media.file_hash,
            size_bytes=media.size_bytes,
            content_type=media.content_type,
        )

    async def _played(
        self, connection: Connection, secret: str, playlist_id: PlaylistId, viewer_id: UserId | None
    ) -> Playlist:
        """Return the playlist that a token plays, a private one, too, as `ResolveStreamToken` would."""
        is_short = len(secret) <= stream_tokens.LONGEST_SECRET
        token_hash = stream_tokens.hash_secret(secret)
        if not is_short or not await tokens.is_living(connection, token_hash, playlist_id, self._clock()):
            raise StreamTokenRefused
        found = await playlists.find_playlist(connection, playlist_id)
        if found is None or not may_open(replace(thing_of(found), visibility=Visibility.UNLISTED), viewer_id):
            raise StreamTokenRefused
        return found

    def _address(self, secret: str, track_id: TrackId) -> str:
        return f"{self._public_url}/stream/{secret}/{track_id}"


def _format(value: exchange_pb2.PlaylistFormat.ValueType) -> Format:
    known = exchange_pb2.PlaylistFormat.values()
    if value == exchange_pb2.PLAYLIST_FORMAT_UNSPECIFIED or value not in known:
        raise Malformed("format", value, "M3U8, JSPF or XSPF")
    return Format(exchange_pb2.PlaylistFormat.Name(value).removeprefix("PLAYLIST_FORMAT_"))


def _unmatched(one: LeftOut) -> exchange_pb2.UnmatchedRow:
    return exchange_pb2.UnmatchedRow(
        row=one.place,
        title=one.row.title,
        artist=one.row.artist,
        duration_seconds=one.row.seconds,
        reason=one.reason.value,
    )


def _token(found: stream_tokens.StreamToken) -> exchange_pb2.StreamToken:
    return exchange_pb2.StreamToken(
        token_id=found.token_id,
        playlist_id=found.playlist_id,
        created_at=timestamp(found.created_at),
        expires_at=timestamp(found.expires_at),
    )
