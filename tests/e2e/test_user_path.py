"""What people do: ingest a folder, search, make playlists from tracks and uploads, play, share, come back."""

import asyncio
import json
import os
import re
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import mutagen
import pytest
import soundfile
import websockets

from clients.python.operations import JobStatus, SeedInput, TrackRow
from deploy.local.client import ClientError, GatewayClient
from deploy.local.playlists import WholePlaylist, make_playlist, search_tracks, seed_input
from deploy.local.state import Pin, State
from museed.social.v1.events_pb2 import EmbedTrack
from services.chassis.bus import EMBED_WORK, Bus, BusSettings, DeadLetter, embed_track_subject
from tests.e2e.conftest import MUSEED, RunningMesh, tone, write_track


def ignore(job: JobStatus) -> None:
    """A playlist's progress that nobody watches."""


def a_track(client: GatewayClient, title: str = "Piece 0-0") -> TrackRow:
    return search_tracks(client, title, 1)[0]


def artists(playlist: WholePlaylist) -> list[str | None]:
    return [entry.track.artist for entry in playlist.entries]


def test_second_ingest_finds_everything_unchanged(mesh: RunningMesh, library: Path) -> None:
    report = mesh.ingest(library)
    assert report.outcomes == {"UNCHANGED": 16}
    assert (report.indexed, report.left_out) == (16, [])


def test_playlist_from_a_track_has_its_seed_first_and_obeys_the_rules(mesh: RunningMesh) -> None:
    with mesh.person("ann") as client:
        seed = a_track(client)
        playlist = make_playlist(client, [SeedInput(track_id=seed.track_id)], ignore, length=8, max_per_artist=2)
    first, *rest = playlist.entries
    assert (first.track.track_id, first.is_seed) == (seed.track_id, True)
    # Four artists, two places each, and the seed takes one of its artist's.
    assert len(rest) == 7
    assert len({entry.track.track_id for entry in playlist.entries}) == 8
    assert max(artists(playlist).count(name) for name in set(artists(playlist))) == 2
    assert all(left != right for left, right in zip(artists(playlist), artists(playlist)[1:], strict=False))
    assert all(entry.similarity is not None and -1 <= entry.similarity <= 1 for entry in rest)
    assert all(entry.track.tags for entry in rest)


def test_every_track_was_measured_on_its_way(mesh: RunningMesh) -> None:
    document = """query($id: ID!) { track(id: $id) {
      tags(first: 3) { name score } descriptors { loudnessLufs peakDbfs tempoBpm key keyConfidence energy } } }"""
    with mesh.person("ann") as client:
        track = client.query(document, id=a_track(client).track_id)["track"]
    found = track["descriptors"]
    assert len(track["tags"]) == 3
    assert found["peakDbfs"] == pytest.approx(-6.02, abs=0.01)  # the tones reach half of full scale
    assert -30 < found["loudnessLufs"] < found["peakDbfs"]
    assert 0 < found["energy"] < 1


def test_upload_finds_what_sounds_like_it_and_is_not_in_the_list(mesh: RunningMesh, tmp_path: Path) -> None:
    # Between two pieces of artist 3, whose pieces share a register nobody else has.
    upload = write_track(tmp_path / "demo.flac", tone(12, 110 * 2**3 * 1.03, 11, 3.5, seed=99), title="My demo")
    with mesh.person("ann") as client:
        playlist = make_playlist(client, [seed_input(client, str(upload))], ignore, length=3, max_per_artist=3)
    assert artists(playlist).count("Artist 3") >= 2
    assert not any(entry.is_seed for entry in playlist.entries)


@pytest.mark.parametrize(("name", "subtype"), [("copy.wav", "PCM_24"), ("copy.ogg", "VORBIS")])
def test_upload_in_another_format_does_not_find_its_own_recording(
    mesh: RunningMesh, library: Path, tmp_path: Path, name: str, subtype: str
) -> None:
    samples, rate = soundfile.read(library / "artist-0" / "0.flac")
    soundfile.write(tmp_path / name, samples, rate, subtype=subtype)
    with mesh.person("ann") as client:
        original = a_track(client)
        playlist = make_playlist(client, [seed_input(client, str(tmp_path / name))], ignore, length=5)
    assert original.track_id not in {entry.track.track_id for entry in playlist.entries}
    assert len(playlist.entries) == 5


