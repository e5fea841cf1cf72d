"""The rules of playlists, one by one with exact lists, and all together against a slow reference."""

from collections import Counter
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.retriever.errors import NoCandidates, SeedsCancel
from services.retriever.index.index import TrackIndex
from services.retriever.playlist.playlist import Playlist, build_playlist
from services.retriever.playlist.recipe import Arrangement, Recipe, Seed
from services.retriever.playlist.spacing import repetitions
from services.retriever.playlist.target import blend
from services.retriever.similarity import Float32Array, presented
from services.retriever.tracks import Track


def at_angle(degrees: float) -> Float32Array:
    """A unit vector of two dimensions, whose cosine to another is that of the angle between them."""
    radians = np.deg2rad(degrees)
    return np.array([np.cos(radians), np.sin(radians)], dtype=np.float32)


class Library:
    """Tracks in a plane; the smaller the angle, the nearer to `at_angle(0)`."""

    def __init__(self) -> None:
        self.tracks: list[Track] = []
        self.vectors: list[Float32Array] = []

    def add(self, track_id: str, degrees: float, **known: Any) -> Seed:
        """Add a track and return it as a seed."""
        track = Track(track_id, **known)
        self.tracks.append(track)
        self.vectors.append(at_angle(degrees))
        return Seed(self.vectors[-1], track=track)

    def playlist(self, seeds: Sequence[Seed] | None = None, **recipe: Any) -> Playlist:
        """Build a playlist, from an upload at angle 0 unless there are other seeds, in order of similarity."""
        index = TrackIndex("enc")
        for track, vector in zip(self.tracks, self.vectors, strict=True):
            index.upsert(track, vector)
        recipe.setdefault("arrangement", Arrangement.SIMILARITY)
        return build_playlist(index, seeds or [Seed(at_angle(0))], Recipe(**recipe))


def ids(playlist: Playlist) -> list[str]:
    return [each.track.track_id for each in playlist.tracks]


def row_of(*angles: float) -> Library:
    """A library of tracks t0, t1, … of nobody at these angles."""
    library = Library()
    for number, degrees in enumerate(angles):
        library.add(f"t{number}", degrees)
    return library


def test_nearest_tracks_come_first_up_to_the_length() -> None:
    playlist = row_of(40, 10, 30, 20).playlist(length=3)
    assert ids(playlist) == ["t1", "t3", "t2"]
    assert [each.similarity for each in playlist.tracks] == pytest.approx(np.cos(np.deg2rad([10, 20, 30])), abs=1e-6)
    assert playlist.removed == {}


def test_ties_are_ordered_by_id() -> None:
    library = Library()
    for track_id in "cab":
        library.add(track_id, 10)
    assert ids(library.playlist()) == ["a", "b", "c"]


def test_cosines_that_differ_by_the_noise_of_summation_are_a_tie() -> None:
    products = np.array([0.5, np.nextafter(np.float32(0.5), np.float32(1)), 0.500002, 1.0000002, -1.1], np.float32)
    assert presented(products).tolist() == np.array([0.5, 0.5, 0.500002, 1, -1], np.float32).tolist()


def test_fewer_tracks_than_wanted_are_returned_where_there_are_no_more() -> None:
    assert ids(row_of(10, 20).playlist(length=25)) == ["t0", "t1"]


def test_excluded_tracks_are_not_chosen() -> None:
    playlist = row_of(10, 20, 30).playlist(excluded=frozenset({"t1", "unknown"}))
    assert ids(playlist) == ["t0", "t2"]
    assert playlist.removed == {"excluded": 1}


def test_a_seed_of_the_library_is_not_chosen() -> None:
    library = row_of(10, 20)
    seed = library.add("seed", 0)
    playlist = library.playlist([seed])
    assert ids(playlist) == ["t0", "t1"]
    assert playlist.removed == {"seed": 1}


def test_included_seeds_stand_first_once_and_do_not_count() -> None:
    library = row_of(10, 20, 30)
    one, other = library.add("one", -5), library.add("other", 5)
    upload = Seed(at_angle(0))
    playlist = library.playlist([other, upload, one, other], include_seed=True, length=2)
    assert ids(playlist) == ["other", "one", "t0", "t1"]
    assert [each.is_seed for each in playlist.tracks] == [True, True, False, False]


