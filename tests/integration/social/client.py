"""People and the calls that they make of a social process."""

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import grpc

from museed.social.v1 import (
    accounts_pb2,
    accounts_pb2_grpc,
    catalog_pb2,
    catalog_pb2_grpc,
    encoders_pb2,
    encoders_pb2_grpc,
    jobs_pb2,
    jobs_pb2_grpc,
    playlists_pb2,
    playlists_pb2_grpc,
)
from services.social.domain.ids import new_id
from services.social.domain.jobs import LONGEST_WAIT_MS

S = TypeVar("S")

# Of a machine on which everything else runs as well.
TIMEOUT_S = 60.0


def sha(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()


@dataclass(frozen=True)
class Person:
    """Somebody who is logged in."""

    user_id: str
    username: str
    password: str
    access_token: str
    refresh_token: str

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        return (("authorization", f"Bearer {self.access_token}"),)


@dataclass
class Client:
    """Typed stubs of one social process; every error comes as the DomainError that was raised."""

    channel: grpc.aio.Channel
    count: int = 0

    def stub(self, kind: Callable[[grpc.aio.Channel], S]) -> S:
        """Return the stub of any service, for example `stub(work_pb2_grpc.WorkServiceStub)`."""
        return kind(self.channel)

    @property
    def accounts(self) -> "accounts_pb2_grpc.AccountServiceAsyncStub":
        return accounts_pb2_grpc.AccountServiceStub(self.channel)

    @property
    def catalog(self) -> "catalog_pb2_grpc.CatalogServiceAsyncStub":
        return catalog_pb2_grpc.CatalogServiceStub(self.channel)

    @property
    def encoders(self) -> "encoders_pb2_grpc.EncoderServiceAsyncStub":
        return encoders_pb2_grpc.EncoderServiceStub(self.channel)

    @property
    def playlists(self) -> "playlists_pb2_grpc.PlaylistServiceAsyncStub":
        return playlists_pb2_grpc.PlaylistServiceStub(self.channel)

    @property
    def jobs(self) -> "jobs_pb2_grpc.JobServiceAsyncStub":
        return jobs_pb2_grpc.JobServiceStub(self.channel)

    async def sign_up(self, username: str | None = None) -> Person:
        self.count += 1
        name = username or f"person{self.count}"
        password = f"secret of {name}"
        request = accounts_pb2.SignUpRequest(username=name, email=f"{name}@example.org", password=password)
        answer = await self.accounts.SignUp(request, timeout=TIMEOUT_S)
        return Person(
            answer.viewer.user.user_id, name, password, answer.tokens.access_token, answer.tokens.refresh_token
        )

    async def register_root(self, admin: Person, location: str = "/music") -> str:
        request = catalog_pb2.RegisterRootRequest(location=location)
        return (await self.catalog.RegisterRoot(request, timeout=TIMEOUT_S, metadata=admin.metadata)).root_id

    async def register(
        self, admin: Person, root_id: str, tracks: Sequence[catalog_pb2.TrackRegistration]
    ) -> list[catalog_pb2.RegisteredTrack]:
        request = catalog_pb2.RegisterTracksRequest(root_id=root_id, tracks=tracks)
        return list((await self.catalog.RegisterTracks(request, timeout=TIMEOUT_S, metadata=admin.metadata)).tracks)

    async def track(self, track_id: str) -> catalog_pb2.Track:
        request = catalog_pb2.BatchGetTracksRequest(track_ids=[track_id])
        return (await self.catalog.BatchGetTracks(request, timeout=TIMEOUT_S)).tracks[0]

    async def upload(self, who: Person, digest: bytes = sha("upload"), file_name: str = "demo.ogg") -> str:
        request = catalog_pb2.CreateUploadRequest(
            digest=digest, size_bytes=1000, content_type="audio/ogg", file_name=file_name
        )
        return (await self.catalog.CreateUpload(request, timeout=TIMEOUT_S, metadata=who.metadata)).upload.upload_id

    async def generate(
        self,
        who: Person,
        *seeds: jobs_pb2.GenerationSeed,
        wait_ms: int = LONGEST_WAIT_MS,
        key: str = "",
        **recipe: object,
    ) -> jobs_pb2.Job:
        request = jobs_pb2.CreateGenerationJobRequest(
            idempotency_key=key or new_id(),
            recipe=jobs_pb2.Recipe(seeds=seeds, **recipe),  # type: ignore[arg-type]  # any field of a recipe
            wait_ms=wait_ms,
        )
        made = (await self.jobs.CreateGenerationJob(request, timeout=TIMEOUT_S, metadata=who.metadata)).job
        return await self.ended(who, made) if wait_ms == LONGEST_WAIT_MS else made

    async def job(self, who: Person, job_id: str, wait_ms: int = LONGEST_WAIT_MS) -> jobs_pb2.Job:
        request = jobs_pb2.GetJobRequest(job_id=job_id, wait_ms=wait_ms)
        found = (await self.jobs.GetJob(request, timeout=TIMEOUT_S, metadata=who.metadata)).job
        return await self.ended(who, found) if wait_ms == LONGEST_WAIT_MS else found

    async def ended(self, who: Person, job: jobs_pb2.Job) -> jobs_pb2.Job:
        """Return a job when it has ended: the longest wait is not long enough on every machine."""
        request = jobs_pb2.GetJobRequest(job_id=job.job_id, wait_ms=LONGEST_WAIT_MS)
        async with asyncio.timeout(TIMEOUT_S):
            while not job.HasField("finished_at"):
                job = (await self.jobs.GetJob(request, timeout=TIMEOUT_S, metadata=who.metadata)).job
        return job

    async def roles(self) -> tuple[str, str, str]:
        """The serving encoder, the candidate, and the one before."""
        request = encoders_pb2.GetServingEncoderRequest()
        roles = (await self.encoders.GetServingEncoder(request, timeout=TIMEOUT_S)).roles
        return roles.serving_id, roles.candidate_id, roles.previous_id

    async def switch(self, admin: Person, encoder_id: str) -> encoders_pb2.EncoderRoles:
        request = encoders_pb2.SwitchEncoderRequest(encoder_id=encoder_id)
        return (await self.encoders.SwitchEncoder(request, timeout=TIMEOUT_S, metadata=admin.metadata)).roles

    async def roll_back(self, admin: Person) -> encoders_pb2.RollBackEncoderResponse:
        request = encoders_pb2.RollBackEncoderRequest()
        return await self.encoders.RollBackEncoder(request, timeout=TIMEOUT_S, metadata=admin.metadata)

    async def playlist(self, who: Person | None, playlist_id: str) -> playlists_pb2.GetPlaylistResponse:
        request = playlists_pb2.GetPlaylistRequest(playlist_id=playlist_id)
        metadata = None if who is None else who.metadata
        return await self.playlists.GetPlaylist(request, timeout=TIMEOUT_S, metadata=metadata)


def registration(name: str, **more: object) -> catalog_pb2.TrackRegistration:
    """A file whose hashes follow from its name."""
    fields: dict[str, object] = {
        "relative_path": f"{name}.ogg".encode(),
        "file_hash": sha(f"file {name}"),
        "audio_hash": sha(f"audio {name}"),
        "size_bytes": 1_000,
        "content_type": "audio/ogg",
        "title": name,
        "artist": "Somebody",
        "album": "An Album",
        "raw_genre": "Rock",
        "year": 1999,
        "duration_seconds": 60.0,
    }
    return catalog_pb2.TrackRegistration(**{**fields, **more})  # type: ignore[arg-type]  # any field
