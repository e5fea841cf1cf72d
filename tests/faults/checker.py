"""Compares what everybody was told with what is there in the end."""

import json
from collections import Counter
from collections.abc import Iterable, Set
from dataclasses import dataclass, field

from tests.faults.browsing import check_browsing
from tests.faults.findings import Finding, Kind
from tests.faults.heard import check_heard
from tests.faults.history import Operation, Outcome
from tests.faults.ledger import ENDS, Ledger, ledgers_of
from tests.faults.library import FinalTrack, check_library


@dataclass(frozen=True, slots=True)
class FinalList:
    """A playlist in the end; `likes` is what its page shows."""

    title: str
    version: int
    track_ids: list[str]
    likes: int = 0
    is_public: bool = False


@dataclass(frozen=True, slots=True)
class FinalJob:
    """A job in the end; the request is text that holds the title that was asked for."""

    state: str
    request: str
    playlist_id: str | None = None
    failure_reason: str = ""


@dataclass(slots=True)
class Final:
    """Everything that is there in the end; by user id, but users by name.

    Attributes:
        audio: By upload, the digest of the bytes that its owner is sent.
        ownerless_jobs: States of jobs that are nobody's.
        tracks: The library, by id.
        neighbours: By track, what the index says of it.
        miscounted: Of counts that are kept beside rows, those that differ from their rows.
    """

    users: dict[str, str] = field(default_factory=dict)
    lists: dict[str, dict[str, FinalList]] = field(default_factory=dict)
    likes: dict[str, list[str]] = field(default_factory=dict)
    follows: dict[str, list[str]] = field(default_factory=dict)
    comments: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    plays: dict[str, list[str]] = field(default_factory=dict)
    uploads: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    jobs: dict[str, dict[str, FinalJob]] = field(default_factory=dict)
    dead_letters: int = 0
    tracks: dict[str, FinalTrack] = field(default_factory=dict)
    neighbours: dict[str, list[str]] = field(default_factory=dict)
    audio: dict[str, str] = field(default_factory=dict)
    ownerless_jobs: dict[str, str] = field(default_factory=dict)
    miscounted: list[str] = field(default_factory=list)


def check(
    operations: list[Operation], final: Final, neighbours: dict[str, list[str]], *, do_clocks_jump: bool = False
) -> list[Finding]:
    """Return every broken promise.

    Args:
        operations: All of a run, in the order in which they began.
        final: What is there after everything has come to rest.
        neighbours: By track, what the index said before any fault.
        do_clocks_jump: Whether log-ins may have ended for that.
    """
    ledgers = ledgers_of(operations)
    found = [finding for ledger in ledgers.values() for finding in ledger.findings]
    for ledger in ledgers.values():
        found += _check_person(ledger, final)
    found += check_browsing(operations)
    found += check_heard(operations, do_clocks_jump=do_clocks_jump)
    found += _check_likes(ledgers.values(), final)
    found += _check_audio(operations, final)
    found += [Finding(Kind.STALE, text) for text in final.miscounted]
    for job_id, state in final.ownerless_jobs.items():
        if state not in ENDS:
            found.append(Finding(Kind.ENDLESS, f"the job {job_id} of nobody is {state}"))
    if final.dead_letters:
        found.append(Finding(Kind.LOST, f"{final.dead_letters} dead letters, and nothing was poison"))
    return found + check_library(operations, final.tracks, neighbours, final.neighbours)


def _check_person(ledger: Ledger, final: Final) -> list[Finding]:
    if not ledger.user_id:
        return []
    if final.users.get(ledger.actor) != ledger.user_id:
        return [Finding(Kind.LOST, f"the account of {ledger.actor}")]
    user_id, maybe = ledger.user_id, ledger.maybe
    found = _check_lists(ledger, final.lists.get(user_id, {}), final.jobs.get(user_id, {}))
    found += _check_jobs(ledger, final.jobs.get(user_id, {}), final.lists.get(user_id, {}))
    comments, uploads = final.comments.get(user_id, []), final.uploads.get(user_id, [])
    for what, wanted, there in (
        ("like", ledger.likes, final.likes.get(user_id, [])),
        ("follow", ledger.follows, final.follows.get(user_id, [])),
        ("play", ledger.plays, final.plays.get(user_id, [])),
        ("comment", set(ledger.comments.values()), [text for _, text in comments]),
        ("upload", set(ledger.uploads.values()), [name for _, name in uploads]),
    ):
        found += _check_set(f"{ledger.actor}: {what}", wanted, there, maybe.get(what, {}).keys())
    for what, ids, rows in (("comment", ledger.comments, comments), ("upload", ledger.uploads, uploads)):
        for one in set(ids) - {row_id for row_id, _ in rows}:
            found.append(Finding(Kind.LOST, f"{ledger.actor}: the {what} {one}"))
    return found


def _check_set(what: str, wanted: set[str], there: list[str], possible: Set[str]) -> list[Finding]:
    found = [Finding(Kind.LOST, f"{what} {one}") for one in sorted(wanted - set(there))]
    for one, count in Counter(there).items():
        if count > 1:
            found.append(Finding(Kind.DOUBLED, f"{what} {one} is there {count} times"))
        if one not in wanted and one not in possible:
            found.append(Finding(Kind.DOUBLED, f"{what} {one} is there, and nobody was told so"))
    return found


