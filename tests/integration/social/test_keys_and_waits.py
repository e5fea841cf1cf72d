"""Keys by which sign-ups, uploads and links are made once; bounds of those who wait; what is read by the hundred."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from museed.social.v1 import (
    accounts_pb2,
    catalog_pb2,
    editing_pb2,
    feed_pb2,
    jobwork_pb2,
    jobwork_pb2_grpc,
    playlists_pb2,
    uploads_pb2,
    uploads_pb2_grpc,
)
from services.chassis.errors import AlreadyExists, DomainError, InvalidArgument, Unauthenticated
from services.social.domain.idempotency import IDEMPOTENCY_LIFE
from services.social.domain.ids import JobId, UserId, new_id
from services.social.domain.jobs import Job, JobState
from services.social.servicer.desk import MOST_WAITS, MOST_WAITS_OF_PERSON, JobDesk
from services.social.wiring.parts import now
from services.social.workers.background import Bells, Nudge
from tests.integration.social.conftest import TIMEOUT_S, Client, Library, Mesh, Person, Sql, sha
from tests.integration.social.hands import PUBLIC, UNLISTED, Hands
from tests.integration.social.people_steps import feeds
from tests.integration.social.test_accounts import view
from tests.integration.social.test_generation import track_seed

ACCOUNT = {"username": "mina", "nickname": "Mina", "email": "mina@example.org", "password": "correct horse battery"}


async def sign_up(social: Client, **more: Any) -> accounts_pb2.SignUpResponse:
    request = accounts_pb2.SignUpRequest(**(ACCOUNT | {"idempotency_key": "mine"} | more))
    return await social.accounts.SignUp(request, timeout=TIMEOUT_S)


async def test_a_sign_up_whose_answer_was_lost_is_answered_again(social: Client, sql: Sql) -> None:
    answers = await asyncio.gather(*(sign_up(social) for _ in range(3)))
    (user_id,) = {answer.viewer.user.user_id for answer in answers}
    for answer in answers:
        assert (await view(social, answer.tokens.access_token)).user.user_id == user_id
    assert await sql.fetchval("SELECT count(*) FROM users") == 1
    assert await sql.fetchval("SELECT count(*) FROM sessions") == 3
    assert await sql.fetchval("SELECT count(*) FROM outbox WHERE subject LIKE '%user_signed_up'") <= 1
    assert await sql.fetchval("SELECT key_hash = sha256('mine') FROM sign_up_keys")


@pytest.mark.parametrize(
    ("more", "kind", "reason"),
    [
        ({"nickname": "Another"}, InvalidArgument, "IDEMPOTENCY_KEY_REUSED"),
        ({"username": "another"}, InvalidArgument, "IDEMPOTENCY_KEY_REUSED"),
        ({"password": "of somebody who guesses"}, Unauthenticated, "BAD_CREDENTIALS"),
        ({"idempotency_key": ""}, AlreadyExists, "USERNAME_TAKEN"),
        ({"idempotency_key": "k" * 201}, InvalidArgument, "OUT_OF_RANGE"),
    ],
)
async def test_a_key_of_a_sign_up_opens_nothing_by_itself(
    social: Client, sql: Sql, more: dict[str, str], kind: type[DomainError], reason: str
) -> None:
    await sign_up(social)
    with pytest.raises(kind) as refusal:
        await sign_up(social, **more)
    assert refusal.value.reason == reason
    assert await sql.fetchval("SELECT count(*) FROM sessions") == 1


async def test_guesses_by_a_key_count_as_log_ins(mesh: Mesh) -> None:
    mesh.settings = mesh.settings.model_copy(update={"failed_logins_per_window": 2})
    social = await mesh.start()
    await sign_up(social)
    reasons = []
    for _ in range(3):
        with pytest.raises(DomainError) as refusal:
            await sign_up(social, password="of somebody who guesses")
        reasons.append(refusal.value.reason)
    assert reasons == ["BAD_CREDENTIALS", "BAD_CREDENTIALS", "TOO_MANY_ATTEMPTS"]


async def test_a_key_of_a_sign_up_ends_after_a_day_and_a_failed_one_keeps_none(social: Client, sql: Sql) -> None:
    await sign_up(social)
    with pytest.raises(AlreadyExists):
        await sign_up(social, idempotency_key="another")
    assert await sql.fetchval("SELECT count(*) FROM sign_up_keys") == 1
    await sql.execute("UPDATE sign_up_keys SET expires_at = expires_at - $1::interval", IDEMPOTENCY_LIFE)
    with pytest.raises(AlreadyExists):
        await sign_up(social)
    second = await sign_up(social, username="other", email="other@example.org")
    assert await sql.fetchval("SELECT user_id::text FROM sign_up_keys") == second.viewer.user.user_id


async def upload(social: Client, who: Person, key: str, digest: bytes = sha("a")) -> catalog_pb2.Upload:
    request = catalog_pb2.CreateUploadRequest(
        digest=digest, size_bytes=1_000, content_type="audio/ogg", file_name="a.ogg", idempotency_key=key
    )
    return (await social.catalog.CreateUpload(request, timeout=TIMEOUT_S, metadata=who.metadata)).upload


async def test_an_upload_with_a_key_is_recorded_once(social: Client, sql: Sql) -> None:
    ann, bob = await social.sign_up("ann"), await social.sign_up("bob")
    first, *others = await asyncio.gather(*(upload(social, ann, "key") for _ in range(3)))
    assert others == [first, first]
    assert (await upload(social, bob, "key")).upload_id != first.upload_id
    assert {(await upload(social, ann, "")).upload_id for _ in range(2)}.isdisjoint({first.upload_id})
    with pytest.raises(InvalidArgument) as refusal:
        await upload(social, ann, "key", sha("b"))
    assert refusal.value.reason == "IDEMPOTENCY_KEY_REUSED"
    assert await sql.fetchval("SELECT count(*) FROM uploads") == 4


async def test_what_is_left_of_the_quota_is_read_without_a_refusal(mesh: Mesh) -> None:
    mesh.settings = mesh.settings.model_copy(update={"uploads_per_user_and_day": 2})
    social = await mesh.start()
    person = await social.sign_up()
    stub = social.stub(uploads_pb2_grpc.UploadServiceStub)

    async def left() -> uploads_pb2.GetUploadQuotaResponse:
        request = uploads_pb2.GetUploadQuotaRequest()
        return await stub.GetUploadQuota(request, timeout=TIMEOUT_S, metadata=person.metadata)

    assert (await left()).left_count == 2
    for _ in range(2):
        await social.upload(person)
    assert await left() == uploads_pb2.GetUploadQuotaResponse(left_count=0, left_bytes=0)


async def test_a_link_with_a_key_is_changed_once(social: Client) -> None:
    owner = Hands(social, await social.sign_up())
    made = (await owner.create(visibility=UNLISTED)).playlist

    async def rotate(key: str) -> playlists_pb2.Playlist:
        request = editing_pb2.RotateShareSlugRequest(playlist_id=made.playlist_id, idempotency_key=key)
        return (await owner.editing.RotateShareSlug(request, timeout=TIMEOUT_S, metadata=owner.metadata)).playlist

    first = await rotate("key")
    assert (first.share_slug != made.share_slug, first.version) == (True, made.version + 1)
    assert await rotate("key") == first
    assert (await rotate("")).share_slug != first.share_slug
    other = (await owner.create()).playlist
    request = editing_pb2.RotateShareSlugRequest(playlist_id=other.playlist_id, idempotency_key="key")
    with pytest.raises(InvalidArgument) as refusal:
        await owner.editing.RotateShareSlug(request, timeout=TIMEOUT_S, metadata=owner.metadata)
    assert refusal.value.reason == "IDEMPOTENCY_KEY_REUSED"


async def test_jobs_of_ones_own_are_read_by_the_hundred(social: Client, library: Library) -> None:
    ann, bob = await social.sign_up("ann"), await social.sign_up("bob")
    made = [await social.generate(who, track_seed(library.track_ids[0]), length=2) for who in (ann, ann, bob)]
    stub = social.stub(jobwork_pb2_grpc.PlaylistJobServiceStub)
    request = jobwork_pb2.BatchGetJobsRequest(job_ids=[*(job.job_id for job in made), new_id(), "nonsense"])
    answer = await stub.BatchGetJobs(request, timeout=TIMEOUT_S, metadata=ann.metadata)
    assert {job.job_id: job for job in answer.jobs} == {job.job_id: job for job in made[:2]}
    many = jobwork_pb2.BatchGetJobsRequest(job_ids=[new_id()] * 101)
    with pytest.raises(InvalidArgument):
        await stub.BatchGetJobs(many, timeout=TIMEOUT_S, metadata=ann.metadata)


async def test_what_many_people_like_goes_on_where_the_list_of_one_does(social: Client) -> None:
    await social.sign_up("admin")
    ann, bob, eve = [Hands(social, await social.sign_up(name)) for name in ("ann", "bob", "eve")]
    public = [(await eve.create(visibility=PUBLIC)).playlist.playlist_id for _ in range(3)]
    hidden = (await eve.create(visibility=UNLISTED)).playlist.playlist_id
    for playlist_id in (*public, hidden):
        await ann.like(playlist_id)
        await bob.like(playlist_id)

    async def liked(who: Hands, *whom: Hands, size: int = 10) -> dict[str, list[str]]:
        request = feed_pb2.BatchListLikedPlaylistsRequest(user_ids=[one.user_id for one in whom], page_size=size)
        answer = await feeds(social).BatchListLikedPlaylists(request, timeout=TIMEOUT_S, metadata=who.metadata)
        found = {}
        for one in answer.users:
            rest = feed_pb2.ListLikedPlaylistsRequest(user_id=one.user_id, page_size=10, page_token=one.next_page_token)
            more = (
                await feeds(social).ListLikedPlaylists(rest, timeout=TIMEOUT_S, metadata=who.metadata)
                if one.next_page_token
                else feed_pb2.ListLikedPlaylistsResponse()
            )
            found[one.user_id] = [each.playlist.playlist_id for each in (*one.playlists, *more.playlists)]
        return found

    everything = public[::-1]
    for size in (1, 2, 10):
        # To oneself also what a link opens; what others like only as far as it is public.
        assert await liked(ann, ann, bob, eve, size=size) == {
            ann.user_id: [hidden, *everything],
            bob.user_id: everything,
            eve.user_id: [],
        }
    assert await liked(Hands(social, None), ann) == {ann.user_id: everything}
    with pytest.raises(InvalidArgument):
        await liked(ann, *[bob] * 20, size=51)


class _Desk(JobDesk):
    """A desk whose jobs never end, and which remembers who waited."""

    def __init__(self) -> None:
        super().__init__(None, Bells(), Nudge(), 20, now)  # type: ignore[arg-type]  # nothing is read
        self.waiting = 0
        self.let_go = asyncio.Event()

    async def _until_ended(self, job: Job, wait_s: float) -> Job:
        self.waiting += 1
        await self.let_go.wait()
        return job


def job_of(user_id: str) -> Job:
    return cast(Job, SimpleNamespace(job_id=JobId(new_id()), user_id=UserId(user_id), state=JobState.QUEUED))


async def test_nobody_waits_in_all_places() -> None:
    desk = _Desk()
    greedy = [asyncio.create_task(desk.until_ended(job_of("ann"), 5)) for _ in range(MOST_WAITS_OF_PERSON + 3)]
    await asyncio.sleep(0)
    assert sum(task.done() for task in greedy) == 3
    others = [asyncio.create_task(desk.until_ended(job_of(str(one)), 5)) for one in range(MOST_WAITS)]
    await asyncio.sleep(0)
    assert (desk.waiting, sum(task.done() for task in others)) == (MOST_WAITS, MOST_WAITS_OF_PERSON)
    assert (await desk.until_ended(job_of("bob"), 0)).user_id == "bob"  # who does not wait takes no place
    desk.let_go.set()
    await asyncio.gather(*greedy, *others)
    desk.let_go.clear()
    again = asyncio.create_task(desk.until_ended(job_of("ann"), 5))
    await asyncio.sleep(0)
    assert not again.done()
    desk.let_go.set()
    await again
