"""What a recipe may ask for beyond the caps: negatives, taste, agreement, diversity, chance, windows, reasons."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.retriever.errors import ConstraintsUnreachable, NoCandidates
from services.retriever.filters import TrackFilter
from services.retriever.index.index import TrackIndex
from services.retriever.playlist.playlist import Playlist, build_playlist
from services.retriever.playlist.quantiles import PairQuantiles
from services.retriever.playlist.recipe import Arrangement, Recipe, Seed
from services.retriever.playlist.spacing import repetitions
from services.retriever.playlist.target import blend
from services.retriever.similarity import Float32Array
from services.retriever.tracks import Track


def random_library(seed: int, count: int, artists: int = 12, dimension: int = 8) -> TrackIndex:
    rng = np.random.default_rng(seed)
    index = TrackIndex("enc")
    for number in range(count):
        track = Track(
            f"t{number:03}", artist=f"artist {rng.integers(artists)}", energy=float(rng.random()), duration_s=100.0
        )
        index.upsert(track, rng.standard_normal(dimension).astype(np.float32))
    return index


def seed_of(index: TrackIndex, track_id: str, weight: float = 1.0) -> Seed:
    return Seed(index.vector(track_id), weight, index.track(track_id))


def built(index: TrackIndex, seeds: list[Seed], **recipe: Any) -> Playlist:
    return build_playlist(index, seeds, Recipe(**recipe))


def ids(playlist: Playlist) -> list[str]:
    return [each.track.track_id for each in playlist.tracks]


def at_angles(**degrees: float) -> TrackIndex:
    index = TrackIndex("enc")
    for track_id, angle in degrees.items():
        radians = np.deg2rad(angle)
        index.upsert(Track(track_id), np.array([np.cos(radians), np.sin(radians)], np.float32))
    return index


def similar(index: TrackIndex, seeds: list[Seed], **recipe: Any) -> list[str]:
    return ids(built(index, seeds, arrangement=Arrangement.SIMILARITY, **recipe))


def test_a_negative_seed_puts_its_neighbours_behind_others_and_is_not_chosen() -> None:
    index = at_angles(seed=0, left=-20, right=18, bad=40)
    assert similar(index, [seed_of(index, "seed")], length=1) == ["right"]
    seeds = [seed_of(index, "seed"), seed_of(index, "bad", -1)]
    assert similar(index, seeds, length=1) == ["left"]
    assert similar(index, seeds, length=1, negative_penalty=0.0) == ["right"]
    assert similar(index, seeds) == ["right", "left"]


def test_a_negative_seed_is_not_included_and_does_not_count_for_its_artist() -> None:
    index = at_angles(seed=0, bad=90)
    index.upsert(Track("bad", version=1, artist="A"), index.vector("bad"))
    index.upsert(Track("a", artist="A"), index.vector("seed"))
    playlist = built(index, [seed_of(index, "bad", -1), seed_of(index, "seed")], include_seed=True, max_per_artist=1)
    assert ids(playlist) == ["seed", "a"]
    assert [each.nearest_seed for each in playlist.tracks] == [1, 1]
    assert playlist.tracks[0].seed_similarities == pytest.approx((0.0, 1.0), abs=1e-6)


@pytest.mark.parametrize(
    ("known", "rule"),
    [
        ({}, None),
        ({"duration_s": 199.0}, "near_duplicate"),
        ({"duration_s": 197.0}, None),
        ({"duration_s": 201.5, "title": "Song ", "artist": "BAND"}, "same_recording"),
        ({"title": "Song", "artist": "Band"}, None),  # another version may be of any length
        ({"audio_hash": b"h" * 32}, "same_recording"),
    ],
)
def test_a_copy_of_an_upload_in_another_format_is_not_chosen(known: dict[str, Any], rule: str | None) -> None:
    index = at_angles(other=40)
    sound = index.vector("other") * 0 + np.array([1, 0], np.float32)
    index.upsert(Track("copy", title="Song", artist="Band", duration_s=200.0, audio_hash=b"h" * 32), sound)
    upload = Seed(sound, **known)
    playlist = built(index, [upload])
    assert playlist.removed == ({rule: 1} if rule else {})
    assert ids(playlist) == (["other"] if rule else ["copy", "other"])
    # An upload has no place in the library, and its artist takes nobody's.
    assert [each.nearest_track_id for each in playlist.tracks] == [""] * len(playlist.tracks)
    assert built(index, [Seed(sound, **known)], max_per_artist=1, allow_near_duplicates=True).removed == (
        {rule: 1} if rule == "same_recording" else {}
    )


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**32 - 1), st.floats(0.0, 2.0))
def test_more_penalty_never_chooses_more_of_what_is_near_to_the_negative_seed(number: int, penalty: float) -> None:
    index = random_library(number, 60)
    seeds = [seed_of(index, "t000"), seed_of(index, "t001", -1)]
    common = {"length": 8, "max_per_artist": 60, "artist_window": 1, "allow_near_duplicates": True}

    def nearness(**recipe: Any) -> float:
        return sum(max(0.0, each.seed_similarities[1]) for each in built(index, seeds, **common, **recipe).tracks)

    assert nearness(negative_penalty=penalty) <= nearness(negative_penalty=0.0) + 1e-5


def test_taste_tilts_the_target() -> None:
    index = at_angles(left=-20, right=18)
    upload = [Seed(np.array([1, 0], np.float32))]
    taste = np.array([0, -1], np.float32)
    recipe = Recipe(length=1)
    assert ids(build_playlist(index, upload, recipe)) == ["right"]
    assert ids(build_playlist(index, upload, recipe, taste=taste, taste_weight=0.2)) == ["left"]
    assert ids(build_playlist(index, upload, recipe, taste=None, taste_weight=0.2)) == ["right"]


def test_agreement_of_seeds_prefers_what_they_have_in_common() -> None:
    index = TrackIndex("enc")
    index.upsert(Track("common"), np.array([1.0, 0.0, 0.0], np.float32))
    index.upsert(Track("mixed"), np.array([0.2, 1.0, 1.0], np.float32))
    seeds = [Seed(vector / np.linalg.norm(vector)) for vector in np.array([[0.9, 1, 0], [0.9, 0, 1]], np.float32)]
    assert similar(index, seeds) == ["common", "mixed"]
    plain, weighed = (built(index, seeds, weigh_agreement=weighs) for weighs in (False, True))
    assert weighed.tracks[0].similarity > plain.tracks[0].similarity


def slow_mmr(index: TrackIndex, target: Float32Array, length: int, diversity: float) -> list[str]:
    """Maximal marginal relevance as the paper writes it down, over the whole library."""
    left = {track.track_id for track in index.tracks}
    chosen: list[str] = []
    while left and len(chosen) < length:

        def worth(track_id: str) -> float:
            vector = index.vector(track_id)
            nearest = max((float(vector @ index.vector(other)) for other in chosen), default=0.0)
            return (1 - diversity) * float(vector @ target) - diversity * nearest

        best = max(sorted(left), key=worth)
        chosen.append(best)
        left.remove(best)
    return chosen


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.1, 0.3, 0.5, 0.9]))
def test_diversity_is_maximal_marginal_relevance(number: int, diversity: float) -> None:
    index = random_library(number, 40)
    upload = Seed(random_library(number + 1, 1).vector("t000"))
    playlist = built(
        index, [upload], length=8, diversity=diversity, max_per_artist=40, artist_window=1, allow_near_duplicates=True
    )
    assert set(ids(playlist)) == set(slow_mmr(index, blend([upload]), 8, diversity))


def test_chance_is_the_same_for_the_same_seed_and_another_for_another() -> None:
    index = random_library(1, 400)
    seeds = [seed_of(index, "t000")]
    lists = [ids(built(index, seeds, temperature=0.5, random_seed=number)) for number in (7, 7, 8)]
    assert lists[0] == lists[1]
    assert set(lists[0]) != set(lists[2])
    assert ids(built(index, seeds, random_seed=7)) == ids(built(index, seeds, random_seed=8))


def test_no_track_is_lucky_in_the_lists_of_everybody() -> None:
    index = random_library(5, 300)
    recipe = {"temperature": 1.0, "length": 10, "max_per_artist": 300, "artist_window": 1}
    lists = [ids(built(index, [seed_of(index, f"t{number:03}")], **recipe)) for number in range(60)]
    # By chance a track is in 2 lists of 60; with the same luck everywhere some would be in nearly all.
    assert max(Counter(track_id for each in lists for track_id in each).values()) <= 12
    upload = [[Seed(index.vector(f"t{number:03}"), weight)] for number, weight in ((0, 1.0), (0, 2.0), (1, 1.0))]
    same, again, other = (ids(built(index, seeds, random_seed=3, **recipe)) for seeds in upload)
    assert same == again
    assert set(same) != set(other)


def test_a_track_less_leaves_the_luck_of_the_others_as_it_was() -> None:
    index = random_library(1, 400)
    recipe = {"temperature": 0.5, "random_seed": 7, "length": 10, "max_per_artist": 400, "artist_window": 1}
    recipe["allow_near_duplicates"] = True
    upload = [Seed(index.vector("t000"))]
    before = ids(built(index, upload, **recipe))
    index.remove(before[3])
    after = ids(built(index, upload, **recipe))
    # One place is free now; the scale of the noise is not the same to the last digit, either.
    assert len(set(before) - {before[3]} - set(after)) <= 1


def test_more_temperature_goes_further_from_the_target() -> None:
    index = random_library(2, 600)

    def mean_similarity(temperature: float) -> float:
        lists = [
            built(index, [seed_of(index, "t000")], temperature=temperature, random_seed=number).tracks
            for number in range(10)
        ]
        return float(np.mean([each.similarity for tracks in lists for each in tracks]))

    assert mean_similarity(0.0) > mean_similarity(0.2) > mean_similarity(1.0)


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(2, 30),
    st.integers(1, 4),
    st.integers(1, 5),
    st.sampled_from(Arrangement),
    st.booleans(),
)
def test_windows_are_kept_or_their_breaks_counted(
    number: int, length: int, max_per_artist: int, window: int, arrangement: Arrangement, include_seed: bool
) -> None:
    index = random_library(number, 80)
    playlist = built(
        index,
        [seed_of(index, "t000"), seed_of(index, "t001")],
        length=length,
        max_per_artist=max_per_artist,
        artist_window=window,
        arrangement=arrangement,
        include_seed=include_seed,
        temperature=0.3,
        diversity=0.2,
    )
    played = [each.track.artist_key for each in playlist.tracks]
    first = sum(each.is_seed for each in playlist.tracks)
    assert repetitions(played[first:], window, played[:first]) == playlist.removed["artist_in_a_row_allowed"]
    chosen = Counter(played[first:])
    of_seeds = Counter(track.artist_key for track in map(index.track, ("t000", "t001")) if track is not None)
    assert all(of_seeds[artist] + count <= max(max_per_artist, of_seeds[artist]) for artist, count in chosen.items())
    # Twelve artists, and nobody before the first place: what is chosen can be kept apart within four.
    if window <= 4 and not include_seed and length <= 12 * max_per_artist - 12:
        assert playlist.removed["artist_in_a_row_allowed"] == 0


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1))
def test_the_same_request_gives_the_same_playlist_whatever_the_order_of_the_log(number: int) -> None:
    index = random_library(number, 50)
    other = TrackIndex("enc")
    for track in sorted(index.tracks, key=lambda each: hash((number, each.track_id))):
        other.upsert(track, index.vector(track.track_id))
    recipe = {"temperature": 0.4, "diversity": 0.3, "random_seed": number, "weigh_agreement": True}
    lists = [
        built(one, [seed_of(one, "t000"), seed_of(one, "t001"), seed_of(one, "t002", -1)], **recipe)
        for one in (index, other)
    ]
    assert ids(lists[0]) == ids(lists[1])
    assert lists[0].removed == lists[1].removed


def test_rules_that_eat_up_the_first_candidates_make_it_look_further() -> None:
    index = TrackIndex("enc")
    for number in range(3000):
        # The nearest 2,000 are all of one artist.
        artist = "A" if number < 2000 else f"artist {number}"
        radians = number / 3000
        index.upsert(Track(f"t{number:04}", artist=artist), np.array([np.cos(radians), np.sin(radians)], np.float32))
    playlist = built(index, [Seed(np.array([1, 0], np.float32))], length=5, arrangement=Arrangement.SIMILARITY)
    assert ids(playlist) == ["t0000", "t2000", "t0001", "t2001", "t0002"]
    assert playlist.removed == {"max_per_artist": 1997}


def test_the_filter_is_counted_where_the_whole_library_was_looked_through() -> None:
    index = random_library(3, 50)
    wanted = TrackFilter(artists=frozenset({"artist 1", "artist 2"}))
    fits = sum(track.artist in ("artist 1", "artist 2") for track in index.tracks)
    upload = [Seed(index.vector("t000"))]
    playlist = build_playlist(index, upload, Recipe(), wanted=wanted)
    assert {each.track.artist for each in playlist.tracks} == {"artist 1", "artist 2"}
    assert playlist.removed["filter"] == 50 - fits
    with pytest.raises(NoCandidates) as refused:
        build_playlist(index, upload, Recipe(), wanted=TrackFilter(artists=frozenset({"nobody"})))
    assert refused.value.value == "filter=50"


@pytest.mark.parametrize(("asked", "found"), [(6, 6), (7, None)])
def test_a_length_that_is_required_is_reached_or_refused_with_both_numbers(asked: int, found: int | None) -> None:
    index = random_library(4, 30, artists=2)
    recipe = Recipe(length=asked, require_length=True)
    upload = [Seed(index.vector("t000"))]
    if found is not None:
        assert len(build_playlist(index, upload, recipe).tracks) == found
        return
    with pytest.raises(ConstraintsUnreachable) as refused:
        build_playlist(index, upload, recipe)
    error = refused.value
    assert (error.reason, error.field, error.value, error.limit) == ("CONSTRAINTS_UNREACHABLE", "length", "6", "7")
    nothing = TrackFilter(artists=frozenset({"nobody"}))
    with pytest.raises(ConstraintsUnreachable) as refused:
        build_playlist(index, upload, recipe, wanted=nothing)
    assert refused.value.value == "0"


@settings(deadline=None, max_examples=100)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 600),
    st.integers(1, 3),
    st.integers(1, 6),
    st.sampled_from([None, -0.2, 0.3]),
    st.sampled_from([None, "artist 1", "nobody"]),
    st.sampled_from([0.0, 0.4]),
)
def test_a_list_and_what_each_rule_removed_are_the_library(
    number: int,
    length: int,
    max_per_artist: int,
    window: int,
    min_similarity: float | None,
    blocked: str | None,
    diversity: float,
) -> None:
    index = random_library(number, 500, artists=40, dimension=4)
    wanted = TrackFilter(blocked_artists=frozenset({blocked})) if blocked else None
    recipe = Recipe(
        length=length,
        max_per_artist=max_per_artist,
        artist_window=window,
        min_similarity=min_similarity,
        diversity=diversity,
        temperature=diversity,
        excluded=frozenset({"t002", "t003"}),
    )
    playlist = build_playlist(index, [seed_of(index, "t000"), seed_of(index, "t001", -1)], recipe, wanted=wanted)
    allowed = playlist.removed.pop("artist_in_a_row_allowed", 0)
    assert allowed <= len(playlist.tracks)
    passed = len(playlist.tracks) + playlist.removed.total()
    assert all(count > 0 for count in playlist.removed.values())
    if len(playlist.tracks) == length:
        assert passed <= len(index)
        assert playlist.warning is None
    else:
        assert passed == len(index)
        assert playlist.warning is not None
        assert (playlist.warning.value, playlist.warning.limit) == (str(len(playlist.tracks)), str(length))


def test_near_duplicates_are_left_out_unless_they_are_allowed() -> None:
    index = TrackIndex("enc")
    for track_id, degrees, duration_s in [("first", 1, 200.0), ("rip", 2, 201.0), ("cover", 3, 230.0)]:
        radians = np.deg2rad(degrees)
        index.upsert(Track(track_id, duration_s=duration_s), np.array([np.cos(radians), np.sin(radians)], np.float32))
    upload = [Seed(np.array([1, 0], np.float32))]
    playlist = built(index, upload, arrangement=Arrangement.SIMILARITY)
    assert ids(playlist) == ["first", "cover"]
    assert playlist.removed == {"near_duplicate": 1}
    assert similar(index, upload, allow_near_duplicates=True) == ["first", "rip", "cover"]


def test_hubs_are_chosen_last_when_they_are_damped() -> None:
    index = at_angles(hub=10, a=11, b=9, lonely=-12)
    upload = [Seed(np.array([1, 0], np.float32))]
    assert similar(index, upload, length=3) == ["b", "hub", "a"]
    assert "lonely" in similar(index, upload, length=3, hub_damping=0.5)


def test_a_quantile_is_that_of_the_nearest_positive_seed() -> None:
    index = at_angles(found=10)
    seeds = [Seed(blend([Seed(index.vector("found"), 1.0)]), -1.0), Seed(np.array([1, 0], np.float32))]
    quantiles = PairQuantiles(np.array([[1, 0], [0, 1], [np.cos(0.1), np.sin(0.1)]], np.float32))
    found = build_playlist(index, seeds, Recipe(), quantiles=quantiles).tracks[0]
    assert found.nearest_seed == 1
    assert found.quantile == pytest.approx(2 / 3)
    assert build_playlist(index, seeds, Recipe()).tracks[0].quantile is None
