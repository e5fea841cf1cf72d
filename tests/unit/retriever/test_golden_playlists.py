"""Playlists on a small library that never changes: what a request gives today it gives tomorrow.

Usage: python -m tests.unit.retriever.test_golden_playlists writes the expected lists anew; look at what changed.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from services.retriever.filters import Interval, TrackFilter
from services.retriever.index.index import TrackIndex
from services.retriever.playlist.extension import ExtensionRecipe, extend_playlist
from services.retriever.playlist.path import PathRecipe, build_path
from services.retriever.playlist.playlist import Playlist, build_playlist
from services.retriever.playlist.recipe import Arrangement, Recipe, Seed
from services.retriever.tracks import Track

GOLDEN = Path(__file__).parents[2] / "fixtures" / "golden_playlists.json"


def library(rows: list[dict[str, Any]]) -> TrackIndex:
    index = TrackIndex("enc")
    for row in rows:
        fields = dict(row)
        vector = np.array(fields.pop("vector"), dtype=np.float32)
        fields["tags"] = tuple(fields["tags"])
        fields["audio_hash"] = bytes.fromhex(fields["audio_hash"])
        index.upsert(Track(**fields), vector)
    return index


def seed(index: TrackIndex, track_id: str, weight: float = 1.0) -> Seed:
    return Seed(index.vector(track_id), weight, index.track(track_id))


def answer(index: TrackIndex, request: dict[str, Any]) -> Playlist:
    year = request.get("year")
    wanted = TrackFilter(year=Interval(*year)) if year else None
    if "path" in request:
        start, end = (seed(index, track_id) for track_id in request["path"])
        return build_path(index, start, end, PathRecipe(**request["recipe"]), wanted=wanted)
    if "extend" in request:
        tracks, accepted, rejected = ([seed(index, track_id) for track_id in part] for part in request["extend"])
        recipe = ExtensionRecipe(**request["recipe"])
        return extend_playlist(index, tracks, accepted, rejected, recipe, wanted=wanted)
    fields = dict(request["recipe"])
    if "energy_arc" in fields:
        fields["energy_arc"] = tuple(fields["energy_arc"])
    if "arrangement" in fields:
        fields["arrangement"] = Arrangement(fields["arrangement"])
    seeds = [seed(index, track_id, weight) for track_id, weight in request["seeds"]]
    return build_playlist(index, seeds, Recipe(**fields), wanted=wanted)


def told(playlist: Playlist) -> dict[str, Any]:
    return {
        "tracks": [each.track.track_id for each in playlist.tracks],
        "removed": dict(sorted(playlist.removed.items())),
    }


def _golden() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(GOLDEN.read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize("name", _golden()["requests"])
def test_a_golden_playlist_is_as_it_was(name: str) -> None:
    golden = _golden()
    request = golden["requests"][name]
    assert told(answer(library(golden["tracks"]), request)) == request["expected"]


def test_every_track_of_the_golden_library_matters_to_some_playlist() -> None:
    golden = _golden()
    lists = [set(request["expected"]["tracks"]) for request in golden["requests"].values()]
    assert len(set.union(*lists)) >= len(golden["tracks"]) // 2
    assert len({frozenset(each) for each in lists}) == len(lists)


def _write() -> None:
    golden = _golden()
    index = library(golden["tracks"])
    for request in golden["requests"].values():
        request["expected"] = told(answer(index, request))
    tracks = ",\n".join(f"  {json.dumps(track)}" for track in golden["tracks"])
    requests = ",\n".join(f"  {json.dumps(name)}: {json.dumps(each)}" for name, each in golden["requests"].items())
    GOLDEN.write_text(f'{{"tracks": [\n{tracks}\n],\n"requests": {{\n{requests}\n}}}}\n', encoding="utf-8")


if __name__ == "__main__":
    _write()
