"""Turns what the catalogue holds into messages."""

from museed.social.v1 import catalog_pb2
from services.social.actions.registration import Registered
from services.social.domain.catalog import Media, ReadPoint, Track
from services.social.domain.references import Heard
from services.social.domain.uploads import Upload
from services.social.store.stats import FailedTrack
from services.social.wire import descriptors, timestamp


def track(found: Track) -> catalog_pb2.Track:
    """Return a track as everybody may see it."""
    return catalog_pb2.Track(
        track_id=found.track_id,
        title=found.title,
        artist=found.artist,
        album=found.album,
        genre=found.genre,
        raw_genre=found.raw_genre,
        year=found.year,
        duration_seconds=found.duration_seconds,
        tags=[catalog_pb2.Tag(name=name, score=score) for name, score in found.tags],
        embedding_state=_embedding_state(found.state.value),
        failure_reason=found.failure_reason,
        failure_message=found.failure_message,
        created_at=timestamp(found.created_at),
        audio_hash=found.audio_hash,
        read_point=read_point(found.read_point),
        descriptors=descriptors(found.descriptors),
        has_cover=found.has_cover,
    )


def read_point(point: ReadPoint | None) -> catalog_pb2.ReadPoint | None:
    """Return a point of the VECTORS log."""
    if point is None:
        return None
    return catalog_pb2.ReadPoint(stream_created_at=timestamp(point.stream_created_at), sequence=point.sequence)


def media(found: Media) -> catalog_pb2.GetTrackMediaResponse:
    """Return where a track's audio lies."""
    return catalog_pb2.GetTrackMediaResponse(
        root_location=found.root_location,
        relative_path=found.relative_path,
        file_hash=found.file_hash,
        size_bytes=found.size_bytes,
        content_type=found.content_type,
        duration_seconds=found.duration_seconds,
    )


def registered_track(one: Registered) -> catalog_pb2.RegisteredTrack:
    """Return what became of a registration."""
    return catalog_pb2.RegisteredTrack(
        track_id=one.track_id or "",
        outcome=catalog_pb2.RegistrationOutcome.Value(f"REGISTRATION_OUTCOME_{one.outcome.value}"),
        embedding_state=_embedding_state(one.progress.state.value if one.progress else "UNSPECIFIED"),
        reason=one.reason,
        message=one.message,
    )


def failed_track(one: FailedTrack) -> catalog_pb2.FailedTrack:
    """Return a track that could not be embedded."""
    return catalog_pb2.FailedTrack(
        track_id=one.track_id, relative_path=one.relative_path, reason=one.reason, message=one.message
    )


def upload(found: Upload, heard: Heard | None = None) -> catalog_pb2.Upload:
    """Return an upload as its owner sees it, with what the encoder that is served heard in it."""
    return catalog_pb2.Upload(
        upload_id=found.upload_id,
        digest=found.digest,
        size_bytes=found.size_bytes,
        content_type=found.content_type,
        file_name=found.file_name,
        created_at=timestamp(found.created_at),
        expires_at=timestamp(found.expires_at),
        is_heard=heard is not None and bool(heard.windows_digest),
        duration_seconds=0 if heard is None else heard.duration_seconds,
        tags=[] if heard is None else [catalog_pb2.Tag(name=name, score=score) for name, score in heard.tags],
    )


def _embedding_state(name: str) -> catalog_pb2.EmbeddingState.ValueType:
    return catalog_pb2.EmbeddingState.Value(f"EMBEDDING_STATE_{name}")
