"""Audio sent in other formats and at lower rates: made once in a limited process, kept, and served in ranges."""

import asyncio
import hashlib
import io
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from importlib.metadata import version
from pathlib import Path

import av
import psutil
import pytest

from services.chassis.errors import DomainError
from services.gateway.transcoding.formats import AudioFormat, Target
from services.gateway.transcoding.process import TranscodeLimits
from services.gateway.transcoding.transcoder import Transcoder
from tests.fixtures.recordings import make_samples, write_recording
from tests.integration.gateway.conftest import Gateway, serving_gateway
from tests.integration.gateway.test_streaming import add_audio, address, path_of
from tests.integration.gateway.test_upload_streams import lend

pytestmark = pytest.mark.asyncio(loop_scope="module")

MP3 = Target(AudioFormat.MP3, 64)


@pytest.fixture(scope="module")
def flac(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Three seconds of noisy tone, mono."""
    return write_recording(tmp_path_factory.mktemp("music") / "a.flac", "flac", make_samples(3)).read_bytes()


def heard(data: bytes) -> tuple[str, str, int, float]:
    """Return format, codec, rate and seconds of a file."""
    with av.open(io.BytesIO(data), "r") as opened:
        stream = opened.streams.audio[0]
        frames = list(opened.decode(stream))
        seconds = sum(frame.samples for frame in frames) / frames[0].sample_rate
        return opened.format.name, stream.codec_context.name, frames[0].sample_rate, seconds


def made(gateway: Gateway) -> list[str]:
    folder = gateway.parts.settings.transcode_folder
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def children() -> list[psutil.Process]:
    return [
        process
        for process in psutil.Process().children(recursive=True)
        if process.status() != psutil.STATUS_ZOMBIE and "services.gateway.transcoding.child" in process.cmdline()
    ]


@pytest.mark.parametrize(
    ("query", "content_type", "wanted", "name"),
    [
        ("&format=mp3&maxBitRate=64", "audio/mpeg", ("mp3", "mp3float", 48_000), "mp3-64"),
        ("&maxBitRate=100", "audio/mpeg", ("mp3", "mp3float", 48_000), "mp3-96"),
        ("&format=ogg", "audio/ogg", ("ogg", "opus", 48_000), "ogg-128"),
    ],
)
async def test_track_is_sent_as_the_query_says(
    gateway: Gateway,
    tmp_path: Path,
    flac: bytes,
    query: str,
    content_type: str,
    wanted: tuple[str, str, int],
    name: str,
) -> None:
    track_id = add_audio(gateway, tmp_path, flac, content_type="audio/flac", duration_seconds=3.0)
    url = await address(gateway, track_id) + query
    response = await gateway.http.get(url)
    assert response.status_code == 200, response.text
    digest = hashlib.sha256(flac).hexdigest()
    kept = {key: response.headers[key] for key in ("content-type", "content-length", "etag", "accept-ranges")}
    assert kept == {
        "content-type": content_type,
        "content-length": str(len(response.content)),
        "etag": f'"{digest}-{name}-1-av{av.__version__}"',  # what another release makes has other bytes
        "accept-ranges": "bytes",
    }
    *found, seconds = heard(response.content)
    assert tuple(found) == wanted
    assert seconds == pytest.approx(3.0, abs=0.1)
    part = await gateway.http.get(url, headers={"Range": "bytes=100-299", "If-Range": response.headers["etag"]})
    assert (part.status_code, part.content) == (206, response.content[100:300])
    known = await gateway.http.get(url, headers={"If-None-Match": response.headers["etag"]})
    assert known.status_code == 304
    original = await gateway.http.get(url.removesuffix(query), headers={"If-None-Match": response.headers["etag"]})
    assert original.content == flac


async def test_flac_loses_nothing(gateway: Gateway, tmp_path: Path) -> None:
    samples = make_samples(1)
    wav = write_recording(tmp_path / "a.wav", "wav", samples).read_bytes()
    track_id = add_audio(gateway, tmp_path, wav, content_type="audio/wav")
    response = await gateway.http.get(f"/tracks/{track_id}/stream?format=flac", headers=gateway.bearer())
    with av.open(io.BytesIO(response.content), "r") as opened:
        sound = b"".join(bytes(frame.planes[0])[: 2 * frame.samples] for frame in opened.decode(audio=0))
    assert sound == samples.tobytes()


async def test_original_that_fits_is_sent_as_it_is(gateway: Gateway, tmp_path: Path, flac: bytes) -> None:
    track_id = add_audio(gateway, tmp_path, flac, content_type="audio/flac", duration_seconds=3000.0)
    before = made(gateway)
    for query in ("maxBitRate=320", "format=flac", "format=raw&maxBitRate=32"):
        response = await gateway.http.get(f"/tracks/{track_id}/stream?{query}", headers=gateway.bearer())
        assert (response.content, response.headers["content-type"]) == (flac, "audio/flac")
    assert made(gateway) == before


async def test_many_who_ask_at_once_make_it_once(gateway: Gateway, tmp_path: Path, flac: bytes) -> None:
    track_id = add_audio(gateway, tmp_path, flac)
    path = f"/tracks/{track_id}/stream?format=mp3&maxBitRate=32"
    started: list[int] = []
    run = gateway.parts.transcoder._processes.run

    async def counting(source: int, sink: int, target: Target) -> None:
        started.append(source)
        await run(source, sink, target)

    gateway.parts.transcoder._processes.run = counting  # type: ignore[method-assign]  # to count
    try:
        answers = await asyncio.gather(*(gateway.http.get(path, headers=gateway.bearer()) for _ in range(5)))
        answers.append(await gateway.http.get(path, headers=gateway.bearer()))
    finally:
        gateway.parts.transcoder._processes.run = run  # type: ignore[method-assign]
    assert [answer.status_code for answer in answers] == [200] * 6
    assert len({answer.content for answer in answers}) == 1
    assert len(started) == 1


async def test_upload_is_transcoded_for_its_owner_and_kept_for_minutes(gateway: Gateway, flac: bytes) -> None:
    upload_id = await lend(gateway, flac)
    path = f"/uploads/{upload_id}/stream?format=ogg&maxBitRate=32"
    response = await gateway.http.get(path, headers=gateway.bearer())
    assert (response.status_code, response.headers["content-type"]) == (200, "audio/ogg")
    assert f"private-{hashlib.sha256(flac).hexdigest()}.ogg-32-1-av{version('av')}" in made(gateway)
    refused = await gateway.http.get(path, headers=gateway.bearer(sub="user-2"))
    assert refused.status_code == 404


async def test_address_asks_for_a_format(gateway: Gateway, tmp_path: Path, flac: bytes) -> None:
    track_id = add_audio(gateway, tmp_path, flac)
    await address(gateway, track_id)
    document = "query($id: ID!) { track(id: $id) { streamUrl(format: OGG, maxBitRate: 40) } }"
    url = (await gateway.data(document, {"id": track_id}))["track"]["streamUrl"]
    assert url.endswith("&format=ogg&maxBitRate=40")
    assert (await gateway.http.get(url)).headers[
        "etag"
    ] == f'"{hashlib.sha256(flac).hexdigest()}-ogg-32-1-av{version("av")}"'
    answer = await gateway.run("query($id: ID!) { track(id: $id) { streamUrl(maxBitRate: 5) } }", {"id": track_id})
    assert answer["errors"][0]["extensions"] == {
        "code": "INVALID_ARGUMENT",
        "reason": "BIT_RATE_OUT_OF_RANGE",
        "field": "maxBitRate",
        "value": "5",
        "limit": "32..320",
    }


async def test_wrong_wishes_are_refused(gateway: Gateway, tmp_path: Path, flac: bytes) -> None:
    track_id = add_audio(gateway, tmp_path, flac)
    for query, reason in (
        ("format=wav", "FORMAT_UNKNOWN"),
        ("format=mp3&maxBitRate=1", "BIT_RATE_OUT_OF_RANGE"),
        ("format=flac&maxBitRate=128", "BIT_RATE_OUT_OF_RANGE"),
    ):
        response = await gateway.http.get(f"/tracks/{track_id}/stream?{query}", headers=gateway.bearer())
        assert (response.status_code, response.json()["error"]["reason"]) == (400, reason)


async def test_file_that_does_not_decode_is_refused_and_not_tried_again(gateway: Gateway, tmp_path: Path) -> None:
    track_id = add_audio(gateway, tmp_path, b"ID3\x04" + os.urandom(20_000))
    path = f"/tracks/{track_id}/stream?format=ogg&maxBitRate=48"
    first = await gateway.http.get(path, headers=gateway.bearer())
    assert (first.status_code, first.json()["error"]["reason"]) == (409, "TRANSCODING_FAILED")
    path_of(gateway, track_id).unlink()
    again = await gateway.http.get(path, headers=gateway.bearer())
    assert again.json()["error"]["reason"] == "TRANSCODING_FAILED"
    assert not any(name.endswith(".unfinished") for name in made(gateway))


async def test_it_may_be_off(tmp_path: Path, flac: bytes) -> None:
    async with serving_gateway(tmp_path, transcodes_at_once=0) as gateway:
        track_id = add_audio(gateway, tmp_path, flac)
        response = await gateway.http.get(f"/tracks/{track_id}/stream?format=mp3", headers=gateway.bearer())
        assert (response.status_code, response.json()["error"]["reason"]) == (501, "TRANSCODING_OFF")
        assert (await gateway.http.get(f"/tracks/{track_id}/stream", headers=gateway.bearer())).content == flac


@pytest.mark.parametrize("kind", ["mp3", "ogg", "flac"])
async def test_copies_of_one_etag_are_the_same_bytes(tmp_path: Path, kind: str) -> None:
    song = write_recording(tmp_path / "a.ogg", "ogg")
    target = Target(AudioFormat(kind), 0 if kind == "flac" else 64)

    async def made_in(folder: str) -> bytes:
        transcoder = Transcoder(tmp_path / folder, 10**9, 1)
        descriptor = await transcoder.open("key", target, opening(song))
        await transcoder.close()
        with os.fdopen(descriptor, "rb") as file:
            return file.read()

    assert await made_in("one") == await made_in("another")


async def test_who_waits_too_long_is_told_to_come_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    song = write_recording(tmp_path / "a.flac", "flac")
    transcoder = Transcoder(tmp_path / "made", 10**9, 1)
    with monkeypatch.context() as patched:
        patched.setattr("services.gateway.transcoding.transcoder._PATIENCE_S", 0.0)
        with pytest.raises(DomainError) as told:
            await transcoder.open("key", MP3, opening(song))
    assert (told.value.code, told.value.reason) == ("UNAVAILABLE", "TRANSCODING_UNDER_WAY")
    os.close(await transcoder.open("key", MP3, opening(song)))
    assert [path.name for path in (tmp_path / "made").iterdir()] == [f"key.mp3-64-1-av{av.__version__}"]
    await transcoder.close()


async def test_folder_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "made").write_bytes(b"a file")
    song = write_recording(tmp_path / "a.flac", "flac")
    with pytest.raises(DomainError) as lost:
        await transcoded(tmp_path, song)
    assert (lost.value.code, lost.value.reason) == ("UNAVAILABLE", "TRANSCODING_LOST")


def opening(source: Path) -> Callable[[], Awaitable[int]]:
    async def open_source() -> int:
        return os.open(source, os.O_RDONLY)

    return open_source


async def transcoded(folder: Path, source: Path, **limits: float) -> int:
    """Transcode a file by itself; returns its size, or raises."""
    transcoder = Transcoder(folder / "made", 10**9, 1, TranscodeLimits(**limits))  # type: ignore[arg-type]
    try:
        descriptor = await transcoder.open("key", MP3, opening(source))
        os.close(descriptor)
        return (folder / "made" / f"key.{MP3.name}").stat().st_size
    finally:
        await transcoder.close()


@pytest.mark.parametrize(
    ("limits", "limit"), [({"max_seconds": 5}, "5"), ({"max_bytes": 20_000}, "20000"), ({"cpu_s": 1}, "1")]
)
async def test_file_that_costs_too_much_is_refused(tmp_path: Path, limits: dict[str, float], limit: str) -> None:
    silence = write_recording(tmp_path / "a.flac", "flac", make_samples(20).repeat(1 if "cpu_s" not in limits else 60))
    with pytest.raises(DomainError) as refused:
        await transcoded(tmp_path, silence, **limits)
    assert (refused.value.code, refused.value.reason) == ("RESOURCE_EXHAUSTED", "TRANSCODING_LIMIT")
    assert refused.value.limit == limit
    assert list((tmp_path / "made").iterdir()) == []


async def test_process_that_is_killed_is_told_and_the_next_try_works(tmp_path: Path) -> None:
    song = write_recording(tmp_path / "a.flac", "flac", make_samples(30))

    async def kill() -> None:
        async with asyncio.timeout(60):
            while not (found := children()):
                await asyncio.sleep(0.005)
        found[0].send_signal(signal.SIGKILL)

    killing = asyncio.create_task(kill())
    with pytest.raises(DomainError) as lost:
        await transcoded(tmp_path, song)
    await killing
    assert (lost.value.code, lost.value.reason) == ("UNAVAILABLE", "TRANSCODING_LOST")
    assert await transcoded(tmp_path, song) > 100_000
    assert children() == []


async def test_one_caller_gets_a_share_of_the_queue(tmp_path: Path) -> None:
    transcoder = Transcoder(tmp_path / "made", 10**9, 1)
    go_on = asyncio.Event()

    async def run(source: int, sink: int, target: Target) -> None:
        await go_on.wait()
        os.write(sink, b"made")

    async def open_source() -> int:
        return os.open("/dev/null", os.O_RDONLY)

    async def take(name: str, caller: str) -> None:
        os.close(await transcoder.open(name, MP3, open_source, caller=caller))

    transcoder._processes.run = run  # type: ignore[method-assign]  # one that takes as long as it is told
    waiting = [asyncio.create_task(take(str(number), "session-1")) for number in range(4)]
    async with asyncio.timeout(60):
        while len(transcoder._running) < 4:
            await asyncio.sleep(0.005)
        with pytest.raises(DomainError) as busy:
            await take("4", "session-1")
        assert (busy.value.reason, busy.value.limit) == ("TRANSCODER_BUSY", "4")
        # What is on its way already costs nobody a place, and another caller has places of their own.
        waiting += [
            asyncio.create_task(take(name, caller)) for name, caller in (("0", "session-1"), ("4", "session-2"))
        ]
        while len(transcoder._running) < 5:
            await asyncio.sleep(0.005)
        go_on.set()
        await asyncio.gather(*waiting)
        await take("5", "session-1")
    assert transcoder._of_caller == {}


async def test_those_beyond_the_queue_are_told_to_come_again(tmp_path: Path) -> None:
    transcoder = Transcoder(tmp_path / "made", 10**9, 1)
    go_on = asyncio.Event()

    async def run(source: int, sink: int, target: Target) -> None:
        await go_on.wait()
        os.write(sink, b"made")

    async def open_source() -> int:
        return os.open("/dev/null", os.O_RDONLY)

    transcoder._processes.run = run  # type: ignore[method-assign]  # one that takes as long as it is told
    waiting = [asyncio.create_task(transcoder.open(str(number), MP3, open_source)) for number in range(17)]
    while len(transcoder._running) < 17:
        await asyncio.sleep(0.005)
    with pytest.raises(DomainError) as busy:
        await transcoder.open("17", MP3, open_source)
    assert (busy.value.code, busy.value.reason, busy.value.limit) == ("UNAVAILABLE", "TRANSCODER_BUSY", "17")
    assert busy.value.retry_after_ms == 5000
    waiting[0].cancel()  # who leaves takes nothing from who comes again
    go_on.set()
    for descriptor in await asyncio.gather(*waiting[1:]):
        os.close(descriptor)
    os.close(await transcoder.open("0", MP3, open_source))
    await transcoder.close()


@pytest.fixture(autouse=True)
async def no_process_stays() -> AsyncIterator[None]:
    yield
    assert children() == []
