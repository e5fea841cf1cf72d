"""An embedder and a retriever that do as the test says, behind real sockets and with real token checks."""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import numpy as np

from museed.embedder.v1 import embedder_pb2, embedder_pb2_grpc
from museed.retriever.v1 import reference_pb2, reference_pb2_grpc, retriever_pb2, retriever_pb2_grpc
from museed.social.v1 import accounts_pb2, accounts_pb2_grpc
from services.chassis import vectors
from services.chassis.auth import Access, require_viewer
from services.chassis.channel import connect
from services.chassis.errors import DomainError, FailedPrecondition, Unimplemented
from services.chassis.server import Server
from services.chassis.tokens import TokenVerifier

ENCODER_ID = "fake-0123456789abcdef"
DIMENSION = 8

EMBEDDER_ACCESS = {
    "/museed.embedder.v1.EmbedderService/DescribeModel": Access.PUBLIC,
    "/museed.embedder.v1.EmbedderService/EmbedBlob": Access.WORKER,
    "/museed.embedder.v1.EmbedderService/EmbedText": Access.WORKER,
}
RETRIEVER_ACCESS = {
    "/museed.retriever.v1.RetrieverService/BuildPlaylist": Access.WORKER,
    "/museed.retriever.v1.RetrieverService/BuildPath": Access.WORKER,
    "/museed.retriever.v1.RetrieverService/ExtendPlaylist": Access.WORKER,
    "/museed.retriever.v1.RetrieverService/DescribeIndex": Access.PUBLIC,
    "/museed.retriever.v1.RetrieverService/Search": Access.PUBLIC,
    "/museed.retriever.v1.ReferenceService/MatchReference": Access.WORKER,
}


def unit_vector(seed: bytes) -> bytes:
    """A unit vector that depends on the seed alone, as it travels."""
    numbers = np.frombuffer(hashlib.sha256(seed).digest(), dtype=np.uint32).astype(np.float32)[:DIMENSION]
    return vectors.encode(numbers / np.linalg.norm(numbers))


@dataclass
class Gate:
    """Holds callers back while closed."""

    opened: asyncio.Event = field(default_factory=asyncio.Event)
    reached: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.opened.set()

    def close(self) -> None:
        self.opened.clear()
        self.reached.clear()

    async def pass_through(self) -> None:
        self.reached.set()
        await self.opened.wait()


class FakeEmbedder(embedder_pb2_grpc.EmbedderServiceServicer):
    def __init__(self) -> None:
        self.encoder_id = ENCODER_ID
        self.failure: DomainError | None = None
        self.heard: list[bytes] = []
        self.keeps_windows = True
        self.callers: list[tuple[str, str]] = []
        self.gate = Gate()
        # Encoder of the text model that is loaded beside; empty is none.
        self.text_encoder_id = ""
        self.words: list[str] = []
        self.words_failure: DomainError | None = None
        self.words_gate = Gate()

    async def DescribeModel(
        self, request: embedder_pb2.DescribeModelRequest, context: object
    ) -> embedder_pb2.DescribeModelResponse:
        return embedder_pb2.DescribeModelResponse(
            encoder_id=self.encoder_id,
            name="fake",
            dimension=DIMENSION,
            window_seconds=30,
            text_encoder_id=self.text_encoder_id,
        )

    async def EmbedBlob(
        self, request: embedder_pb2.EmbedBlobRequest, context: object
    ) -> embedder_pb2.EmbedBlobResponse:
        viewer = require_viewer()
        self.callers.append((viewer.user_id, viewer.job_id))
        await self.gate.pass_through()
        if self.failure is not None:
            raise self.failure
        self.heard.append(request.digest)
        heard = embedding(request.digest, self.encoder_id)
        if not request.keep_windows or not self.keeps_windows:
            heard.windows_digest = b""
        return embedder_pb2.EmbedBlobResponse(embedding=heard)

    async def Embed(self, request_iterator: object, context: object) -> embedder_pb2.EmbedResponse:
        raise Unimplemented("social never streams audio")

    async def EmbedBatch(
        self, request_iterator: object, context: object
    ) -> AsyncIterator[embedder_pb2.EmbedBatchResponse]:
        raise Unimplemented("social sends its bulk work by NATS")
        yield

    async def EmbedText(
        self, request: embedder_pb2.EmbedTextRequest, context: object
    ) -> embedder_pb2.EmbedTextResponse:
        self.callers.append((require_viewer().user_id, require_viewer().job_id))
        await self.words_gate.pass_through()
        if self.words_failure is not None:
            raise self.words_failure
        if not self.text_encoder_id:
            raise Unimplemented("no text model is loaded: set EMBEDDER_MULAN", field="EMBEDDER_MULAN")
        if request.encoder_id != self.text_encoder_id:
            raise FailedPrecondition("another space", reason="ENCODER_MISMATCH", field="encoder_id")
        self.words.append(request.text)
        return embedder_pb2.EmbedTextResponse(
            encoder_id=self.text_encoder_id, vector=unit_vector(request.text.encode()), prompt=f"{request.text}, music"
        )

    async def TagTrack(self, request: object, context: object) -> embedder_pb2.TagTrackResponse:
        raise Unimplemented("social has the tags of every embedding")