def test_retagged_file_is_not_embedded_again_and_its_new_title_is_found(
    mesh: RunningMesh, library: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "retag"
    folder.mkdir()
    shutil.copy(library / "artist-0" / "0.flac", folder / "song.flac")
    assert mesh.ingest(folder).outcomes == {"CREATED": 1}
    file = mutagen.File(folder / "song.flac")
    file.update(title="Umbenannt und schöner")
    file.save()
    report = mesh.ingest(folder)
    assert (report.outcomes, report.indexed) == ({"RETAGGED": 1}, 1)
    with mesh.guest() as client:
        assert a_track(client, "schoner umbenant").title == "Umbenannt und schöner"


def test_broken_files_are_listed_with_their_reason_and_the_rest_goes_on(
    mesh: RunningMesh, library: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "mixed"
    (folder / "sub").mkdir(parents=True)
    good = (library / "artist-1" / "1.flac").read_bytes()
    (folder / "good.flac").write_bytes(good)
    (folder / "named-wrong.mp3").write_bytes((library / "artist-1" / "2.flac").read_bytes())
    (folder / "empty.ogg").write_bytes(b"")
    (folder / "text.mp3").write_bytes(b"this is no music at all\n" * 100)
    (folder / "sub" / "cut.flac").write_bytes(good[: len(good) // 3])
    (folder / "notes.txt").write_text("not a name of audio")
    write_track(folder / "short.flac", tone(5, 440, 3, 1, seed=1), title="Short")
    write_track(folder / "silent.flac", 0 * tone(31, 440, 3, 1, seed=1), title="Silent")
    report = mesh.ingest(folder)
    reasons = {path: reason for path, reason, _ in report.left_out}
    assert reasons == {
        "empty.ogg": "AUDIO_EMPTY",
        "text.mp3": "NOT_AUDIO",
        "short.flac": "AUDIO_TOO_SHORT",
        "silent.flac": "AUDIO_SILENT",
        "sub/cut.flac": "AUDIO_TRUNCATED",
    }
    assert (report.indexed, report.files, report.other_files) == (2, 7, 1)
    again = mesh.ingest(folder)
    assert {path: reason for path, reason, _ in again.left_out} == reasons


def test_playlist_is_private_until_its_owner_says_otherwise(mesh: RunningMesh) -> None:
    document = (
        "query P($id: ID!) { playlist(id: $id) { playlistId title entries { nodes { track { title streamUrl } } } } }"
    )
    update = """mutation U($input: UpdatePlaylistInput!) { updatePlaylist(input: $input) {
      __typename ... on UpdatePlaylistSuccess { playlist { visibility version } }
      ... on UserError { message code } } }"""
    with mesh.person("ann") as ann, mesh.person("bob") as bob, mesh.guest() as guest:
        made = make_playlist(ann, [SeedInput(track_id=a_track(ann).track_id)], ignore, length=3)
        for stranger in (bob, guest):
            with pytest.raises(ClientError) as caught:
                stranger.query(document, id=made.playlist_id)
            assert caught.value.code == "PLAYLIST_NOT_FOUND"
        version = ann.query("query V($id: ID!) { playlist(id: $id) { version } }", id=made.playlist_id)
        ann.mutate(
            update,
            {
                "playlistId": made.playlist_id,
                "version": version["playlist"]["version"],
                "visibility": "PUBLIC",
            },
        )
        shown = guest.query(document, id=made.playlist_id)["playlist"]
        assert shown["title"] == made.title
        body = guest.read_range(shown["entries"]["nodes"][0]["track"]["streamUrl"], 0, 3)
        assert body.content == b"fLaC"


def test_same_key_makes_one_playlist(mesh: RunningMesh) -> None:
    document = """mutation G($input: GeneratePlaylistInput!) { generatePlaylist(input: $input) {
      __typename ... on GeneratePlaylistSuccess { job { jobId } } ... on UserError { message code } } }"""
    with mesh.person("ann") as client:
        request = {"seeds": [{"trackId": a_track(client).track_id}], "idempotencyKey": "once", "length": 3}
        first = client.mutate(document, request)
        assert client.mutate(document, request) == first
        with pytest.raises(ClientError) as caught:
            client.mutate(document, {**request, "length": 4})
        assert caught.value.code == "IDEMPOTENCY_KEY_REUSED"


async def test_job_progress_is_followed_to_its_end(mesh: RunningMesh, tmp_path: Path) -> None:
    upload = write_track(tmp_path / "long.flac", tone(120, 300, 5, 2, seed=5), title="Long demo")
    document = """mutation G($input: GeneratePlaylistInput!) { generatePlaylist(input: $input) {
      __typename ... on GeneratePlaylistSuccess { job { jobId } } ... on UserError { message code } } }"""

    def ask() -> tuple[str, str]:
        with mesh.person("ann") as client:
            seeds = [seed_input(client, str(upload)).written()]
            job = client.mutate(document, {"seeds": seeds, "length": 3})["job"]["jobId"]
            return job, client.token

    job_id, token = await asyncio.to_thread(ask)
    url = mesh.url.replace("http", "ws") + "/graphql"
    states = []
    async with (
        asyncio.timeout(60),
        websockets.connect(url, subprotocols=[websockets.Subprotocol("graphql-transport-ws")]) as socket,
    ):
        await socket.send(json.dumps({"type": "connection_init", "payload": {"authorization": f"Bearer {token}"}}))
        assert json.loads(await socket.recv())["type"] == "connection_ack"
        query = "subscription J($id: ID!) { jobProgress(jobId: $id) { state progress } }"
        payload = {"query": query, "variables": {"id": job_id}}
        await socket.send(json.dumps({"id": "1", "type": "subscribe", "payload": payload}))
        while (message := json.loads(await socket.recv()))["type"] != "complete":
            if message["type"] == "next":
                states.append(message["payload"]["data"]["jobProgress"]["state"])
    assert states[-1] == "SUCCEEDED"
    order = ["QUEUED", "EMBEDDING", "SEARCHING", "ARRANGING", "SUCCEEDED"]
    assert [order.index(state) for state in states] == sorted(order.index(state) for state in states)


def run(mesh: RunningMesh, *arguments: str) -> str:
    command = [str(MUSEED), *arguments, "--state", str(mesh.folder)]
    # The path of a checkout that is not the installed one.
    environment = {"COLUMNS": "200", "PATH": "", "PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_commands_speak_for_themselves(mesh: RunningMesh, library: Path, tmp_path: Path) -> None:
    found = run(mesh, "search", "Piece 2-1")
    track_id = re.search(r"[0-9a-f]{8}-[0-9a-f-]{27}", found)
    assert track_id is not None
    assert "Piece 2-1" in found
    listed = run(mesh, "playlist", "--seed", track_id[0], "--length", "3")
    assert "Piece 2-1" in listed
    assert len(re.findall(r"http://127\.0\.0\.1:\d+/tracks/", listed)) == 4
    assert "tracks in the index" in run(mesh, "status")
    assert re.search(r"unchanged\W+16\b", run(mesh, "ingest", "folder", str(library)))


def test_dead_letter_is_shown_with_its_track_and_replayed(mesh: RunningMesh) -> None:
    with mesh.guest() as guest:
        track = guest.query("query($id: ID!) { track(id: $id) { trackId title } }", id=a_track(guest).track_id)["track"]
    encoder_id = Pin.read(State.open(mesh.folder)).encoder_id  # type: ignore[union-attr]  # it runs
    work = EmbedTrack(track_id=track["trackId"], encoder_id=encoder_id, audio_hash=b"\1" * 32)
    subject = embed_track_subject(encoder_id)
    now = datetime.now(UTC)
    letter = DeadLetter(subject, work.SerializeToString(), "event-1", EMBED_WORK, 5, "INTERNAL", "BROKEN", "[why]", now)

    async def set_aside() -> None:
        state = State.open(mesh.folder)
        port = json.loads((mesh.folder / "nats.json").read_text())["port"]
        bus = await Bus.connect(
            BusSettings(url=f"nats://127.0.0.1:{port}", user="social", password=state.secret("nats_social")), "social"
        )
        await bus.publish(f"museed.dead_letters.{EMBED_WORK}", letter.payload, "dead-1", headers=letter.headers())
        await bus.close()

    asyncio.run(set_aside())
    for command in (("status",), ("dead-letters",)):
        shown = run(mesh, *command)
        assert track["title"] in shown
        assert "BROKEN after 5 attempts" in shown
        assert "[why]" in shown
        assert "dead-letters --replay" in shown
    # Nobody has such a sound: there is nothing to do for it.
    assert "0 are on their way again, 1 needed nothing any more, 0 were kept." in run(mesh, "dead-letters", "--replay")
    assert "There are no dead letters." in run(mesh, "dead-letters")
    status = run(mesh, "status")
    assert "No message was set aside as a dead letter." in status
    assert re.search(rf"EMBED_WORK .* embedder-{encoder_id} +│ +0 │ +0", status)
    assert re.search(r"metrics of embedder: http://127\.0\.0\.1:\d+/metrics", status)


def test_brackets_in_titles_are_only_brackets(mesh: RunningMesh, tmp_path: Path) -> None:
    title = "[/red] Song [Live] [bold]"
    write_track(tmp_path / "music" / "a.flac", tone(31, 500, 3, 1, seed=77), title=title, artist="[/dim] Band")
    mesh.ingest(tmp_path / "music")
    assert title in run(mesh, "search", "Song [Live]")
    with mesh.guest() as guest:
        seed = a_track(guest, title).track_id
    assert title in run(mesh, "playlist", "--seed", seed, "--length", "2", "--title", "[/bad] title")


def test_second_mesh_in_the_same_folder_is_refused(mesh: RunningMesh) -> None:
    done = subprocess.run([MUSEED, "up", "--state", mesh.folder], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "a mesh already runs in" in done.stdout + done.stderr


def test_demo_goes_through_and_says_how_to_go_on(library: Path, tmp_path: Path) -> None:
    command = [str(MUSEED), "demo", "--music", str(library), "--state", str(tmp_path / "demo")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    said = " ".join(done.stdout.split())  # lines are broken at the width of the terminal
    assert "15 of this folder can be" in said
    assert "65536 bytes of audio/flac, bytes 0-65535/" in said
    assert len(re.findall(r"http://127\.0\.0\.1:\d+/tracks/\S+signature=", done.stdout)) == 12
    assert "museed ingest folder ~/Music" in done.stdout


def test_demo_without_music_in_the_folder_says_so(tmp_path: Path) -> None:
    command = [str(MUSEED), "demo", "--music", str(tmp_path), "--state", str(tmp_path / "demo")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, "holds no audio file of 30 s or more" in done.stderr) == (1, True)
