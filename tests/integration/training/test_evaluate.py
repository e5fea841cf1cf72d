"""The bench over real files: worker processes, bad files, what is kept, the command and its check."""

import contextlib
import csv
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from services.embedder.choice import load_encoder
from tests.fakes.killing_task import kill_at_three
from tests.fakes.lingering_task import LINGERS_S, PREFIX, linger
from training.catalogue import Track
from training.evaluation import command as evaluate
from training.evaluation import sections
from training.evaluation.baselines import JoinedMusicnn, MfccEncoder, untrained_mini
from training.evaluation.collection import Embedding
from training.evaluation.embedding import embed_file
from training.evaluation.encoders import EncoderChoice
from training.evaluation.robustness import ORIGINAL, VARIANTS
from training.evaluation.store import VectorStore, file_key
from training.evaluation.workers import Work, embed_all, embed_track

RATE = 16_000
Float32Array = NDArray[np.float32]


def song(family: str, seed: int, seconds: float = 12.0) -> Float32Array:
    """Return chords (orchestral), pulses (electronic) or clipped noise (metal): easily told apart."""
    random = np.random.default_rng(seed)
    time = np.arange(round(seconds * RATE)) / RATE
    chord = sum(np.sin(2 * np.pi * hz * time) for hz in random.uniform(150, 900, 4)) / 8
    if family == "electronic":
        chord = chord * (np.sin(2 * np.pi * random.uniform(2, 4) * time) > 0)
    if family == "metal":
        chord = np.clip(8 * chord + random.standard_normal(len(time)), -0.4, 0.4)
    return np.asarray(chord, dtype=np.float32)


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three soundtracks with two pieces of each family, a broken file, a silent one and one that is not there."""
    folder = tmp_path_factory.mktemp("music")
    rows: list[list[str]] = []
    for package in ("one", "two", "three"):
        (folder / package).mkdir()
        for number, family in enumerate(("electronic", "metal", "orchestral") * 2):
            path = f"{package}/{number}.wav"
            soundfile.write(folder / path, song(family, seed=len(rows)), RATE)
            rows.append([path, f"{package}:{number}", family, "tag", "", "", "", "12.0"])
    (folder / "one/broken.ogg").write_bytes(b"OggS but no more")
    soundfile.write(folder / "one/silent.wav", np.zeros(12 * RATE, np.float32), RATE)
    for path in ("one/broken.ogg", "one/silent.wav", "one/missing.wav"):
        rows.append([path, "one:9", "metal", "tag", "", "", "", "12.0"])
    with (folder / "labels.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "group", "family", "evidence", "title", "artist", "album", "seconds"])
        writer.writerows(rows)
    return folder


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("artifacts")


@pytest.fixture
def arguments(music: Path, artifacts: Path, tmp_path: Path) -> list[str]:
    return [
        f"--music={music}",
        f"--labels={music / 'labels.csv'}",
        f"--artifacts={artifacts}",
        f"--cache={tmp_path / 'cache'}",
        f"--out={tmp_path / 'results'}",
        "--encoder=mfcc",
        "--variants=0",
    ]


def test_command_writes_tables_that_its_check_accepts(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate.main(arguments) == 0
    printed = capsys.readouterr().out
    results = tmp_path / "results"
    assert sorted(path.name for path in results.iterdir()) == ["maps.png", "table.json", "table.md"]
    assert (results / "table.md").read_text() in printed
    assert "18 pieces, one a tune, 18 of them with a family." in printed
    assert "Left out: broken.ogg: " in printed
    assert "Left out: silent.wav: AudioSilent: " in printed
    assert "1 of 21 pieces are not in the folder." in printed
    assert evaluate.main([*arguments, "--check"]) == 0
    assert "the committed table holds" in capsys.readouterr().err


def test_check_names_the_rows_that_differ(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate.main([*arguments, "--split=all"]) == 0
    table = tmp_path / "results" / "table.json"
    before = table.read_text()
    table.write_text(before.replace('"silhouette": {\n      "value": ', '"silhouette": {\n      "value": 7'))
    assert table.read_text() != before
    capsys.readouterr()
    assert evaluate.main([*arguments, "--split=all", "--check"]) == 1
    told = capsys.readouterr().err
    assert "The space: mfcc: silhouette (value): found " in told
    assert "2 figures differ" in told


@pytest.mark.parametrize("contents", ["", "[]", "{}", '{"tables": [{"title": "Fam'], ids=repr)
def test_check_with_a_damaged_table_ends_before_anything_is_embedded(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], contents: str
) -> None:
    table = tmp_path / "results" / "table.json"
    table.parent.mkdir()
    table.write_text(contents)
    assert evaluate.main([*arguments, "--check"]) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith(f"{table} is no table of a run: ")
    assert (printed.out, printed.err.count("\n")) == ("", 1)
    assert table.read_text() == contents
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    ("contents", "fault"),
    [
        (None, "is missing"),
        ("path,group\none/0.wav,one\n", "has no column 'family'"),
        ("path,group,family,evidence,title,artist,album,seconds\none/0.wav,one,metal,tag,,,,long\n", "is no table of"),
        ("\x00\udcff\x89", "is no table of labels: it is not UTF-8"),
    ],
)
def test_labels_that_cannot_be_read_are_told_in_a_line(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], contents: str | None, fault: str
) -> None:
    labels = tmp_path / "mine.csv"
    if contents is not None:
        labels.write_bytes(contents.encode("utf-8", "surrogateescape"))
    assert evaluate.main([*arguments, f"--labels={labels}"]) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith(f"{labels} {fault}")
    assert (printed.out, printed.err.count("\n")) == ("", 1)


def test_a_family_that_nothing_is_judged_by_is_counted(
    arguments: list[str], music: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = tmp_path / "mine.csv"
    labels.write_text((music / "labels.csv").read_text().replace("two:0,electronic", "two:0,electronik"))
    assert evaluate.main([*arguments, f"--labels={labels}", "--split=all"]) == 0
    told = "- Pieces whose family is none of electronic, metal, orchestral, and not judged: 1 (1 electronik)."
    assert told in capsys.readouterr().out.splitlines()


def ends(group: int, within_s: float) -> bool:
    """Say whether every process of a group ends in time."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


