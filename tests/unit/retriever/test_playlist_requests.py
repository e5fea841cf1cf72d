"""Every bad request for a playlist, a path or suggestions is refused by name, with its value and its limit."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from museed.retriever.v1 import retriever_pb2
from services.chassis import vectors
from services.chassis.errors import DomainError, InvalidArgument, NotFound
from services.retriever.index.index import TrackIndex
from services.retriever.playlist.extension import ExtensionRecipe
from services.retriever.playlist.path import PathRecipe
from services.retriever.playlist.recipe import Arrangement, Recipe
from services.retriever.servicer import playlist_requests
from services.retriever.tracks import Track

X = vectors.encode(np.array([1, 0, 0], np.float32))
NAN = float("nan")


def an_index() -> TrackIndex:
    index = TrackIndex("enc")
    index.upsert(Track("a", 1), np.array([0, 1, 0], np.float32))
    return index


def told(error: DomainError) -> tuple[str, str | None, str | None, str | None]:
    return error.reason, error.field, error.value, error.limit


def playlist_request(**fields: Any) -> retriever_pb2.BuildPlaylistRequest:
    return retriever_pb2.BuildPlaylistRequest(**fields)


def test_zeros_of_a_recipe_mean_its_defaults() -> None:
    recipe = playlist_requests.recipe(playlist_request())
    assert recipe == Recipe()
    assert (recipe.length, recipe.max_per_artist, recipe.artist_window) == (25, 3, 2)
    assert (recipe.arrangement, recipe.energy_arc) == (Arrangement.FLOW, (0.3, 0.8, 0.5))
    assert (recipe.negative_penalty, recipe.min_similarity) == (0.5, None)


def test_zero_is_not_the_same_as_unset_where_it_can_be_told() -> None:
    recipe = playlist_requests.recipe(playlist_request(min_similarity=0.0, negative_penalty=0.0))
    assert (recipe.min_similarity, recipe.negative_penalty) == (0.0, 0.0)


def test_everything_that_is_asked_for_is_in_the_recipe() -> None:
    request = playlist_request(
        length=500,
        max_per_artist=1,
        include_seed=True,
        exclude_track_ids=["x"],
        weigh_agreement=True,
        artist_window=50,
        diversity=1.0,
        temperature=0.5,
        random_seed=2**64 - 1,
        arrangement=retriever_pb2.ARRANGEMENT_ENERGY_ARC,
        energy_arc=[0.0, 1.0],
        require_length=True,
        hub_damping=0.25,
        allow_near_duplicates=True,
    )
    assert playlist_requests.recipe(request) == Recipe(
        length=500,
        max_per_artist=1,
        include_seed=True,
        excluded=frozenset({"x"}),
        weigh_agreement=True,
        artist_window=50,
        diversity=1.0,
        temperature=0.5,
        random_seed=2**64 - 1,
        arrangement=Arrangement.ENERGY_ARC,
        energy_arc=(0.0, 1.0),
        require_length=True,
        hub_damping=0.25,
        allow_near_duplicates=True,
    )


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"length": 10_000}, ("OUT_OF_RANGE", "length", "10000", "500")),
        ({"length": -1}, ("OUT_OF_RANGE", "length", "-1", "1")),
        ({"max_per_artist": 501}, ("OUT_OF_RANGE", "max_per_artist", "501", "500")),
        ({"max_per_artist": -3}, ("OUT_OF_RANGE", "max_per_artist", "-3", "1")),
        ({"min_similarity": 1.5}, ("OUT_OF_RANGE", "min_similarity", "1.5", "1")),
        ({"min_similarity": -1.5}, ("OUT_OF_RANGE", "min_similarity", "-1.5", "-1")),
        ({"min_similarity": NAN}, ("OUT_OF_RANGE", "min_similarity", "nan", "1")),
        ({"exclude_track_ids": ["a"] * 1001}, ("OUT_OF_RANGE", "exclude_track_ids", "1001", "1000")),
        ({"exclude_track_ids": ["a", ""]}, ("MISSING_INPUT", "exclude_track_ids[1]", "0", "1")),
        ({"exclude_track_ids": ["a" * 7900]}, ("OUT_OF_RANGE", "exclude_track_ids[0]", "7900", "100")),
        ({"negative_penalty": 2.5}, ("OUT_OF_RANGE", "negative_penalty", "2.5", "2")),
        ({"negative_penalty": NAN}, ("OUT_OF_RANGE", "negative_penalty", "nan", "2")),
        ({"artist_window": 51}, ("OUT_OF_RANGE", "artist_window", "51", "50")),
        ({"artist_window": -1}, ("OUT_OF_RANGE", "artist_window", "-1", "1")),
        ({"diversity": 1.5}, ("OUT_OF_RANGE", "diversity", "1.5", "1")),
        ({"diversity": NAN}, ("OUT_OF_RANGE", "diversity", "nan", "1")),
        ({"temperature": -0.5}, ("OUT_OF_RANGE", "temperature", "-0.5", "0")),
        ({"temperature": NAN}, ("OUT_OF_RANGE", "temperature", "nan", "1")),
        ({"hub_damping": 2}, ("OUT_OF_RANGE", "hub_damping", "2", "1")),
        ({"arrangement": 4}, ("OUT_OF_RANGE", "arrangement", "4", "3")),
        ({"arrangement": -1}, ("OUT_OF_RANGE", "arrangement", "-1", "0")),
        ({"energy_arc": [0.5]}, ("OUT_OF_RANGE", "energy_arc", "1", "2")),
        ({"energy_arc": [0.5] * 21}, ("OUT_OF_RANGE", "energy_arc", "21", "20")),
        ({"energy_arc": [0.5, 1.5]}, ("OUT_OF_RANGE", "energy_arc[1]", "1.5", "1")),
        ({"energy_arc": [NAN, 0.5]}, ("OUT_OF_RANGE", "energy_arc[0]", "nan", "1")),
    ],
)
def test_recipe_beyond_limits(fields: dict[str, Any], expected: tuple[str, str, str, str]) -> None:
    with pytest.raises(InvalidArgument) as refused:
        playlist_requests.recipe(playlist_request(**fields))
    assert told(refused.value) == expected


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, 0.0),
        ({"profile_weight": 0.7}, 0.0),
        ({"profile_id": "p"}, 0.2),
        ({"profile_id": "p", "profile_weight": 1}, 1),
    ],
)
def test_a_profile_tilts_by_its_weight_or_by_a_fifth(fields: dict[str, Any], expected: float) -> None:
    assert playlist_requests.profile_weight(playlist_request(**fields)) == expected


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"profile_weight": 1.5}, ("OUT_OF_RANGE", "profile_weight", "1.5", "1")),
        ({"profile_weight": NAN}, ("OUT_OF_RANGE", "profile_weight", "nan", "1")),
        ({"profile_id": "p" * 101}, ("OUT_OF_RANGE", "profile_id", "101", "100")),
    ],
)
def test_profiles_beyond_limits(fields: dict[str, Any], expected: tuple[str, str, str, str]) -> None:
    with pytest.raises(InvalidArgument) as refused:
        playlist_requests.profile_weight(playlist_request(**fields))
    assert told(refused.value) == expected


@pytest.mark.parametrize(
    ("seeds", "expected"),
    [
        ([], ("MISSING_INPUT", "seeds", "0", "1")),
        ([{"track_id": "a"}] * 21, ("OUT_OF_RANGE", "seeds", "21", "20")),
        ([{"track_id": "a"}, {}], ("MISSING_INPUT", "seeds[1].source", "0", "1")),
        ([{"track_id": "a", "weight": -0.5}], ("OUT_OF_RANGE", "seeds", "-0.5", "0")),
        ([{"track_id": ""}], ("MISSING_INPUT", "seeds[0].track_id", "0", "1")),
        ([{"track_id": "a" * 101}], ("OUT_OF_RANGE", "seeds[0].track_id", "101", "100")),
        ([{"vector": X, "title": " "}], ("MISSING_INPUT", "seeds[0].title", "0", "1")),
        ([{"vector": X, "artist": "a" * 1001}], ("OUT_OF_RANGE", "seeds[0].artist", "1001", "1000")),
        ([{"vector": X, "duration_seconds": NAN}], ("OUT_OF_RANGE", "seeds[0].duration_seconds", "nan", "1000000")),
        ([{"vector": X, "duration_seconds": -1}], ("OUT_OF_RANGE", "seeds[0].duration_seconds", "-1", "0")),
        ([{"track_id": "a", "weight": -1e9}], ("OUT_OF_RANGE", "seeds[0].weight", "-1000000000", "-1000000")),
        ([{"track_id": "a", "weight": float("inf")}], ("OUT_OF_RANGE", "seeds[0].weight", "inf", "1000000")),
        ([{"track_id": "a", "weight": NAN}], ("OUT_OF_RANGE", "seeds[0].weight", "nan", "1000000")),
        ([{"track_id": "a", "audio_hash": b"xyz"}], ("OUT_OF_RANGE", "seeds[0].audio_hash", "3", "32")),
    ],
)
def test_seeds_that_are_refused(seeds: list[dict[str, Any]], expected: tuple[str, str, str, str]) -> None:
    with pytest.raises(InvalidArgument) as refused:
        playlist_requests.check_seeds([retriever_pb2.Seed(**seed) for seed in seeds])
    assert told(refused.value) == expected


@pytest.mark.parametrize(
    ("refuse", "message"),
    [
        (
            lambda: playlist_requests.recipe(playlist_request(hub_damping=1.0000001)),
            "hub_damping is 1.0000001, 0 to 1 is allowed",
        ),
        (lambda: playlist_requests.recipe(playlist_request(length=501)), "length is 501, 1 to 500 is allowed"),
        (
            lambda: playlist_requests.recipe(playlist_request(energy_arc=[0.1])),
            "energy_arc has 1 entry, 2 to 20 are allowed",
        ),
        (
            lambda: playlist_requests.profile_weight(playlist_request(profile_id="p" * 101)),
            "profile_id has 101 characters, at most 100 are allowed",
        ),
        (
            lambda: playlist_requests.check_seeds([retriever_pb2.Seed(track_id="a")] * 21),
            "seeds has 21 entries, at most 20 are allowed",
        ),
        (
            lambda: playlist_requests.check_seeds([retriever_pb2.Seed(track_id="a", weight=-w) for w in (0.5, 0.1)]),
            "the largest weight of the 2 seeds is -0.1, at least one must be above 0",
        ),
        (
            lambda: playlist_requests.check_seeds([retriever_pb2.Seed(track_id="")]),
            "seeds[0].track_id is blank: give 1 to 100 characters",
        ),
    ],
)
def test_texts_tell_what_is_wrong(refuse: Callable[[], object], message: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        refuse()
    assert refused.value.message == message


def test_a_negative_seed_beside_a_positive_one_is_taken() -> None:
    seeds = [retriever_pb2.Seed(track_id="a"), retriever_pb2.Seed(vector=X, weight=-2)]
    playlist_requests.check_seeds(seeds)
    assert [seed.weight for seed in playlist_requests.resolve_seeds(an_index(), seeds)] == [1.0, -2.0]


def test_seeds_are_resolved_in_order_and_weight_zero_counts_as_one() -> None:
    upload = retriever_pb2.Seed(
        vector=X, weight=2, audio_hash=b"h" * 32, duration_seconds=61.5, title="Song", artist="Somebody"
    )
    found = playlist_requests.resolve_seeds(an_index(), [retriever_pb2.Seed(track_id="a"), upload])
    assert [(seed.track, seed.weight, seed.audio_hash) for seed in found] == [
        (Track("a", 1), 1.0, b""),
        (None, 2.0, b"h" * 32),
    ]
    assert np.array_equal(np.stack([seed.vector for seed in found]), [[0, 1, 0], [1, 0, 0]])
    assert [seed.recording for seed in found] == [
        Track("a", 1),
        Track("", title="Song", artist="Somebody", duration_s=61.5, audio_hash=b"h" * 32),
    ]


def test_an_unknown_seed_is_named() -> None:
    seeds = [retriever_pb2.Seed(track_id="a"), retriever_pb2.Seed(track_id="nobody")]
    with pytest.raises(NotFound) as refused:
        playlist_requests.resolve_seeds(an_index(), seeds)
    assert told(refused.value) == ("UNKNOWN_TRACK", "seeds[1].track_id", "nobody", None)


@pytest.mark.parametrize(
    ("vector", "expected"),
    [
        (X[:8], ("DIMENSION_MISMATCH", "seeds[0].vector", "8", "12")),
        (b"", ("DIMENSION_MISMATCH", "seeds[0].vector", "0", "12")),
        (vectors.encode(np.array([np.nan, 0, 0], np.float32)), ("VECTOR_NOT_UNIT", "seeds[0].vector", "nan", "0.001")),
        (vectors.encode(np.array([2, 0, 0], np.float32)), ("VECTOR_NOT_UNIT", "seeds[0].vector", "2", "0.001")),
    ],
)
def test_vectors_that_are_refused(vector: bytes, expected: tuple[str, str, str, str]) -> None:
    with pytest.raises(InvalidArgument) as refused:
        playlist_requests.resolve_seeds(an_index(), [retriever_pb2.Seed(vector=vector)])
    assert told(refused.value) == expected


def test_zeros_of_a_path_mean_its_defaults() -> None:
    request = retriever_pb2.BuildPathRequest(from_track_id="a", to_track_id="b")
    assert playlist_requests.path_recipe(request) == PathRecipe(length=10, max_per_artist=3)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"from_track_id": ""}, ("MISSING_INPUT", "from_track_id", "0", "1")),
        ({"to_track_id": ""}, ("MISSING_INPUT", "to_track_id", "0", "1")),
        ({"to_track_id": "a"}, ("SAME_ENDS", "to_track_id", "a", None)),
        ({"length": 2}, ("OUT_OF_RANGE", "length", "2", "3")),
        ({"length": 101}, ("OUT_OF_RANGE", "length", "101", "100")),
        ({"max_per_artist": 101}, ("OUT_OF_RANGE", "max_per_artist", "101", "100")),
        ({"max_per_artist": -1}, ("OUT_OF_RANGE", "max_per_artist", "-1", "1")),
    ],
)
def test_paths_beyond_limits(fields: dict[str, Any], expected: tuple[str, str, str | None, str | None]) -> None:
    with pytest.raises(InvalidArgument) as refused:
        playlist_requests.path_recipe(
            retriever_pb2.BuildPathRequest(**({"from_track_id": "a", "to_track_id": "b"} | fields))
        )
    assert told(refused.value) == expected


def test_zeros_of_an_extension_mean_its_defaults() -> None:
    request = retriever_pb2.ExtendPlaylistRequest(track_ids=["a"])
    assert playlist_requests.extension_recipe(request) == ExtensionRecipe(count=10, max_per_artist=2, diversity=0.0)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"track_ids": []}, ("MISSING_INPUT", "track_ids", "0", "1")),
        ({"track_ids": ["a", ""]}, ("MISSING_INPUT", "track_ids[1]", "0", "1")),
        ({"accepted_track_ids": [""]}, ("MISSING_INPUT", "accepted_track_ids[0]", "0", "1")),
        ({"rejected_track_ids": ["a" * 101]}, ("OUT_OF_RANGE", "rejected_track_ids[0]", "101", "100")),
        ({"track_ids": ["a"] * 501}, ("OUT_OF_RANGE", "track_ids", "501", "500")),
        ({"accepted_track_ids": ["a"] * 501}, ("OUT_OF_RANGE", "accepted_track_ids", "501", "500")),
        ({"rejected_track_ids": ["a"] * 501}, ("OUT_OF_RANGE", "rejected_track_ids", "501", "500")),
        ({"count": 101}, ("OUT_OF_RANGE", "count", "101", "100")),
        ({"count": -1}, ("OUT_OF_RANGE", "count", "-1", "1")),
        ({"max_per_artist": 101}, ("OUT_OF_RANGE", "max_per_artist", "101", "100")),
        ({"diversity": 1.5}, ("OUT_OF_RANGE", "diversity", "1.5", "1")),
        ({"diversity": NAN}, ("OUT_OF_RANGE", "diversity", "nan", "1")),
    ],
)
def test_extensions_beyond_limits(fields: dict[str, Any], expected: tuple[str, str, str | None, str | None]) -> None:
    with pytest.raises(InvalidArgument) as refused:
        playlist_requests.extension_recipe(retriever_pb2.ExtendPlaylistRequest(**({"track_ids": ["a"]} | fields)))
    assert told(refused.value) == expected


def test_an_unknown_end_is_named_and_unknown_judged_tracks_do_not_matter() -> None:
    index = an_index()
    with pytest.raises(NotFound) as refused:
        playlist_requests.track_seed(index, "nobody", "to_track_id")
    assert told(refused.value) == ("UNKNOWN_TRACK", "to_track_id", "nobody", None)
    (known,) = playlist_requests.known_seeds(index, ["nobody", "a", "a"])
    assert known.track == Track("a", 1)
    assert np.array_equal(known.vector, [0, 1, 0])
