"""Reading in processes of their own: in order, confined, and gone when the reader is."""

import os
import signal
import struct
import subprocess
import sys
import time
import zlib
from contextlib import closing
from pathlib import Path

import psutil

from deploy.local.files import Candidate, Reason, Skipped, TrackFile, read_all, scan
from tests.fixtures.recordings import write_recording


def test_files_come_in_order_and_faults_stop_nothing(tmp_path: Path) -> None:
    data = write_recording(tmp_path / "00.wav", "wav").read_bytes()
    for number in range(1, 40):
        (tmp_path / f"{number:02}.wav").write_bytes(b"broken" if number % 3 == 0 else data)
    candidates = [found for found in scan(tmp_path) if isinstance(found, Candidate)]
    results = list(read_all(candidates, workers=2, min_duration_s=1.0))
    assert [result.display_path for result in results] == [f"{number:02}.wav" for number in range(40)]
    skipped = [result.display_path for result in results if isinstance(result, Skipped)]
    assert skipped == [f"{number:02}.wav" for number in range(3, 40, 3)]


def test_a_tag_that_inflates_to_gigabytes_is_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    recording = write_recording(tmp_path / "bomb.mp3", "mp3").read_bytes()
    write_recording(tmp_path / "good.mp3", "mp3")
    squeeze = zlib.compressobj(9)
    mebibyte = squeeze.compress(bytes(1 << 20)) + squeeze.flush(zlib.Z_FULL_FLUSH)
    again = squeeze.compress(bytes(1 << 20)) + squeeze.flush(zlib.Z_FULL_FLUSH)
    packed = struct.pack(">I", 0xFFFFFFFF) + mebibyte + 4095 * again
    frame = b"TIT2" + struct.pack(">I", len(packed)) + b"\x00\x80" + packed
    size = bytes((len(frame) >> shift) & 0x7F for shift in (21, 14, 7, 0))
    (tmp_path / "bomb.mp3").write_bytes(b"ID3\x03\0\0" + size + frame + recording)
    candidates = [Candidate(tmp_path, "bomb.mp3"), Candidate(tmp_path, "good.mp3")]
    bomb, good = read_all(candidates, workers=1, min_duration_s=1.0)
    assert bomb == Skipped(
        "bomb.mp3", Reason.NOT_AUDIO, "not audio that can be read: Unable to allocate output buffer."
    )
    assert isinstance(good, TrackFile)


class Deadly(str):
    """A path that ends whichever process it is sent to."""

    def __reduce__(self) -> tuple[object, ...]:
        return os._exit, (9,)


def test_file_that_ends_its_reader_is_left_out_alone(tmp_path: Path) -> None:
    for number in range(12):
        write_recording(tmp_path / f"{number}.wav", "wav")
    candidates = [Candidate(tmp_path, f"{number}.wav") for number in range(12)]
    candidates[3] = Candidate(tmp_path, Deadly("3.wav"))
    results = list(read_all(candidates, workers=1, min_duration_s=1.0))
    assert [result.display_path for result in results] == [f"{number}.wav" for number in range(12)]
    assert results[3] == Skipped(
        "3.wav", Reason.READING_FAILED, "reading it ended the process that read it, or took too long"
    )
    assert all(isinstance(result, TrackFile) for result in results if result is not results[3])


def test_file_that_takes_too_long_is_left_out_alone(tmp_path: Path) -> None:
    header = write_recording(tmp_path / "good.wav", "wav").read_bytes()[:44]
    size = (2 << 30) - 4_096
    with (tmp_path / "long.wav").open("wb") as file:
        file.write(header[:40] + size.to_bytes(4, "little"))
        file.truncate(44 + size)
    candidates = [Candidate(tmp_path, name) for name in ("good.wav", "long.wav", "good.wav")]
    results = list(read_all(candidates, workers=2, min_duration_s=1.0, reading_s=0.5))
    assert [result.reason for result in results if isinstance(result, Skipped)] == [Reason.READING_FAILED]
    assert isinstance(results[1], Skipped)


def test_readers_end_when_the_reading_is_closed_or_killed(tmp_path: Path) -> None:
    for number in range(50):
        write_recording(tmp_path / f"{number}.wav", "wav")
    candidates = [Candidate(tmp_path, f"{number}.wav") for number in range(50)]
    with closing(read_all(candidates, workers=2)) as results:
        next(results)
    script = (
        "import sys, pathlib\n"
        "from deploy.local.files import Candidate, read_all\n"
        "root = pathlib.Path(sys.argv[1])\n"
        "results = read_all([Candidate(root, f'{number}.wav') for number in range(50)], workers=2)\n"
        "next(results)\n"
        "print('reading', flush=True)\n"
        "sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as reader:
        assert reader.stdout is not None
        assert reader.stdout.readline() == b"reading\n"
        children = psutil.Process(reader.pid).children(recursive=True)
        assert len(children) >= 3
        os.kill(reader.pid, signal.SIGKILL)
        reader.wait(60)
    deadline = time.monotonic() + 60
    while any(child.is_running() for child in children) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert [child for child in children if child.is_running()] == []
