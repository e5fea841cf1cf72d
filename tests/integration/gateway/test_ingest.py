"""What ingest clients ask of the gateway: more of a registration, known files, missing ones, vectors in and out."""

import base64
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from museed.social.v1 import ingest_pb2
from tests.integration.gateway.conftest import Gateway
from tests.integration.gateway.test_mutations import DIGEST, ERROR, REGISTER, UNKNOWN, registration

pytestmark = pytest.mark.asyncio(loop_scope="module")

FILES = """query($rootId: ID!, $pageToken: String) { rootFiles(rootId: $rootId, pageSize: 7, pageToken: $pageToken) {
  files { trackId relativePathBase64 sizeBytes mtimeNs fileHash audioHash missingSince hasCover } nextPageToken } }"""
MARK = f"""mutation($input: MarkMissingInput!) {{ markMissing(input: $input) {{ __typename
  ... on MarkMissingSuccess {{ markedCount }} {ERROR} }} }}"""
VECTORS = """query($encoderId: String!, $rootId: ID, $pageToken: String) {
  storedVectors(encoderId: $encoderId, rootId: $rootId, pageToken: $pageToken) {
    vectors { audioHash vectorBase64 durationSeconds } nextPageToken } }"""
IMPORT = f"""mutation($input: ImportVectorsInput!) {{ importVectors(input: $input) {{ __typename
  ... on ImportVectorsSuccess {{ vectors {{ outcome reason message }} }} {ERROR} }} }}"""
MTIME = "1780000000123456789"


def encoded(path: bytes) -> str:
    return base64.b64encode(path).decode()


async def test_everything_that_a_source_says_reaches_social(gateway: Gateway) -> None:
    more: dict[str, Any] = {
        "genre": "Rock",
        "subGenres": ["Punk", "Garage"],
        "tags": ["loud"],
        "isrc": "KRA301900001",
        "musicbrainzRecordingId": UNKNOWN,
        "musicbrainzArtistId": UNKNOWN[:-1] + "1",
        "musicbrainzReleaseId": UNKNOWN[:-1] + "2",
        "licence": "CC BY",
        "source": "fma",
        "mtimeNs": MTIME,
        "hasCover": False,
        "previousPathBase64": encoded(b"caf\xe9.mp3"),
    }
    tracks = [registration(**more), registration(relativePath="bare.ogg")]
    await gateway.data(REGISTER, {"input": {"rootId": UNKNOWN, "tracks": tracks}}, gateway.bearer(role="admin"))
    first, bare = gateway.social.requests["RegisterTracks"].tracks
    assert (first.genre, list(first.sub_genres), list(first.tags)) == ("Rock", ["Punk", "Garage"], ["loud"])
    assert (first.isrc, first.musicbrainz_recording_id) == ("KRA301900001", UNKNOWN)
    assert (first.musicbrainz_artist_id[-1], first.musicbrainz_release_id[-1]) == ("1", "2")
    assert (first.licence, first.source, first.mtime_ns) == ("CC BY", "fma", int(MTIME))
    assert first.previous_path == b"caf\xe9.mp3"
    assert (first.has_cover, first.HasField("has_cover"), bare.HasField("has_cover")) == (False, True, False)
    assert (bare.genre, list(bare.tags), bare.mtime_ns, bare.previous_path) == ("", [], 0, b"")


@pytest.mark.parametrize(
    ("change", "code", "field"),
    [
        ({"mtimeNs": "-1"}, "NUMBER_INVALID", "tracks[0].mtimeNs"),
        ({"mtimeNs": "9223372036854775808"}, "NUMBER_INVALID", "tracks[0].mtimeNs"),
        ({"mtimeNs": "9" * 5_000}, "NUMBER_INVALID", "tracks[0].mtimeNs"),
        ({"mtimeNs": "١٢"}, "NUMBER_INVALID", "tracks[0].mtimeNs"),
        ({"previousPathBase64": "?"}, "PATH_INVALID", "tracks[0].previousPathBase64"),
    ],
)
async def test_malformed_additions_are_refused(gateway: Gateway, change: dict[str, Any], code: str, field: str) -> None:
    variables = {"input": {"rootId": UNKNOWN, "tracks": [registration(**change)]}}
    found = (await gateway.data(REGISTER, variables, gateway.bearer(role="admin")))["registerTracks"]
    assert (found["__typename"], found["code"], found["field"]) == ("InvalidInputError", code, field)
    assert gateway.behind.spent() == {}


