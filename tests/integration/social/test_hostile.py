"""Whatever anybody sends to any RPC: it is answered or refused with a reason, and the process goes on as before."""

import logging
import random
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import grpc
import pytest
from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message

from museed.social.v1 import accounts_pb2, jobs_pb2, jobwork_pb2, jobwork_pb2_grpc
from services.chassis.auth import Access
from services.chassis.errors import DomainError, Internal, InvalidArgument
from services.social.domain import paging
from services.social.domain.accounts import Role
from services.social.domain.ids import SessionId, UserId, new_id
from services.social.domain.tokens import SigningKey, TokenIssuer
from services.social.servicer.access import ACCESS
from services.social.wiring.contracts import contract_services
from tests.integration.social.client import TIMEOUT_S, Client, Person
from tests.integration.social.conftest import Library, Sql
from tests.integration.social.fakes import unit_vector
from tests.integration.social.hands import PUBLIC, Hands, block
from tests.integration.social.hostile import Hostile, known_things

METHODS: list[MethodDescriptor] = [method for service in contract_services() for method in service.methods]
_MARK = "mark"
# What a call of this test may lack; nothing else of this mesh is ever away.
_AWAY = {"TASTES_AWAY", "ENCODER_AWAY", "NOT_INDEXED_YET"}
# Of these fields no refusal repeats what was said.
_SECRET = {"token"}
_SOUND: dict[str, list[Any]] = {
    "content": [
        b"#EXTM3U\n#EXTINF:60,Somebody - Track 1\nTrack 1.ogg\n",
        b'{"playlist": {"track": [{"title": "Track 1", "creator": "Somebody"}]}}',
        b"<playlist><trackList><track><title>Track 1</title><creator>Somebody</creator></track></trackList></playlist>",
    ],
    "vector": [unit_vector(b"one"), unit_vector(b"two")],
    "relative_path": [b"Track 1.ogg", b"new/one.ogg"],
    "wait_ms": [0, 1, 20],
    "day": ["", datetime.now(UTC).date().isoformat()],
    "from_day": ["2026-11-01"],
    "to_day": ["2026-11-30"],
    "query": ["", "track", "Tr 1"],
    "page_size": [0, 1, 2, 100],
    "content_type": ["audio/ogg"],
    "role": ["user", "admin"],
    "password": ["long enough"],
    "new_password": ["long enough"],
}


@dataclass
class Stage:
    """People with things of all kinds, and tokens that no log-out ends."""

    client: Client
    sql: Sql
    people: dict[str, Person]
    secrets: dict[str, list[str]] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)

    async def calm(self) -> None:
        """Undo what callers did to each other: else none of them would come far any more."""
        await self.sql.execute("UPDATE users SET suspended_at = NULL, suspended_because = NULL, deleted_at = NULL")
        await self.sql.execute("UPDATE users SET role = CASE user_id WHEN $1 THEN 'admin' ELSE 'user' END", self.admin)

    @property
    def admin(self) -> str:
        return self.people["admin"].user_id


@pytest.fixture
async def stage(social: Client, library: Library, sql: Sql) -> Stage:
    owner, other, third = [await social.sign_up(name) for name in ("owner", "other", "third")]
    made = Stage(social, sql, {"admin": library.admin, "owner": owner, "other": other, "third": third})
    seed = jobs_pb2.GenerationSeed(track_id=library.track_ids[0])
    job = await social.generate(owner, seed, length=3)
    theirs, visitor = Hands(social, owner), Hands(social, other)
    await theirs.show(job.playlist_id, PUBLIC)
    await visitor.like(job.playlist_id)
    await visitor.comment(job.playlist_id, "Hm")
    await visitor.copy(job.playlist_id)
    await social.upload(owner)
    await block(sql, theirs, Hands(social, third))
    made.secrets = {"refresh_token": [third.refresh_token], "login": ["owner", "other"]}
    row = await sql.fetchrow("SELECT key_id, private_key FROM signing_keys")
    assert row is not None
    issuer, now = TokenIssuer([SigningKey(row["key_id"], row["private_key"])]), datetime.now(UTC)
    for name, who in made.people.items():
        role = Role.ADMIN if name == "admin" else Role.USER
        token, _ = issuer.access_token(UserId(who.user_id), role, SessionId(new_id()), now)
        made.tokens[name] = token
    return made


@pytest.fixture
def same_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every list takes every list's tokens, as if somebody had looked up how they are made."""
    monkeypatch.setattr(paging, "_mark", lambda scope: _MARK)


