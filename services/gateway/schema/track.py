"""Tracks: one, found by words, found by sound."""

from collections.abc import Sequence
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Annotated, ClassVar, Self

import strawberry
from strawberry import field, relay

from museed.retriever.v1 import retriever_pb2
from museed.social.v1 import catalog_pb2
from services.chassis import auth
from services.chassis.errors import NotFound
from services.gateway.context import Info, RequestContext
from services.gateway.covers.addresses import may_have_cover
from services.gateway.ids import decode_id
from services.gateway.plain_fields import Loads
from services.gateway.schema.fields import AnyId, member, resolver
from services.gateway.schema.paging import (
    After,
    Connection,
    First,
    check_page_size,
    connection_from_page,
    page_info,
    page_request,
)
from services.gateway.schema.paging import cursor as page_cursor
from services.gateway.schema.rules import TrackFilterInput, index_filter
from services.gateway.schema.stream import MaxBitRate, WantedFormat
from services.gateway.schema.values import round_single, to_datetime

if TYPE_CHECKING:
    from services.gateway.schema.details import TrackDetails

LazyDetails = Annotated["TrackDetails", strawberry.lazy("services.gateway.schema.details")]
LeaveOutBlocked = Annotated[
    bool, strawberry.argument(description="Leaves out tracks and artists that the caller blocks.")
]
HubDamping = Annotated[
    float,
    strawberry.argument(
        description="Puts tracks that are near to everything lower, 0 to 1; 0 leaves the cosine alone."
    ),
]
Words = Annotated[str, strawberry.argument(description="At most 200 characters.")]
Genre = Annotated[str | None, strawberry.argument(description="One of the 16 top-level genres; else all.")]


@strawberry.enum(description="Where a track stands on its way to the index.")
class EmbeddingState(Enum):
    """Social's states."""

    PENDING = member(catalog_pb2.EMBEDDING_STATE_PENDING, "It waits to be heard.")
    EMBEDDED = member(catalog_pb2.EMBEDDING_STATE_EMBEDDED, "It was heard and is on its way to the index.")
    INDEXED = member(catalog_pb2.EMBEDDING_STATE_INDEXED, "Playlists can use it.")
    FAILED = member(catalog_pb2.EMBEDDING_STATE_FAILED, "It cannot be heard; see why.")


@strawberry.type(description="A word for how a track sounds.")
class Tag:
    """A tag with its score."""

    name: str = field(description='For example "guitar".')
    score: float = field(description="Between 0 and 1.")


@strawberry.type(description="What was measured of a recording, whatever encoder heard it. Null is not known.")
class Descriptors:
    """Measures as social knows them."""

    loudness_lufs: float | None = field(
        description="Integrated loudness of the file by EBU R 128 in LUFS, −70 to 10; mono counts as two channels."
    )
    peak_dbfs: float | None = field(
        description="Largest sample of any channel in dB; 0 is full scale, and files of floats may go above."
    )
    tempo_bpm: float | None = field(
        description="Beats in a minute, 40 to 240; half or double of what a listener taps is possible."
    )
    key: str | None = field(description='One of 24, for example "C major" or "F# minor"; sharps, never flats.')
    key_confidence: float | None = field(description="How far the key lies before the next best one, 0 to 1.")
    energy: float | None = field(description="From calm, 0, to intense, 1: loudness, onsets and brightness.")

    @classmethod
    def from_message(cls, message: catalog_pb2.Descriptors) -> Self:
        """Translate social's message."""
        return cls(
            loudness_lufs=message.loudness_lufs if message.HasField("loudness_lufs") else None,
            peak_dbfs=message.peak_dbfs if message.HasField("peak_dbfs") else None,
            tempo_bpm=message.tempo_bpm if message.HasField("tempo_bpm") else None,
            key=message.key or None,
            key_confidence=message.key_confidence if message.HasField("key_confidence") else None,
            energy=message.energy if message.HasField("energy") else None,
        )


