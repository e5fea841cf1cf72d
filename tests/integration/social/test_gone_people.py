"""Who has left or is suspended writes nothing, while processes that have not heard of it still take their token."""

import asyncio
import itertools

import pytest
from google.protobuf.message import Message

from museed.social.v1 import (
    accounts_pb2,
    api_tokens_pb2,
    blocklists_pb2,
    catalog_pb2,
    editing_pb2,
    exchange_pb2,
    listening_pb2,
    moderation_pb2,
    moderation_pb2_grpc,
    privacy_pb2,
    privacy_pb2_grpc,
    sessions_pb2,
)
from services.chassis import scopes
from services.chassis.auth import Access
from services.chassis.errors import DomainError, Unauthenticated
from services.social.domain.ids import new_id
from services.social.domain.privacy import NAMED
from services.social.servicer.access import ACCESS
from services.social.wire import timestamp
from tests.integration.social.access_cases import OTHER, OWNER, Case, World
from tests.integration.social.conftest import TIMEOUT_S, Mesh, Sql, sha, until
from tests.integration.social.mailbox import log_in, second_process, until_ended, view
from tests.integration.social.old_release import NOW
from tests.integration.social.test_api_tokens import create, exchange
from tests.integration.social.test_ownership import CASES, METHODS, call_of, rpc_of, world

__all__ = ["world"]

# What asks, marks or takes something away, and adds nothing that would stay.
_HARMLESS = {
    "AccountService/LogOut",
    "SessionService/RevokeSession",
    "BlocklistService/UnblockTrack",
    "BlocklistService/UnblockArtist",
    "NotificationService/MarkRead",
    "JobService/CancelJob",
    "ApiTokenService/RevokeApiToken",
    "ExchangeService/RevokeStreamToken",
    # Only counts; CreateUpload refuses.
    "UploadService/CheckUpload",
    # Both people are locked together: test_people.py.
    "PeopleService/Follow",
    "PeopleService/Unfollow",
    "PeopleService/BlockUser",
    "PeopleService/UnblockUser",
}


async def own_request(world: World, rpc: str) -> Message:
    """A request that is good while its caller is there."""
    for name, case in CASES.items():
        if rpc_of(name) == rpc and isinstance(case, Case) and OWNER in case.may:
            return await case.request(world)
    password = world.owner.password
    requests: dict[str, Message] = {
        "SessionService/RevokeOtherSessions": sessions_pb2.RevokeOtherSessionsRequest(),
        "CredentialService/ChangePassword": sessions_pb2.ChangePasswordRequest(
            current_password=password, new_password="another long password"
        ),
        "CredentialService/ChangeEmail": sessions_pb2.ChangeEmailRequest(password=password, email="new@example.org"),
        "CredentialService/UpdateProfile": sessions_pb2.UpdateProfileRequest(nickname="Back again"),
        "CredentialService/RequestVerification": sessions_pb2.RequestVerificationRequest(),
        "ApiTokenService/CreateApiToken": api_tokens_pb2.CreateApiTokenRequest(
            idempotency_key=new_id(), name="radio", scopes=[api_tokens_pb2.API_SCOPE_READ]
        ),
        "ModerationService/ReportContent": moderation_pb2.ReportContentRequest(
            subject_kind=moderation_pb2.SUBJECT_KIND_USER,
            subject_id=world.people[OTHER].user_id,
            reason=moderation_pb2.REPORT_REASON_SPAM,
        ),
        "PrivacyService/RequestExport": privacy_pb2.RequestExportRequest(idempotency_key=new_id()),
        "PrivacyService/DeleteAccount": privacy_pb2.DeleteAccountRequest(password=password),
        "CatalogService/CreateUpload": catalog_pb2.CreateUploadRequest(
            digest=sha("late"), size_bytes=1_000, content_type="audio/ogg", file_name="late.ogg"
        ),
        "EditingService/CreatePlaylist": editing_pb2.CreatePlaylistRequest(idempotency_key=new_id(), title="Late"),
        "ExchangeService/ImportPlaylist": exchange_pb2.ImportPlaylistRequest(
            idempotency_key=new_id(),
            format=exchange_pb2.PLAYLIST_FORMAT_M3U8,
            content=b"#EXTM3U\n#EXTINF:60,Somebody - Track 0\nTrack 0.ogg\n",
        ),
        "BlocklistService/BlockTrack": blocklists_pb2.BlockTrackRequest(track_id=world.library.track_ids[0]),
        "BlocklistService/BlockArtist": blocklists_pb2.BlockArtistRequest(
            artist_id=str(await world.sql.fetchval("SELECT artist_id FROM artists LIMIT 1"))
        ),
        "ListeningService/RecordPlays": listening_pb2.RecordPlaysRequest(
            plays=[
                listening_pb2.Play(
                    play_id=new_id(),
                    track_id=world.library.track_ids[0],
                    heard_seconds=60,
                    played_at=timestamp(await world.sql.fetchval("SELECT now()")),
                )
            ]
        ),
        "ListeningService/DeleteHistory": listening_pb2.DeleteHistoryRequest(all=True),
    }
    return requests[rpc]


# What workers write of a person, whatever is called.
_OF_WORKERS = {"signals", "touched_people", "person_counts", "tastes", "badges", "notifications"}


