"""Uploads that are not whole yet, as pieces beside the blobs: `partial/<user>/<upload>/<where the piece begins>`.

What `partial/<user>/keys/<digest of a key>` holds is the id of the upload that was begun with an idempotency key.

A piece is made where none of its name is, or not at all. So the pieces of an upload are one chain whoever adds to it,
and any process goes on where another one was killed: nothing is locked, and nothing but the store remembers.
"""

import asyncio
import contextlib
import hashlib
import json
import logging
import os
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from uuid_utils.compat import uuid7

from services.chassis.blobs import BlobStore, telling_write_errors
from services.chassis.errors import Aborted, ResourceExhausted

logger = logging.getLogger(__name__)

# Held in memory while it comes, and what a kill may cost of what was not acknowledged.
PIECE_BYTES = 8 * 1024 * 1024
# So many interruptions an upload survives.
_MAX_PIECES = 1000
_ROOT = "partial"
_FACTS = "facts"
# Beside a person's uploads; no upload has such an id.
_KEYS = "keys"
_SWEEP_INTERVAL_S = 600.0
_GRACE = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class PartialUpload:
    """What is there of an upload.

    Attributes:
        user_id: Whose it is.
        upload_id: A UUIDv7, which social is to give it.
        length: Bytes of the whole.
        file_name: Harmless already.
        metadata: As the client said it.
        expires_at: When it is forgotten; aware.
        recorded_as: Its id at social, once it is whole and recorded; empty before.
        starts: Where its pieces begin.
        offset: Bytes that are there.
    """

    user_id: str
    upload_id: str
    length: int
    file_name: str
    metadata: str
    expires_at: datetime
    recorded_as: str = ""
    starts: tuple[int, ...] = ()
    offset: int = 0

    @property
    def is_whole(self) -> bool:
        """Whether all its bytes are there."""
        return self.offset == self.length


