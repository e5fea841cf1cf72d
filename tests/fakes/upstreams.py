"""Social and the retriever as a caller sees them, in memory behind real sockets, with every call counted.

A test puts tracks, playlists, jobs and faults in, and reads afterwards which RPCs were made.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import grpc
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.timestamp_pb2 import Timestamp
from uuid_utils.compat import uuid7

import services.gateway.clients  # noqa: F401  # loads the contracts of every service
from museed.retriever.v1 import retriever_pb2
from museed.social.v1 import (
    accounts_pb2,
    catalog_pb2,
    encoders_pb2,
    jobs_pb2,
    playlists_pb2,
    uploads_pb2,
    work_pb2,
)
from services.chassis import auth
from services.chassis.errors import (
    Aborted,
    AlreadyExists,
    InvalidArgument,
    NotFound,
    Unauthenticated,
)
from services.chassis.server import Server, time_left_s
from services.chassis.tokens import TokenVerifier
from services.gateway import clients as every_contract
from services.retriever.servicer import profile_servicer, reference_servicer, servicer
from services.social.servicer import access as social_access
from tests.fakes.answers import NOW, made_up
from tests.fakes.ingest import FakeIngest
from tests.fakes.playlists import FakePlaylists
from tests.fakes.tokens import TokenSigner

SOCIAL_ACCESS = social_access.ACCESS
RETRIEVER_ACCESS = servicer.ACCESS | profile_servicer.ACCESS | reference_servicer.ACCESS
_SOCIAL_PACKAGE, _RETRIEVER_PACKAGE = "museed.social.v1", "museed.retriever.v1"
# What the gateway can call is loaded by whoever imports its stubs.
_STUBS = every_contract.Upstream
# Not what a document costs: the gateway asks for them in the background.
_BACKGROUND = frozenset({"GetJwks", "ListRevokedSessions"})
_NEVER_MADE_UP = _BACKGROUND | {"GetViewer"}


def new_id() -> str:
    return str(uuid7())


def timestamp(moment: datetime = NOW) -> Timestamp:
    made = Timestamp()
    made.FromDatetime(moment)
    return made


def make_track(title: str, **more: Any) -> catalog_pb2.Track:
    fields: dict[str, Any] = {
        "track_id": new_id(),
        "title": title,
        "artist": "Somebody",
        "album": "Something",
        "genre": "Rock",
        "raw_genre": "punk",
        "year": 1999,
        "duration_seconds": 123.5,
        "tags": [catalog_pb2.Tag(name="guitar", score=0.5)],
        "embedding_state": catalog_pb2.EMBEDDING_STATE_INDEXED,
        "created_at": timestamp(),
    }
    return catalog_pb2.Track(**(fields | more))


class _Fake:
    """Counts calls, waits and fails where a test says so.

    What no method answers is answered by `answers`, by the name of the RPC: a message, or a function of the request.
    What is not there either is made up: every field set, `list_size` items in each list, the ids that were asked for.
    `is_made_up` makes everything up, whatever methods there are, but who asks and what proves it.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self.calls: Counter[str] = Counter()
        self.requests: dict[str, Any] = {}
        self.faults: dict[str, Exception] = {}
        self.delays_s: dict[str, float] = {}
        self.gates: dict[str, asyncio.Event] = {}
        self.seen_time_left_s: dict[str, float | None] = {}
        self.seen_tokens: dict[str, str] = {}
        self.seen_clients: dict[str, str] = {}
        self.seen_programs: dict[str, str] = {}
        self.answers: dict[str, Message | Callable[[Any], Message]] = {}
        self.list_size = 3
        self.is_made_up = False

    async def answer(self, method: MethodDescriptor, request: Any) -> Message:
        """Answer what no method of this class answers."""
        await self.note(method.name, request)
        answer = self.answers.get(method.name)
        if answer is None:
            return made_up(method.output_type, self.list_size, request)
        return answer if isinstance(answer, Message) else answer(request)

    async def note(self, name: str, request: Any) -> None:
        self.calls[name] += 1
        self.requests[name] = request
        self.seen_time_left_s[name] = time_left_s()
        self.seen_tokens[name] = auth.bearer_token()
        self.seen_clients[name] = auth.client()
        if name in self.delays_s:
            await asyncio.sleep(self.delays_s[name])
        if name in self.gates:
            await self.gates[name].wait()
        if name in self.faults:
            raise self.faults[name]

    def spent(self) -> dict[str, int]:
        """Return the calls that documents cost since the last time, and forget them."""
        found = {name: count for name, count in self.calls.items() if name not in _BACKGROUND}
        self.calls.clear()
        return found


