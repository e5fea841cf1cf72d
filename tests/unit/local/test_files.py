import hashlib
import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from deploy.local import tags
from deploy.local.files import Candidate, Reason, Skipped, TrackFile, read
from services.embedder.audio_hash import audio_hash
from tests.fixtures.recordings import make_samples, remove_tags, write_recording, write_tags


def read_at(path: Path, min_duration_s: float = 1.0, max_size_bytes: int = 1 << 30) -> TrackFile | Skipped:
    return read(Candidate(path.parent, path.name), min_duration_s=min_duration_s, max_size_bytes=max_size_bytes)


def track_at(path: Path) -> TrackFile:
    found = read_at(path)
    assert isinstance(found, TrackFile)
    return found


def test_a_track_is_read_whole(tmp_path: Path) -> None:
    path = write_recording(tmp_path / "01 - 파일.ogg", "ogg")
    write_tags(path, title="Title", artist="Artist")
    found, stat = track_at(path), path.stat()
    with path.open("rb") as file:
        expected_audio_hash = audio_hash(file)[1]
    assert found == TrackFile(
        relative_path="01 - 파일.ogg",
        size_bytes=stat.st_size,
        mtime_ns=stat.st_mtime_ns,
        content_type="audio/ogg",
        file_hash=hashlib.sha256(path.read_bytes()).digest(),
        audio_hash=expected_audio_hash,
        title="Title",
        artist="Artist",
        album="Album",
        genre="Jazz",
        year=1999,
        track_number=3,
        duration_s=2.0,
        isrc=None,
        musicbrainz_recording_id=None,
        has_picture=False,
    )
    assert pickle.loads(pickle.dumps(found)) == found


def test_a_missing_title_is_the_files_name_and_a_missing_artist_is_nobody(tmp_path: Path) -> None:
    found = track_at(write_recording(tmp_path / "03-so_was__hier.flac", "flac"))
    assert (found.title, found.artist) == ("so was hier", None)


@pytest.mark.parametrize("kind", ["mp3", "flac", "ogg", "opus", "m4a", "wav"])
def test_tagging_changes_the_file_hash_and_not_the_audio_hash(kind: str, tmp_path: Path) -> None:
    path = write_recording(tmp_path / f"a.{kind}", kind)
    before = track_at(path)
    write_tags(path, title="Other", picture=bytes(300_000))
    tagged = track_at(path)
    remove_tags(path)
    stripped = track_at(path)
    assert len({before.audio_hash, tagged.audio_hash, stripped.audio_hash}) == 1
    assert tagged.file_hash not in {before.file_hash, stripped.file_hash}
    assert (before.title, tagged.title, stripped.title) == ("a", "Other", "a")


def test_the_content_type_is_the_contents(tmp_path: Path) -> None:
    assert track_at(write_recording(tmp_path / "a.ogg", "mp3")).content_type == "audio/mpeg"


def test_every_fault_has_its_reason_value_and_limit(tmp_path: Path) -> None:
    text = tmp_path / "text.mp3"
    text.write_text("words, words, words")
    empty = tmp_path / "empty.mp3"
    empty.touch()
    silent_header = write_recording(tmp_path / "none.wav", "wav", np.zeros(0, np.int16))
    short = write_recording(tmp_path / "short.wav", "wav", make_samples(29.96))
    size = short.stat().st_size
    assert read_at(text) == Skipped(
        "text.mp3", Reason.NOT_AUDIO, "not audio that can be read: can't sync to MPEG frame"
    )
    assert read_at(empty) == Skipped("empty.mp3", Reason.AUDIO_EMPTY, "file is empty", "0")
    assert read_at(silent_header) == Skipped("none.wav", Reason.AUDIO_EMPTY, "audio is 0 s long", "0.0", "1")
    assert read_at(short, 30.0) == Skipped(
        "short.wav", Reason.AUDIO_TOO_SHORT, "audio is 29.9 s, minimum is 30 s", "29.9", "30"
    )
    assert read_at(short, max_size_bytes=1000) == Skipped(
        "short.wav", Reason.AUDIO_TOO_LARGE, f"file is {size} bytes, limit is 1000", str(size), "1000"
    )
    assert read_at(tmp_path / "gone.mp3") == Skipped(
        "gone.mp3", Reason.UNREADABLE, "cannot be read: No such file or directory"
    )


def test_a_recording_of_exactly_the_minimum_is_taken(tmp_path: Path) -> None:
    path = write_recording(tmp_path / "a.wav", "wav", make_samples(2.0))
    assert isinstance(read_at(path, min_duration_s=2.0), TrackFile)


def test_tags_over_the_limit_are_a_size_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tags, "MAX_TAG_BYTES", 10_000)
    path = write_recording(tmp_path / "a.flac", "flac")
    write_tags(path, picture=bytes(20_000))
    found = read_at(path)
    assert isinstance(found, Skipped)
    assert (found.reason, found.message) == (Reason.AUDIO_TOO_LARGE, "tags take more than 10000 bytes to read")


def test_a_link_out_of_the_root_is_not_opened(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    write_recording(tmp_path / "secret.wav", "wav")
    (root / "a.wav").symlink_to(tmp_path / "secret.wav")
    found = read_at(root / "a.wav")
    assert isinstance(found, Skipped)
    assert found.reason is Reason.UNREADABLE


def test_a_pipe_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.wav")
    found = read_at(tmp_path / "a.wav")
    assert isinstance(found, Skipped)
    assert found.reason is Reason.UNREADABLE


def test_a_file_that_changes_meanwhile_is_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_recording(tmp_path / "a.wav", "wav")

    def append_meanwhile(file: object) -> object:
        with path.open("ab") as other:
            other.write(b"more")
        return audio_hash(file)  # type: ignore[arg-type]  # it is passed on as it came

    monkeypatch.setattr("deploy.local.files.audio_hash", append_meanwhile)
    assert read_at(path) == Skipped("a.wav", Reason.UNREADABLE, "file changed while it was read")