def embedding(sound: bytes, encoder_id: str = ENCODER_ID) -> embedder_pb2.Embedding:
    """What the fake embedder hears in a sound."""
    return embedder_pb2.Embedding(
        encoder_id=encoder_id,
        vector=unit_vector(sound),
        duration_seconds=61.5,
        window_count=6,
        windows_digest=hashlib.sha256(b"windows" + sound).digest(),
        tags=[embedder_pb2.TagScore(name="guitar", score=0.75), embedder_pb2.TagScore(name="rock", score=0.5)],
        descriptors=embedder_pb2.Descriptors(
            revision=1, loudness_lufs=-14.5, peak_dbfs=-0.25, key="A minor", key_confidence=0.5, energy=0.75
        ),
    )


class FakeReferences(reference_pb2_grpc.ReferenceServiceServicer):
    def __init__(self) -> None:
        self.requests: list[reference_pb2.MatchReferenceRequest] = []
        self.callers: list[str] = []
        self.track_ids: list[str] = []
        self.failure: DomainError | None = None
        self.gate = Gate()

    async def MatchReference(
        self, request: reference_pb2.MatchReferenceRequest, context: object
    ) -> reference_pb2.MatchReferenceResponse:
        self.requests.append(request)
        self.callers.append(require_viewer().user_id)
        await self.gate.pass_through()
        if self.failure is not None:
            raise self.failure
        segment = reference_pb2.SegmentMatch(
            reference=reference_pb2.Segment(start_seconds=10, end_seconds=20),
            track=reference_pb2.Segment(start_seconds=30, end_seconds=40),
            similarity=0.875,
        )
        found = [track_id for track_id in self.track_ids if track_id not in request.filter.blocked_track_ids]
        return reference_pb2.MatchReferenceResponse(
            matches=[
                reference_pb2.TrackMatch(
                    track_id=track_id,
                    similarity=0.5,
                    score=0.75,
                    quantile=0.25,
                    shared_tags=request.tags[:1],
                    segments=[segment, reference_pb2.SegmentMatch(reference=segment.reference, similarity=0.5)],
                )
                for track_id in found[: request.k]
            ],
            encoder_id=request.encoder_id,
            candidate_count=len(found),
            without_windows_count=1,
            unreadable_count=2,
        )


