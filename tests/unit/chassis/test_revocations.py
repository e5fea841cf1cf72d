"""Which sessions ended: asked often enough, and before the first of them is believed."""

import asyncio
import logging

import pytest

from services.chassis.errors import Unauthenticated, Unavailable
from services.chassis.tokens import Revocations, TokenVerifier
from tests.fakes.tokens import TokenSigner


class Social:
    """What a social process answers."""

    def __init__(self) -> None:
        self.ended: list[str] = []
        self.asked = 0
        self.is_away = False

    async def fetch(self) -> list[str]:
        self.asked += 1
        if self.is_away:
            raise Unavailable("away")
        return self.ended


async def test_process_that_has_just_begun_asks_before_it_believes_a_session() -> None:
    signer, social = TokenSigner(), Social()
    social.ended = ["session-1"]
    verifier = TokenVerifier(signer.jwks, Revocations(social.fetch))
    tokens = [signer.token(sid="session-1"), signer.token(sid="session-2")] * 3
    found = await asyncio.gather(*(verifier.verify(token) for token in tokens), return_exceptions=True)
    refused = [one.reason for one in found if isinstance(one, Unauthenticated)]
    assert (refused, len(found) - len(refused), social.asked) == (["SESSION_REVOKED"] * 3, 3, 1)
    assert (await verifier.verify(signer.job_token())).session_id == ""


async def test_no_session_is_believed_while_the_list_was_never_read(monkeypatch: pytest.MonkeyPatch) -> None:
    signer, social = TokenSigner(), Social()
    social.is_away = True
    revocations = Revocations(social.fetch)
    verifier = TokenVerifier(signer.jwks, revocations)
    for _ in range(2):  # the second is refused at once
        with pytest.raises(Unavailable) as refusal:
            await verifier.verify(signer.token(sid="session-1"))
        assert (refusal.value.reason, refusal.value.retry_after_ms) == ("KEYS_UNAVAILABLE", 1_000)
    assert social.asked == 1
    social.is_away = False
    monkeypatch.setattr("services.chassis.tokens._KEYS_AWAY_S", 0.0)
    assert (await verifier.verify(signer.token(sid="session-1"))).session_id == "session-1"
    # Once it was read, the last list stays while social is away.
    social.is_away = True
    assert (await verifier.verify(signer.token(sid="session-1"))).session_id == "session-1"


async def test_social_that_is_away_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    social = Social()
    revocations = Revocations(social.fetch, interval_s=0.0)
    told = []

    async def until_asked(times: int) -> None:
        wanted = social.asked + times
        async with asyncio.timeout(60):
            while social.asked < wanted:
                await asyncio.sleep(0)

    running = asyncio.create_task(revocations.run())
    for is_away in (True, False, True, False):
        social.is_away = is_away
        await until_asked(4)
        told.append([record.message for record in caplog.records])
        caplog.clear()
    running.cancel()
    assert told == [["revocations_wait"], [], ["revocations_stale"], []]


async def test_list_is_asked_for_twice_within_the_five_seconds_of_the_promise(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    social = Social()

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            raise asyncio.CancelledError

    monkeypatch.setattr("services.chassis.tokens.asyncio.sleep", sleep)
    with pytest.raises(asyncio.CancelledError):
        await Revocations(social.fetch).run()
    assert (social.asked, pauses) == (3, [2.0, 2.0, 2.0])
