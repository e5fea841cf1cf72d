"""Searches by a recording: says whose it may be, reads what was heard in it, and asks the index."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from services.social.actions.turns import Turns
from services.social.domain.catalog import EmbeddingState
from services.social.domain.ids import EncoderId, TrackId, UploadId, UserId
from services.social.domain.references import Heard, Matches
from services.social.domain.rules import TrackFilter
from services.social.errors import TrackFailed, TrackNotFound, TrackNotReady, UploadNotFound
from services.social.errors.references import TooManySearches, UploadNotHeard, WindowsNotKept
from services.social.reference_client import ReferenceClient, WindowsUnreadable
from services.social.store import blocks, encoders, references, uploads
from services.social.store.database import Connection, Database

# A search holds threads of the index for a tenth of a second.
MOST_AT_A_TIME = 2


@dataclass(frozen=True, slots=True)
class Search:
    """What somebody searches for, checked.

    Attributes:
        recording: By what.
        count: Tracks wanted.
        segment_count: Pairs of segments wanted of each.
        wanted: Which tracks may be found.
        leaves_out_blocked: Whether what the person blocks is not found.
    """

    recording: TrackId | UploadId
    is_upload: bool
    count: int
    segment_count: int
    wanted: TrackFilter
    leaves_out_blocked: bool


@dataclass(frozen=True, slots=True)
class Found:
    """What was found, whose ear compared, and how long the recording is."""

    matches: Matches
    encoder_id: EncoderId
    duration_seconds: float


class ReferenceSearch:
    """Searches by recordings.

    Args:
        database: The truth.
        client: Asks the index.
        clock: Time of day.
    """

    def __init__(self, database: Database, client: ReferenceClient, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._client = client
        self._clock = clock
        self._turns = Turns(MOST_AT_A_TIME, TooManySearches)

    async def find(self, user_id: UserId, search: Search) -> Found:
        """Find tracks that sound like a recording.

        Raises:
            TrackNotFound, TrackNotReady, TrackFailed, UploadNotFound, UploadNotHeard, WindowsNotKept: It cannot be
                searched by.
            TooManySearches: This person has as many under way as one may.
            DomainError: What the retriever refuses.
        """
        with self._turns.of(user_id):
            async with self._database.connection() as connection:
                encoder_id = await encoders.serving(connection)
                heard = await self._heard(connection, encoder_id, user_id, search)
                seconds = await references.window_seconds(connection, encoder_id)
                itself = [] if search.is_upload else [TrackId(search.recording)]
                blocker = user_id if search.leaves_out_blocked else None
                blocked = await blocks.blocks_of(connection, blocker, itself)
            if not heard.windows_digest:
                raise _nothing_to_compare(search)
            try:
                matches = await self._client.match(
                    user_id,
                    heard,
                    encoder_id,
                    seconds,
                    search.count,
                    search.segment_count,
                    search.wanted,
                    blocked,
                )
            except WindowsUnreadable as error:
                raise _nothing_to_compare(search) from error
        return Found(matches, encoder_id, heard.duration_seconds)

    async def _heard(self, connection: Connection, encoder_id: EncoderId, user_id: UserId, search: Search) -> Heard:
        if search.is_upload:
            return await self._heard_in_upload(connection, encoder_id, user_id, UploadId(search.recording))
        track_id = TrackId(search.recording)
        found = await references.find_track(connection, encoder_id, track_id)
        if found is None:
            raise TrackNotFound(track_id)
        if found.state is EmbeddingState.FAILED:
            raise TrackFailed(track_id, "track_id", found.failure_message)
        if found.heard is None:
            raise TrackNotReady(track_id, "track_id")
        return found.heard

    async def _heard_in_upload(
        self, connection: Connection, encoder_id: EncoderId, user_id: UserId, upload_id: UploadId
    ) -> Heard:
        if upload_id not in await uploads.find_uploads(connection, [upload_id], user_id, self._clock()):
            raise UploadNotFound(upload_id)
        heard = await references.find_upload(connection, encoder_id, upload_id)
        if heard is None:
            raise UploadNotHeard(upload_id)
        return heard


def _nothing_to_compare(search: Search) -> UploadNotHeard | WindowsNotKept:
    return UploadNotHeard(search.recording) if search.is_upload else WindowsNotKept(search.recording)
