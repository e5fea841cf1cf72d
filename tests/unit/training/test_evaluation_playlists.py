import numpy as np
import pytest

from training.catalogue import Track
from training.evaluation.paths import LENGTHS, path_table
from training.evaluation.playlists import LENGTH, _rank_correlation, library_of, playlist_table
from training.evaluation.retrieval import Float32Array

FAMILIES = ("metal", "orchestral")


def pieces_and_vectors() -> tuple[list[Track], Float32Array]:
    """Two families of forty pieces each in ten soundtracks, around two directions."""
    rng = np.random.default_rng(0)
    pieces, vectors = [], []
    for number in range(80):
        family = number % 2
        path = f"soundtrack{number % 10}/piece{number:03}.ogg"
        pieces.append(
            Track(
                path=path,
                group=f"soundtrack{number % 10}",
                family=FAMILIES[family],
                evidence="artist",
                title=f"piece {number}",
                artist=f"artist {number % 20}",
                album="",
                duration_seconds=float(100 + number),
            )
        )
        vectors.append(np.eye(8)[family] + 0.3 * rng.standard_normal(8))
    return pieces, np.array(vectors, dtype=np.float32)


def test_each_rule_does_what_it_is_for() -> None:
    pieces, vectors = pieces_and_vectors()
    twin = Track("soundtrack3/again.ogg", "g", "metal", "artist", "another name", "somebody else", "", 100.5)
    table = playlist_table("enc", [*pieces, twin], np.concatenate([vectors, vectors[:1]]))
    value = {row: {column: cell.value for column, cell in cells.items()} for row, cells in table.rows.items()}
    usual, plain = value["the usual rules"], value["no rules"]
    assert usual["tracks"] == plain["tracks"] == LENGTH
    assert usual["most of one artist"] <= 3 < plain["most of one artist"]
    assert usual["window breaks"] == 0 < value["no artist window"]["window breaks"]
    assert usual["near-duplicates"] == 0 < value["near-duplicates allowed"]["near-duplicates"]
    assert usual["family"] > 0.8
    assert usual["step"] < usual["step by similarity"] < usual["step by chance"]
    assert value["by similarity"]["step"] == pytest.approx(value["by similarity"]["step by similarity"])
    unwanted = [value[f"negative seed, {row}"]["unwanted family"] for row in ("no penalty", "penalty 0.5")]
    assert unwanted[0] > unwanted[1]
    assert "81 seeds" in table.note


def test_the_library_finds_what_is_nearest() -> None:
    pieces, vectors = pieces_and_vectors()
    library = library_of(pieces, vectors)
    query = library.vector(pieces[0].path)
    found = library.nearest(query, 3, lambda track: track.track_id != pieces[0].path)
    best = np.argsort(-(library.vectors @ query))[1:4]
    assert [track.track_id for track in found.tracks] == [pieces[row].path for row in best]
    assert library.track("nobody") is None
    assert library.neighbour_means([pieces[0].path]) == pytest.approx(np.sort(library.vectors @ query)[-11:-1].mean())


def test_paths_are_compared_with_what_could_be() -> None:
    pieces, vectors = pieces_and_vectors()
    table = path_table("enc", pieces, vectors)
    assert list(table.rows) == [f"paths of {length}" for length in LENGTHS]
    for row in table.rows.values():
        value = {column: cell.value for column, cell in row.items()}
        assert value["… by chance"] < value["worst"] <= value["… at most"] + 1e-6
        assert 0 < value["progress"] <= 1
    assert table.rows["paths of 5"]["worst"].value > table.rows["paths of 5"]["… nearest to each point"].value


def test_a_drift_is_a_rank_correlation() -> None:
    assert _rank_correlation([0.9, 0.5, 0.4]) == pytest.approx(-1.0)
    assert _rank_correlation([0.1, 0.5, 0.5000000001, 7.0]) == pytest.approx(0.9487, abs=1e-3)
    assert _rank_correlation([0.5, 0.5]) == 0.0
