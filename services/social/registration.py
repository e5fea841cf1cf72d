"""Registers tracks of a root: one transaction a call, idempotent by root and path, work only for unknown sound."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.chassis.errors import DomainError
from services.social.catalog import (
    EmbeddingState,
    Outcome,
    Registration,
    TrackFile,
    check_registrations,
    outcome_of,
)
from services.social.errors import RootNotFound
from services.social.ids import RootId, TrackId, new_id
from services.social.store import catalog, embeddings, encoders
from services.social.store.database import Connection, Database
from services.social.store.embeddings import Progress

_WAITING = Progress(EmbeddingState.PENDING, "", "")


@dataclass(frozen=True, slots=True)
class Registered:
    """What became of one registration; `track_id` is None where it was refused."""

    outcome: Outcome
    track_id: TrackId | None
    progress: Progress | None
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class _Step:
    outcome: Outcome
    track_id: TrackId
    file: TrackFile


async def register(database: Database, root_id: RootId, given: Sequence[Registration]) -> list[Registered]:
    """Register tracks.

    Args:
        database: The truth.
        root_id: Their root.
        given: At most 500, unchecked.

    Returns:
        What became of each, in the order given; a refused one spoils no other.

    Raises:
        RootNotFound: There is no such root.
    """
    files = check_registrations(given)
    async with database.transaction() as connection:
        if not await catalog.lock_root(connection, root_id):
            raise RootNotFound(root_id)
        steps = await _write(connection, root_id, [file for file in files if isinstance(file, TrackFile)])
        progress = await _send_on(connection, steps)
    by_path = {step.file.relative_path: step for step in steps}
    return [
        _refused(file) if isinstance(file, DomainError) else _registered(by_path[file.relative_path], progress)
        for file in files
    ]


async def _write(connection: Connection, root_id: RootId, files: Sequence[TrackFile]) -> list[_Step]:
    before = await catalog.files_at(connection, root_id, [file.relative_path for file in files])
    steps = []
    for file in files:
        track_id, old = before.get(file.relative_path, (TrackId(new_id()), None))
        steps.append(_Step(outcome_of(file, old), track_id, file))
    created = [(step.track_id, step.file) for step in steps if step.outcome is Outcome.CREATED]
    changed = [(step.track_id, step.file) for step in steps if step.outcome in (Outcome.RETAGGED, Outcome.REPLACED)]
    await catalog.insert_tracks(connection, root_id, created)
    await catalog.update_tracks(connection, root_id, changed)
    return steps


async def _send_on(connection: Connection, steps: Sequence[_Step]) -> dict[TrackId, Progress]:
    """Want the sound of what is new, tell the index of what is called otherwise; return how far every track is.

    Every encoder that is kept is asked and told. How far a track is, is said of the one that is served.
    """
    roles = await encoders.share_roles(connection)
    if roles is None:
        return {}  # the reconciler wants them all as soon as an encoder is seen
    fresh = [step.track_id for step in steps if step.outcome in (Outcome.CREATED, Outcome.REPLACED)]
    same = [step.track_id for step in steps if step.outcome in (Outcome.UNCHANGED, Outcome.RETAGGED)]
    retagged = [step.track_id for step in steps if step.outcome is Outcome.RETAGGED]
    for encoder_id in roles.kept:
        again = await embeddings.unsettled(connection, encoder_id, same)
        await embeddings.want(connection, encoder_id, fresh + again)
        await embeddings.touch(connection, encoder_id, retagged)
    return await embeddings.progress_of(connection, roles.serving, [step.track_id for step in steps])


def _registered(step: _Step, progress: dict[TrackId, Progress]) -> Registered:
    found = progress.get(step.track_id, _WAITING)
    return Registered(step.outcome, step.track_id, found, found.failure_reason, found.failure_message)


def _refused(refusal: DomainError) -> Registered:
    return Registered(Outcome.REFUSED, None, None, refusal.reason, refusal.message)
