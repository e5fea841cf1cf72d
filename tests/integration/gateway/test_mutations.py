"""Mutations over HTTP: what they send upstream, what they return, and the union member of each refusal."""

import base64
from typing import Any

import pytest

from museed.social.v1 import jobs_pb2, playlists_pb2
from services.chassis import errors
from services.chassis.errors import DomainError
from tests.fakes.upstreams import new_id
from tests.integration.gateway.conftest import Gateway

pytestmark = pytest.mark.asyncio(loop_scope="module")

ERROR = "... on UserError { code message field value limit retryAfterMs }"
SIGN_UP = f"""mutation($input: SignUpInput!) {{ signUp(input: $input) {{ __typename
  ... on SignUpSuccess {{
    viewer {{ user {{ username }} email role }} tokens {{ accessToken refreshToken accessExpiresAt }}
  }}
  {ERROR} }} }}"""
LOG_IN = f"""mutation($input: LogInInput!) {{ logIn(input: $input) {{ __typename
  ... on LogInSuccess {{ viewer {{ user {{ username }} }} tokens {{ accessToken }} }} {ERROR} }} }}"""
GENERATE = f"""mutation($input: GeneratePlaylistInput!) {{ generatePlaylist(input: $input) {{ __typename
  ... on GeneratePlaylistSuccess {{
    job {{ jobId state progress isFinished attempt }}
    playlist {{ title visibility entries {{ nodes {{ position track {{ title }} }} }} }}
  }}
  {ERROR} }} }}"""
UNKNOWN = "0190a000-0000-7000-8000-000000000000"
DIGEST = "ab" * 32


def refusal(typename: str, code: str, message: str, **more: Any) -> dict[str, Any]:
    return {
        "__typename": typename,
        "code": code,
        "message": message,
        "field": None,
        "value": None,
        "limit": None,
        "retryAfterMs": None,
    } | more


async def test_sign_up_returns_the_account_logged_in(gateway: Gateway) -> None:
    account = {"username": "mina", "email": "mina@example.org", "password": "correct horse"}
    found = (await gateway.data(SIGN_UP, {"input": account}))["signUp"]
    token = found["tokens"].pop("accessToken")
    assert found == {
        "__typename": "SignUpSuccess",
        "viewer": {"user": {"username": "mina"}, "email": "mina@example.org", "role": "USER"},
        "tokens": {"refreshToken": "refresh-mina", "accessExpiresAt": "2026-01-02T03:19:05+00:00"},
    }
    me = await gateway.data("{ me { email } }", headers={"Authorization": f"Bearer {token}"})
    assert me == {"me": {"email": "mina@example.org"}}
    assert gateway.social.requests["SignUp"].idempotency_key == ""
    again = (await gateway.data(SIGN_UP, {"input": account | {"idempotencyKey": "of mine"}}))["signUp"]
    assert gateway.social.requests["SignUp"].idempotency_key == "of mine"
    assert again == refusal(
        "AlreadyExistsError", "USERNAME_TAKEN", "this username is taken", field="username", value="mina"
    )


async def test_wrong_password_is_a_member_of_the_union(gateway: Gateway) -> None:
    found = await gateway.data(LOG_IN, {"input": {"login": "mina", "password": "wrong"}})
    assert found["logIn"] == refusal(
        "UnauthenticatedError", "LOGIN_FAILED", "no such account, or another password", field="login"
    )


async def test_refresh_works_under_a_dead_token_and_log_out_ends_the_session(gateway: Gateway) -> None:
    dead = gateway.bearer(exp=1)
    document = """mutation($input: RefreshInput!) { refresh(input: $input) { ... on RefreshSuccess {
      viewer { user { username } } tokens { accessToken } } } }"""
    found = (await gateway.data(document, {"input": {"refreshToken": "refresh-mina"}}, dead))["refresh"]
    headers = {"Authorization": f"Bearer {found['tokens']['accessToken']}"}
    out = await gateway.data("mutation { logOut { ... on LogOutSuccess { isLoggedOut } } }", headers=headers)
    assert out == {"logOut": {"isLoggedOut": True}}
    assert gateway.social.revoked == ["session-1"]