def test_recordings_of_seeds_and_of_chosen_tracks_are_not_chosen() -> None:
    library = Library()
    seed = library.add("seed", 0, title="Song", artist="Band", duration_s=200, audio_hash=b"s" * 32)
    library.add("same audio as the seed", 1, audio_hash=b"s" * 32)
    library.add("same song as the seed", 2, title="SONG", artist="band", duration_s=201)
    library.add("live version of the seed", 3, title="Song", artist="Band", duration_s=300)
    library.add("first", 4, audio_hash=b"1" * 32)
    library.add("second", 5, audio_hash=b"1" * 32)
    library.add("same audio as the upload", 6, audio_hash=b"u" * 32)
    upload = Seed(at_angle(0), audio_hash=b"u" * 32)
    playlist = library.playlist([seed, upload])
    assert ids(playlist) == ["live version of the seed", "first"]
    assert playlist.removed == {"seed": 1, "same_recording": 4}


def test_an_artist_gets_at_most_its_share_and_the_next_best_take_the_places() -> None:
    library = Library()
    for degrees in (1, 2, 3, 4):
        library.add(f"a{degrees}", degrees, artist="A")
    for degrees in (5, 6):
        library.add(f"b{degrees}", degrees, artist="B")
    playlist = library.playlist(max_per_artist=2, length=4)
    assert ids(playlist) == ["a1", "b5", "a2", "b6"]
    assert playlist.removed == {"max_per_artist": 2}


def test_without_artists_the_share_is_that_of_the_album_else_of_the_folder() -> None:
    library = Library()
    for degrees in (1, 2, 3):
        library.add(f"album{degrees}", degrees, album="OST", folder=f"disc {degrees}")
    for degrees in (4, 5, 6):
        library.add(f"folder{degrees}", degrees, folder="games")
    playlist = library.playlist(max_per_artist=1)
    assert ids(playlist) == ["album1", "folder4"]
    assert playlist.removed == {"max_per_artist": 4}


@pytest.mark.parametrize("include_seed", [False, True])
def test_a_seed_counts_for_its_artist(include_seed: bool) -> None:
    library = Library()
    seed = library.add("seed", 0, artist="A")
    for degrees in (1, 2, 3):
        library.add(f"a{degrees}", degrees, artist="A")
        library.add(f"b{degrees}", 10 + degrees, artist="B")
    playlist = library.playlist([seed], include_seed=include_seed)
    assert Counter(each.track.artist for each in playlist.tracks if not each.is_seed) == {"A": 2, "B": 3}
    assert playlist.removed["max_per_artist"] == 1


def test_no_artist_follows_itself_though_it_has_the_best_tracks() -> None:
    library = Library()
    for degrees in (1, 2, 3):
        library.add(f"a{degrees}", degrees, artist="A")
    library.add("b", 50, artist="B")
    library.add("c", 60, artist="C")
    playlist = library.playlist(length=3)
    assert ids(playlist) == ["a1", "b", "a2"]
    assert playlist.removed == {"artist_in_a_row": 1}


def test_an_included_seed_is_not_followed_by_its_artist() -> None:
    library = Library()
    seed = library.add("seed", 0, artist="A")
    library.add("a", 1, artist="A")
    library.add("b", 50, artist="B")
    assert ids(library.playlist([seed], include_seed=True)) == ["seed", "b", "a"]
    assert ids(library.playlist([seed], include_seed=True, length=1)) == ["seed", "b"]


def test_an_artist_follows_itself_where_nobody_else_is_left_and_it_is_told() -> None:
    library = Library()
    for degrees in (1, 2, 3, 4):
        library.add(f"a{degrees}", degrees, artist="A")
    playlist = library.playlist(length=3, max_per_artist=4)
    assert ids(playlist) == ["a1", "a2", "a3"]
    assert playlist.removed == {"artist_in_a_row": 1, "artist_in_a_row_allowed": 2}


def test_a_track_set_aside_is_not_taken_after_all_when_its_recording_was_chosen_meanwhile() -> None:
    library = Library()
    library.add("a1", 1, artist="A")
    library.add("a2", 2, artist="A")
    library.add("a3", 3, artist="A", audio_hash=b"x" * 32)
    library.add("b", 4, artist="B", audio_hash=b"x" * 32)
    playlist = library.playlist(length=4)
    assert ids(playlist) == ["a1", "b", "a2"]
    assert playlist.removed == {"same_recording": 1}


def test_less_similar_tracks_than_asked_for_are_not_chosen() -> None:
    playlist = row_of(0, 60, 61, 90).playlist(min_similarity=0.5)
    assert ids(playlist) == ["t0", "t1"]
    assert playlist.removed == {"min_similarity": 2}