class FakeRetriever(retriever_pb2_grpc.RetrieverServiceServicer):
    def __init__(self) -> None:
        self.references = FakeReferences()
        self.track_ids: list[str] = []
        self.failure: DomainError | None = None
        self.requests: list[retriever_pb2.BuildPlaylistRequest] = []
        self.paths: list[retriever_pb2.BuildPathRequest] = []
        self.extensions: list[retriever_pb2.ExtendPlaylistRequest] = []
        self.searches: list[retriever_pb2.SearchRequest] = []
        self.gate = Gate()
        self.on_build: Callable[[], Awaitable[object]] | None = None
        self.is_caught_up = True
        self.describe_gate = Gate()

    async def BuildPlaylist(
        self, request: retriever_pb2.BuildPlaylistRequest, context: object
    ) -> retriever_pb2.BuildPlaylistResponse:
        self.requests.append(request)
        await self.gate.pass_through()
        if self.on_build is not None:
            await self.on_build()
        if self.failure is not None:
            raise self.failure
        seeds = [
            retriever_pb2.PlaylistTrack(track_id=seed.track_id, similarity=1.0, is_seed=True, seed_similarities=[1.0])
            for seed in request.seeds
            if seed.track_id and request.include_seed
        ]
        seeded = {seed.track_id for seed in request.seeds}
        chosen = [
            retriever_pb2.PlaylistTrack(
                track_id=track_id,
                similarity=0.5,
                seed_similarities=[0.5] * len(request.seeds),
                shared_tags=["guitar"],
                nearest_seed=number,
                quantile=0.75,
            )
            for number, track_id in enumerate(one for one in self.track_ids if one not in seeded)
        ]
        return retriever_pb2.BuildPlaylistResponse(
            tracks=seeds + chosen[: request.length],
            encoder_id=request.encoder_id,
            removed=[retriever_pb2.RuleCount(rule="max_per_artist", count=4)],
        )

    async def BuildPath(
        self, request: retriever_pb2.BuildPathRequest, context: object
    ) -> retriever_pb2.BuildPathResponse:
        self.paths.append(request)
        await self.gate.pass_through()
        ends = (request.from_track_id, request.to_track_id)
        between = [track_id for track_id in self.track_ids if track_id not in ends][: request.length - 2]
        return retriever_pb2.BuildPathResponse(
            tracks=[
                retriever_pb2.PlaylistTrack(track_id=track_id, similarity=0.5, is_seed=track_id in ends)
                for track_id in (ends[0], *between, ends[1])
            ],
            encoder_id=request.encoder_id,
        )

    async def ExtendPlaylist(
        self, request: retriever_pb2.ExtendPlaylistRequest, context: object
    ) -> retriever_pb2.ExtendPlaylistResponse:
        self.extensions.append(request)
        await self.gate.pass_through()
        if self.failure is not None:
            raise self.failure
        known = {*request.track_ids, *request.accepted_track_ids, *request.rejected_track_ids}
        found = [track_id for track_id in self.track_ids if track_id not in known]
        return retriever_pb2.ExtendPlaylistResponse(
            suggestions=[
                retriever_pb2.PlaylistTrack(track_id=track_id, similarity=0.75 - place / 64)
                for place, track_id in enumerate(found[: request.count])
            ],
            encoder_id=request.encoder_id,
        )

    async def Search(self, request: retriever_pb2.SearchRequest, context: object) -> retriever_pb2.SearchResponse:
        self.searches.append(request)
        await self.gate.pass_through()
        if self.failure is not None:
            raise self.failure
        found = [track_id for track_id in self.track_ids if track_id not in request.filter.blocked_track_ids]
        return retriever_pb2.SearchResponse(
            hits=[
                retriever_pb2.Hit(track_id=track_id, similarity=0.5 - place / 16)
                for place, track_id in enumerate(found[: request.k])
            ],
            encoder_id=request.encoder_id,
        )

    async def DescribeIndex(
        self, request: retriever_pb2.DescribeIndexRequest, context: object
    ) -> retriever_pb2.DescribeIndexResponse:
        await self.describe_gate.pass_through()
        return retriever_pb2.DescribeIndexResponse(encoder_id=request.encoder_id, is_caught_up=self.is_caught_up)


def fetch_jwks_from(social_address: Callable[[], str]) -> Callable[[], Awaitable[str]]:
    """How another service gets social's keys."""

    async def fetch() -> str:
        async with connect(social_address()) as channel:
            stub = accounts_pb2_grpc.AccountServiceStub(channel)
            return (await stub.GetJwks(accounts_pb2.GetJwksRequest(), timeout=30)).jwks

    return fetch


@contextlib.asynccontextmanager
async def serving_embedder(
    fake: FakeEmbedder, address: str, social_address: Callable[[], str]
) -> AsyncIterator[Server]:
    server = Server(address, EMBEDDER_ACCESS, TokenVerifier(fetch_jwks_from(social_address)))
    embedder_pb2_grpc.add_EmbedderServiceServicer_to_server(fake, server.grpc)
    await server.start()
    try:
        yield server
    finally:
        await server.drain(0.1)


@contextlib.asynccontextmanager
async def serving_retriever(
    fake: FakeRetriever, address: str, social_address: Callable[[], str]
) -> AsyncIterator[Server]:
    server = Server(address, RETRIEVER_ACCESS, TokenVerifier(fetch_jwks_from(social_address)))
    retriever_pb2_grpc.add_RetrieverServiceServicer_to_server(fake, server.grpc)
    reference_pb2_grpc.add_ReferenceServiceServicer_to_server(fake.references, server.grpc)
    await server.start()
    try:
        yield server
    finally:
        await server.drain(0.1)