async def test_generate_playlist_sends_the_whole_recipe_and_returns_it_done(gateway: Gateway) -> None:
    seed, other, excluded = gateway.social.add_tracks(3)
    global_id = base64.b64encode(f"Track:{other.track_id}".encode()).decode()
    recipe = {
        "seeds": [{"trackId": seed.track_id, "weight": 2.5}, {"trackId": global_id}],
        "length": 2,
        "maxPerArtist": 1,
        "includeSeed": False,
        "minSimilarity": -0.5,
        "excludeTrackIds": [excluded.track_id],
        "title": "Evening",
        "visibility": "UNLISTED",
        "idempotencyKey": "key-1",
    }
    found = (await gateway.data(GENERATE, {"input": recipe}, gateway.bearer()))["generatePlaylist"]
    assert gateway.behind.spent() == {"CreateGenerationJob": 1, "GetPlaylist": 1, "BatchGetTracks": 1}
    job_id = found["job"].pop("jobId")
    assert found == {
        "__typename": "GeneratePlaylistSuccess",
        "job": {"state": "SUCCEEDED", "progress": 1.0, "isFinished": True, "attempt": 1},
        "playlist": {
            "title": "Like Track 000",
            "visibility": "PRIVATE",
            "entries": {
                "nodes": [
                    {"position": 0, "track": {"title": "Track 000"}},
                    {"position": 1, "track": {"title": "Track 001"}},
                ]
            },
        },
    }
    assert gateway.social.requests["CreateGenerationJob"] == jobs_pb2.CreateGenerationJobRequest(
        idempotency_key="key-1",
        recipe=jobs_pb2.Recipe(
            seeds=[
                jobs_pb2.GenerationSeed(track_id=seed.track_id, weight=2.5),
                jobs_pb2.GenerationSeed(track_id=other.track_id, weight=1.0),
            ],
            length=2,
            max_per_artist=1,
            include_seed=False,
            min_similarity=-0.5,
            exclude_track_ids=[excluded.track_id],
        ),
        title="Evening",
        visibility=playlists_pb2.VISIBILITY_UNLISTED,
        wait_ms=1500,
    )
    read = await gateway.data(
        "query($id: ID!) { job(id: $id, waitMs: 200) { state playlist { title } } }", {"id": job_id}, gateway.bearer()
    )
    assert read == {"job": {"state": "SUCCEEDED", "playlist": {"title": "Like Track 000"}}}
    assert gateway.social.requests["GetJob"].wait_ms == 200


async def test_least_recipe_leaves_every_default_to_social(gateway: Gateway) -> None:
    (seed,) = gateway.social.add_tracks(1)
    for _ in range(2):
        await gateway.data(GENERATE, {"input": {"seeds": [{"trackId": seed.track_id}]}}, gateway.bearer())
    sent = gateway.social.requests["CreateGenerationJob"]
    assert len(sent.idempotency_key) == 36
    sent.idempotency_key = ""
    assert sent == jobs_pb2.CreateGenerationJobRequest(
        recipe=jobs_pb2.Recipe(seeds=[jobs_pb2.GenerationSeed(track_id=seed.track_id, weight=1)]), wait_ms=1500
    )
    assert len(gateway.social.jobs) == 2


async def test_uploaded_seed_comes_back_under_way_and_can_be_called_off(gateway: Gateway) -> None:
    upload_id = new_id()
    found = await gateway.data(GENERATE, {"input": {"seeds": [{"uploadId": upload_id}]}}, gateway.bearer())
    job_id = found["generatePlaylist"]["job"]["jobId"]
    assert found["generatePlaylist"]["playlist"] is None
    assert found["generatePlaylist"]["job"]["state"] == "QUEUED"
    assert gateway.social.requests["CreateGenerationJob"].recipe.seeds[0].upload_id == upload_id
    document = (
        "mutation($input: CancelJobInput!) { cancelJob(input: $input) { ... on CancelJobSuccess { job { state } } } }"
    )
    cancelled = await gateway.data(document, {"input": {"jobId": job_id}}, gateway.bearer())
    assert cancelled == {"cancelJob": {"job": {"state": "CANCELLED"}}}


SEED = {"trackId": UNKNOWN}