async def call(stage: Stage, method: MethodDescriptor, data: bytes, caller: str) -> DomainError | None:
    """Send bytes to an RPC; return the refusal."""
    rpc: grpc.aio.UnaryUnaryMultiCallable[bytes, Message] = stage.client.channel.unary_unary(
        f"/{method.containing_service.full_name}/{method.name}",
        request_serializer=None,
        response_deserializer=message_factory.GetMessageClass(method.output_type).FromString,
    )
    metadata = (("authorization", f"Bearer {stage.tokens[caller]}"),) if caller in stage.tokens else None
    try:
        await rpc(data, timeout=6 * TIMEOUT_S, metadata=metadata)
    except DomainError as refusal:
        return refusal
    return None


def fault(refusal: DomainError | None) -> str:
    """Say what is wrong with an answer; empty where nothing is."""
    if refusal is None:
        return ""
    if isinstance(refusal, Internal):
        return "a fault of ours"
    if refusal.code in ("UNAVAILABLE", "DEADLINE_EXCEEDED") and refusal.reason not in _AWAY:
        return refusal.reason
    if isinstance(refusal, InvalidArgument) and refusal.reason != "MESSAGE_MALFORMED":
        is_told = refusal.field in _SECRET or refusal.value is not None
        return "" if refusal.field and is_told else f"{refusal.reason} without field or value"
    return "" if refusal.reason and refusal.message else "no reason"


def _access(method: MethodDescriptor) -> Access:
    return ACCESS[f"/{method.containing_service.full_name}/{method.name}"]


async def play(stage: Stage, seed: str, rounds: int) -> tuple[list[str], set[str]]:
    """Call every RPC as anybody, with anything; return what went wrong, and which RPCs answered."""
    chance, wrong, answered = random.Random(seed), list[str](), set[str]()
    for number in range(rounds):
        known = await known_things(stage.sql, stage.secrets)
        for method in METHODS:
            hostile = Hostile(f"{seed} {number} {method.full_name}", known, _SOUND, _MARK)
            likely = "admin" if _access(method) is Access.ADMIN else "owner"
            caller = chance.choice((likely, likely, likely, *stage.tokens, "guest"))
            message = hostile.request(method.input_type)
            data = hostile.noise() if chance.random() < 0.05 else message.SerializeToString()
            refusal = await call(stage, method, data, caller)
            if refusal is None:
                answered.add(method.full_name)
            if found := fault(refusal):
                wrong.append(f"{method.full_name} as {caller}, {seed} {number}: {found}: {str(message)[:300]!r}")
        await stage.calm()
    return wrong, answered


async def rounds_without_fault(stage: Stage, caplog: pytest.LogCaptureFixture, seed: str, rounds: int) -> None:
    with caplog.at_level(logging.ERROR):
        wrong, answered = await play(stage, seed, rounds)
    assert wrong == []
    # Else most of it would be about the door.
    assert len(answered) > len(METHODS) / 2
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []
    await stage.client.accounts.GetJwks(accounts_pb2.GetJwksRequest(), timeout=TIMEOUT_S)


async def test_numbers_and_times_that_no_column_takes_are_refused(stage: Stage) -> None:
    playlist_id = await stage.sql.fetchval("SELECT playlist_id::text FROM playlists WHERE recipe IS NOT NULL LIMIT 1")
    stub, metadata = stage.client.stub(jobwork_pb2_grpc.PlaylistJobServiceStub), stage.people["owner"].metadata
    for similarity in (1e300, -1e300, 10**400):
        token = paging.encode_token(f"suggestions {playlist_id} PROPOSED", [similarity, playlist_id])
        page = jobwork_pb2.ListSuggestionsRequest(playlist_id=playlist_id, page_token=token)
        with pytest.raises(InvalidArgument) as refusal:
            await stub.ListSuggestions(page, timeout=TIMEOUT_S, metadata=metadata)
        assert refusal.value.field == "page_token"
    for seconds, nanos in ((2**62, 0), (0, -5), (0, 2**31 - 1), (-(2**63), 0)):
        wish = jobwork_pb2.SetScheduleRequest(playlist_id=playlist_id, every=jobwork_pb2.SCHEDULE_PERIOD_DAILY)
        wish.first_at.seconds, wish.first_at.nanos = seconds, nanos
        with pytest.raises(InvalidArgument) as refusal:
            await stub.SetSchedule(wish, timeout=TIMEOUT_S, metadata=metadata)
        assert refusal.value.field == "first_at"


@pytest.mark.usefixtures("same_mark")
async def test_nothing_that_is_sent_is_a_fault_of_ours(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    await rounds_without_fault(stage, caplog, "short", 4)


@pytest.mark.long
@pytest.mark.usefixtures("same_mark")
@pytest.mark.parametrize("number", range(10))
async def test_nothing_that_is_sent_for_long_is_a_fault_of_ours(
    stage: Stage, caplog: pytest.LogCaptureFixture, number: int
) -> None:
    await rounds_without_fault(stage, caplog, f"long {number}", 25)
