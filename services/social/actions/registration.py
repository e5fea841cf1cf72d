"""Registers tracks of a root: one transaction a call, idempotent by root and path, work only for unknown sound."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.chassis.errors import DomainError
from services.social.domain.catalog import (
    EmbeddingState,
    Outcome,
    Registration,
    TrackFile,
    check_registrations,
    is_news_to_index,
    outcome_of,
)
from services.social.domain.ids import RootId, TrackId, new_id
from services.social.errors import RootNotFound
from services.social.store import catalog, embeddings, encoders, work
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


_Known = dict[bytes, tuple[TrackId, TrackFile]]


@dataclass(frozen=True, slots=True)
class _Step:
    outcome: Outcome
    track_id: TrackId
    file: TrackFile
    before: TrackFile | None


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
    previous = {
        file.relative_path: registration.previous_path
        for file, registration in zip(files, given, strict=True)
        if isinstance(file, TrackFile) and registration.previous_path
    }
    async with database.transaction() as connection:
        if not await catalog.lock_root(connection, root_id):
            raise RootNotFound(root_id)
        steps = await _write(connection, root_id, [file for file in files if isinstance(file, TrackFile)], previous)
        progress = await _send_on(connection, steps)
    by_path = {step.file.relative_path: step for step in steps}
    return [
        _refused(file) if isinstance(file, DomainError) else _registered(by_path[file.relative_path], progress)
        for file in files
    ]


async def _write(
    connection: Connection, root_id: RootId, files: Sequence[TrackFile], previous: dict[bytes, bytes]
) -> list[_Step]:
    paths = {file.relative_path for file in files} | set(previous.values())
    known = await catalog.files_at(connection, root_id, sorted(paths))
    moved = _moved(files, previous, known)
    left = set(moved.values())
    at_place = {path: found for path, found in known.items() if path not in left}
    steps = []
    for file in files:
        place = moved.get(file.relative_path)
        track_id, before = (
            at_place.get(file.relative_path, (TrackId(new_id()), None)) if place is None else known[place]
        )
        steps.append(_Step(outcome_of(file, before), track_id, file, before))
    by_outcome = {kind: [(step.track_id, step.file) for step in steps if step.outcome is kind] for kind in Outcome}
    await catalog.leave_paths(connection, [known[place][0] for place in moved.values()])
    changed = by_outcome[Outcome.MOVED] + by_outcome[Outcome.RETAGGED] + by_outcome[Outcome.REPLACED]
    await catalog.update_tracks(connection, root_id, changed)
    await catalog.insert_tracks(connection, root_id, by_outcome[Outcome.CREATED])
    await catalog.see_tracks(connection, by_outcome[Outcome.UNCHANGED])
    return steps


def _moved(files: Sequence[TrackFile], previous: dict[bytes, bytes], known: _Known) -> dict[bytes, bytes]:
    """Return whence files came: their audio was there, is not there any more, and nothing lies at their new place.

    Files may follow each other: what lies at a new place may be moved away itself.
    """
    here = {file.relative_path: file for file in files}
    came: dict[bytes, bytes] = {}
    left: set[bytes] = set()
    for path, place in previous.items():
        audio_hash = here[path].audio_hash
        is_left = place not in here or here[place].audio_hash != audio_hash
        if place in known and known[place][1].audio_hash == audio_hash and is_left and place not in left:
            came[path] = place
            left.add(place)
    # One that stays because its place is taken keeps its own place taken.
    while blocked := [path for path in came if path in known and path not in left]:
        left -= {came.pop(path) for path in blocked}
    return came


async def _send_on(connection: Connection, steps: Sequence[_Step]) -> dict[TrackId, Progress]:
    """Want the sound of what is new, tell the index of what is called otherwise; return how far every track is.

    Every encoder that is kept is asked and told. How far a track is, is said of the one that is served.
    """
    roles = await encoders.share_roles(connection)
    if roles is None:
        return {}  # the reconciler wants them all as soon as an encoder is seen
    fresh = [step.track_id for step in steps if step.outcome in (Outcome.CREATED, Outcome.REPLACED)]
    same = [step for step in steps if step.outcome not in (Outcome.CREATED, Outcome.REPLACED)]
    told = [step.track_id for step in same if step.before is not None and is_news_to_index(step.file, step.before)]
    moved = [step.track_id for step in same if step.outcome is Outcome.MOVED]
    for encoder_id in roles.kept:
        again = await embeddings.unsettled(connection, encoder_id, [step.track_id for step in same])
        await embeddings.want(connection, encoder_id, fresh + again)
        await embeddings.touch(connection, encoder_id, told)
        await work.send_anew(connection, encoder_id, moved)
    return await embeddings.progress_of(connection, roles.serving, [step.track_id for step in steps])


def _registered(step: _Step, progress: dict[TrackId, Progress]) -> Registered:
    found = progress.get(step.track_id, _WAITING)
    return Registered(step.outcome, step.track_id, found, found.failure_reason, found.failure_message)


def _refused(refusal: DomainError) -> Registered:
    return Registered(Outcome.REFUSED, None, None, refusal.reason, refusal.message)