def _check_lists(ledger: Ledger, there: dict[str, FinalList], jobs: dict[str, FinalJob]) -> list[Finding]:
    found = []
    for playlist_id, one in ledger.lists.items():
        now = there.get(playlist_id)
        if now is None:
            found.append(Finding(Kind.LOST, f"{ledger.actor}: the playlist {playlist_id} {one.title!r}"))
        elif (rows := _rows(now)) != (known := (one.title, one.is_public, one.version, one.tracks)):
            kind = Kind.DOUBLED if now.version > one.version else Kind.LOST
            found.append(Finding(kind, f"{ledger.actor}: {playlist_id} is {rows}, should be {known}"))
    made = {job.playlist_id for job in jobs.values()}
    possible = ledger.maybe.get("create", {})
    for playlist_id, now in there.items():
        if playlist_id in ledger.gone:
            found.append(Finding(Kind.LOST, f"{ledger.actor}: the deletion of {playlist_id}"))
        elif playlist_id not in ledger.lists and playlist_id not in made and now.title not in possible:
            text = f"{ledger.actor}: {playlist_id} {now.title!r} is there, and nobody was told so"
            found.append(Finding(Kind.DOUBLED, text))
        elif playlist_id not in ledger.lists and (asked := possible.get(now.title)) is not None:
            whole = (now.title, asked["is_public"], 1, asked["track_ids"])
            if _rows(now) != whole:
                found.append(Finding(Kind.LOST, f"{ledger.actor}: {playlist_id} is {_rows(now)}, half of {whole}"))
    for title, count in Counter(now.title for now in there.values()).items():
        if count > 1:
            found.append(Finding(Kind.DOUBLED, f"{ledger.actor}: {title!r} is there {count} times"))
    return found


def _rows(one: FinalList) -> tuple[str, bool, int, list[str]]:
    return one.title, one.is_public, one.version, one.track_ids


def _check_jobs(ledger: Ledger, there: dict[str, FinalJob], lists: dict[str, FinalList]) -> list[Finding]:
    found = []
    for job_id, job in there.items():
        if job.state not in ENDS:
            found.append(Finding(Kind.ENDLESS, f"{ledger.actor}: the job {job_id} is {job.state}"))
        if job.state == "FAILED":
            reason = job.failure_reason or "for no reason"
            found.append(Finding(Kind.LOST, f"{ledger.actor}: the job {job_id} failed: {reason}"))
        if job.state == "SUCCEEDED":
            found += _check_made(f"{ledger.actor}: the playlist {job.playlist_id} of job {job_id}", job, lists)
        elif job.playlist_id is not None:
            found.append(Finding(Kind.DOUBLED, f"{ledger.actor}: {job_id} is {job.state} and made {job.playlist_id}"))
        if job_id in ledger.ended and job.state != ledger.ended[job_id]:
            found.append(Finding(Kind.LOST, f"{ledger.actor}: {job_id} ended {ledger.ended[job_id]}, is {job.state}"))
    for job_id, title in ledger.jobs.items():
        if job_id not in there:
            found.append(Finding(Kind.LOST, f"{ledger.actor}: the job {job_id} {title!r}"))
    asked_for = [*ledger.jobs.values(), *ledger.maybe.get("generate", ())]
    for job_id, job in there.items():
        if not any(title in job.request for title in asked_for):
            found.append(Finding(Kind.DOUBLED, f"{ledger.actor}: the job {job_id} is there, and nobody asked for it"))
    for title in asked_for:
        asked = [job_id for job_id, job in there.items() if title in job.request]
        if len(asked) > 1:
            found.append(Finding(Kind.DOUBLED, f"{ledger.actor}: {title!r} has the jobs {', '.join(asked)}"))
    return found


def _check_made(what: str, job: FinalJob, lists: dict[str, FinalList]) -> list[Finding]:
    made = lists.get(job.playlist_id or "")
    if made is None or not made.track_ids:
        return [Finding(Kind.LOST, f"{what} is not there, or empty")]
    if len(set(made.track_ids)) < len(made.track_ids):
        return [Finding(Kind.DOUBLED, f"{what} holds a track twice: {made.track_ids}")]
    asked = json.loads(job.request)
    recipe = asked["recipe"]
    # A track that it begins with stands in it, too; an upload does not.
    length = recipe["length"] + sum(1 for seed in recipe["seeds"] if recipe["include_seed"] and seed["track_id"])
    wanted = (asked["title"], False, 1, length)
    if (found := (made.title, made.is_public, made.version, len(made.track_ids))) != wanted:
        return [Finding(Kind.LOST, f"{what} is {found}, was asked for as {wanted}")]
    return []


def _check_audio(operations: Iterable[Operation], final: Final) -> list[Finding]:
    """Every file that was acknowledged must be there, and not only those that somebody happened to hear again."""
    return [
        Finding(Kind.LOST, f"{one.actor}: the audio of {upload_id} is {sent or 'not asked for'}")
        for one in operations
        if one.kind == "upload" and one.outcome == Outcome.DONE
        if (sent := final.audio.get(upload_id := one.result["upload_id"])) != one.arguments["digest"]
    ]


def _check_likes(ledgers: Iterable[Ledger], final: Final) -> list[Finding]:
    """What pages count must be what rows say; rows are compared with ledgers elsewhere."""
    rows = Counter(playlist_id for liked in final.likes.values() for playlist_id in liked)
    lists = {playlist_id: one for owned in final.lists.values() for playlist_id, one in owned.items()}
    return [
        Finding(Kind.STALE, f"{playlist_id} shows {one.likes} likes, has {rows[playlist_id]}")
        for playlist_id, one in lists.items()
        if one.likes != rows[playlist_id]
    ]
