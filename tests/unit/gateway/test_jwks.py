"""How long keys are kept, and how long they serve while social is away."""

import pytest
from starlette.requests import Request

from services.chassis.errors import Unavailable
from services.gateway.jwks import FRESH_S, STALE_S, Jwks


class Social:
    """Answers with the number of the call, or not at all."""

    def __init__(self) -> None:
        self.calls = 0
        self.is_away = False

    async def fetch(self) -> str:
        self.calls += 1
        if self.is_away:
            raise Unavailable("away")
        return f'{{"keys": [], "call": {self.calls}}}'


async def test_keys_are_fresh_for_a_minute_and_serve_for_an_hour_without_social() -> None:
    social, now = Social(), 0.0
    keys = Jwks(social.fetch, lambda: now)

    async def text() -> str:
        return bytes((await keys.handle(Request({"type": "http", "headers": []}))).body).decode()

    first = await text()
    now = FRESH_S - 1
    assert (await text(), social.calls) == (first, 1)
    now = FRESH_S
    second = await text()
    assert (second != first, social.calls) == (True, 2)
    social.is_away = True
    now = FRESH_S + STALE_S - 1
    assert (await text(), social.calls) == (second, 3)
    now += 1
    with pytest.raises(Unavailable):
        await text()
    social.is_away = False
    assert await text() not in (first, second)
