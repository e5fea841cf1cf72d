"""Searching by a recording: tracks that sound like it, and which seconds of both are alike."""

from typing import Annotated, Self

import strawberry
from strawberry import field, relay

from museed.social.v1 import reference_pb2
from services.chassis.errors import InvalidArgument
from services.gateway.context import Info
from services.gateway.ids import decode_id
from services.gateway.schema.fields import resolver
from services.gateway.schema.paging import After, First, PageRequest, list_window, page_info, page_request
from services.gateway.schema.paging import cursor as page_cursor
from services.gateway.schema.rules import TrackFilterInput
from services.gateway.schema.track import LeaveOutBlocked, Track
from services.gateway.schema.values import round_single

# As far as social ranks.
MAX_MATCHES = 200

ByTrack = Annotated[strawberry.ID | None, strawberry.argument(description="A track, by `id` or `trackId`.")]
ByUpload = Annotated[
    strawberry.ID | None, strawberry.argument(description="An upload of the caller's own that was heard.")
]
Segments = Annotated[int, strawberry.argument(description="Pairs of segments wanted of each track, 1 to 20.")]


@strawberry.type(description="A stretch of a recording.")
class Segment:
    """From and to."""

    start_seconds: float = field(description="Start in seconds.")
    end_seconds: float = field(description="End in seconds.")

    @classmethod
    def from_message(cls, message: reference_pb2.Segment) -> Self:
        """Translate social's message."""
        return cls(start_seconds=message.start_seconds, end_seconds=message.end_seconds)


@strawberry.type(description='"Seconds 40–50 of your demo sound like seconds 62–72 of this."')
class MatchedSegment:
    """A pair of stretches that sound alike."""

    reference: Segment = field(description="Where in the recording.")
    track: Segment | None = field(description="Where in the track; null where that is not known.")
    similarity: float = field(description="Cosine of the two, −1 to 1.")

    @classmethod
    def from_message(cls, message: reference_pb2.MatchedSegment) -> Self:
        """Translate social's message."""
        return cls(
            reference=Segment.from_message(message.reference),
            track=Segment.from_message(message.track) if message.HasField("track") else None,
            similarity=round_single(message.similarity),
        )


@strawberry.type(description="A track that sounds like the recording, and why it is here.")
class ReferenceEdge:
    """A match."""

    cursor: str = field(description="Give it as `after` to go on behind this item.")
    node: Track = field(description="The track.")
    similarity: float = field(description="Cosine of both recordings as a whole, −1 to 1.")
    quantile: float | None = field(
        description="Share of random pairs of tracks that are less similar, 0 to 1; null in a library of less "
        "than 100 tracks."
    )
    score: float | None = field(
        description="Mean over the windows of the recording of the cosine to the track's nearest window, −1 to 1: what "
        "the list is ordered by; null where no windows of the track are kept."
    )
    shared_tags: list[str] = field(description="Tags that are heard in both, the track's best first.")
    segments: list[MatchedSegment] = field(description="The pairs that are most alike, best first.")


@strawberry.type(description="Tracks that sound like the recording, best first: at most 200.")
class ReferenceConnection:
    """A page of matches, with what was compared."""

    page_info: relay.PageInfo = field(description="Whether and where it goes on.")
    edges: list[ReferenceEdge] = field(description="The tracks with their reasons.")
    nodes: list[Track] = field(description="The tracks alone.")
    encoder_id: str = field(description="Model whose ear compared.")
    duration_seconds: float = field(description="Length of the recording.")
    candidate_count: int = field(description="Tracks that were compared, of which these are the best.")
    without_windows_count: int = field(description="Tracks of these that were compared as a whole alone.")


@strawberry.type
class ReferenceQuery:
    """The query by a recording."""

    @resolver(
        "Tracks that sound like a track of the library, or like an upload of the caller's own, with the seconds of "
        "both that are alike; nothing is made of it. An upload must be heard first: see `hearUpload`."
    )
    async def reference_search(
        self,
        info: Info,
        track_id: ByTrack = None,
        upload_id: ByUpload = None,
        segments: Segments = 3,
        filter: Annotated[
            TrackFilterInput | None, strawberry.argument(description="Which may be found; else all.")
        ] = None,
        leave_out_blocked: LeaveOutBlocked = False,
        first: First = 20,
        after: After = None,
    ) -> ReferenceConnection | None:
        """Ask social, which ranks from the beginning for each page; what was deleted in between is left out."""
        page = page_request(first, after)
        start, end = list_window(page)
        _check_segments(segments)
        request = reference_pb2.SearchReferenceRequest(
            # One more than is shown, which tells whether there is another page.
            count=min(end + 1, MAX_MATCHES),
            segments_per_track=segments,
            filter=filter.to_message() if filter is not None else None,
            leave_out_blocked=leave_out_blocked,
        )
        _name(request, track_id, upload_id)
        if start >= MAX_MATCHES:
            raise InvalidArgument("the list ends before this", reason="CURSOR_INVALID", field="after", value=after)
        answer = await info.context.call(info.context.parts.upstream.reference_search.SearchReference, request)
        return await _connection(info, page, answer)


def _name(request: reference_pb2.SearchReferenceRequest, track_id: str | None, upload_id: str | None) -> None:
    """Say by what is searched.

    Raises:
        InvalidArgument: REFERENCE_AMBIGUOUS, ID_INVALID or ID_OF_ANOTHER_TYPE.
    """
    if track_id is not None and upload_id is None:
        request.track_id = decode_id(track_id, "Track", "trackId")
    elif upload_id is not None and track_id is None:
        request.upload_id = decode_id(upload_id, "Upload", "uploadId")
    else:
        raise InvalidArgument("give either trackId or uploadId", reason="REFERENCE_AMBIGUOUS", field="trackId")


def _check_segments(segments: int) -> None:
    if segments == 0:  # upstream's 0 is "left out"
        raise InvalidArgument(
            "segments is 0, it must be 1 to 20", reason="SEGMENTS_OUT_OF_RANGE", field="segments", value=0, limit=1
        )


async def _connection(
    info: Info, page: PageRequest, answer: reference_pb2.SearchReferenceResponse
) -> ReferenceConnection:
    start, end = list_window(page)
    matches = answer.matches[start:end]
    found = await info.context.loaders.tracks.load_many([match.track_id for match in matches])
    edges = [
        ReferenceEdge(
            cursor=page_cursor(str(number), 0),
            node=Track.from_message(message),
            similarity=round_single(match.similarity),
            quantile=round_single(match.quantile) if match.HasField("quantile") else None,
            score=round_single(match.score) if match.HasField("score") else None,
            shared_tags=list(match.shared_tags),
            segments=[MatchedSegment.from_message(one) for one in match.segments],
        )
        for number, (match, message) in enumerate(zip(matches, found, strict=True), start=start + 1)
        if message is not None
    ]
    info_of_page = page_info(
        [edge.cursor for edge in edges], has_next_page=len(answer.matches) > end, has_previous_page=start > 0
    )
    if len(answer.matches) > end:
        info_of_page.end_cursor = page_cursor(str(end), 0)  # also where the last ones were deleted
    return ReferenceConnection(
        page_info=info_of_page,
        edges=edges,
        nodes=[edge.node for edge in edges],
        encoder_id=answer.encoder_id,
        duration_seconds=answer.duration_seconds,
        candidate_count=answer.candidate_count,
        without_windows_count=answer.without_windows_count,
    )