class FakeSocial(_Fake, FakeIngest, FakePlaylists):
    """All of social's services: what is written here over dictionaries, everything else made up (see `_Fake`)."""

    def __init__(self, signer: TokenSigner) -> None:
        self.signer = signer
        super().__init__()

    def reset(self) -> None:
        super().reset()
        self.tracks: dict[str, catalog_pb2.Track] = {}
        self.media: dict[str, catalog_pb2.GetTrackMediaResponse] = {}
        self.playlists: dict[str, playlists_pb2.GetPlaylistResponse] = {}
        self.jobs: dict[str, tuple[str, jobs_pb2.Job]] = {}
        self.users: dict[str, accounts_pb2.User] = {}
        self.failures: list[catalog_pb2.FailedTrack] = []
        self.left_upload_bytes = 2**40
        self.blocked_tracks: set[str] = set()
        self.play_count = 0
        self.root_files = []
        self.revoked: list[str] = []
        self.encoders: list[encoders_pb2.Encoder] = []
        self.streams: list[work_pb2.Stream] = []
        self.letters: list[work_pb2.DeadLetter] = []

    def add_tracks(self, count: int) -> list[catalog_pb2.Track]:
        made = [make_track(f"Track {number:03}") for number in range(count)]
        self.tracks |= {track.track_id: track for track in made}
        return made

    def add_user(self, username: str) -> accounts_pb2.User:
        user = accounts_pb2.User(user_id=new_id(), username=username, nickname=username.title(), created_at=timestamp())
        self.users[user.user_id] = user
        return user

    def add_playlist(
        self,
        tracks: Iterable[catalog_pb2.Track],
        owner_id: str = "user-1",
        visibility: playlists_pb2.Visibility.ValueType = playlists_pb2.VISIBILITY_PUBLIC,
    ) -> playlists_pb2.Playlist:
        entries = [
            playlists_pb2.PlaylistEntry(
                entry_id=new_id(),
                track_id=track.track_id,
                position=number,
                is_seed=number == 0,
                similarity=1 - number / 64,
                shared_tags=["guitar"],
            )
            for number, track in enumerate(tracks)
        ]
        playlist = playlists_pb2.Playlist(
            playlist_id=new_id(),
            owner_id=owner_id,
            title="Like Track 000",
            visibility=visibility,
            entry_count=len(entries),
            duration_seconds=123.5 * len(entries),
            encoder_id="fake-0123456789abcdef",
            version=1,
            created_at=timestamp(),
            updated_at=timestamp(),
        )
        self.playlists[playlist.playlist_id] = playlists_pb2.GetPlaylistResponse(playlist=playlist, entries=entries)
        return playlist

    def add_job(self, owner_id: str = "user-1", **more: Any) -> jobs_pb2.Job:
        fields: dict[str, Any] = {
            "job_id": new_id(),
            "state": jobs_pb2.JOB_STATE_QUEUED,
            "attempt": 0,
            "created_at": timestamp(),
        }
        job = jobs_pb2.Job(**(fields | more))
        self.jobs[job.job_id] = (owner_id, job)
        return job

    def move_job(self, job_id: str, state: jobs_pb2.JobState.ValueType, progress: float, **more: Any) -> None:
        owner_id, job = self.jobs[job_id]
        moved = jobs_pb2.Job()
        moved.CopyFrom(job)
        moved.MergeFrom(jobs_pb2.Job(state=state, progress=progress, **more))
        self.jobs[job_id] = (owner_id, moved)

    def _logged_in(self, username: str, role: str = "user") -> dict[str, Any]:
        user = next((user for user in self.users.values() if user.username == username), None)
        user = user or self.add_user(username)
        viewer = accounts_pb2.Viewer(user=user, email=f"{username}@example.org", role=role)
        tokens = accounts_pb2.TokenPair(
            access_token=self.signer.token(sub=user.user_id, role=role),
            access_expires_at=timestamp(NOW + timedelta(minutes=15)),
            refresh_token=f"refresh-{username}",
            refresh_expires_at=timestamp(NOW + timedelta(days=30)),
        )
        return {"viewer": viewer, "tokens": tokens}

    async def SignUp(self, request: accounts_pb2.SignUpRequest, context: object) -> accounts_pb2.SignUpResponse:
        await self.note("SignUp", request)
        if any(user.username == request.username for user in self.users.values()):
            raise AlreadyExists(
                "this username is taken", reason="USERNAME_TAKEN", field="username", value=request.username
            )
        return accounts_pb2.SignUpResponse(**self._logged_in(request.username))

    async def LogIn(self, request: accounts_pb2.LogInRequest, context: object) -> accounts_pb2.LogInResponse:
        await self.note("LogIn", request)
        if request.password != "correct horse":
            raise Unauthenticated("no such account, or another password", reason="LOGIN_FAILED", field="login")
        return accounts_pb2.LogInResponse(**self._logged_in(request.login))

    async def RefreshSession(
        self, request: accounts_pb2.RefreshSessionRequest, context: object
    ) -> accounts_pb2.RefreshSessionResponse:
        await self.note("RefreshSession", request)
        return accounts_pb2.RefreshSessionResponse(**self._logged_in(request.refresh_token.removeprefix("refresh-")))

    async def LogOut(self, request: accounts_pb2.LogOutRequest, context: object) -> accounts_pb2.LogOutResponse:
        await self.note("LogOut", request)
        self.revoked.append(auth.require_viewer().session_id)
        return accounts_pb2.LogOutResponse()

    async def GetViewer(
        self, request: accounts_pb2.GetViewerRequest, context: object
    ) -> accounts_pb2.GetViewerResponse:
        await self.note("GetViewer", request)
        who = auth.require_viewer()
        user = accounts_pb2.User(user_id=who.user_id, username="mina", nickname="Mina", created_at=timestamp())
        return accounts_pb2.GetViewerResponse(
            viewer=accounts_pb2.Viewer(user=user, email="mina@example.org", role=who.role)
        )

    async def BatchGetUsers(
        self, request: accounts_pb2.BatchGetUsersRequest, context: object
    ) -> accounts_pb2.BatchGetUsersResponse:
        await self.note("BatchGetUsers", request)
        found = [self.users[user_id] for user_id in request.user_ids if user_id in self.users]
        return accounts_pb2.BatchGetUsersResponse(users=found)

    async def GetJwks(self, request: accounts_pb2.GetJwksRequest, context: object) -> accounts_pb2.GetJwksResponse:
        await self.note("GetJwks", request)
        return accounts_pb2.GetJwksResponse(jwks=await self.signer.jwks())

    async def ListRevokedSessions(
        self, request: accounts_pb2.ListRevokedSessionsRequest, context: object
    ) -> accounts_pb2.ListRevokedSessionsResponse:
        await self.note("ListRevokedSessions", request)
        return accounts_pb2.ListRevokedSessionsResponse(session_ids=self.revoked)

    async def RegisterRoot(
        self, request: catalog_pb2.RegisterRootRequest, context: object
    ) -> catalog_pb2.RegisterRootResponse:
        await self.note("RegisterRoot", request)
        return catalog_pb2.RegisterRootResponse(
            root_id="0190a000-0000-7000-8000-00000000000a", location=request.location, track_count=3, missing_count=1
        )

    async def RegisterTracks(
        self, request: catalog_pb2.RegisterTracksRequest, context: object
    ) -> catalog_pb2.RegisterTracksResponse:
        await self.note("RegisterTracks", request)
        made = [
            catalog_pb2.RegisteredTrack(
                track_id=new_id(),
                outcome=catalog_pb2.REGISTRATION_OUTCOME_CREATED,
                embedding_state=catalog_pb2.EMBEDDING_STATE_PENDING,
            )
            if registration.content_type.startswith("audio/")
            else catalog_pb2.RegisteredTrack(
                outcome=catalog_pb2.REGISTRATION_OUTCOME_REFUSED, reason="NOT_AUDIO", message="this is not audio"
            )
            for registration in request.tracks
        ]
        return catalog_pb2.RegisterTracksResponse(tracks=made)

    async def GetIngestProgress(
        self, request: catalog_pb2.GetIngestProgressRequest, context: object
    ) -> catalog_pb2.GetIngestProgressResponse:
        await self.note("GetIngestProgress", request)
        return catalog_pb2.GetIngestProgressResponse(pending=1, embedded=2, indexed=3, failed=4)

    async def ListFailedTracks(
        self, request: catalog_pb2.ListFailedTracksRequest, context: object
    ) -> catalog_pb2.ListFailedTracksResponse:
        await self.note("ListFailedTracks", request)
        start = int(request.page_token or 0)
        end = start + request.page_size
        return catalog_pb2.ListFailedTracksResponse(
            failures=self.failures[start:end], next_page_token=str(end) if end < len(self.failures) else ""
        )

    async def ListEncoders(
        self, request: encoders_pb2.ListEncodersRequest, context: object
    ) -> encoders_pb2.ListEncodersResponse:
        await self.note("ListEncoders", request)
        return encoders_pb2.ListEncodersResponse(encoders=self.encoders)

    async def ListStreams(self, request: work_pb2.ListStreamsRequest, context: object) -> work_pb2.ListStreamsResponse:
        await self.note("ListStreams", request)
        return work_pb2.ListStreamsResponse(streams=self.streams)

    async def ListDeadLetters(
        self, request: work_pb2.ListDeadLettersRequest, context: object
    ) -> work_pb2.ListDeadLettersResponse:
        """Pages are numbers of letters left out."""
        await self.note("ListDeadLetters", request)
        start = int(request.page_token or 0)
        end = start + request.page_size
        token = str(end) if end < len(self.letters) else ""
        return work_pb2.ListDeadLettersResponse(
            letters=self.letters[start:end], next_page_token=token, total_count=len(self.letters)
        )

    async def ReplayDeadLetters(
        self, request: work_pb2.ReplayDeadLettersRequest, context: object
    ) -> work_pb2.ReplayDeadLettersResponse:
        """Send what is there again, once."""
        await self.note("ReplayDeadLetters", request)
        there = {letter.letter_id for letter in self.letters}
        self.letters = [letter for letter in self.letters if letter.letter_id not in request.letter_ids]
        return work_pb2.ReplayDeadLettersResponse(
            letters=[
                work_pb2.ReplayedLetter(
                    letter_id=letter_id,
                    outcome=work_pb2.REPLAY_OUTCOME_SENT if letter_id in there else work_pb2.REPLAY_OUTCOME_GONE,
                )
                for letter_id in request.letter_ids
            ]
        )

    async def SwitchEncoder(
        self, request: encoders_pb2.SwitchEncoderRequest, context: object
    ) -> encoders_pb2.SwitchEncoderResponse:
        await self.note("SwitchEncoder", request)
        roles = encoders_pb2.EncoderRoles(serving_id="fake-0123456789abcdef", candidate_id=request.encoder_id)
        return encoders_pb2.SwitchEncoderResponse(roles=roles)

    async def RollBackEncoder(
        self, request: encoders_pb2.RollBackEncoderRequest, context: object
    ) -> encoders_pb2.RollBackEncoderResponse:
        await self.note("RollBackEncoder", request)
        roles = encoders_pb2.EncoderRoles(serving_id="fake-0123456789abcdef")
        return encoders_pb2.RollBackEncoderResponse(roles=roles, given_up_id="other-1")

    async def SearchTracks(
        self, request: catalog_pb2.SearchTracksRequest, context: object
    ) -> catalog_pb2.SearchTracksResponse:
        await self.note("SearchTracks", request)
        if request.page_token and not request.page_token.isdigit():
            raise InvalidArgument("this is not a page token", field="page_token", value=request.page_token)
        found = [track for track in self.tracks.values() if request.query.lower() in track.title.lower()]
        start = int(request.page_token or 0)
        end = start + request.page_size
        return catalog_pb2.SearchTracksResponse(
            tracks=found[start:end], next_page_token=str(end) if end < len(found) else ""
        )

    async def BatchGetTracks(
        self, request: catalog_pb2.BatchGetTracksRequest, context: object
    ) -> catalog_pb2.BatchGetTracksResponse:
        await self.note("BatchGetTracks", request)
        # In another order than asked for, as the contract allows.
        left_out = self.blocked_tracks if request.leave_out_blocked else set()
        wanted = sorted(set(request.track_ids) - left_out)
        found = [self.tracks[track_id] for track_id in wanted if track_id in self.tracks]
        return catalog_pb2.BatchGetTracksResponse(tracks=found)

    async def GetTrackMedia(
        self, request: catalog_pb2.GetTrackMediaRequest, context: object
    ) -> catalog_pb2.GetTrackMediaResponse:
        await self.note("GetTrackMedia", request)
        if request.track_id not in self.media:
            raise NotFound("there is no such track", reason="TRACK_NOT_FOUND", field="track_id", value=request.track_id)
        return self.media[request.track_id]

    async def CheckUpload(
        self, request: uploads_pb2.CheckUploadRequest, context: object
    ) -> uploads_pb2.CheckUploadResponse:
        await self.note("CheckUpload", request)
        return uploads_pb2.CheckUploadResponse(left_count=1, left_bytes=self.left_upload_bytes)

    async def CreateUpload(
        self, request: catalog_pb2.CreateUploadRequest, context: object
    ) -> catalog_pb2.CreateUploadResponse:
        await self.note("CreateUpload", request)
        upload = catalog_pb2.Upload(
            upload_id=request.upload_id or new_id(),
            digest=request.digest,
            size_bytes=request.size_bytes,
            content_type=request.content_type,
            file_name=request.file_name,
            created_at=timestamp(),
            expires_at=timestamp(NOW + timedelta(days=7)),
        )
        return catalog_pb2.CreateUploadResponse(upload=upload)

    async def GetStats(self, request: catalog_pb2.GetStatsRequest, context: object) -> catalog_pb2.GetStatsResponse:
        await self.note("GetStats", request)
        return catalog_pb2.GetStatsResponse(
            track_count=len(self.tracks),
            indexed_count=len(self.tracks),
            user_count=len(self.users),
            playlist_count=len(self.playlists),
            play_count=self.play_count,
            genres=[catalog_pb2.GenreCount(genre="Rock", track_count=len(self.tracks))],
        )

    def _visible(self, playlist_id: str, *, own: bool = False) -> playlists_pb2.GetPlaylistResponse:
        found = self.playlists.get(playlist_id)
        who = auth.viewer()
        is_own = found is not None and who is not None and who.user_id == found.playlist.owner_id
        is_open = found is not None and found.playlist.visibility != playlists_pb2.VISIBILITY_PRIVATE
        if found is None or not (is_own or (is_open and not own)):
            raise NotFound(
                "there is no such playlist", reason="PLAYLIST_NOT_FOUND", field="playlist_id", value=playlist_id
            )
        return found

    async def GetPlaylist(
        self, request: playlists_pb2.GetPlaylistRequest, context: object
    ) -> playlists_pb2.GetPlaylistResponse:
        await self.note("GetPlaylist", request)
        return self._visible(request.playlist_id)

    async def ListMyPlaylists(
        self, request: playlists_pb2.ListMyPlaylistsRequest, context: object
    ) -> playlists_pb2.ListMyPlaylistsResponse:
        await self.note("ListMyPlaylists", request)
        who = auth.require_viewer()
        found = [each.playlist for each in self.playlists.values() if each.playlist.owner_id == who.user_id]
        start = int(request.page_token or 0)
        end = start + request.page_size
        return playlists_pb2.ListMyPlaylistsResponse(
            playlists=found[start:end], next_page_token=str(end) if end < len(found) else ""
        )

    async def UpdatePlaylist(
        self, request: playlists_pb2.UpdatePlaylistRequest, context: object
    ) -> playlists_pb2.UpdatePlaylistResponse:
        await self.note("UpdatePlaylist", request)
        playlist = self._visible(request.playlist_id, own=True).playlist
        if playlist.version != request.version:
            raise Aborted(
                "the playlist was edited since", reason="VERSION_CONFLICT", field="version", value=request.version
            )
        if request.HasField("title"):
            playlist.title = request.title
        if request.HasField("description"):
            playlist.description = request.description
        playlist.visibility = request.visibility or playlist.visibility
        playlist.version += 1
        return playlists_pb2.UpdatePlaylistResponse(playlist=playlist)

    async def DeletePlaylist(
        self, request: playlists_pb2.DeletePlaylistRequest, context: object
    ) -> playlists_pb2.DeletePlaylistResponse:
        await self.note("DeletePlaylist", request)
        self._visible(request.playlist_id, own=True)
        del self.playlists[request.playlist_id]
        return playlists_pb2.DeletePlaylistResponse()

    async def CreateGenerationJob(
        self, request: jobs_pb2.CreateGenerationJobRequest, context: object
    ) -> jobs_pb2.CreateGenerationJobResponse:
        await self.note("CreateGenerationJob", request)
        seeds = request.recipe.seeds
        length = request.recipe.length if request.recipe.HasField("length") else 25
        if not seeds:
            raise InvalidArgument("a playlist needs a seed", reason="SEEDS_EMPTY", field="recipe.seeds", limit=20)
        if not 1 <= length <= 500:
            raise InvalidArgument(
                f"recipe.length is {length}, it must be 1 to 500",
                reason="LENGTH_OUT_OF_RANGE",
                field="recipe.length",
                value=length,
                limit=500,
            )
        for number, seed in enumerate(seeds):
            if seed.track_id and seed.track_id not in self.tracks:
                raise NotFound(
                    "there is no such track",
                    reason="TRACK_NOT_FOUND",
                    field=f"recipe.seeds[{number}].track_id",
                    value=seed.track_id,
                )
        owner_id = auth.require_viewer().user_id
        if seeds[0].upload_id:
            return jobs_pb2.CreateGenerationJobResponse(job=self.add_job(owner_id))
        playlist = self.add_playlist(list(self.tracks.values())[:length], owner_id, playlists_pb2.VISIBILITY_PRIVATE)
        job = self.add_job(
            owner_id,
            state=jobs_pb2.JOB_STATE_SUCCEEDED,
            progress=1.0,
            attempt=1,
            playlist_id=playlist.playlist_id,
            finished_at=timestamp(),
        )
        return jobs_pb2.CreateGenerationJobResponse(job=job)

    def _own_job(self, job_id: str) -> jobs_pb2.Job:
        owner_id, job = self.jobs.get(job_id, ("", None))
        if job is None or owner_id != auth.require_viewer().user_id:
            raise NotFound("there is no such job", reason="JOB_NOT_FOUND", field="job_id", value=job_id)
        return job

    async def GetJob(self, request: jobs_pb2.GetJobRequest, context: object) -> jobs_pb2.GetJobResponse:
        await self.note("GetJob", request)
        return jobs_pb2.GetJobResponse(job=self._own_job(request.job_id))

    async def CancelJob(self, request: jobs_pb2.CancelJobRequest, context: object) -> jobs_pb2.CancelJobResponse:
        await self.note("CancelJob", request)
        job = self._own_job(request.job_id)
        if job.state < jobs_pb2.JOB_STATE_SUCCEEDED:
            self.move_job(job.job_id, jobs_pb2.JOB_STATE_CANCELLED, job.progress, finished_at=timestamp())
        return jobs_pb2.CancelJobResponse(job=self._own_job(request.job_id))