def children(process: int) -> list[str]:
    return Path(f"/proc/{process}/task/{process}/children").read_text().split()


@pytest.mark.parametrize("moment", ["starting", "embedding"])
def test_ctrl_c_keeps_what_is_embedded_and_leaves_no_worker(
    artifacts: Path, music: Path, tmp_path: Path, moment: str
) -> None:
    folder = tmp_path / "music" / "one"
    folder.mkdir(parents=True)
    shutil.copy(music / "one/0.wav", folder / "0.wav")
    for number in range(1, 4):
        soundfile.write(folder / f"{number}.wav", np.tile(song("metal", number), 100), RATE)
    rows = [f"one/{number}.wav,one:{number},metal,tag,,,,12.0" for number in range(4)]
    labels = tmp_path / "labels.csv"
    labels.write_text("\n".join(["path,group,family,evidence,title,artist,album,seconds", *rows, ""]))
    cache = tmp_path / "cache"
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "training.evaluate", f"--music={folder.parent}", f"--labels={labels}"),
            *(f"--artifacts={artifacts}", f"--cache={cache}", f"--out={tmp_path / 'results'}", "--encoder=musicnn-msd"),
        ],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        # Two workers, and what the standard library starts beside them.
        while not (list(cache.rglob("*.npz")) if moment == "embedding" else len(children(process.pid)) == 3):
            assert process.poll() is None
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the workers as well
        told = process.communicate(timeout=60)[1]
        assert process.returncode == 130
        lines = [line for line in told.splitlines() if line and not line.startswith("embedding with ")]
        assert lines == ["Stopped; what is embedded is kept."]
        assert ends(process.pid, within_s=60)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    kept = {path.stem for path in cache.rglob("*.npz")}
    if moment == "starting":
        assert not kept
    else:  # the short one, and those that a slow machine embedded before it heard
        keys = [file_key(folder / f"{number}.wav") for number in range(4)]
        assert {keys[0]} <= kept < set(keys)
    assert not (tmp_path / "results").exists()


def test_ctrl_c_is_for_the_process_that_has_workers_and_not_for_them(music: Path, tmp_path: Path) -> None:
    store = VectorStore(tmp_path / "store")
    choice = EncoderChoice("mfcc", tmp_path)
    encoder_id = choice.load().manifest.encoder_id
    works = [Work(music / f"one/{number}.wav", f"digest {number}", f"key {number}") for number in range(4)]

    def interrupt(work: Work) -> None:
        for worker in multiprocessing.active_children():
            assert worker.pid is not None
            os.kill(worker.pid, signal.SIGINT)

    assert embed_all(choice, encoder_id, works, store, embed_track, interrupt) == []
    assert [store.has(encoder_id, work.key) for work in works] == [True] * 4


def test_a_worker_that_is_stopped_leaves_no_temporary_files(
    music: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[3]))  # workers import the task by its name
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    choice = EncoderChoice("mfcc", tmp_path)
    works = [Work(music / f"one/{number}.wav", f"digest {number}", f"key {number}") for number in range(3)]

    def stop(work: Work) -> None:
        raise KeyboardInterrupt

    encoder_id = choice.load().manifest.encoder_id
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        embed_all(choice, encoder_id, works, VectorStore(tmp_path / "store"), linger, stop)
    assert time.monotonic() - started < LINGERS_S
    assert multiprocessing.active_children() == []
    assert list(tmp_path.glob(f"{PREFIX}*")) == []


