import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import soundfile
import uvicorn

from training import listening_test
from training.evaluation.command import describe_encoders
from training.evaluation.embedding import TrackVectors
from training.evaluation.store import VectorStore, file_key
from training.listening.server import make_app

_ENCODERS = ("musicnn-msd", "musicnn-mtt")
_GROUPS, _PER_GROUP = 4, 3
_RATE_HZ = 8000
_GOOD = {"rater": "Ada", "relevance": 4, "serendipity": 2, "satisfaction": 5, "comment": ""}


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four soundtracks of three tones of 31 s, and something that is no music."""
    music = tmp_path_factory.mktemp("music")
    time_s = np.arange(31 * _RATE_HZ) / _RATE_HZ
    for number in range(_GROUPS * _PER_GROUP):
        path = music / f"soundtrack {number // _PER_GROUP}" / f"tone-{number}.wav"
        path.parent.mkdir(exist_ok=True)
        soundfile.write(path, 0.3 * np.sin(2 * np.pi * (200 + 20 * number) * time_s), _RATE_HZ)
    (music / "broken.ogg").write_bytes(b"no music")
    soundfile.write(music / "short.wav", np.zeros(_RATE_HZ), _RATE_HZ)
    return music


@pytest.fixture(scope="module")
def prepared(library: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Arguments of a test whose vectors are kept already: one encoder hears pitch upwards, the other downwards."""
    home = tmp_path_factory.mktemp("home")
    store = VectorStore(home / "cache")
    encoders = describe_encoders(_ENCODERS, home / "artifacts")
    for sign, name in zip((1, -1), _ENCODERS, strict=True):
        manifest = encoders[name][1]
        for number, path in enumerate(sorted(library.rglob("tone-*.wav"), key=lambda path: int(path.stem[5:]))):
            # Along a spiral, so that each has one neighbour that is nearest.
            turn = sign * 0.2 * number + 0.01 * number**2
            window = np.array([[np.cos(turn), np.sin(turn)]], np.float32)
            store.write(
                manifest.encoder_id,
                file_key(path),
                TrackVectors(window, np.array([31], np.float32), np.zeros((1, 1), np.float32), 31.0),
            )
    return [
        "--music", str(library), "--cache", str(home / "cache"), "--artifacts", str(home / "artifacts"),
        "--length", "5", "--seeds", "3", "--excerpt-seconds", "3",
        *(word for name in _ENCODERS for word in ("--encoder", name)),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def study(prepared: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study") / "listening"
    assert listening_test.main([*prepared, "--out", str(folder), "--prepare-only"]) == 0
    return folder


@pytest.fixture
def client(study: Path) -> Iterator[httpx.Client]:
    """A client of the served test; every test begins without ratings."""
    (study / "ratings.jsonl").unlink(missing_ok=True)
    with _served(study) as client:
        yield client


@contextlib.contextmanager
def _served(study: Path) -> Iterator[httpx.Client]:
    server = uvicorn.Server(uvicorn.Config(make_app(study), port=0, log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
        port = server.servers[0].sockets[0].getsockname()[1]
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join(60)


def _key(study: Path) -> dict[str, Any]:
    key: dict[str, Any] = json.loads((study / "key.json").read_text())
    return key


def _playlists(client: httpx.Client) -> list[dict[str, Any]]:
    return [playlist for seed in client.get("/study.json").json()["seeds"] for playlist in seed["playlists"]]


def _ratings(study: Path) -> list[dict[str, Any]]:
    path = study / "ratings.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_playlists_keep_to_the_rules_and_the_encoders_to_their_vectors(study: Path) -> None:
    key = _key(study)

    assert sorted(key["encoders"].values()) == sorted(_ENCODERS * 3)
    assert len(set(key["seeds"].values())) == 3
    for playlist_id, paths in key["tracks"].items():
        folders = [Path(path).parent.name for path in paths]
        assert len(set(paths)) == 5
        assert key["seeds"][playlist_id] not in paths
        assert max(folders.count(folder) for folder in folders) <= 2


def test_the_page_knows_no_encoder_and_no_path(study: Path, client: httpx.Client) -> None:
    seen = "".join(
        path.read_text() for path in (study / "public").rglob("*") if path.suffix in (".html", ".css", ".js", ".json")
    )

    for word in ("musicnn", "tone-", "soundtrack", "encoder"):
        assert word not in seen
    shown = client.get("/study.json").json()
    assert {playlist["id"] for playlist in _playlists(client)} == set(_key(study)["encoders"])
    assert all([playlist["label"] for playlist in seed["playlists"]] == ["A", "B"] for seed in shown["seeds"])
    # Only what is public has an address.
    for path in ("/key.json", "/ratings.jsonl", "/public/study.json"):
        assert client.get(path).status_code == 404


def test_the_order_of_the_encoders_is_drawn(prepared: list[str], study: Path) -> None:
    order = [name for name in _key(study)["encoders"].values()]

    for number in range(6):
        other = study.with_name(f"other-{number}")
        assert listening_test.main([*prepared, "--out", str(other), "--prepare-only"]) == 0
        if list(_key(other)["encoders"].values()) != order:
            return
    pytest.fail("seven tests of three seeds had the same order")


def test_excerpts_are_of_equal_loudness_and_length_and_may_be_fetched_in_part(
    client: httpx.Client, tmp_path: Path
) -> None:
    names = client.get("/study.json").json()["seeds"][0]["playlists"][0]["tracks"]

    for name in names:
        whole = client.get(f"/audio/{name}")
        (tmp_path / name).write_bytes(whole.content)
        samples, rate_hz = soundfile.read(tmp_path / name)
        assert (rate_hz, samples.shape) == (44_100, (3 * 44_100,))
        assert abs(float(np.sqrt(np.mean(samples[22_050:-22_050] ** 2))) - 0.1) < 0.005
    part = client.get(f"/audio/{names[0]}", headers={"Range": "bytes=10-19"})
    assert part.status_code == 206
    assert part.content == client.get(f"/audio/{names[0]}").content[10:20]


def test_a_rating_is_one_line_on_the_disk(study: Path, client: httpx.Client) -> None:
    playlist = _playlists(client)[0]["id"]
    name = '<img src=x onerror="alert(1)">'

    answer = client.post("/ratings", json=_GOOD | {"playlist": playlist, "rater": name, "comment": "a\nb"})

    assert answer.status_code == 201
    [line] = _ratings(study)
    del line["rated_at"]
    assert line == _GOOD | {"playlist": playlist, "rater": name, "comment": "a\nb"}
    assert client.get("/ratings", params={"rater": name}).json() == {"playlists": [playlist]}
    assert client.get("/ratings", params={"rater": "Bob"}).json() == {"playlists": []}


def test_a_comment_with_any_line_break_is_reported_and_read_after_a_restart(
    study: Path, client: httpx.Client, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second, third = [playlist["id"] for playlist in _playlists(client)][:3]
    for playlist, comment in ((first, "one\u2028two"), (second, "one\x85two")):
        answer = client.post("/ratings", json=_GOOD | {"playlist": playlist, "comment": comment})
        assert answer.status_code == 201

    assert listening_test.main(["--report", str(study / "ratings.jsonl")]) == 0
    assert capsys.readouterr().out.startswith("ratings: 2, listeners: 1;")
    with _served(study) as again:
        assert again.get("/ratings", params={"rater": "Ada"}).json() == {"playlists": sorted([first, second])}
        assert again.post("/ratings", json=_GOOD | {"playlist": third}).status_code == 201


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"relevance": 6}, 422), ({"relevance": "4"}, 422), ({"serendipity": None}, 422), ({"rater": ""}, 422),
        ({"encoder": "musicnn-msd"}, 422), ({"playlist": "0" * 16}, 404), ({"playlist": "../key.json"}, 404),
    ],
)  # fmt: skip
def test_what_is_no_rating_of_this_test_is_refused(
    change: dict[str, Any], status: int, study: Path, client: httpx.Client
) -> None:
    answer = client.post("/ratings", json=_GOOD | {"playlist": _playlists(client)[0]["id"]} | change)

    assert answer.status_code == status
    assert answer.json()["message"]
    assert _ratings(study) == []


def test_a_second_rating_of_a_playlist_is_refused(study: Path, client: httpx.Client) -> None:
    rating = _GOOD | {"playlist": _playlists(client)[0]["id"]}
    assert client.post("/ratings", json=rating).status_code == 201

    assert client.post("/ratings", json=rating | {"relevance": 1}).status_code == 409
    assert client.post("/ratings", json=rating | {"rater": " Ada "}).status_code == 409

    assert [line["relevance"] for line in _ratings(study)] == [4]


def test_a_body_without_end_is_refused_and_the_server_lives(study: Path, client: httpx.Client) -> None:
    headers = {"Content-Type": "application/json"}

    assert client.post("/ratings", content=b" " * 10_000_000, headers=headers).status_code == 413
    assert client.post("/ratings", content=(b" " * 4096 for _ in range(9)), headers=headers).status_code == 413
    assert client.post("/ratings", content=b"\xff{", headers=headers).status_code == 422

    assert _ratings(study) == []
    assert client.get("/").status_code == 200


def test_another_site_can_neither_rate_nor_read(study: Path, client: httpx.Client) -> None:
    body = json.dumps(_GOOD | {"playlist": _playlists(client)[0]["id"]})

    assert client.post("/ratings", content=body, headers={"Content-Type": "text/plain"}).status_code == 415
    assert client.get("/study.json", headers={"Host": "evil.example"}).status_code == 400
    assert _ratings(study) == []
    policy = client.get("/").headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self';")


@pytest.mark.parametrize(
    "path",
    ["/audio/../../key.json", "/audio/%2e%2e/%2e%2e/key.json", "/audio/..%2f..%2fkey.json", "//etc/passwd", "/audio/"],
)
def test_no_address_leads_out_of_the_public_folder(path: str, client: httpx.Client) -> None:
    # As raw bytes: the client would tidy it.
    request = client.build_request("GET", "/")
    request.url = request.url.copy_with(raw_path=path.encode())

    answer = client.send(request)

    assert answer.status_code == 404
    assert answer.json() == {"message": "no such file"}


def test_the_same_test_goes_on_and_another_is_refused(
    prepared: list[str], study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: hashlib.sha256(path.read_bytes()).digest() for path in study.rglob("*") if path.is_file()}

    assert listening_test.main([*prepared, "--out", str(study), "--prepare-only"]) == 0
    assert listening_test.main([*prepared, "--out", str(study), "--prepare-only", "--seed", "9"]) == 2

    assert "holds a test of other music, encoders or seeds" in capsys.readouterr().err
    assert {path: hashlib.sha256(path.read_bytes()).digest() for path in study.rglob("*") if path.is_file()} == before


def test_a_folder_with_something_else_is_left_alone(prepared: list[str], tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")

    assert listening_test.main([*prepared, "--out", str(tmp_path), "--prepare-only"]) == 2

    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_labels_that_cannot_be_read_are_told(
    prepared: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [*prepared, "--out", str(tmp_path / "out"), "--prepare-only", "--labels", str(tmp_path / "none.csv")]
    assert listening_test.main(arguments) == 2

    assert capsys.readouterr().err == f"{tmp_path / 'none.csv'} is missing\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--length", "9"], "a playlist needs 9 tracks, 8 are left of 12"),
        (["--seed-track", "nowhere.ogg"], "not among the 12 tracks: nowhere.ogg"),
        (["--seeds", "13"], "13 seeds are wanted, the library has 12 tracks"),
        (["--encoder", "mfcc", "--encoder", "muq"], "4 encoders are more than a listener can keep apart"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    arguments: list[str], message: str, prepared: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert listening_test.main([*prepared, "--out", str(tmp_path / "out"), "--prepare-only", *arguments]) == 2

    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_command_serves_until_interrupted_and_then_reports(prepared: list[str], study: Path) -> None:
    (study / "ratings.jsonl").unlink(missing_ok=True)
    command = [sys.executable, "-m", "training.listening_test"]
    process = subprocess.Popen(
        [*command, *prepared, "--out", str(study), "--port", "0"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        address = process.stdout.readline().split()[0]
        with httpx.Client(base_url=address, trust_env=False) as client:
            for playlist in _playlists(client):
                mark = 5 if _key(study)["encoders"][playlist["id"]] == _ENCODERS[0] else 2
                rating = _GOOD | {"playlist": playlist["id"], "relevance": mark}
                assert client.post("ratings", json=rating).status_code == 201
        os.kill(process.pid, signal.SIGINT)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.communicate()

    report = subprocess.run(
        [*command, "--report", str(study / "ratings.jsonl")], check=True, capture_output=True, text=True
    ).stdout.splitlines()

    assert report[0].startswith("ratings: 6, listeners: 1;")
    assert report[-1].split()[:6] == ["musicnn-msd", "−", "musicnn-mtt", "+3.00", "[+3.00,", "+3.00]"]
