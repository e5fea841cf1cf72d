"""GET and HEAD of audio: a library track's from its media root, an upload's from the blob store, whole or in ranges."""

import logging
import os
import re
import tempfile
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from museed.social.v1 import catalog_pb2
from services.chassis import auth
from services.chassis.errors import FailedPrecondition, NotFound, PermissionDenied, Unauthenticated
from services.chassis.media import open_below, open_in_thread
from services.gateway.context import UPLOAD_FACTS, Parts, upload_facts, upload_subject
from services.gateway.ids import decode_id
from services.gateway.sending import not_modified, sent
from services.gateway.signing import StreamGrant
from services.gateway.sources import BlobSource, FileSource, Source
from services.gateway.track_media import TrackMedia
from services.gateway.transcoding.formats import Original, choose

logger = logging.getLogger(__name__)

# What the catalogue says becomes a header; nothing that a browser would run comes from here.
_AUDIO_TYPE = re.compile(r"(audio|video)/[\w.+-]{1,100}|application/ogg", re.ASCII)
_UNKNOWN_TYPE = "application/octet-stream"


class AudioStreams:
    """The routes of audio.

    Args:
        parts: The parts of the process.
        threads: Reads files, so that a slow disk holds up neither the loop nor other work.
    """

    def __init__(self, parts: Parts, threads: ThreadPoolExecutor) -> None:
        self._parts = parts
        self._threads = threads
        self._transcoder = parts.transcoder
        self._media = TrackMedia(parts.upstream, parts.settings.upstream_timeout_s)

    async def handle(self, request: Request) -> Response:
        """Answer a request for a track's audio.

        Raises:
            Unauthenticated: Neither a signed address nor a good token, or the session has ended.
            PermissionDenied: SIGNATURE_INVALID or URL_EXPIRED.
            Unavailable: Tokens cannot be verified now.
            NotFound: No such track, or no such file any more.
            FailedPrecondition: MEDIA_CHANGED or TRANSCODING_FAILED.
            InvalidArgument: FORMAT_UNKNOWN or BIT_RATE_OUT_OF_RANGE.
            ResourceExhausted: TRANSCODING_LIMIT.
        """
        track_id = decode_id(request.path_params["track_id"], "Track", "trackId")
        session_id = await self._admit(request, track_id)
        return await self.track_audio(request, track_id, session_id)

    async def track_audio(self, request: Request, track_id: str, session_id: str = "") -> Response:
        """Answer with a track's audio, to somebody who was let in.

        Args:
            request: GET or HEAD.
            track_id: UUID.
            session_id: The connection is broken when this session ends.

        Raises:
            NotFound, FailedPrecondition: As `handle` does.
        """
        media = await self._media.find(track_id)
        audio = _Audio(
            media.file_hash.hex(),
            Original(media.content_type, media.size_bytes, media.duration_seconds),
            lambda: self._open_track(media, track_id),
            lambda: self._open_track_file(media, track_id),
        )
        return await self._answer(request, audio, session_id)

    async def handle_upload(self, request: Request) -> Response:
        """Answer a request for the audio of an upload, which is its uploader's alone.

        Raises:
            Unauthenticated, PermissionDenied, Unavailable: As `handle` does.
            NotFound: No such upload of theirs, or its audio is deleted.
        """
        upload_id = decode_id(request.path_params["upload_id"], "Upload", "uploadId")
        grant = await self._admit_to_upload(request, upload_id)
        digest = bytes.fromhex(grant.facts["digest"])
        audio = _Audio(
            digest.hex(),
            Original(grant.facts["type"], 0),
            lambda: self._open_upload(digest, upload_id),
            lambda: self._open_upload_file(digest, upload_id),
            is_private=True,
        )
        return await self._answer(request, audio, grant.session_id)

    async def _answer(self, request: Request, audio: "_Audio", session_id: str) -> Response:
        """Send audio as it is, or as the query wants it; a representation of its own, with its own ETag."""
        wanted = request.query_params
        target = choose(wanted.get("format"), wanted.get("maxBitRate"), audio.original)
        etag = f'"{audio.digest}"' if target is None else f'"{audio.digest}-{target.name}"'
        headers = {"Cache-Control": f"private, max-age={self._parts.settings.stream_url_lifetime_s}"}
        if (known := not_modified(request, etag, headers)) is not None:
            return known
        if target is None:
            source, content_type = await audio.open(), _audio_type(audio.original.content_type)
        else:
            caller = session_id or auth.client()
            made = await self._transcoder.open(
                audio.digest, target, audio.open_file, is_private=audio.is_private, caller=caller
            )
            source, content_type = FileSource(made, self._threads), target.content_type
        revocations = self._parts.authenticator.revocations
        return sent(request, source, etag, content_type, headers, lambda: session_id in revocations)

    async def _open_track(self, media: catalog_pb2.GetTrackMediaResponse, track_id: str) -> Source:
        return FileSource(await self._open_track_file(media, track_id), self._threads)

    async def _open_track_file(self, media: catalog_pb2.GetTrackMediaResponse, track_id: str) -> int:
        try:
            descriptor = await open_in_thread(
                self._threads, lambda: open_below(media.root_location, media.relative_path)
            )
        except NotFound as error:
            # Its path is nobody's business here; the log has it.
            logger.warning("media_not_found", extra={"track_id": track_id, "detail": error.message})
            raise NotFound(
                "the file of this track is gone", reason=error.reason, field="trackId", value=track_id
            ) from error
        size = os.fstat(descriptor).st_size
        if size != media.size_bytes:
            os.close(descriptor)
            raise FailedPrecondition(
                f"the file has {size} bytes now and had {media.size_bytes} when it was registered: ingest it again",
                reason="MEDIA_CHANGED",
                field="trackId",
                value=track_id,
            )
        return descriptor

    async def _open_upload_file(self, digest: bytes, upload_id: str) -> int:
        """Open an upload as a file; one of a store without files is fetched into a file that nobody else can open."""
        try:
            descriptor = await self._parts.blobs.open(digest)
            if descriptor is not None:
                return descriptor
            with tempfile.NamedTemporaryFile() as file:
                await self._parts.blobs.download(digest, Path(file.name))
                return os.dup(file.fileno())
        except NotFound as error:
            raise _deleted(upload_id) from error

    async def _open_upload(self, digest: bytes, upload_id: str) -> Source:
        try:
            descriptor = await self._parts.blobs.open(digest)
            if descriptor is not None:
                return FileSource(descriptor, self._threads)
            return BlobSource(self._parts.blobs, digest, await self._parts.blobs.size(digest))
        except NotFound as error:
            raise _deleted(upload_id) from error

    async def _admit(self, request: Request, track_id: str) -> str:
        """Return the session under which the audio is heard; empty for guests."""
        if "signature" in request.query_params:
            return (await self._verify(request, track_id)).session_id
        viewer = await self._parts.authenticator.bind(request.headers.get("authorization"))
        if viewer is None:
            raise Unauthenticated("take the address from `streamUrl`, or send a token", reason="LOGIN_REQUIRED")
        auth.check(auth.Access.PUBLIC, viewer, "GetTrackMedia")
        return viewer.session_id

    async def _admit_to_upload(self, request: Request, upload_id: str) -> StreamGrant:
        """Return the session of an uploader, and what their upload is. Social is asked unless it was for the address.

        Nobody is a guest here: an address without a session opens nothing.
        """
        if "signature" in request.query_params:
            grant = await self._verify(request, upload_subject(upload_id), UPLOAD_FACTS)
            if not grant.session_id:
                raise PermissionDenied("the signature of this address is not valid", reason="SIGNATURE_INVALID")
            return grant
        viewer = await self._parts.authenticator.bind(request.headers.get("authorization"))
        auth.check(auth.Access.USER, viewer, "GetUpload")
        answer = await self._parts.upstream.catalog.GetUpload(
            catalog_pb2.GetUploadRequest(upload_id=upload_id), timeout=self._parts.settings.upstream_timeout_s
        )
        return StreamGrant(viewer.session_id if viewer else "", upload_facts(answer.upload))

    async def _verify(self, request: Request, subject: str, facts: tuple[str, ...] = ()) -> StreamGrant:
        """Check a signed address, and that the session has not ended that asked for it."""
        authenticator = self._parts.authenticator
        await authenticator.bind(None)
        grant = self._parts.signer.verify(subject, request.query_params, facts)
        if grant.session_id:
            await authenticator.revocations.be_read()
        if grant.session_id in authenticator.revocations:
            raise Unauthenticated("the session has ended, log in again", reason="SESSION_REVOKED")
        return grant


@dataclass(frozen=True, slots=True)
class _Audio:
    """Audio that somebody may hear.

    Attributes:
        digest: Of its bytes, in hexadecimal digits.
        original: What it is.
        open: Opens it to be sent.
        open_file: Opens it to be transcoded.
        is_private: Whether it is one person's.
    """

    digest: str
    original: Original
    open: Callable[[], Awaitable[Source]]
    open_file: Callable[[], Awaitable[int]]
    is_private: bool = False


def _deleted(upload_id: str) -> NotFound:
    return NotFound("the audio of this upload is deleted", reason="UPLOAD_NOT_FOUND", field="uploadId", value=upload_id)


def _audio_type(stated: str) -> str:
    return stated if _AUDIO_TYPE.fullmatch(stated) else _UNKNOWN_TYPE