def test_second_run_tries_only_what_had_failed(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate.main(arguments) == 0
    assert "embedding with mfcc: 20/20 files" in capsys.readouterr().err

    assert evaluate.main(arguments) == 0

    assert "embedding with mfcc: 2/2 files" in capsys.readouterr().err


def test_unknown_encoder_and_foreign_music_are_told(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate.main([*arguments, "--encoder=no-such-thing"]) == 2
    assert "ENCODER_UNAVAILABLE: no encoder 'no-such-thing'" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert evaluate.main([*arguments, f"--music={tmp_path / 'empty'}"]) == 2
    assert "holds none of the labelled pieces" in capsys.readouterr().err
    assert evaluate.main([*arguments, "--check"]) == 2
    assert "table.json is missing: run once without --check" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        evaluate.main([*arguments, "--check", "--pieces=labelled"])
    assert not (tmp_path / "results").exists()


def test_both_networks_joined_give_each_alone_on_the_way(music: Path, artifacts: Path) -> None:
    msd, mtt = (load_encoder(name, artifacts_folder=artifacts, muq_folder=None, threads=1) for name in
                ("musicnn-msd", "musicnn-mtt"))  # fmt: skip
    joined = JoinedMusicnn(msd, mtt)
    path = music / "one/0.wav"
    found = embed_file(joined, path)
    assert found.windows.shape == (1, 400)
    for encoder in (msd, mtt):
        part, alone = joined.split(found)[encoder.manifest.encoder_id], embed_file(encoder, path)
        np.testing.assert_allclose(part.windows, alone.windows, atol=1e-5)
        np.testing.assert_allclose(part.tags, alone.tags, atol=1e-5)
        assert part.tags.shape == (1, len(encoder.manifest.tags))
    sound: Float32Array = soundfile.read(path, dtype="float32")[0][None, : 10 * RATE]
    mel = joined.networks[0].log_mel(sound)[0]
    patches = np.stack([mel[start : start + 187] for start in (0, 220, 439)])
    raw = np.concatenate([network.run_patches(patches)[0].mean(axis=0) for network in joined.networks])
    np.testing.assert_allclose(found.windows[0], raw / np.linalg.norm(raw), atol=1e-5)


@pytest.mark.filterwarnings("ignore")  # muq and what it imports warn of what is not ours to change
def test_untrained_mini_is_the_same_each_time(tmp_path: Path) -> None:
    sound = song("metal", 1, 10.0)[None]
    first, again = (untrained_mini(tmp_path / name, threads=1) for name in ("first", "again"))
    assert first.manifest.encoder_id == again.manifest.encoder_id
    assert first.manifest.architecture == "museed-mini/1"
    window = np.repeat(sound, 2, axis=1)[:, :240_000]
    np.testing.assert_array_equal(first.encode(window).vectors, again.encode(window).vectors)


def test_variants_are_their_own_nearest_and_a_broken_file_is_listed(tmp_path: Path) -> None:
    paths = [f"one/{family}.wav" for family in ("electronic", "metal", "orchestral")]
    (tmp_path / "one").mkdir()
    for number, path in enumerate(paths):
        soundfile.write(tmp_path / path, song(Path(path).stem, number, seconds=62.0), RATE)
    (tmp_path / "one/broken.ogg").write_bytes(b"OggS but no more")
    tracks = [Track(path, "one", "metal", "tag", "", "", "", 62.0) for path in [*paths, "one/broken.ogg"]]
    embedding = Embedding(tmp_path, VectorStore(tmp_path / "store"))
    choice = EncoderChoice("mfcc", tmp_path)
    found = embedding.collect_variants(tracks, "mfcc", choice, choice.load().manifest)
    assert {variant: len(of_tracks) for variant, of_tracks in found.items()} == dict.fromkeys((ORIGINAL, *VARIANTS), 3)
    assert {one.duration_seconds for one in found[ORIGINAL]} == {60.0}
    row = sections.robustness_table({"mfcc": found}).rows["mfcc"]
    assert [cell.value for column, cell in row.items() if column.endswith("own nearest")] == [1.0] * len(VARIANTS)
    assert row["+3 dB: cosine"].value > 0.999 > row["mp3 64 kbit/s: cosine"].value
    failures = embedding.collect([], {}).failures
    assert [failure.path.name for failure in failures] == ["broken.ogg"]


def test_mfcc_do_not_hear_gain() -> None:
    sound = song("metal", 2, 10.0)[None]
    encoder = MfccEncoder()
    plain, louder = (encoder.encode(window).vectors for window in (sound, 2 * sound))
    assert plain.shape == (1, 60)
    np.testing.assert_allclose(plain, louder, atol=1e-4)


def test_a_file_that_kills_its_process_is_listed_and_the_others_are_embedded(
    music: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[3]))  # workers import the task by its name
    store = VectorStore(tmp_path / "store")
    choice = EncoderChoice("mfcc", tmp_path)
    encoder_id = choice.load().manifest.encoder_id
    works = [Work(music / f"one/{number}.wav", f"digest {number}", f"key {number}") for number in range(6)]
    done: list[str] = []
    failures = embed_all(choice, encoder_id, works, store, kill_at_three, lambda work: done.append(work.key))
    assert [(failure.path.name, failure.reason) for failure in failures] == [
        ("3.wav", "the process that decoded it died")
    ]
    assert sorted(done) == [work.key for work in works]
    assert [store.has(encoder_id, work.key) for work in works] == [True, True, True, False, True, True]
