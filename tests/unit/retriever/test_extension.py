import numpy as np
import pytest

from services.retriever.errors import NoCandidates
from services.retriever.index.index import TrackIndex
from services.retriever.playlist.extension import ExtensionRecipe, extend_playlist
from services.retriever.playlist.playlist import Playlist
from services.retriever.playlist.quantiles import PairQuantiles
from services.retriever.playlist.recipe import Seed
from services.retriever.similarity import Float32Array
from services.retriever.tracks import Track


def at_angle(degrees: float) -> Float32Array:
    radians = np.deg2rad(degrees)
    return np.array([np.cos(radians), np.sin(radians)], dtype=np.float32)


def index_of(*angles: float, artist: str = "") -> TrackIndex:
    index = TrackIndex("enc")
    for degrees in angles:
        index.upsert(Track(f"{degrees}", artist=artist), at_angle(degrees))
    return index


def extended(
    index: TrackIndex, tracks: list[str], accepted: list[str], rejected: list[str], **recipe: int | float
) -> Playlist:
    def seeds(track_ids: list[str]) -> list[Seed]:
        return [Seed(index.vector(track_id), track=index.track(track_id)) for track_id in track_ids]

    wish = ExtensionRecipe(**recipe)  # type: ignore[arg-type]  # count is an int, diversity a float
    return extend_playlist(index, seeds(tracks), seeds(accepted), seeds(rejected), wish)


def ids(playlist: Playlist) -> list[str]:
    return [each.track.track_id for each in playlist.tracks]


def test_suggestions_are_the_nearest_to_the_middle_and_new() -> None:
    found = extended(index_of(0, 20, 5, 12, 40, -30), ["0", "20"], [], [], count=2)
    assert ids(found) == ["12", "5"]
    assert found.tracks[0].similarity == pytest.approx(np.cos(np.deg2rad(2)), abs=1e-6)
    assert not any(each.is_seed for each in found.tracks)


def test_what_was_accepted_draws_and_what_was_rejected_pushes() -> None:
    index = index_of(0, 30, -30, 45, -45, 20, -20)
    assert ids(extended(index, ["0"], ["45"], [], count=1)) == ["20"]
    assert ids(extended(index, ["0"], ["-45"], [], count=1)) == ["-20"]
    assert ids(extended(index, ["0"], [], ["45"], count=1)) == ["-20"]
    assert ids(extended(index, ["0"], [], ["-45"], count=1)) == ["20"]


def test_a_suggestion_names_the_accepted_track_to_which_it_is_nearest() -> None:
    index = index_of(0, 90, 60, 10)
    index.upsert(Track("90", version=1, tags=("piano", "live")), at_angle(90))
    index.upsert(Track("60", version=1, tags=("live",)), at_angle(60))
    found = {each.track.track_id: each for each in extended(index, ["0"], ["90"], []).tracks}
    told = {track_id: (each.nearest_track_id, each.shared_tags) for track_id, each in found.items()}
    assert told == {"60": ("90", ("live",)), "10": ("0", ())}
    assert found["60"].nearest_similarity == pytest.approx(np.cos(np.deg2rad(30)), abs=1e-6)
    # Seeds stay the tracks of the playlist.
    assert found["60"].seed_similarities == pytest.approx([np.cos(np.deg2rad(60))], abs=1e-6)
    assert {each.nearest_seed for each in found.values()} == {0}


def test_the_quantile_of_a_suggestion_is_by_what_is_nearest() -> None:
    index = index_of(0, 90, 60)
    quantiles = PairQuantiles(np.stack([at_angle(0), at_angle(40), at_angle(100)]))  # cosines of 40°, 60° and 100°
    accepted = [Seed(index.vector("90"), track=index.track("90"))]
    playlist = [Seed(index.vector("0"), track=index.track("0"))]
    found = extend_playlist(index, playlist, accepted, [], ExtensionRecipe(), quantiles=quantiles)
    assert found.tracks[0].quantile == 1  # 30° from the accepted one; 60° from the playlist would be 1/3


def test_what_was_judged_is_not_suggested_again_nor_is_a_recording_of_it() -> None:
    index = index_of(0, 1, 2, 3)
    for track_id in ("1", "2"):
        index.upsert(Track(track_id, version=1, audio_hash=track_id.encode() * 32), index.vector(track_id))
    index.upsert(Track("again", audio_hash=b"1" * 32), at_angle(1.5))
    for accepted, rejected in ([[], ["1", "2"]], [["1"], ["2"]], [["0", "1", "2"], []]):
        found = extended(index, ["0"], accepted, rejected)
        assert ids(found) == ["3"]
        assert found.removed["same_recording"] == 1
        assert found.removed["excluded"] == 2  # what the playlist holds is counted as its own


def test_an_artist_has_its_share_of_suggestions_and_the_playlist_does_not_count() -> None:
    found = extended(index_of(0, 1, 2, 3, 4, artist="A"), ["0", "1"], [], [])
    assert ids(found) == ["2", "3"]
    assert found.removed == {"max_per_artist": 1, "seed": 2}


def test_diverse_suggestions_are_less_like_each_other() -> None:
    index = index_of(0, 1, -1, 2, -2, 80)
    assert "80" not in ids(extended(index, ["0"], [], [], count=4))
    assert "80" in ids(extended(index, ["0"], [], [], count=4, diversity=0.9))


def test_a_playlist_of_the_whole_library_cannot_be_extended() -> None:
    with pytest.raises(NoCandidates):
        extended(index_of(0, 1), ["0", "1"], [], [])


def test_fewer_suggestions_than_asked_for_come_with_a_warning_of_both_numbers() -> None:
    index = index_of(0, 1, 2, 3)
    warning = extended(index, ["0"], [], [], count=5).warning
    assert warning is not None
    assert (warning.reason, warning.field, warning.value, warning.limit) == (
        "CONSTRAINTS_UNREACHABLE",
        "count",
        "3",
        "5",
    )
    assert extended(index, ["0"], [], [], count=3).warning is None