async def rows(sql: Sql, user_id: str) -> dict[str, int]:
    """How many rows name a person, by column."""
    columns = [name.split(".") for name in NAMED]
    return {
        f"{table}.{column}": await sql.fetchval(f"SELECT count(*) FROM {table} WHERE {column} = $1", user_id)
        for table, column in columns
        if table not in _OF_WORKERS
    }


def writes() -> list[str]:
    return sorted(
        name
        for name in METHODS
        if ACCESS[f"/museed.social.v1.{name}"] in (Access.USER, Access.SESSION)
        and scopes.scope_of(name) is scopes.Scope.WRITE
        and name not in _HARMLESS
    )


@pytest.mark.parametrize("state", ["deleted_at", "suspended_at"])
async def test_who_is_gone_writes_nothing_whatever_the_rpc(world: World, state: str) -> None:
    requests = {rpc: await own_request(world, rpc) for rpc in writes()}
    assert len(requests) >= 35
    await world.sql.execute(f"UPDATE users SET {state} = $1 WHERE user_id = $2", NOW, world.owner.user_id)
    before, answers = await rows(world.sql, world.owner.user_id), {}
    for rpc, request in requests.items():
        try:
            await call_of(world.client, rpc)(request, timeout=TIMEOUT_S, metadata=world.owner.metadata)
        except DomainError as refusal:
            answers[rpc] = refusal.reason
        else:
            answers[rpc] = "answered"
    assert {rpc: answer for rpc, answer in answers.items() if answer != "SESSION_REVOKED"} == {}
    after = await rows(world.sql, world.owner.user_id)
    assert {name: count for name, count in after.items() if count > before[name]} == {}
    nickname = await world.sql.fetchval("SELECT nickname FROM users WHERE user_id = $1", world.owner.user_id)
    assert nickname == world.owner.username


@pytest.mark.parametrize("how", ["suspended", "deleted", "another role"])
async def test_what_ends_an_account_ends_its_tokens_at_every_process(mesh: Mesh, how: str) -> None:
    first = await mesh.start()
    second = await second_process(mesh)
    admin, ann, kim = [await first.sign_up(name) for name in ("admin", "ann", "kim")]
    other = await log_in(second, "ann", ann.password)
    program = await exchange(second, ann, (await create(second, ann)).secret)
    by_admin: moderation_pb2_grpc.ModerationServiceAsyncStub = first.stub(moderation_pb2_grpc.ModerationServiceStub)
    if how == "suspended":
        suspend = moderation_pb2.SuspendUserRequest(user_id=ann.user_id, because="spam")
        await by_admin.SuspendUser(suspend, timeout=TIMEOUT_S, metadata=admin.metadata)
    elif how == "another role":
        promote = moderation_pb2.SetRoleRequest(user_id=ann.user_id, role="admin", because="help")
        await by_admin.SetRole(promote, timeout=TIMEOUT_S, metadata=admin.metadata)
    else:
        own: privacy_pb2_grpc.PrivacyServiceAsyncStub = first.stub(privacy_pb2_grpc.PrivacyServiceStub)
        leave = privacy_pb2.DeleteAccountRequest(password=ann.password)
        await own.DeleteAccount(leave, timeout=TIMEOUT_S, metadata=ann.metadata)
    for client, who in itertools.product((second, first), (ann, other, program)):
        await until_ended(client, who)
    for token in (ann.refresh_token, other.refresh_token):
        with pytest.raises(Unauthenticated):
            await second.accounts.RefreshSession(
                accounts_pb2.RefreshSessionRequest(refresh_token=token), timeout=TIMEOUT_S
            )
    assert (await view(second, kim)).user.user_id == kim.user_id


async def test_session_that_is_refreshed_while_its_person_is_suspended_ends(mesh: Mesh, sql: Sql) -> None:
    """The refresh holds the session's row; who suspends waits for it, and ends what it made."""
    mesh.settings = mesh.settings.model_copy(update={"statement_timeout_ms": 60_000})
    social = await mesh.start()
    admin, ann = await social.sign_up("admin"), await social.sign_up("ann")
    stub: moderation_pb2_grpc.ModerationServiceAsyncStub = social.stub(moderation_pb2_grpc.ModerationServiceStub)
    request = moderation_pb2.SuspendUserRequest(user_id=ann.user_id, because="spam")
    async with sql.transaction():
        await sql.execute("SELECT FROM sessions WHERE user_id = $1 FOR UPDATE", ann.user_id)
        refresh = accounts_pb2.RefreshSessionRequest(refresh_token=ann.refresh_token)
        refreshing = asyncio.ensure_future(social.accounts.RefreshSession(refresh, timeout=TIMEOUT_S))
        await until_waiting(sql, 1)
        suspending = asyncio.ensure_future(stub.SuspendUser(request, timeout=TIMEOUT_S, metadata=admin.metadata))
        await until_waiting(sql, 2)
    answer = await refreshing
    await suspending
    again = accounts_pb2.RefreshSessionRequest(refresh_token=answer.tokens.refresh_token)
    with pytest.raises(Unauthenticated) as refusal:
        await social.accounts.RefreshSession(again, timeout=TIMEOUT_S)
    assert refusal.value.reason == "SESSION_REVOKED"


async def until_waiting(sql: Sql, count: int) -> None:
    """Wait until so many statements wait for a lock."""

    async def are_waiting() -> bool:
        await sql.execute("SELECT pg_stat_clear_snapshot()")
        activity = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        return bool(await sql.fetchval(f"{activity} AND wait_event_type = 'Lock'") == count)

    await until(are_waiting)
