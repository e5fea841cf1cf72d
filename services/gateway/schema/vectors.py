"""Vectors in and out: what an encoder heard, by recording. Social admits admins only."""

import base64
import binascii
from enum import Enum
from typing import Annotated, Self

import strawberry
from strawberry import field

from museed.social.v1 import ingest_pb2
from services.chassis.errors import InvalidArgument
from services.gateway.context import Info
from services.gateway.ids import decode_id
from services.gateway.schema.errors import Refusal
from services.gateway.schema.fields import member, mutation, resolver
from services.gateway.schema.registration import digest_bytes
from services.gateway.schema.root_files import PageSize, PageToken

MAX_VECTORS = 500
EncoderId = Annotated[str, strawberry.argument(description="The encoder that made them.")]
OnlyRoot = Annotated[strawberry.ID | None, strawberry.argument(description="Only of tracks of this root.")]


@strawberry.enum(description="What an import of a vector did.")
class ImportOutcome(Enum):
    """Social's outcomes."""

    STORED = member(ingest_pb2.IMPORT_OUTCOME_STORED, "It is on its way to the index.")
    KNOWN = member(ingest_pb2.IMPORT_OUTCOME_KNOWN, "The recording had one of this encoder, which stays.")
    NO_TRACK = member(ingest_pb2.IMPORT_OUTCOME_NO_TRACK, "No track of the library has this audio.")
    REFUSED = member(ingest_pb2.IMPORT_OUTCOME_REFUSED, "Not taken; see the reason.")


@strawberry.type(description="What an encoder heard in a recording.")
class StoredVector:
    """One vector."""

    audio_hash: str = field(description="SHA-256 of the encoded audio without tags and art, 64 hexadecimal digits.")
    vector_base64: str = field(description="Little-endian float32, unit L2 norm.")
    duration_seconds: float = field(description="Of the audio that it was made of; 0 is not known.")


@strawberry.type(description="Some vectors of an encoder.")
class StoredVectorPage:
    """Not a connection: only programs walk it, from its beginning to its end."""

    vectors: list[StoredVector] = field(description="By audio hash, each once.")
    next_page_token: str | None = field(description="Null at the end.")


@strawberry.input(description="A vector to take in.")
class StoredVectorInput:
    """One vector of `importVectors`."""

    audio_hash: str = field(description="SHA-256 of the encoded audio without tags and art, 64 hexadecimal digits.")
    vector_base64: str = field(description="Little-endian float32, unit L2 norm, as long as the encoder's.")
    duration_seconds: float = field(default=0.0, description="Of the audio that it was made of; 0 is not known.")


@strawberry.input(description="Vectors of one encoder.")
class ImportVectorsInput:
    """For `importVectors`."""

    encoder_id: str = field(description="The encoder that made them.")
    vectors: list[StoredVectorInput] = field(description="At most 500.")


@strawberry.type(description="What became of a vector.")
class ImportedVector:
    """Outcome of one import."""

    outcome: ImportOutcome = field(description="What happened.")
    reason: str | None = field(description="Stable code when refused.")
    message: str | None = field(description="Sentence for people when refused.")

    @classmethod
    def from_message(cls, message: ingest_pb2.ImportedEmbedding) -> Self:
        """Translate social's message."""
        return cls(
            outcome=ImportOutcome(message.outcome), reason=message.reason or None, message=message.message or None
        )


@strawberry.type(description="Each is taken in or refused.")
class ImportVectorsSuccess:
    """Of `importVectors`."""

    vectors: list[ImportedVector] = field(description="What became of each, in the order of the input.")


ImportVectorsResult = Annotated[ImportVectorsSuccess | Refusal, strawberry.union("ImportVectorsResult")]


@strawberry.type
class VectorQuery:
    """Queries of who takes vectors out."""

    @resolver("Lists the vectors of an encoder. Admins only.")
    async def stored_vectors(
        self,
        info: Info,
        encoder_id: EncoderId,
        root_id: OnlyRoot = None,
        page_size: PageSize = 100,
        page_token: PageToken = None,
    ) -> StoredVectorPage | None:
        """List them."""
        request = ingest_pb2.ListEmbeddingsRequest(
            encoder_id=encoder_id,
            root_id=decode_id(root_id, "Root", "rootId") if root_id is not None else "",
            page_size=page_size,
            page_token=page_token or "",
        )
        answer = await info.context.call(info.context.parts.upstream.ingest.ListEmbeddings, request)
        vectors = [
            StoredVector(
                audio_hash=one.audio_hash.hex(),
                vector_base64=base64.b64encode(one.vector).decode(),
                duration_seconds=one.duration_seconds,
            )
            for one in answer.embeddings
        ]
        return StoredVectorPage(vectors=vectors, next_page_token=answer.next_page_token or None)


@strawberry.type
class VectorMutation:
    """Mutations of who takes vectors in."""

    @mutation("Takes vectors in as if an embedder had made them; may be repeated. Admins only.")
    async def import_vectors(self, info: Info, input: ImportVectorsInput) -> ImportVectorsResult:
        """Pass them on."""
        if len(input.vectors) > MAX_VECTORS:
            raise InvalidArgument(
                f"{len(input.vectors)} vectors, the limit is {MAX_VECTORS}",
                reason="TOO_MANY_VECTORS",
                field="vectors",
                value=len(input.vectors),
                limit=MAX_VECTORS,
            )
        embeddings = [
            ingest_pb2.StoredEmbedding(
                audio_hash=digest_bytes(one.audio_hash, f"vectors[{number}].audioHash"),
                vector=_vector(one.vector_base64, f"vectors[{number}].vectorBase64"),
                duration_seconds=one.duration_seconds,
            )
            for number, one in enumerate(input.vectors)
        ]
        request = ingest_pb2.ImportEmbeddingsRequest(encoder_id=input.encoder_id, embeddings=embeddings)
        answer = await info.context.call(info.context.parts.upstream.ingest.ImportEmbeddings, request)
        return ImportVectorsSuccess(vectors=[ImportedVector.from_message(one) for one in answer.embeddings])


def _vector(text: str, field: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidArgument("this is not base64", reason="VECTOR_INVALID", field=field, value=text[:50]) from None