@strawberry.type(description="A recording of the library.")
class Track(relay.Node):
    """A track as social knows it."""

    _id_attr: ClassVar[str | None] = "track_id"

    track_id: strawberry.ID = field(description="Its UUID, as files, logs and other services call it.")
    title: str = field(description="Title, never empty.")
    artist: str | None = field(description="Artist; null when nobody is named.")
    album: str | None = field(description="Album, where it is known.")
    genre: str = field(description="One of the 16 top-level genres.")
    raw_genre: str | None = field(description="Genre as the file says it.")
    year: int | None = field(description="Year of release, where it is known.")
    duration_seconds: float = field(description="Length in seconds.")
    embedding_state: EmbeddingState = field(description="Way to the index.")
    failure_reason: str | None = field(description="Stable code when FAILED.")
    failure_message: str | None = field(description="Sentence for people when FAILED.")
    created_at: datetime = field(description="When it was registered.")
    descriptors: Descriptors | None = field(description="What was measured of its sound; null when nothing was.")
    heard: strawberry.Private[Sequence[catalog_pb2.Tag]]
    may_have_cover: strawberry.Private[bool]

    @resolver("How it sounds to the encoder that is served, best first; none before that has heard it.")
    def tags(self, first: First = 10) -> list[Tag]:
        """Take the best: the model has a score for every tag that it knows."""
        check_page_size(first)
        return [Tag(name=tag.name, score=round_single(tag.score)) for tag in self.heard[:first]]

    @resolver("What is known of it beside its sound; null where it was deleted meanwhile.")
    async def details(self, info: Info) -> LazyDetails | None:
        """Load them together with all others of the document."""
        from services.gateway.schema.details import TrackDetails

        message = await info.context.loaders.details.load(self.track_id)
        return None if message is None else TrackDetails.from_message(message)

    @resolver("Address of its file's or folder's picture; null if it was registered with none, 404 if it is gone.")
    def cover_url(self, info: Info) -> str | None:
        """The disk is asked by whoever follows it."""
        return f"{info.context.parts.settings.public_url}/tracks/{self.track_id}/cover" if self.may_have_cover else None

    @resolver(
        "Address of its audio for `<audio src>`, with ranges: signed, good for 15 minutes, and void when "
        "the session ends that asked for it."
    )
    def stream_url(self, info: Info, format: WantedFormat = None, max_bit_rate: MaxBitRate = None) -> str:
        """Sign only where it is asked for."""
        return info.context.stream_url(self.track_id, None if format is None else format.value, max_bit_rate)

    @classmethod
    def from_message(cls, message: catalog_pb2.Track) -> Self:
        """Translate social's message."""
        return cls(
            track_id=strawberry.ID(message.track_id),
            title=message.title,
            artist=message.artist or None,
            album=message.album or None,
            genre=message.genre,
            raw_genre=message.raw_genre or None,
            year=message.year or None,
            duration_seconds=message.duration_seconds,
            embedding_state=EmbeddingState(message.embedding_state),
            failure_reason=message.failure_reason or None,
            failure_message=message.failure_message or None,
            created_at=to_datetime(message.created_at),
            descriptors=Descriptors.from_message(message.descriptors) if message.HasField("descriptors") else None,
            heard=message.tags,
            may_have_cover=may_have_cover(message),
        )


@strawberry.type(description="A track that sounds alike.")
class SimilarTrackEdge:
    """An edge that says how alike."""

    cursor: str = field(description="Give it as `after` to go on behind this item.")
    node: Track = field(description="The track.")
    similarity: float = field(description="Cosine of the two sounds, −1 to 1.")
    quantile: float | None = field(
        description="Share of random pairs of the library's tracks that are less alike, 0 to 1; null where it has too "
        "few tracks to tell."
    )


@strawberry.type(description="Tracks that sound alike.")
class SimilarTrackConnection:
    """Best first."""

    page_info: relay.PageInfo = field(description="Whether and where it goes on.")
    edges: list[SimilarTrackEdge] = field(description="The tracks with their similarity, most alike first.")
    nodes: list[Track] = field(description="The tracks alone.")


