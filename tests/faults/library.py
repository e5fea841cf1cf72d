"""Judges the library: each file that was registered is there once and heard, and the index finds what it should."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tests.faults.findings import Finding, Kind
from tests.faults.history import Operation, Outcome

# Hits that are asked for.
NEIGHBOURS = 5
# Between two cosines that were computed otherwise.
_CLOSE = 2e-5
HEARD = ("EMBEDDED", "INDEXED")


@dataclass(frozen=True, slots=True)
class FinalTrack:
    """A track in the end; the vector is empty where nothing heard it."""

    path: str
    title: str
    state: str
    vector: tuple[float, ...] = ()
    failure_reason: str = ""


def check_library(
    operations: Sequence[Operation],
    tracks: Mapping[str, FinalTrack],
    before: Mapping[str, list[str]],
    after: Mapping[str, list[str]],
) -> list[Finding]:
    """Return every broken promise to who brings files in, and every answer of the index that vectors contradict.

    Args:
        operations: All of a run, in the order in which they began.
        tracks: What is there after everything has come to rest, by id.
        before: By track, what the index said before any fault; what is no key of it came later.
        after: By track, what it says in the end.
    """
    found = _check_answers(operations, before)
    found += _check_tracks(operations, tracks, before)
    vectors = {track_id: _unit(track.vector) for track_id, track in tracks.items() if track.vector}
    for track_id, nearest in before.items():
        found += _judge(f"before the faults {track_id}", track_id, nearest, before, vectors)
    for track_id in tracks:
        found += _judge(f"in the end {track_id}", track_id, after.get(track_id, []), vectors, vectors)
    for one in operations:
        if one.kind == "similar" and one.outcome == Outcome.DONE:
            track_id = one.arguments["track_id"]
            found += _judge(f"{one.actor}: {track_id}", track_id, one.result["track_ids"], before, vectors)
    return found


def _check_answers(operations: Sequence[Operation], before: Mapping[str, list[str]]) -> list[Finding]:
    """Judge each answer by those before it; one at a time is asked for."""
    found: list[Finding] = []
    ids: dict[str, str] = {}
    titles: dict[str, set[str]] = {}
    heard: set[str] = set()
    for one in operations:
        what = f"{one.actor}: {one.kind} {one.arguments}"
        if one.kind == "retag":
            titles.setdefault(one.arguments["path"], set()).add(one.arguments["title"])
        if one.outcome != Outcome.DONE:
            continue
        if one.kind in ("register", "retag"):
            for path, track_id, outcome in one.result["tracks"]:
                is_known = path in ids
                if is_known and track_id != ids[path]:
                    found.append(Finding(Kind.LOST, f"{what}: {path} was {ids[path]}, is {track_id}"))
                elif not is_known and track_id in {*ids.values(), *before}:
                    found.append(Finding(Kind.FOREIGN, f"{what}: {path} was given the id of another, {track_id}"))
                elif outcome not in ("RETAGGED" if is_known else "CREATED", "UNCHANGED"):
                    found.append(Finding(Kind.REFUSED, f"{what}: {path} was {outcome}"))
                elif outcome == "UNCHANGED" and one.tries == 1:
                    found.append(Finding(Kind.DOUBLED, f"{what}: {path} was there before it was sent"))
                ids[path] = track_id
            if one.kind == "retag":
                titles[one.arguments["path"]] = {one.arguments["title"]}
            else:
                titles |= {path: {title} for path, title in one.arguments["files"]}
        elif one.kind == "read_track":
            found += _check_state(one, what, heard)
            path = next(path for path, track_id in ids.items() if track_id == one.arguments["track_id"])
            if one.result["state"] is not None and one.result["title"] not in titles[path]:
                found.append(Finding(Kind.STALE, f"{what}: is called {one.result['title']}, not {titles[path]}"))
    return found


def _check_state(one: Operation, what: str, heard: set[str]) -> list[Finding]:
    """What was heard stays so; it is INDEXED anew where the log was wiped."""
    state, track_id = one.result["state"], one.arguments["track_id"]
    if state is None:
        return [Finding(Kind.LOST, f"{what}: is not found")]
    if state == "FAILED":
        return [Finding(Kind.LOST, f"{what}: cannot be heard: {one.result['reason']}")]
    if state in HEARD:
        heard.add(track_id)
    elif track_id in heard:
        return [Finding(Kind.STALE, f"{what}: was heard, and is {state}")]
    return []


def _check_tracks(
    operations: Sequence[Operation], tracks: Mapping[str, FinalTrack], before: Mapping[str, list[str]]
) -> list[Finding]:
    registered: dict[str, str] = {}
    titles: dict[str, set[str]] = {}
    maybe: set[str] = set()
    for one in operations:
        if one.kind == "register" and one.outcome == Outcome.DONE:
            registered |= {path: track_id for path, track_id, _ in one.result["tracks"]}
        if one.kind == "register":
            titles |= {path: {title} for path, title in one.arguments["files"]}
            maybe |= {path for path, _ in one.arguments["files"]} - registered.keys()
        elif one.kind == "retag":
            last = {one.arguments["title"]}
            is_sure = one.outcome == Outcome.DONE
            titles[one.arguments["path"]] = last if is_sure else titles[one.arguments["path"]] | last
    found = [
        Finding(Kind.LOST, f"the track {track_id} of {path} is not there")
        for path, track_id in registered.items()
        if track_id not in tracks
    ]
    found += [Finding(Kind.LOST, f"the track {track_id} is not there") for track_id in before if track_id not in tracks]
    seen: set[str] = set()
    for track_id, track in tracks.items():
        if track.state != "INDEXED":
            text = f"the track {track_id} of {track.path} is {track.state} {track.failure_reason}"
            found.append(Finding(Kind.LOST if track.state == "FAILED" else Kind.ENDLESS, text))
        elif not track.vector:
            found.append(Finding(Kind.LOST, f"the vector of {track_id}"))
        if track_id in before:
            continue
        if registered.get(track.path) != track_id and (track.path in registered or track.path not in maybe):
            found.append(Finding(Kind.DOUBLED, f"{track_id} of {track.path} is there, and nobody was told so"))
        elif track.path in seen:
            found.append(Finding(Kind.DOUBLED, f"{track.path} is there twice"))
        elif track.title not in titles[track.path]:
            found.append(Finding(Kind.LOST, f"{track.path} is called {track.title}, not {titles[track.path]}"))
        seen.add(track.path)
    return found


def _judge(
    what: str,
    track_id: str,
    nearest: Sequence[str],
    known: Collection[str],
    vectors: Mapping[str, NDArray[np.float64]],
) -> list[Finding]:
    """Compare an answer with the vectors themselves: none that was known for sure may be left out for one farther off.

    Equal sounds may come in any order, and what was not known for sure may be found or not.
    """
    if track_id not in vectors:
        return []  # told of as a track without a vector
    others = {one for one in known if one in vectors and one != track_id} | set(nearest)
    if strange := set(nearest) - vectors.keys():
        return [Finding(Kind.STALE, f"{what} is said to sound like {sorted(strange)}, which are not there")]
    if len(set(nearest)) < len(nearest) or track_id in nearest:
        return [Finding(Kind.DOUBLED, f"{what} is said to sound like {list(nearest)}")]
    cosines = {one: float(vectors[one] @ vectors[track_id]) for one in others}
    best = sorted(cosines.values(), reverse=True)[:NEIGHBOURS]
    shown = [cosines[one] for one in nearest]
    if len(shown) != len(best) or any(abs(a - b) > _CLOSE for a, b in zip(shown, best, strict=True)):
        right = sorted(others, key=lambda one: (-cosines[one], one))[:NEIGHBOURS]
        return [Finding(Kind.STALE, f"{what} is said to sound like {list(nearest)}, and sounds like {right}")]
    return []


def _unit(vector: Sequence[float]) -> NDArray[np.float64]:
    array = np.asarray(vector, dtype=np.float64)
    return array / np.linalg.norm(array)