async def test_known_files_are_paged(gateway: Gateway) -> None:
    since = Timestamp(seconds=1_780_000_000)
    known: dict[str, Any] = {
        "size_bytes": 5_000_000_000,
        "mtime_ns": int(MTIME),
        "file_hash": b"\1" * 32,
        "audio_hash": b"\2" * 32,
    }
    gateway.social.root_files = [
        ingest_pb2.RootFile(track_id=UNKNOWN, relative_path=b"caf\xe9.mp3", **known),
        ingest_pb2.RootFile(track_id=UNKNOWN, relative_path=b"gone.mp3", missing_since=since, has_cover=False, **known),
    ]
    admin = gateway.bearer(role="admin")
    first = (await gateway.data(FILES, {"rootId": UNKNOWN}, admin))["rootFiles"]
    assert first == {
        "files": [
            {
                "trackId": UNKNOWN,
                "relativePathBase64": encoded(b"caf\xe9.mp3"),
                "sizeBytes": 5_000_000_000,
                "mtimeNs": MTIME,
                "fileHash": "01" * 32,
                "audioHash": "02" * 32,
                "missingSince": None,
                "hasCover": None,
            }
        ],
        "nextPageToken": "1",
    }
    assert gateway.social.requests["ListRootFiles"].page_size == 7
    second = (await gateway.data(FILES, {"rootId": UNKNOWN, "pageToken": "1"}, admin))["rootFiles"]
    assert second["nextPageToken"] is None
    assert second["files"][0]["missingSince"] == "2026-05-28T20:26:40+00:00"
    assert second["files"][0]["hasCover"] is False


async def test_missing_files_are_passed_on_in_their_own_bytes(gateway: Gateway) -> None:
    admin = gateway.bearer(role="admin")
    given = {"rootId": UNKNOWN, "relativePathsBase64": [encoded(b"caf\xe9.mp3"), encoded(b"b")]}
    found = (await gateway.data(MARK, {"input": given}, admin))["markMissing"]
    assert found == {"__typename": "MarkMissingSuccess", "markedCount": 2}
    assert list(gateway.social.requests["MarkMissing"].relative_paths) == [b"caf\xe9.mp3", b"b"]
    gateway.behind.spent()
    for paths, code in (([encoded(b"a")] * 501, "TOO_MANY_PATHS"), (["?"], "PATH_INVALID")):
        given = {"rootId": UNKNOWN, "relativePathsBase64": paths}
        refused = (await gateway.data(MARK, {"input": given}, admin))["markMissing"]
        assert (refused["__typename"], refused["code"]) == ("InvalidInputError", code)
    forbidden = await gateway.data(MARK, {"input": given | {"relativePathsBase64": ["YQ=="]}}, gateway.bearer())
    assert forbidden["markMissing"]["__typename"] == "ForbiddenError"
    assert gateway.behind.spent() == {}


async def test_vectors_go_out_and_in(gateway: Gateway) -> None:
    admin = gateway.bearer(role="admin")
    page = (await gateway.data(VECTORS, {"encoderId": "mini-1", "rootId": UNKNOWN}, admin))["storedVectors"]
    vector = {"audioHash": DIGEST, "vectorBase64": encoded(b"\0\0\x80?"), "durationSeconds": 61.5}
    assert page == {"vectors": [vector], "nextPageToken": "on"}
    asked = gateway.social.requests["ListEmbeddings"]
    assert (asked.encoder_id, asked.root_id, asked.page_size) == ("mini-1", UNKNOWN, 100)
    vectors = [vector, {"audioHash": DIGEST, "vectorBase64": ""}]
    done = (await gateway.data(IMPORT, {"input": {"encoderId": "mini-1", "vectors": vectors}}, admin))["importVectors"]
    assert done["vectors"] == [
        {"outcome": "STORED", "reason": None, "message": None},
        {"outcome": "REFUSED", "reason": "DIMENSION_MISMATCH", "message": "vector has 0 bytes"},
    ]
    sent = gateway.social.requests["ImportEmbeddings"]
    assert [(one.audio_hash, one.vector, one.duration_seconds) for one in sent.embeddings] == [
        (b"\xab" * 32, b"\0\0\x80?", 61.5),
        (b"\xab" * 32, b"", 0.0),
    ]
    gateway.behind.spent()
    for bad, code in (([vector] * 501, "TOO_MANY_VECTORS"), ([vector | {"audioHash": "x"}], "HASH_INVALID"),
                      ([vector | {"vectorBase64": "?"}], "VECTOR_INVALID")):  # fmt: skip
        refused = await gateway.data(IMPORT, {"input": {"encoderId": "mini-1", "vectors": bad}}, admin)
        assert refused["importVectors"]["code"] == code
    assert gateway.behind.spent() == {}
