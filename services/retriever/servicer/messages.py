"""Turns lists of tracks into messages; decides nothing."""

from collections.abc import Mapping

from museed.retriever.v1 import retriever_pb2
from services.chassis.errors import DomainError
from services.retriever.playlist.reasons import PlaylistTrack


def playlist_track(track: PlaylistTrack) -> retriever_pb2.PlaylistTrack:
    """Return a track of a list with its reasons."""
    return retriever_pb2.PlaylistTrack(
        track_id=track.track.track_id,
        similarity=track.similarity,
        is_seed=track.is_seed,
        seed_similarities=track.seed_similarities,
        shared_tags=track.shared_tags,
        nearest_seed=track.nearest_seed,
        nearest_track_id=track.nearest_track_id,
        nearest_similarity=track.nearest_similarity,
        quantile=track.quantile,
    )


def rule_counts(removed: Mapping[str, int]) -> list[retriever_pb2.RuleCount]:
    """Return how many candidates each rule removed."""
    return [retriever_pb2.RuleCount(rule=rule, count=count) for rule, count in removed.items()]


def warning(error: DomainError | None) -> retriever_pb2.Warning | None:
    """Return what an answer lacks; None, which leaves the field unset, where it lacks nothing."""
    if error is None:
        return None
    return retriever_pb2.Warning(
        reason=error.reason,
        message=error.message,
        field=error.field or "",
        value=error.value or "",
        limit=error.limit or "",
    )
