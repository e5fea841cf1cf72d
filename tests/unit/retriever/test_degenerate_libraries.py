"""Libraries and recipes that nobody would make: every answer is finite, or a refusal by name."""

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from services.chassis.errors import DomainError
from services.retriever.index.index import TrackIndex
from services.retriever.playlist.extension import ExtensionRecipe, extend_playlist
from services.retriever.playlist.path import PathRecipe, build_path
from services.retriever.playlist.playlist import Playlist, build_playlist
from services.retriever.playlist.recipe import Arrangement, Recipe, Seed
from services.retriever.tracks import Track

TRACKS = st.tuples(
    st.sampled_from([-1, 1, 2]),  # one of few sounds, or its opposite
    st.sampled_from(["", "A", "B"]),  # artist
    st.sampled_from(["", "x"]),  # title
    st.sampled_from([0.0, 30.0, 1e300]),  # duration
    st.sampled_from([None, 0.5, -1e308, 1e308]),  # energy
    st.sampled_from([b"", b"1" * 32]),  # audio_hash
)
RECIPES = st.fixed_dictionaries(
    {
        "length": st.sampled_from([1, 3, 500]),
        "max_per_artist": st.sampled_from([1, 500]),
        "artist_window": st.sampled_from([1, 2, 50]),
        "include_seed": st.booleans(),
        "min_similarity": st.sampled_from([None, -1.0, 1.0]),
        "negative_penalty": st.sampled_from([0.0, 2.0]),
        "weigh_agreement": st.booleans(),
        "diversity": st.sampled_from([0.0, 0.5, 1.0]),
        "temperature": st.sampled_from([0.0, 1.0]),
        "random_seed": st.sampled_from([0, 2**64 - 1]),
        "arrangement": st.sampled_from(Arrangement),
        "hub_damping": st.sampled_from([0.0, 1.0]),
        "allow_near_duplicates": st.booleans(),
    }
)
WEIGHTS = st.lists(st.sampled_from([1.0, 1e-30, 1e6, -1.0, -1e-30]), min_size=1, max_size=4)


@settings(deadline=None, max_examples=200)
@given(st.lists(TRACKS, min_size=1, max_size=8), RECIPES, WEIGHTS, st.sampled_from([3, 10]))
def test_every_answer_is_finite_or_a_refusal(
    rows: list[Any], recipe: dict[str, Any], weights: list[float], path_length: int
) -> None:
    index = TrackIndex("enc")
    for number, (sound, artist, title, duration_s, energy, audio_hash) in enumerate(rows):
        vector = np.array([1, 0, 0], np.float32) * np.sign(sound) + np.array([0, abs(sound) - 1, 0], np.float32)
        track = Track(
            f"t{number}", title=title, artist=artist, duration_s=duration_s, energy=energy, audio_hash=audio_hash
        )
        index.upsert(track, vector)
    # The same tracks again and again, as wanted and as unwanted ones.
    known = [
        Seed(index.vector(f"t{n % len(rows)}"), weight, index.track(f"t{n % len(rows)}"))
        for n, weight in enumerate(weights)
    ]
    seeds = [Seed(index.vector("t0"), 1.0, index.track("t0")), *known]
    last = Seed(index.vector(f"t{len(rows) - 1}"), track=index.track(f"t{len(rows) - 1}"))
    calls: list[Callable[[], Playlist]] = [
        lambda: build_playlist(index, seeds, Recipe(**recipe), taste=index.vector("t0"), taste_weight=0.5),
        lambda: build_path(index, seeds[0], last, PathRecipe(path_length)),
        lambda: extend_playlist(index, seeds, known, known[:1], ExtensionRecipe(3, diversity=recipe["diversity"])),
    ]
    for call in calls:
        try:
            found = call()
        except DomainError:
            continue
        for each in found.tracks:
            assert np.isfinite([each.similarity, *each.seed_similarities]).all()
            assert -1 <= each.similarity <= 1
