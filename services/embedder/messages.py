"""Turns embeddings into the messages that carry them; the only place that knows both."""

import grpc

from museed.embedder.v1 import embedder_pb2
from services.chassis import vectors
from services.chassis.errors import DomainError
from services.embedder.artifact import Manifest
from services.embedder.descriptors import Descriptors
from services.embedder.embedding import TrackEmbedding
from services.embedder.tagging import Scores, TrackTags


def to_message(embedding: TrackEmbedding, encoder_id: str, windows_digest: bytes = b"") -> embedder_pb2.Embedding:
    """Build the message of an embedding.

    Args:
        embedding: What was found.
        encoder_id: Encoder that made it.
        windows_digest: Blob of the window vectors; empty when none was kept.
    """
    return embedder_pb2.Embedding(
        encoder_id=encoder_id,
        vector=vectors.encode(embedding.vector),
        duration_seconds=embedding.duration_seconds,
        window_count=len(embedding.windows),
        windows_digest=windows_digest,
        tags=_tag_scores(embedding.tags),
        descriptors=None if embedding.descriptors is None else _descriptors(embedding.descriptors),
    )


def to_item_error(error: DomainError) -> embedder_pb2.ItemError:
    """Build the message of an item's failure: what a call of its own would have ended with."""
    return embedder_pb2.ItemError(
        code=grpc.StatusCode[error.code.value].value[0],
        reason=error.reason,
        message=error.message,
        metadata=error.metadata,
        retry_after_ms=error.retry_after_ms or 0,
    )


def tags_message(found: TrackTags, limit: int) -> embedder_pb2.TagTrackResponse:
    """Build the message of a track's tags, at most `limit` of the encoder's own; 0 means all."""
    return embedder_pb2.TagTrackResponse(
        encoder_id=found.encoder_id,
        tags=_tag_scores(found.tags[:limit] if limit else found.tags),
        axes=[embedder_pb2.TagAxis(name=name, tags=_tag_scores(scores)) for name, scores in found.axes],
    )


def _tag_scores(scores: Scores) -> list[embedder_pb2.TagScore]:
    return [embedder_pb2.TagScore(name=name, score=score) for name, score in scores]


def quantile_messages(manifest: Manifest) -> list[embedder_pb2.CosineQuantile]:
    """Build the messages of how alike random pairs of tracks are, by rising share; none where it is not known."""
    return [embedder_pb2.CosineQuantile(share=share, cosine=cosine) for share, cosine in manifest.cosine_quantiles]


def _descriptors(found: Descriptors) -> embedder_pb2.Descriptors:
    """Build the message of descriptors; what is not known stays unset."""
    return embedder_pb2.Descriptors(
        revision=found.revision,
        loudness_lufs=found.loudness_lufs,
        peak_dbfs=found.peak_dbfs,
        tempo_bpm=found.tempo_bpm,
        key=found.key or "",
        key_confidence=found.key_confidence,
        energy=found.energy,
    )


def encode_windows(embedding: TrackEmbedding) -> bytes:
    """Encode a row for each window, zeros where it did not vote: little-endian float16, 2 × dimension bytes a row."""
    return embedding.timeline().astype("<f2").tobytes()
