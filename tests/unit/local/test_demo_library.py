import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from deploy.local import demo_library
from deploy.local.demo_library import render_library
from deploy.local.demo_scores import LIBRARY, SEEDS, Piece
from deploy.local.demo_synthesis import SAMPLE_RATE_HZ, _mastered, package_folder

GENRES = {
    "Electronic", "Experimental", "Rock", "Pop", "Folk", "Instrumental", "Hip-Hop", "International", "Jazz",
    "Classical", "Blues", "Soul-RnB", "Spoken", "Country", "Old-Time / Historic", "Easy Listening",
}  # fmt: skip
DIED = {
    "Arcangelo Corelli": 1713,
    "Carl Philipp Emanuel Bach": 1788,
    "Clara Schumann": 1896,
    "George Frideric Handel": 1759,
    "Johann Sebastian Bach": 1750,
    "Joseph Haydn": 1809,
    "Liliʻuokalani": 1917,
    "Ludwig van Beethoven": 1827,
    "Robert Schumann": 1856,
    "Scott Joplin": 1917,
    "Stephen Foster": 1864,
    "Vicente Lusitano": 1570,
    "Wolfgang Amadeus Mozart": 1791,
}


def test_the_library_is_large_and_every_recording_is_another() -> None:
    pieces = LIBRARY + SEEDS
    assert (len(LIBRARY), len(SEEDS)) == (53, 2)
    assert len({piece.title for piece in pieces}) == len(pieces)
    assert len({piece.file_name.casefold() for piece in pieces}) == len(pieces)
    assert len({(piece.score.path, piece.style.programs, piece.style.backing) for piece in pieces}) == len(pieces)


def test_every_composer_has_been_dead_for_a_hundred_years() -> None:
    composers = {piece.score.composer for piece in LIBRARY + SEEDS} - {"Traditional"}
    assert composers == DIED.keys()
    assert max(DIED.values()) < 1925
    assert all(piece.score.year is None or 1500 < piece.score.year < 1900 for piece in LIBRARY + SEEDS)


def test_sounds_tempi_and_lengths_differ() -> None:
    albums = Counter(piece.style.album for piece in LIBRARY)
    assert len(albums) == 14
    assert min(albums.values()) >= 3
    assert {piece.genre for piece in LIBRARY} == {
        "Classical", "Electronic", "Folk", "Instrumental", "International", "Old-Time / Historic"
    }  # fmt: skip
    assert {piece.genre for piece in LIBRARY} <= GENRES
    assert (min(piece.tempo_qpm for piece in LIBRARY), max(piece.tempo_qpm for piece in LIBRARY)) == (52, 208)
    assert all(35 <= piece.duration_s <= 60 for piece in LIBRARY + SEEDS)


def test_an_album_holds_no_composer_twice_but_the_nameless() -> None:
    # Else a limit of tracks per artist would leave a playlist without what sounds alike.
    pairs = Counter((piece.style.album, piece.score.composer) for piece in LIBRARY)
    assert {composer for (_, composer), count in pairs.items() if count > 1} == {"Traditional"}


def test_names_of_files_are_plain(tmp_path: Path) -> None:
    for piece in LIBRARY + SEEDS:
        assert piece.file_name.isascii()
        assert piece.file_name.count("/") == 1
    names = {piece.title: piece.file_name for piece in LIBRARY}
    assert names["Poco adagio, Wq. 55/4 (organ)"] == "Organ/Poco adagio, Wq. 55-4 (organ).ogg"
    assert names["Aus meinen Tränen sprießen, Op. 48 (piano)"] == (
        "Piano/Aus meinen Tranen spriessen, Op. 48 (piano).ogg"
    )


def test_scores_and_soundfont_are_where_they_should_be() -> None:
    corpus = package_folder("music21") / "corpus"
    assert [piece.title for piece in LIBRARY + SEEDS if not (corpus / piece.score.path).is_file()] == []
    assert (package_folder("pretty_midi") / "TimGM6mb.sf2").is_file()


