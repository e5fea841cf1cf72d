"""Composes the messages that are made when they are published, from what the tables say then."""

from dataclasses import dataclass

from museed.social.v1 import events_pb2
from services.chassis.bus import embed_track_subject, vector_subject
from services.social.domain.catalog import folder_of
from services.social.domain.ids import EncoderId, TrackId
from services.social.store.vector_log import TrackState
from services.social.store.work import WorkMessage
from services.social.wire import descriptors

_MOST_TAGS = 10


@dataclass(frozen=True, slots=True)
class Message:
    """What goes out: an empty payload is a tombstone. `version` is the track's, for vectors."""

    subject: str
    payload: bytes
    version: int = 0


def embed_track(work: WorkMessage) -> Message:
    """Ask for the embedding of a track."""
    message = events_pb2.EmbedTrack(
        track_id=work.track_id,
        encoder_id=work.encoder_id,
        audio_hash=work.audio_hash,
        root_location=work.root_location,
        relative_path=work.relative_path,
        file_hash=work.file_hash,
    )
    return Message(embed_track_subject(work.encoder_id), message.SerializeToString())


def track_vector(encoder_id: EncoderId, track_id: TrackId, state: TrackState | None, row_version: int) -> Message:
    """Tell the index what a track is, or that it is not there (`state` None; then of the row's version)."""
    subject = vector_subject(encoder_id, track_id)
    if state is None:
        return Message(subject, b"", row_version)
    message = events_pb2.TrackVector(
        track_id=track_id,
        encoder_id=encoder_id,
        version=state.version,
        vector=state.vector,
        title=state.title,
        artist=state.artist,
        album=state.album,
        folder=folder_of(state.relative_path),
        genre=state.genre,
        year=state.year,
        duration_seconds=state.duration_seconds,
        audio_hash=state.audio_hash,
        tags=[name for name, _ in state.tags[:_MOST_TAGS]],
        descriptors=descriptors(state.descriptors),
        windows_digest=state.windows_digest,
    )
    return Message(subject, message.SerializeToString(), state.version)