def test_a_recipe_that_leaves_nothing_is_refused_with_the_counts() -> None:
    library = row_of(60, 70)
    seed = library.add("seed", 0)
    with pytest.raises(NoCandidates) as refused:
        library.playlist([seed], min_similarity=0.9)
    assert refused.value.metadata == {"value": "seed=1, min_similarity=2", "limit": "3"}


def test_an_empty_library_is_refused() -> None:
    with pytest.raises(NoCandidates):
        build_playlist(TrackIndex("enc"), [Seed(at_angle(0))], Recipe())


def test_reasons_are_similarities_to_each_seed_and_tags_shared_with_seeds_of_the_library() -> None:
    library = Library()
    one = library.add("one", 0, tags=("rock", "loud"))
    other = library.add("other", 60, tags=("piano",))
    library.add("found", 30, tags=("slow", "piano", "rock"))
    found = library.playlist([one, Seed(at_angle(90)), other]).tracks[0]
    assert found.shared_tags == ("piano", "rock")
    assert found.seed_similarities == pytest.approx(np.cos(np.deg2rad([30, 60, 30])), abs=1e-6)
    assert not found.is_seed


def test_an_included_seed_shares_tags_with_other_seeds_only() -> None:
    library = row_of(40)
    one, other = library.add("one", 0, tags=("rock", "loud")), library.add("other", 10, tags=("rock",))
    assert [each.shared_tags for each in library.playlist([one, other], include_seed=True).tracks] == [
        ("rock",),
        ("rock",),
        (),
    ]


def test_target_is_the_weighted_mean_of_the_seeds() -> None:
    mean = 3 * at_angle(0) + at_angle(90)
    target = blend([Seed(at_angle(0), 3.0), Seed(at_angle(90), 1.0)])
    assert target == pytest.approx(mean / np.linalg.norm(mean), abs=1e-6)
    assert target.dtype == np.float32


def test_weights_matter_by_their_ratio_only() -> None:
    seeds = [(0, 1e-6), (70, 2e-6), (200, 5e-7)]
    small = blend([Seed(at_angle(angle), weight) for angle, weight in seeds])
    large = blend([Seed(at_angle(angle), weight * 1e12) for angle, weight in seeds])
    assert small == pytest.approx(large, abs=1e-6)


def test_opposite_seeds_are_refused() -> None:
    with pytest.raises(SeedsCancel) as refused:
        blend([Seed(at_angle(0)), Seed(at_angle(180))])
    assert (refused.value.field, refused.value.limit) == ("seeds", "0.001")
    blend([Seed(at_angle(0)), Seed(at_angle(180), 0.9)])  # not quite opposite in weight


RANDOM_TRACK = st.tuples(
    st.integers(0, 90),  # degrees
    st.sampled_from(["", "A", "B"]),  # artist
    st.sampled_from(["", "x", "y"]),  # title
    st.sampled_from([b"", b"1" * 32, b"2" * 32]),  # audio_hash
    st.sampled_from([0.0, 1.5, 3.0]),  # duration
)


def is_near_duplicate(library: Library, one: Track, other: Track) -> bool:
    """The rule as the README states it, written down once more."""
    vectors = {track.track_id: vector for track, vector in zip(library.tracks, library.vectors, strict=True)}
    are_known = one.duration_s > 0 and other.duration_s > 0
    is_near = float(vectors[one.track_id] @ vectors[other.track_id]) >= 0.98
    return are_known and is_near and abs(one.duration_s - other.duration_s) <= 2.0


def is_same_recording(one: Track, other: Track) -> bool:
    """The rule as the README states it, written down once more."""
    if one.audio_hash and one.audio_hash == other.audio_hash:
        return True
    is_known = bool(one.title and one.artist)
    is_equal = (one.title, one.artist) == (other.title, other.artist)
    return is_known and is_equal and abs(one.duration_s - other.duration_s) <= 2.0


