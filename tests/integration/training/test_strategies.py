"""The table of strategies, with cells in processes of their own."""

import csv
import ctypes
import json
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from services.embedder.choice import load_encoder
from services.embedder.model import unit
from tests.fakes.encoder import MANIFEST, FakeEncoder, vector_of
from tests.fakes.mini import sounds, write_mini
from tests.integration.training.test_training import save_tiny_muq
from tests.unit.training.networks import TINY
from training.aggregator_config import load_aggregator_config
from training.evaluation import command as evaluate
from training.evaluation import strategy_cell
from training.evaluation.clips import middle_clip
from training.evaluation.strategies import Folders, _taught, aggregate_clips
from training.evaluation.strategy_cell import CellFailed, CellTask, _forget_peak, embed_clip, measure, run_cell

RATE = 8_000


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three soundtracks of two pieces, of which one validates and two train, and a piece that is too short."""
    folder = tmp_path_factory.mktemp("music")
    rows = []
    for number, sound in enumerate(sounds(62 / 3, 6)):  # played at a third of their rate they last 62 s
        path = f"{('soundtrack 1', 'soundtrack 2', 'supertux-data')[number // 2]}/{number}.wav"
        (folder / path).parent.mkdir(exist_ok=True)
        soundfile.write(folder / path, np.clip(sound, -1, 1), RATE)
        rows.append([path, path.partition("/")[0], ("metal", "orchestral")[number % 2], "tag", "", "", "", "62.0"])
    soundfile.write(folder / "soundtrack 1/short.wav", np.clip(sounds(1, 1)[0], -1, 1), RATE)
    rows.append(["soundtrack 1/short.wav", "soundtrack 1", "metal", "tag", "", "", "", "3.0"])
    with (folder / "labels.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "group", "family", "evidence", "title", "artist", "album", "seconds"])
        writer.writerows(rows)
    return folder


def arguments(music: Path, tmp_path: Path, *more: str) -> list[str]:
    folders = {"cache": "cache", "artifacts": "artifacts", "out": "results", "work": "work"}
    return [
        f"--music={music}",
        f"--labels={music / 'labels.csv'}",
        *(f"--{name}={tmp_path / folder}" for name, folder in folders.items()),
        "--strategies",
        *more,
    ]


def rows_of(tmp_path: Path) -> dict[str, dict[str, dict[str, float]]]:
    """Return the cells of the one table that the command wrote."""
    (table,) = json.loads((tmp_path / "results/strategies.json").read_text())["tables"]
    rows: dict[str, dict[str, dict[str, float]]] = table["rows"]
    return rows


def test_command_writes_the_table(music: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_mini(tmp_path / "mini")
    chosen = [f"--encoder={tmp_path / 'mini'}", "--strategy=mean", "--strategy=whole clip"]
    assert evaluate.main(arguments(music, tmp_path, *chosen)) == 0
    printed = capsys.readouterr().out
    assert sorted(path.name for path in (tmp_path / "results").iterdir()) == ["strategies.json", "strategies.md"]
    assert (tmp_path / "results/strategies.md").read_text() in printed
    assert printed.startswith("# What strategies keep and cost")
    assert "The middle 60 s of 6 labelled pieces; 1 are shorter and left out." in printed
    assert "the mean of windows of 10 s keeps " in printed
    rows = rows_of(tmp_path)
    assert list(rows) == ["mean · 10 s", "mean · 30 s", "mean · 60 s", "whole clip"]
    has_memory = _forget_peak()  # not every kernel lets it be told from that of loading
    for cells in rows.values():
        assert cells["numbers a vector"]["value"] == 20
        assert ("peak MiB" in cells, "MiB above the model" in cells) == (has_memory, has_memory)
        if has_memory:
            assert 0 < cells["MiB above the model"]["value"] < cells["peak MiB"]["value"] < 4_000
        assert cells["core-seconds a clip"]["value"] > 0
        assert 0 <= cells["P@5"]["value"] == cells["P@5 validation"]["value"] <= 1
        assert "P@5 test" not in cells
    # A window of 60 s is the clip.
    assert rows["mean · 60 s"]["P@5"] == rows["whole clip"]["P@5"]
    if has_memory:
        assert rows["whole clip"]["MiB above the model"]["value"] > rows["mean · 10 s"]["MiB above the model"]["value"]
    kept = sorted(path.name for path in (tmp_path / "cache" / "clips").iterdir())
    assert len([name for name in kept if name.endswith("-24000-60.npy")]) == 6
    assert len([name for name in kept if name.endswith(".windows.npy")]) == 3
    assert evaluate.main(arguments(music, tmp_path, chosen[0], chosen[2])) == 0  # windows are read
    assert rows_of(tmp_path)["whole clip"]["P@5"] == rows["whole clip"]["P@5"]


def test_a_transformer_is_taught_once_by_the_same_settings_of_the_same_music(
    music: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base, settings = write_mini(tmp_path / "mini"), tmp_path / "small.toml"
    chosen = [f"--encoder={base.folder}", "--strategy=transformer", f"--aggregator={settings}"]
    settings.write_text("[run]\nbatch = 21\n")  # four pieces that train, of six windows, have 20 crops
    assert evaluate.main(arguments(music, tmp_path, *chosen)) == 2
    told = capsys.readouterr().err
    assert "There is no strategy to judge.\n" in told
    assert "Left out: museed-mini: transformer · 10 s: the tracks to learn from have 20 crops" in told
    assert not (tmp_path / "results").exists()

    settings.write_text("[network]\nwidth = 16\nhidden = 16\n[run]\nbatch = 2\n")
    assert evaluate.main(arguments(music, tmp_path, *chosen)) == 0
    assert "Left out: museed-mini: transformer · 60 s: " in capsys.readouterr().out  # a window a piece
    rows = rows_of(tmp_path)
    assert list(rows) == ["transformer · 10 s", "transformer · 30 s"]
    for cells in rows.values():
        assert cells["numbers a vector"]["value"] == 20
        assert 0 <= cells["P@5 validation"]["value"] <= 1

    folders = Folders(music, tmp_path / "artifacts", tmp_path / "cache", tmp_path / "work")
    before = sorted(folders.artifacts.iterdir())
    first = _taught(base, folders, load_aggregator_config(settings))
    assert first.manifest.pooling.method == "transformer"
    assert first.folder in before
    assert sorted(folders.artifacts.iterdir()) == before
    longer = _taught(base, folders, load_aggregator_config(settings, ["--run.epochs=2"]))
    assert longer.manifest.revision == "aggregator of 2 epochs"
    less_music = tmp_path / "less music"
    less_music.mkdir()
    (less_music / "soundtrack 1").symlink_to(music / "soundtrack 1")
    of_less = _taught(base, replace(folders, music=less_music), load_aggregator_config(settings))
    assert len({first.manifest.encoder_id, longer.manifest.encoder_id, of_less.manifest.encoder_id}) == 3


def test_without_a_clip_there_is_no_table(music: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels = tmp_path / "short.csv"
    lines = (music / "labels.csv").read_text().splitlines()
    labels.write_text("\n".join([lines[0], lines[-1]]))
    artifact = write_mini(tmp_path / "mini")
    chosen = [f"--labels={labels}", f"--encoder={artifact.folder}"]
    assert evaluate.main(arguments(music, tmp_path, *chosen)) == 2
    assert capsys.readouterr().err.endswith(
        "There is no clip to judge with.\nThe middle 60 s of 0 labelled pieces; 1 are shorter and left out.\n"
    )
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--strategies", "--split=test"], "--split does nothing with --strategies"),
        (["--strategies", "--pieces=all"], "--pieces does nothing with --strategies"),
        (["--strategies", "--variants=0"], "--variants does nothing with --strategies"),
        (["--strategies", "--check"], "--check is for the tables of encoders"),
        (["--strategy=mean"], "--strategy does nothing without --strategies"),
        (["--aggregator=a.toml"], "--aggregator does nothing without --strategies"),
        (["--work=w"], "--work does nothing without --strategies"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_options_of_the_other_table_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], told: str
) -> None:
    with pytest.raises(SystemExit, match="2"):
        evaluate.main([f"--music={tmp_path}", *options])
    assert told in capsys.readouterr().err


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")
def test_every_strategy_of_a_muq_folder(music: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        save_tiny_muq(tmp_path / "muq", replace(TINY, encoder_depth=2))
    write_mini(tmp_path / "mini")
    chosen = [f"--encoder={tmp_path / 'mini'}", f"--muq={tmp_path / 'muq'}"]
    assert evaluate.main(arguments(music, tmp_path, *chosen)) == 0
    tables = json.loads((tmp_path / "results/strategies.json").read_text())["tables"]
    assert [table["title"].partition(":")[0] for table in tables] == ["museed-mini", "muq-16"]
    for table, dim in zip(tables, (20, 16), strict=True):
        lengths = {row: cells["numbers a vector"]["value"] for row, cells in table["rows"].items()}
        # There is too little music to teach a transformer, which is told.
        assert lengths == {
            **{f"{name} · {length} s": dim for name in ("mean", "max", "middle") for length in (10, 30, 60)},
            **{f"concatenate · {length} s": dim * 60 // length for length in (10, 30, 60)},
            "whole clip": dim,
        }
    assert "Left out: muq-16: transformer · 10 s: " in capsys.readouterr().out


def test_concatenation_keeps_the_place_of_silent_windows() -> None:
    encoder = FakeEncoder(replace(MANIFEST, sample_rate_hz=100))
    clip = np.repeat(np.array([0.2, 0, 0.8], np.float32), 1_000)
    joined = embed_clip(encoder, clip, is_joined=True)
    pooled = embed_clip(encoder, clip, is_joined=False)
    assert joined is not None
    assert pooled is not None
    wanted = unit(np.concatenate([vector_of(0.2), [0, 0], vector_of(0.8)])[None])[0]
    np.testing.assert_allclose(joined, wanted, atol=1e-6)
    np.testing.assert_allclose(pooled, unit((vector_of(0.2) + vector_of(0.8))[None])[0], atol=1e-6)
    assert embed_clip(encoder, 0 * clip, is_joined=True) is None


def test_a_clip_is_the_middle_of_a_piece(tmp_path: Path) -> None:
    sound = np.linspace(-0.5, 0.5, 70 * RATE, dtype=np.float32)
    soundfile.write(tmp_path / "ramp.wav", sound, RATE, subtype="FLOAT")
    clip = middle_clip(tmp_path / "ramp.wav", tmp_path / "clips", RATE, 60)
    np.testing.assert_array_equal(np.load(clip), sound[5 * RATE : 65 * RATE])
    before = clip.stat().st_mtime_ns
    assert middle_clip(tmp_path / "ramp.wav", tmp_path / "clips", RATE, 60) == clip
    assert clip.stat().st_mtime_ns == before


def test_a_cell_gives_the_vectors_of_this_process_and_a_dead_one_is_told(tmp_path: Path) -> None:
    artifact = write_mini(tmp_path / "mini")
    clips = []
    for number, sound in enumerate([*sounds(60, 1), np.zeros(60 * 24_000, np.float32)]):
        np.save(tmp_path / f"{number}.npy", sound)
        clips.append(str(tmp_path / f"{number}.npy"))
    vectors, cost = run_cell(CellTask(str(artifact.folder), clips, str(tmp_path / "out.npy"), is_joined=True))
    encoder = load_encoder(str(artifact.folder), artifacts_folder=tmp_path, muq_folder=None, threads=1)
    own, mean = (embed_clip(encoder, np.load(clips[0]), is_joined=is_joined) for is_joined in (True, False))
    assert own is not None
    assert mean is not None
    np.testing.assert_allclose(vectors, np.stack([own, 0 * own]), atol=1e-6)
    # The table takes windows out of what is joined, and aggregates them for every strategy.
    windows = unit(vectors.reshape(-1, 20)).reshape(2, 6, 20)
    np.testing.assert_allclose(aggregate_clips(windows, artifact, is_joined=True), vectors, atol=1e-6)
    np.testing.assert_allclose(
        aggregate_clips(windows, artifact, is_joined=False), np.stack([mean, 0 * mean]), atol=1e-6
    )
    assert cost.gpu_mib is None
    with pytest.raises(CellFailed, match="ended with status 1"):
        run_cell(CellTask(str(artifact.folder), [str(tmp_path / "missing.npy")], str(tmp_path / "x.npy"), False))


def test_the_peak_of_loading_is_not_taken_for_that_of_embedding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact = write_mini(tmp_path / "mini")
    np.save(tmp_path / "clip.npy", sounds(60, 1)[0])
    monkeypatch.setattr(strategy_cell, "_FORGET_PEAK", tmp_path / "no kernel" / "clear_refs")
    cost = measure(CellTask(str(artifact.folder), [str(tmp_path / "clip.npy")], str(tmp_path / "out.npy"), False))
    assert (cost.peak_mib, cost.above_model_mib) == (None, None)
    assert cost.core_seconds > 0
    assert np.load(tmp_path / "out.npy").shape == (1, 20)


def test_clips_that_are_all_silent_have_vectors_of_zeros(tmp_path: Path) -> None:
    artifact = write_mini(tmp_path / "mini")
    np.save(tmp_path / "clip.npy", np.zeros(60 * 24_000, np.float32))
    measure(CellTask(str(artifact.folder), [str(tmp_path / "clip.npy")] * 2, str(tmp_path / "out.npy"), True))
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), np.zeros((2, 20)))


_FREES = """
import numpy as np
from training.evaluation.strategy_cell import _give_back, _mib
blocks = [np.ones(25_000, np.float32) for _ in range(400)]
del blocks[:-1]  # the last one lies above the others, which the C library therefore keeps
before = _mib("VmRSS")
_give_back()
print(before - _mib("VmRSS"))
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="the C library has no malloc_trim")
def test_what_is_free_does_not_count_as_memory_of_the_model() -> None:
    told = subprocess.run([sys.executable, "-W", "ignore", "-c", _FREES], check=True, capture_output=True, text=True)
    assert 30 < float(told.stdout) < 80  # 38 MiB of blocks, and what imports have freed