def track_by(key: str) -> Loads:
    """Return how a field loads the track whose id is this attribute, as `load_track` does."""
    return Loads(key, lambda context: context.loaders.tracks, Track.from_message)


async def load_track(context: RequestContext, track_id: str) -> Track | None:
    """Return a track through the loader, None when there is none."""
    message = await context.loaders.tracks.load(track_id)
    return None if message is None else Track.from_message(message)


async def require_track(context: RequestContext, track_id: str, field: str) -> Track:
    """Return a track through the loader.

    Raises:
        NotFound: TRACK_NOT_FOUND.
    """
    track = await load_track(context, track_id)
    if track is None:
        raise NotFound("there is no such track", reason="TRACK_NOT_FOUND", field=field, value=track_id)
    return track


@strawberry.type
class TrackQuery:
    """Queries about tracks."""

    @resolver("A track by id.")
    async def track(self, info: Info, id: AnyId) -> Track | None:
        """Load it; an unknown one is a coded error."""
        return await require_track(info.context, decode_id(id, "Track", "id"), "id")

    @resolver(
        "Tracks by title, artist or album, best first; accents, case and small typos do not matter. "
        "Empty text lists by title."
    )
    async def search_tracks(
        self,
        info: Info,
        query: Words = "",
        genre: Genre = None,
        first: First = 20,
        after: After = None,
        leave_out_blocked: LeaveOutBlocked = False,
    ) -> Connection[Track] | None:
        """Search in social's catalogue."""
        page = page_request(first, after)
        request = catalog_pb2.SearchTracksRequest(
            query=query,
            genre=genre or "",
            page_size=page.size,
            page_token=page.token,
            leave_out_blocked=leave_out_blocked,
        )
        answer = await info.context.call(info.context.parts.upstream.catalog.SearchTracks, request)
        return connection_from_page(page, [Track.from_message(each) for each in answer.tracks], answer.next_page_token)

    @resolver(
        "Tracks that sound like a track of the library, most alike first; at most 2,000 on all pages. A page may be "
        "short, or empty, and go on."
    )
    async def similar_tracks(
        self,
        info: Info,
        track_id: AnyId,
        first: First = 20,
        after: After = None,
        filter: Annotated[
            TrackFilterInput | None, strawberry.argument(description="Which may be found; else all.")
        ] = None,
        hub_damping: HubDamping = 0.0,
        leave_out_blocked: LeaveOutBlocked = True,
    ) -> SimilarTrackConnection | None:
        """Ask the retriever for ids, social for the tracks; what was deleted in between is left out."""
        loaders = info.context.loaders
        page = page_request(first, after)
        request = retriever_pb2.SearchRequest(
            track_id=decode_id(track_id, "Track", "trackId"),
            k=page.size,
            page_token=page.token,
            filter=index_filter(filter),
            hub_damping=hub_damping,
            with_quantiles=True,
        )
        answer = await info.context.call(info.context.parts.upstream.retriever.Search, request)
        loader = loaders.unblocked_tracks if leave_out_blocked and auth.viewer() is not None else loaders.tracks
        found = await loader.load_many([hit.track_id for hit in answer.hits])
        edges = [
            SimilarTrackEdge(
                cursor=page_cursor(page.token, number),
                node=Track.from_message(message),
                similarity=round_single(hit.similarity),
                quantile=round_single(hit.quantile) if hit.HasField("quantile") else None,
            )
            for number, (hit, message) in enumerate(zip(answer.hits, found, strict=True), start=1)
            if message is not None and number > page.skip
        ]
        goes_on = bool(answer.next_page_token)
        info_of_page = page_info(
            [edge.cursor for edge in edges], has_next_page=goes_on, has_previous_page=bool(page.token or page.skip)
        )
        if goes_on:
            info_of_page.end_cursor = page_cursor(answer.next_page_token, 0)
        return SimilarTrackConnection(
            page_info=info_of_page,
            edges=edges,
            nodes=[edge.node for edge in edges],
        )
