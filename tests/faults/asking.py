"""One person's way of asking: again and again under the same key, until there is an answer to note."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from clients.python.errors import ClientError
from tests.faults.calls import Calls, is_over_soon
from tests.faults.history import History, Operation, Outcome
from tests.faults.ledger import MAY_BE_GIVEN_UP, Ledger, List

# Longer than any fault and what follows from it.
PATIENCE_S = 180.0
# Of answers these were not heard: the same is asked once more.
_UNHEARD = 0.08
_GIVEN_UP = 0.05
# Of reads these are asked again until they are answered, as changes are; the others once.
_INSISTED_ON = 0.3
# Who is in haste asks for something else after so long: a mesh of which one service is away is still asked for all.
HASTE_S = 1.0

# What somebody must have been answered in every run, however short: else nothing would be known of it.
KINDS = frozenset(
    {"create", "add", "rename", "remove", "delete", "like", "follow", "comment", "play", "upload", "generate", "cancel"}
    | {"read_list", "read_lists", "read_likes", "read_follows", "read_job", "read_audio", "browse", "similar"}
    | {"peek", "who_am_i", "register", "retag", "read_track"}
)
# For that, people go on so long after the last fault.
_ENCORE_S = 180.0

Ask = Callable[[], Awaitable[dict[str, Any]]]


@dataclass
class World:
    """What the people of one run share.

    Attributes:
        url: Where they find the gateway.
        tracks: Ids of the library; those that come later, too.
        heard: Those that playlists can be asked for from: a track that nothing has heard yet is refused.
        history: What they note in.
        neighbours: What the index says of each track while nothing is broken.
        lacking: Kinds of operations that nobody was answered yet; after the last fault, of those since then.
        unanswered: Operations that nobody answered for longer than any fault lasts.
    """

    url: str
    tracks: list[str]
    heard: list[str]
    history: History
    neighbours: dict[str, list[str]]
    people: list["Asker"] = field(default_factory=list)
    lacking: set[str] = field(default_factory=lambda: set(KINDS))
    unanswered: list[Operation] = field(default_factory=list)
    began_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    _over_s: float | None = None

    @property
    def is_over(self) -> bool:
        """Whether everything has been asked."""
        return self._over_s is not None and (not self.lacking or time.monotonic() > self._over_s)

    def end(self) -> None:
        """Have people stop as soon as everything has been asked once more."""
        self.lacking = set(KINDS)
        self._over_s = time.monotonic() + _ENCORE_S


class Asker:
    """Somebody with a log-in and a ledger.

    Args:
        world: Where.
        name: Username.
        dice: Decide what is done.
        password: Theirs, where it is not everybody's.
        is_hasty: Whether they give up soon what may be given up.
    """

    def __init__(
        self, world: World, name: str, dice: random.Random, password: str = "", *, is_hasty: bool = False
    ) -> None:
        self._world = world
        self._dice = dice
        self._is_hasty = is_hasty
        self._asked = 0
        self._calls = Calls(world.url, name, password)
        self.ledger = Ledger(name)
        self.digests: dict[str, str] = {}

    async def _ask(self, kind: str, arguments: dict[str, Any], ask: Ask, *, is_read: bool = False) -> bool:
        """Ask until there is an answer, note what it was, and return whether it was done."""
        history, number = self._world.history, self._asked
        self._asked += 1
        # Not those that decide what comes next: how often something must be asked is chance.
        luck = random.Random(f"{self.ledger.actor} {number}")
        is_hasty = self._is_hasty and (is_read or kind in MAY_BE_GIVEN_UP)
        asks_once = is_hasty or (is_read and luck.random() >= _INSISTED_ON)
        operation = history.begin(self.ledger.actor, kind, arguments)
        deadline = time.monotonic() + PATIENCE_S
        while operation.outcome == Outcome.OPEN:
            operation.tries += 1
            try:
                result = await (_within(HASTE_S, ask) if is_hasty else ask())
            except ClientError as error:
                operation.heard += [*self._calls.take_lost(), error.code]
                is_late = time.monotonic() > deadline
                if not is_over_soon(error):
                    history.end(operation, Outcome.REFUSED, {"code": error.code, "message": str(error)})
                elif asks_once or (kind in MAY_BE_GIVEN_UP and luck.random() < _GIVEN_UP):
                    history.end(operation, Outcome.GIVEN_UP)
                elif is_late:
                    self._world.unanswered.append(operation)
                    history.end(operation, Outcome.GIVEN_UP)
                await asyncio.sleep(0.05 + luck.random() * 0.3)
            else:
                operation.heard += self._calls.take_lost()
                if is_read or luck.random() >= _UNHEARD:
                    history.end(operation, Outcome.DONE, result)
                    self._world.lacking.discard(kind)
        self.ledger.apply(operation)
        return operation.outcome == Outcome.DONE

    def _own(self) -> tuple[str, List]:
        return self._dice.choice(list(self.ledger.lists.items()))

    def _other(self) -> "Asker":
        return self._dice.choice([other for other in self._world.people if other is not self])


async def _within(seconds: float, ask: Ask) -> dict[str, Any]:
    try:
        return await asyncio.wait_for(ask(), seconds)
    except TimeoutError as error:
        raise ClientError(f"no answer in {seconds:.0f} s", "NO_ANSWER", is_transient=True) from error


def shown(found: dict[str, Any]) -> dict[str, Any]:
    """Return what is compared of a playlist's page."""
    entries = [[entry["entryId"], entry["trackId"]] for entry in found["entries"]["nodes"]]
    tracks = [track_id for _, track_id in entries]
    page = {"playlist_id": found["playlistId"], "title": found["title"], "version": found["version"]}
    return {**page, "found": True, "entries": entries, "track_ids": tracks}
