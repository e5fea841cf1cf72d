"""Open sockets: who is ended when, and that one who does not read holds up nobody."""

import asyncio
import contextlib

import pytest

from services.chassis.errors import ResourceExhausted
from services.gateway import sockets as sockets_module
from services.gateway.sockets import FORBIDDEN, SERVICE_RESTART, Holder, OpenSockets


class FakeSocket:
    def __init__(self, *, is_stuck: bool = False, running: int = 0) -> None:
        self.is_stuck = is_stuck
        self.running = running
        self.ends: list[tuple[int, str]] = []
        self.pings = 0

    async def end(self, code: int, reason: str) -> None:
        self.ends.append((code, reason))
        if self.is_stuck:
            await asyncio.Event().wait()

    async def ping(self) -> None:
        self.pings += 1
        if self.is_stuck:
            await asyncio.Event().wait()


class Scene:
    def __init__(self) -> None:
        self.ended: set[str] = set()
        self.now = 1000.0
        self.open = OpenSockets(self.ended, lambda: self.now, lambda: self.now)

    async def look(self) -> None:
        self.open.look()
        for _ in range(3):
            await asyncio.sleep(0)


async def test_a_socket_ends_with_its_session_and_others_stay() -> None:
    scene, first, second, guest = Scene(), FakeSocket(is_stuck=True), FakeSocket(), FakeSocket()
    with (
        scene.open.opened(first, Holder("s1", 2000.0)),
        scene.open.opened(second, Holder("s2", 2000.0)),
        scene.open.opened(guest, Holder()),
    ):
        scene.ended.add("s1")
        await scene.look()
        await scene.look()
        assert (first.ends, second.ends, guest.ends) == ([(FORBIDDEN, "SESSION_REVOKED")], [], [])
        scene.open.end_session("")
        scene.open.end_session("s2")
        await asyncio.sleep(0)
        assert (second.ends, guest.ends) == ([(FORBIDDEN, "SESSION_REVOKED")], [])
        assert len(scene.open) == 1
    assert len(scene.open) == 0


async def test_each_person_has_so_many_sockets_and_again_when_one_ends() -> None:
    scene, first, second = Scene(), FakeSocket(running=2), FakeSocket(running=3)
    one, two, three, other = (Holder() for _ in range(4))
    with scene.open.opened(first, one):
        scene.open.count(one, "ada", 2)
        with scene.open.opened(second, two):
            scene.open.count(two, "ada", 2)
            with pytest.raises(ResourceExhausted) as refused:
                scene.open.count(three, "ada", 2)
            assert (refused.value.reason, three.key) == ("TOO_MANY_SOCKETS", "")
            scene.open.count(other, "bob", 2)
            assert [scene.open.running_of(key) for key in ("ada", "bob", "eve")] == [5, 0, 0]
        scene.open.count(three, "ada", 2)
        assert scene.open.running_of("ada") == 2


async def test_a_socket_ends_with_its_token() -> None:
    scene, socket = Scene(), FakeSocket()
    holder = Holder()
    with scene.open.opened(socket, holder):
        holder.session_id, holder.expires_at = "s", 1001.0
        await scene.look()
        assert socket.ends == []
        scene.now = 1001.0
        await scene.look()
        assert socket.ends == [(FORBIDDEN, "TOKEN_EXPIRED")]


async def test_sockets_are_pinged_now_and_then() -> None:
    scene, socket, stuck = Scene(), FakeSocket(), FakeSocket(is_stuck=True)
    with scene.open.opened(socket, Holder()), scene.open.opened(stuck, Holder()):
        for seconds, pings in ((19.0, 0), (1.0, 1), (19.0, 1), (1.0, 2)):
            scene.now += seconds
            await scene.look()
            assert socket.pings == pings


async def test_all_are_sent_away_also_past_one_that_does_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets_module, "_LONGEST_END_S", 0.05)
    scene = Scene()
    sockets = [FakeSocket(is_stuck=number == 0) for number in range(20)]
    with contextlib.ExitStack() as stack:
        for socket in sockets:
            stack.enter_context(scene.open.opened(socket, Holder()))
        async with asyncio.timeout(60):
            await scene.open.send_away(0.05)
    assert scene.open.are_sent_away
    assert [socket.ends for socket in sockets] == [[(SERVICE_RESTART, "")]] * 20