class PartialUploads:
    """Keeps them. A person's own alone are ever found.

    Args:
        blobs: Beside which they lie.
        life_s: How long they are kept, from their beginning on.
        clock: Seconds since the epoch.
    """

    def __init__(self, blobs: BlobStore, life_s: float, clock: Callable[[], float] = time.time) -> None:
        self._store = blobs.objects
        self._folder = blobs.folder
        self._life_s = life_s
        self._clock = clock

    async def begin(self, user_id: str, length: int, file_name: str, metadata: str, key: str = "") -> PartialUpload:
        """Make an upload of which nothing is there yet; with a key the one of that key, if somebody was quicker."""
        expires_at = datetime.fromtimestamp(self._clock() + self._life_s, UTC)
        upload = PartialUpload(user_id, str(uuid7()), length, file_name, metadata, expires_at)
        await self._write(upload)
        if not key:
            return upload
        name, note = _note(user_id, key), upload.upload_id.encode()
        try:
            await obstore.put_async(self._store, name, note, mode="create", use_multipart=False)
        except AlreadyExistsError:
            if (other := await self.begun(user_id, key)) is not None:
                await self.forget(upload)
                return other
            await obstore.put_async(self._store, name, note, use_multipart=False)  # what it named is gone
        return upload

    async def begun(self, user_id: str, key: str) -> PartialUpload | None:
        """Return the upload that a person began with a key; None where there is none any more."""
        try:
            found = await obstore.get_async(self._store, _note(user_id, key))
            upload_id = bytes(await found.bytes_async()).decode()
        except FileNotFoundError:
            return None
        return await self.find(user_id, upload_id)

    async def find(self, user_id: str, upload_id: str) -> PartialUpload | None:
        """Return an upload of a person's, with what is there of it; None where there is none that may go on."""
        if not (facts := await self._facts(user_id, upload_id)):
            return None
        upload = PartialUpload(
            user_id,
            upload_id,
            facts["length"],
            facts["file_name"],
            facts["metadata"],
            datetime.fromtimestamp(facts["expires_at"], UTC),
            facts["recorded_as"],
        )
        if upload.expires_at.timestamp() <= self._clock():
            return None
        if upload.recorded_as:
            return replace(upload, offset=upload.length)
        sizes = await self._pieces(upload)
        starts, offset = [], 0
        while offset in sizes:
            starts.append(offset)
            offset += sizes[offset]
        return replace(upload, starts=tuple(starts), offset=offset)

    async def unfinished(self, user_id: str) -> list[PartialUpload]:
        """Return a person's uploads that may go on and are not recorded."""
        page = await obstore.list_with_delimiter_async(self._store, f"{_ROOT}/{user_id}")
        ids = [prefix.rstrip("/").rpartition("/")[2] for prefix in page["common_prefixes"]]
        found = [await self.find(user_id, upload_id) for upload_id in ids]
        return [upload for upload in found if upload is not None and not upload.recorded_as]

    async def add(self, upload: PartialUpload, data: bytes) -> PartialUpload:
        """Add a piece behind what is there.

        Raises:
            Aborted: UPLOAD_OFFSET_MISMATCH: somebody else was first.
            ResourceExhausted: UPLOAD_TOO_FRAGMENTED.
        """
        if len(upload.starts) >= _MAX_PIECES:
            raise ResourceExhausted(
                f"the upload came in {_MAX_PIECES} pieces, limit is {_MAX_PIECES}: begin again with larger ones",
                reason="UPLOAD_TOO_FRAGMENTED",
                value=len(upload.starts),
                limit=_MAX_PIECES,
            )
        try:
            with telling_write_errors():
                await obstore.put_async(
                    self._store, _piece(upload, upload.offset), data, mode="create", use_multipart=False
                )
        except AlreadyExistsError as error:
            raise offset_mismatch(upload.offset) from error
        return replace(upload, starts=(*upload.starts, upload.offset), offset=upload.offset + len(data))

    async def chunks(self, upload: PartialUpload) -> AsyncGenerator[bytes, None]:
        """Yield what is there, in order.

        Raises:
            FileNotFoundError: It was deleted meanwhile.
        """
        for start in upload.starts:
            result = await obstore.get_async(self._store, _piece(upload, start))
            yield bytes(await result.bytes_async())

    async def record(self, upload: PartialUpload, recorded_as: str) -> PartialUpload:
        """Note that social knows it; its pieces go, and the note stays as long as the upload would have."""
        done = replace(upload, recorded_as=recorded_as)
        await self._write(done)
        await self._delete([_piece(upload, start) for start in upload.starts])
        return done

    async def forget(self, upload: PartialUpload) -> None:
        """Delete an upload and what is there of it."""
        pieces = [_piece(upload, start) for start in await self._pieces(upload)]
        await self._delete([_name(upload.user_id, upload.upload_id, _FACTS), *pieces])

    async def run(self) -> None:
        """Sweep for ever."""
        while True:
            try:
                await self.sweep()
            except (OSError, BaseError) as error:  # the store is away: next time
                logger.warning("partial_uploads_not_swept", extra={"error": repr(error)})
            await asyncio.sleep(_SWEEP_INTERVAL_S)

    async def sweep(self) -> int:
        """Delete what nobody may go on with; safe in many processes at once. Returns how many pieces and notes."""
        before = datetime.fromtimestamp(self._clock(), UTC) - timedelta(seconds=self._life_s) - _GRACE
        if self._folder is not None:
            return await asyncio.to_thread(_sweep_folder, self._folder / _ROOT, before.timestamp())
        old = []
        async for page in obstore.list(self._store, prefix=_ROOT):
            old += [one["path"] for one in page if one["last_modified"] < before]
        await self._delete(old)
        return len(old)

    async def _write(self, upload: PartialUpload) -> None:
        facts = {
            "length": upload.length,
            "file_name": upload.file_name,
            "metadata": upload.metadata,
            "expires_at": upload.expires_at.timestamp(),
            "recorded_as": upload.recorded_as,
        }
        name = _name(upload.user_id, upload.upload_id, _FACTS)
        with telling_write_errors():
            await obstore.put_async(self._store, name, json.dumps(facts).encode(), use_multipart=False)

    async def _facts(self, user_id: str, upload_id: str) -> dict[str, Any] | None:
        try:
            result = await obstore.get_async(self._store, _name(user_id, upload_id, _FACTS))
            found: dict[str, Any] = json.loads(bytes(await result.bytes_async()))
        except FileNotFoundError:
            return None
        return found

    async def _pieces(self, upload: PartialUpload) -> dict[int, int]:
        """Return the sizes of the pieces by where they begin."""
        prefix = _name(upload.user_id, upload.upload_id, "")
        found: dict[int, int] = {}
        async for page in obstore.list(self._store, prefix=prefix.rstrip("/"), chunk_size=_MAX_PIECES):
            for one in page:
                name = one["path"].rpartition("/")[2]
                if name != _FACTS:
                    found[int(name)] = one["size"]
        return found

    async def _delete(self, names: list[str]) -> None:
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                await obstore.delete_async(self._store, name)


def offset_mismatch(offset: int, given: int | None = None) -> Aborted:
    """Return the refusal of a chunk that does not begin where the upload ends."""
    return Aborted(
        "the upload does not go on there, ask where it does",
        reason="UPLOAD_OFFSET_MISMATCH",
        field="Upload-Offset",
        value=offset if given is None else given,
        limit=None if given is None else offset,
    )


def _name(user_id: str, upload_id: str, part: str) -> str:
    return f"{_ROOT}/{user_id}/{upload_id}/{part}"


def _note(user_id: str, key: str) -> str:
    """Return where it stands which upload a key began."""
    return _name(user_id, _KEYS, hashlib.sha256(key.encode()).hexdigest())


def _piece(upload: PartialUpload, start: int) -> str:
    return _name(upload.user_id, upload.upload_id, f"{start:016d}")


def _sweep_folder(root: Path, before_s: float) -> int:
    # By hand: the store neither lists what a killed process left half written ("…#1"), nor deletes empty folders.
    swept = 0
    for folder, _, names in os.walk(root, topdown=False):
        for name in names:
            path = Path(folder) / name
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_mtime < before_s:
                    path.unlink()
                    swept += 1
        if Path(folder) != root:
            with contextlib.suppress(OSError):  # not empty, or filled meanwhile
                os.rmdir(folder)
    return swept