@settings(deadline=None, max_examples=300)
@given(
    st.lists(RANDOM_TRACK, min_size=1, max_size=8),
    st.integers(1, 6),
    st.integers(1, 3),
    st.booleans(),
    st.booleans(),
    st.sampled_from([None, 0.5, 0.9]),
    st.booleans(),
    st.integers(1, 3),
    st.sampled_from([0.0, 0.3, 1.0]),
    st.sampled_from([0.0, 0.5]),
    st.sampled_from(Arrangement),
)
def test_every_playlist_keeps_every_rule(
    rows: list[tuple[int, str, str, bytes, float]],
    length: int,
    max_per_artist: int,
    is_seed_in_library: bool,
    include_seed: bool,
    min_similarity: float | None,
    allow_near_duplicates: bool,
    artist_window: int,
    diversity: float,
    temperature: float,
    arrangement: Arrangement,
) -> None:
    library = Library()
    seeds = [Seed(at_angle(0))]
    for number, (degrees, artist, title, audio_hash, duration_s) in enumerate(rows):
        seed = library.add(
            f"t{number}", degrees, artist=artist, title=title, audio_hash=audio_hash, duration_s=duration_s
        )
        if number == 0 and is_seed_in_library:
            seeds = [seed]
    try:
        playlist = library.playlist(
            seeds,
            length=length,
            max_per_artist=max_per_artist,
            include_seed=include_seed,
            min_similarity=min_similarity,
            allow_near_duplicates=allow_near_duplicates,
            artist_window=artist_window,
            diversity=diversity,
            temperature=temperature,
            arrangement=arrangement,
        )
    except NoCandidates:
        chosen: list[Track] = []
    else:
        artists = [each.track.artist_key for each in playlist.tracks]
        seed_count = sum(each.is_seed for each in playlist.tracks)
        assert all(each.is_seed for each in playlist.tracks[:seed_count])
        repeated = repetitions(artists[seed_count:], artist_window, artists[:seed_count])
        assert playlist.removed["artist_in_a_row_allowed"] == repeated
        chosen = [each.track for each in playlist.tracks if not each.is_seed]
        assert all(each.similarity >= (min_similarity or -1) - 1e-6 for each in playlist.tracks if not each.is_seed)
    of_seeds = [seed.track for seed in seeds if seed.track is not None]
    together = [*of_seeds, *chosen]
    assert len(chosen) <= length
    assert all(count <= max_per_artist for count in Counter(track.artist_key for track in together).values())

    def is_double(one: Track, other: Track) -> bool:
        return is_same_recording(one, other) or (not allow_near_duplicates and is_near_duplicate(library, one, other))

    assert len({track.track_id for track in together}) == len(together)
    assert not any(is_double(one, other) for one, other in combinations(together, 2))
    # A track is left out for a reason: the list is full, or it would break a rule beside what was chosen.
    target = blend(seeds)
    for track, vector in zip(library.tracks, library.vectors, strict=True):
        if track in together or len(chosen) == length:
            continue
        is_too_far = min_similarity is not None and float(vector @ target) < min_similarity + 1e-6
        has_double = any(is_double(track, other) for other in together)
        is_over = Counter(each.artist_key for each in together)[track.artist_key] >= max_per_artist
        assert is_too_far or has_double or is_over


@settings(deadline=None, max_examples=200)
@given(
    st.lists(st.tuples(st.integers(0, 90), st.sampled_from("AABC")), min_size=1, max_size=7, unique=True),
    st.integers(1, 5),
    st.integers(1, 5),
)
def test_the_choice_is_the_best_that_can_be_played_without_repetition(
    rows: list[tuple[int, str]], length: int, max_per_artist: int
) -> None:
    library = Library()
    for number, (degrees, artist) in enumerate(rows):
        library.add(f"t{number}", degrees, artist=artist)
    similarity = {
        track.track_id: float(vector @ at_angle(0))
        for track, vector in zip(library.tracks, library.vectors, strict=True)
    }
    allowed = [
        choice
        for size in range(1, length + 1)
        for choice in combinations(library.tracks, size)
        if max(Counter(track.artist for track in choice).values()) <= max_per_artist
    ]
    longest = max(map(len, allowed))
    fits = [choice for choice in allowed if len(choice) == longest]
    # Without repetition where that is possible: then no artist has more than every second place.
    apart = [choice for choice in fits if max(Counter(each.artist for each in choice).values()) <= (longest + 1) // 2]
    best = max(sum(similarity[track.track_id] for track in choice) for choice in apart or fits)
    playlist = library.playlist(length=length, max_per_artist=max_per_artist)
    assert len(playlist.tracks) == longest
    if apart:
        assert repetitions([each.track.artist for each in playlist.tracks]) == 0
        assert sum(similarity[track_id] for track_id in ids(playlist)) == pytest.approx(best, abs=1e-5)