class FakeRetriever(_Fake):
    """An index that finds what the test put in, in that order."""

    def reset(self) -> None:
        super().reset()
        self.hits: list[tuple[str, float]] = []

    async def Search(self, request: retriever_pb2.SearchRequest, context: object) -> retriever_pb2.SearchResponse:
        await self.note("Search", request)
        quantile = 0.25 if request.with_quantiles and len(self.hits) > 1 else None
        hits = [
            retriever_pb2.Hit(track_id=track_id, similarity=similarity, quantile=quantile)
            for track_id, similarity in self.hits
        ]
        start = int(request.page_token or 0)
        end = start + request.k
        return retriever_pb2.SearchResponse(
            hits=hits[start:end],
            encoder_id="fake-0123456789abcdef",
            next_page_token=str(end) if end < len(hits) else "",
        )

    async def DescribeIndex(
        self, request: retriever_pb2.DescribeIndexRequest, context: object
    ) -> retriever_pb2.DescribeIndexResponse:
        await self.note("DescribeIndex", request)
        return retriever_pb2.DescribeIndexResponse(
            encoder_id="fake-0123456789abcdef", dimension=200, track_count=7, kind="flat", is_caught_up=True
        )


class Upstreams:
    """Both fakes, serving on the loopback; each may be stopped."""

    def __init__(self, signer: TokenSigner) -> None:
        self.signer = signer
        self.social = FakeSocial(signer)
        self.retriever = FakeRetriever()
        verifier = TokenVerifier(signer.jwks)
        self.social_server = Server("127.0.0.1:0", SOCIAL_ACCESS, verifier)
        self.retriever_server = Server("127.0.0.1:0", RETRIEVER_ACCESS, verifier)

    @property
    def social_address(self) -> str:
        return f"127.0.0.1:{self.social_server.port}"

    @property
    def retriever_address(self) -> str:
        return f"127.0.0.1:{self.retriever_server.port}"

    def reset(self) -> None:
        """Forget everything that tests put in."""
        self.social.reset()
        self.retriever.reset()

    def spent(self) -> dict[str, int]:
        """Return the calls that documents cost since the last time, and forget them."""
        return {**self.social.spent(), **self.retriever.spent()}