@pytest.mark.parametrize(
    ("recipe", "wanted", "calls"),
    [
        (
            {"seeds": []},
            refusal("InvalidInputError", "SEEDS_EMPTY", "a playlist needs a seed", field="seeds", limit="20"),
            1,
        ),
        (
            {"seeds": [SEED], "length": 10_000},
            refusal(
                "InvalidInputError",
                "LENGTH_OUT_OF_RANGE",
                "length is 10000, it must be 1 to 500",
                field="length",
                value="10000",
                limit="500",
            ),
            1,
        ),
        (
            {"seeds": [SEED], "length": 0},
            refusal(
                "InvalidInputError",
                "LENGTH_OUT_OF_RANGE",
                "length is 0, it must be 1 to 500",
                field="length",
                value="0",
                limit="500",
            ),
            1,
        ),
        (
            {"seeds": [SEED]},
            refusal(
                "NotFoundError",
                "TRACK_NOT_FOUND",
                "there is no such track",
                field="seeds[0].trackId",
                value=UNKNOWN,
            ),
            1,
        ),
        (
            {"seeds": [SEED, {"trackId": UNKNOWN, "uploadId": UNKNOWN}]},
            refusal(
                "InvalidInputError", "SEED_AMBIGUOUS", "a seed is one of trackId, uploadId and words", field="seeds[1]"
            ),
            0,
        ),
        (
            {"seeds": [{"weight": 1.0}]},
            refusal(
                "InvalidInputError", "SEED_AMBIGUOUS", "a seed is one of trackId, uploadId and words", field="seeds[0]"
            ),
            0,
        ),
        (
            {"seeds": [SEED | {"weight": 0}]},
            refusal(
                "InvalidInputError",
                "WEIGHT_OUT_OF_RANGE",
                "weight is 0, it must be −10 to 10 and not 0",
                field="seeds[0].weight",
                value="0",
                limit="10",
            ),
            0,
        ),
        (
            {"seeds": [{"trackId": "x"}]},
            refusal("InvalidInputError", "ID_INVALID", "this is not an id", field="seeds[0].trackId", value="x"),
            0,
        ),
        (
            {"seeds": [SEED], "excludeTrackIds": [UNKNOWN, "y"]},
            refusal("InvalidInputError", "ID_INVALID", "this is not an id", field="excludeTrackIds[1]", value="y"),
            0,
        ),
    ],
)
async def test_refused_recipe_names_the_input_and_makes_nothing(
    gateway: Gateway, recipe: dict[str, Any], wanted: dict[str, Any], calls: int
) -> None:
    found = await gateway.data(GENERATE, {"input": recipe}, gateway.bearer())
    assert found["generatePlaylist"] == wanted
    assert gateway.behind.spent() == ({"CreateGenerationJob": calls} if calls else {})
    assert gateway.social.jobs == {}


@pytest.mark.parametrize(
    ("error", "typename"),
    [
        (errors.InvalidArgument("no"), "InvalidInputError"),
        (errors.NotFound("no"), "NotFoundError"),
        (errors.AlreadyExists("no"), "AlreadyExistsError"),
        (errors.FailedPrecondition("no"), "ConflictError"),
        (errors.Aborted("no"), "ConflictError"),
        (errors.Unauthenticated("no"), "UnauthenticatedError"),
        (errors.PermissionDenied("no"), "ForbiddenError"),
        (errors.ResourceExhausted("no"), "LimitReachedError"),
        (errors.DeadlineExceeded("no"), "UnavailableError"),
        (errors.Unavailable("no"), "UnavailableError"),
        (errors.Unimplemented("no"), "UnavailableError"),
    ],
)
async def test_every_upstream_error_is_a_member_of_the_union(
    gateway: Gateway, error: DomainError, typename: str
) -> None:
    error.retry_after_ms = 250
    gateway.social.faults["LogIn"] = error
    found = await gateway.data(LOG_IN, {"input": {"login": "mina", "password": "correct horse"}})
    assert found["logIn"] == refusal(typename, error.reason, "no", retryAfterMs=250)


async def test_refused_refresh_is_about_its_input(gateway: Gateway) -> None:
    gateway.social.faults["RefreshSession"] = errors.Unauthenticated("log in again", reason="SESSION_REVOKED")
    document = f"mutation($input: RefreshInput!) {{ refresh(input: $input) {{ __typename {ERROR} }} }}"
    found = await gateway.data(document, {"input": {"refreshToken": "used"}})
    assert found["refresh"] == refusal("UnauthenticatedError", "SESSION_REVOKED", "log in again")


@pytest.mark.parametrize("reason", ["TOKEN_EXPIRED", "TOKEN_INVALID", "SESSION_REVOKED"])
async def test_what_upstream_says_of_the_token_is_a_top_level_error(gateway: Gateway, reason: str) -> None:
    gateway.social.faults["CreateGenerationJob"] = errors.Unauthenticated("log in again", reason=reason)
    body = await gateway.run(GENERATE, {"input": {"seeds": [SEED]}}, gateway.bearer())
    assert body["data"] is None
    assert body["errors"][0]["extensions"] == {"code": "UNAUTHENTICATED", "reason": reason}