def tone(seconds: float, silent_s: float, amplitude: float) -> np.ndarray:
    time_s = np.arange(int(seconds * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    wave = amplitude * np.sin(2 * np.pi * 440 * time_s) * (time_s >= silent_s)
    return np.stack([wave, wave], axis=1).astype(np.float32)


def test_mastering_cuts_the_silence_levels_and_fades() -> None:
    mastered = _mastered(tone(6.0, 0.5, 0.01), 5 * SAMPLE_RATE_HZ)
    assert mastered.shape == (5 * SAMPLE_RATE_HZ, 2)
    assert mastered.dtype == np.float32
    assert np.abs(mastered[:100]).max() > 0.05
    assert 20 * np.log10(np.sqrt(np.mean(np.square(mastered)))) == pytest.approx(-20.0, abs=0.01)
    assert not mastered[-1].any()


def test_a_peak_is_never_over_the_limit() -> None:
    samples = np.zeros((6 * SAMPLE_RATE_HZ, 2), np.float32)
    samples[100] = 1.0
    samples[SAMPLE_RATE_HZ] = -0.5
    mastered = _mastered(samples, 5 * SAMPLE_RATE_HZ)
    assert np.abs(mastered).max() == pytest.approx(10 ** (-1 / 20))
    assert mastered[0, 0] == np.abs(mastered).max()


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> list[Piece]:
    """A library of three and a seed, and the pieces that were asked to be rendered."""
    asked: list[Piece] = []

    def pretend(dest: Path, missing: dict[str, Piece], manifest: demo_library.Manifest, *_: object) -> None:
        for name, piece in missing.items():
            asked.append(piece)
            (dest / name).parent.mkdir(parents=True, exist_ok=True)
            (dest / name).write_bytes(b"sound")
            manifest[name] = {"digest": demo_library._digest(piece), "size": 5}
        demo_library._write_manifest(dest, manifest)

    monkeypatch.setattr(demo_library, "LIBRARY", LIBRARY[:3])
    monkeypatch.setattr(demo_library, "SEEDS", SEEDS[:1])
    monkeypatch.setattr(demo_library, "_render_missing", pretend)
    return asked


def ignore(piece: Piece, done: int, total: int) -> None:
    raise AssertionError("nothing is rendered here")


def test_what_is_there_is_not_rendered_again(small: list[Piece], tmp_path: Path) -> None:
    seeds = render_library(tmp_path, ignore)
    assert seeds == [tmp_path / "seeds" / SEEDS[0].file_name]
    assert small == [*LIBRARY[:3], SEEDS[0]]
    small.clear()
    assert render_library(tmp_path, ignore) == seeds
    assert small == []


def test_what_is_missing_cut_off_or_of_another_version_is_rendered(
    small: list[Piece], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    render_library(tmp_path, ignore)
    small.clear()
    (tmp_path / "library" / LIBRARY[0].file_name).unlink()
    (tmp_path / "library" / LIBRARY[2].file_name).write_bytes(b"so")
    render_library(tmp_path, ignore)
    assert small == [LIBRARY[0], LIBRARY[2]]
    small.clear()
    monkeypatch.setattr(demo_library, "_VERSION", 2)
    render_library(tmp_path, ignore)
    assert len(small) == 4


@pytest.mark.parametrize("content", ["", "{", "[]", '{"library/x": 1}'])
def test_a_damaged_manifest_renders_all_anew(small: list[Piece], tmp_path: Path, content: str) -> None:
    render_library(tmp_path, ignore)
    small.clear()
    (tmp_path / "manifest.json").write_text(content)
    render_library(tmp_path, ignore)
    assert len(small) == 4
    assert len(json.loads((tmp_path / "manifest.json").read_text())) == 4


def test_pieces_that_are_no_longer_wanted_go_and_others_files_stay(
    small: list[Piece], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    render_library(tmp_path, ignore)
    mine = tmp_path / "library" / "my.ogg"
    mine.write_bytes(b"mine")
    left = tmp_path / "library" / "Choir" / "x.ogg.123.part"
    left.write_bytes(b"half")
    small.clear()
    monkeypatch.setattr(demo_library, "LIBRARY", LIBRARY[1:3])
    render_library(tmp_path, ignore)
    assert small == []
    assert not (tmp_path / "library" / LIBRARY[0].file_name).exists()
    assert not left.exists()
    assert mine.read_bytes() == b"mine"