def _serve(server: Server, fake: _Fake, package: str) -> None:
    """Register every RPC of every service of a package, as its contracts say."""
    for path in {
        path.rpartition("/")[0] for path in (SOCIAL_ACCESS | RETRIEVER_ACCESS) if path[1:].startswith(package)
    }:
        service = descriptor_pool.Default().FindServiceByName(path[1:])
        handlers = {method.name: _handler(fake, method) for method in service.methods}
        server.grpc.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service.full_name, handlers),))


def _handler(fake: _Fake, method: MethodDescriptor) -> "grpc.RpcMethodHandler[Any, Any]":
    written = getattr(fake, method.name, None)

    async def answer(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
        metadata = dict(context.invocation_metadata() or ())
        fake.seen_programs[method.name] = str(metadata.get("museed-user-agent", ""))
        if written is None or (fake.is_made_up and method.name not in _NEVER_MADE_UP):
            return await fake.answer(method, request)
        return await written(request, context)

    return grpc.unary_unary_rpc_method_handler(
        answer,
        request_deserializer=GetMessageClass(method.input_type).FromString,
        response_serializer=lambda message: message.SerializeToString(),
    )


@asynccontextmanager
async def upstreams(signer: TokenSigner) -> AsyncGenerator[Upstreams, None]:
    """Serve both fakes."""
    both = Upstreams(signer)
    _serve(both.social_server, both.social, _SOCIAL_PACKAGE)
    _serve(both.retriever_server, both.retriever, _RETRIEVER_PACKAGE)
    for server in (both.social_server, both.retriever_server):
        await server.start()
        await server.set_serving(True)
    try:
        yield both
    finally:
        for server in (both.social_server, both.retriever_server):
            await server.drain(0.05)