async def test_upstream_fault_is_masked_with_an_id_that_finds_the_log_line(
    gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    gateway.social.faults["LogIn"] = RuntimeError("SELECT password FROM accounts")
    response = await gateway.http.post(
        "/graphql",
        json={"query": LOG_IN, "variables": {"input": {"login": "mina", "password": "correct horse"}}},
        headers={"museed-request-id": "request-77"},
    )
    body = response.json()
    assert body.pop("extensions").keys() == {"cost"}
    assert body == {
        "data": None,
        "errors": [
            {
                "message": "internal error, its id is request-77",
                "locations": [{"line": 1, "column": 33}],
                "path": ["logIn"],
                "extensions": {"code": "INTERNAL", "reason": "INTERNAL", "errorId": "request-77"},
            }
        ],
    }
    assert response.headers["museed-request-id"] == "request-77"
    assert "unexpected_error" in {record.message for record in caplog.records}


async def test_update_changes_what_is_given_and_a_stale_version_is_a_conflict(gateway: Gateway) -> None:
    playlist = gateway.social.add_playlist([])
    document = f"""mutation($input: UpdatePlaylistInput!) {{ updatePlaylist(input: $input) {{ __typename
      ... on UpdatePlaylistSuccess {{ playlist {{ title description visibility version }} }} {ERROR} }} }}"""
    change = {"playlistId": playlist.playlist_id, "version": 1, "title": "New", "visibility": "PRIVATE"}
    found = await gateway.data(document, {"input": change}, gateway.bearer())
    assert found["updatePlaylist"] == {
        "__typename": "UpdatePlaylistSuccess",
        "playlist": {"title": "New", "description": "", "visibility": "PRIVATE", "version": 2},
    }
    stale = await gateway.data(document, {"input": change | {"title": "Newer"}}, gateway.bearer())
    assert stale["updatePlaylist"] == refusal(
        "ConflictError", "VERSION_CONFLICT", "the playlist was edited since", field="version", value="1"
    )
    assert playlist.playlist_id in gateway.social.playlists
    assert gateway.social.playlists[playlist.playlist_id].playlist.title == "New"


async def test_delete_is_for_the_owner(gateway: Gateway) -> None:
    playlist = gateway.social.add_playlist([])
    document = f"""mutation($input: DeletePlaylistInput!) {{ deletePlaylist(input: $input) {{ __typename
      ... on DeletePlaylistSuccess {{ deletedPlaylistId }} {ERROR} }} }}"""
    input_ = {"input": {"playlistId": base64.b64encode(f"Playlist:{playlist.playlist_id}".encode()).decode()}}
    foreign = await gateway.data(document, input_, gateway.bearer(sub="somebody-else"))
    assert foreign["deletePlaylist"]["__typename"] == "NotFoundError"
    guest = await gateway.data(document, input_)
    assert guest["deletePlaylist"] == refusal("UnauthenticatedError", "LOGIN_REQUIRED", "log in first")
    assert playlist.playlist_id in gateway.social.playlists
    own = await gateway.data(document, input_, gateway.bearer())
    assert own["deletePlaylist"] == {
        "__typename": "DeletePlaylistSuccess",
        "deletedPlaylistId": playlist.playlist_id,
    }
    assert gateway.social.playlists == {}


REGISTER = f"""mutation($input: RegisterTracksInput!) {{ registerTracks(input: $input) {{ __typename
  ... on RegisterTracksSuccess {{ tracks {{ trackId outcome embeddingState reason message }} }} {ERROR} }} }}"""


def registration(**more: Any) -> dict[str, Any]:
    return {
        "relativePath": "a/b.ogg",
        "fileHash": DIGEST,
        "audioHash": DIGEST.upper(),
        "sizeBytes": 5_000_000_000,
        "contentType": "audio/ogg",
        "durationSeconds": 61.5,
    } | more


async def test_tracks_are_registered_with_any_path_and_size(gateway: Gateway) -> None:
    odd = base64.b64encode(b"caf\xe9.mp3").decode()
    tracks = [
        registration(title="T", artist="A", album="B", rawGenre="G", year=2001),
        registration(relativePath=None, relativePathBase64=odd, sizeBytes="17"),
        registration(relativePath="좋은 날.flac", contentType="text/plain"),
    ]
    headers = gateway.bearer(role="admin")
    found = await gateway.data(REGISTER, {"input": {"rootId": UNKNOWN, "tracks": tracks}}, headers)
    outcomes = found["registerTracks"]["tracks"]
    assert [outcome.pop("trackId") is None for outcome in outcomes] == [False, False, True]
    created = {"outcome": "CREATED", "embeddingState": "PENDING", "reason": None, "message": None}
    refused = {
        "outcome": "REFUSED",
        "embeddingState": None,
        "reason": "NOT_AUDIO",
        "message": "this is not audio",
    }
    assert outcomes == [created, created, refused]
    sent = gateway.social.requests["RegisterTracks"]
    assert sent.root_id == UNKNOWN
    first, second, third = sent.tracks
    assert (first.title, first.artist, first.album, first.raw_genre, first.year) == ("T", "A", "B", "G", 2001)
    assert (first.size_bytes, first.duration_seconds, first.content_type) == (5_000_000_000, 61.5, "audio/ogg")
    assert (first.file_hash, first.audio_hash) == (b"\xab" * 32, b"\xab" * 32)
    assert (second.relative_path, second.size_bytes) == (b"caf\xe9.mp3", 17)
    assert third.relative_path == "좋은 날.flac".encode()


async def test_five_hundred_full_registrations_fit_in_one_call(gateway: Gateway) -> None:
    names = {"title": "t" * 200, "artist": "a" * 200, "album": "b" * 200, "rawGenre": "g" * 50, "year": 2000}
    tracks = [registration(relativePath=f"{'d' * 200}/{number}.ogg", **names) for number in range(500)]
    headers = gateway.bearer(role="admin")
    found = await gateway.data(REGISTER, {"input": {"rootId": UNKNOWN, "tracks": tracks}}, headers)
    assert len(found["registerTracks"]["tracks"]) == 500
    assert gateway.behind.spent() == {"RegisterTracks": 1}
    many = await gateway.data(REGISTER, {"input": {"rootId": UNKNOWN, "tracks": tracks + tracks[:1]}}, headers)
    assert many["registerTracks"] == refusal(
        "InvalidInputError",
        "TOO_MANY_TRACKS",
        "501 tracks, the limit is 500",
        field="tracks",
        value="501",
        limit="500",
    )
    assert gateway.behind.spent() == {}


@pytest.mark.parametrize(
    ("change", "code", "field"),
    [
        ({"fileHash": "ab"}, "HASH_INVALID", "tracks[1].fileHash"),
        ({"audioHash": "zz" * 32}, "HASH_INVALID", "tracks[1].audioHash"),
        ({"relativePath": None}, "PATH_AMBIGUOUS", "tracks[1].relativePath"),
        ({"relativePathBase64": "YQ=="}, "PATH_AMBIGUOUS", "tracks[1].relativePath"),
        ({"relativePath": None, "relativePathBase64": "?"}, "PATH_INVALID", "tracks[1].relativePathBase64"),
    ],
)
async def test_malformed_registration_is_refused_before_social(
    gateway: Gateway, change: dict[str, Any], code: str, field: str
) -> None:
    tracks = [registration(), registration(**change)]
    found = await gateway.data(REGISTER, {"input": {"rootId": UNKNOWN, "tracks": tracks}}, gateway.bearer(role="admin"))
    assert found["registerTracks"]["__typename"] == "InvalidInputError"
    assert (found["registerTracks"]["code"], found["registerTracks"]["field"]) == (code, field)
    assert gateway.behind.spent() == {}


async def test_only_admins_register(gateway: Gateway) -> None:
    document = f"""mutation($input: RegisterRootInput!) {{ registerRoot(input: $input) {{ __typename
      ... on RegisterRootSuccess {{ rootId root {{ id location trackCount missingCount }} }} {ERROR} }} }}"""
    found = await gateway.data(document, {"input": {"location": "/music"}}, gateway.bearer())
    assert found["registerRoot"]["__typename"] == "ForbiddenError"
    assert gateway.behind.spent() == {}
    found = await gateway.data(document, {"input": {"location": "/music"}}, gateway.bearer(role="admin"))
    assert found["registerRoot"] == {
        "__typename": "RegisterRootSuccess",
        "rootId": "0190a000-0000-7000-8000-00000000000a",
        "root": {
            "id": base64.b64encode(b"Root:0190a000-0000-7000-8000-00000000000a").decode(),
            "location": "/music",
            "trackCount": 3,
            "missingCount": 1,
        },
    }
    assert gateway.social.requests["RegisterRoot"].location == "/music"
