"""Lets one caller of several do what all of them ask for; knows nothing of what that is."""

import asyncio
from collections.abc import Awaitable, Callable


class SingleFlight:
    """Does what is asked for under one key once at a time: who asks meanwhile waits, and shares the end.

    Remembers nothing beyond that end. Holds one entry for each key that is being worked on.
    """

    def __init__(self) -> None:
        self._flying: dict[str, asyncio.Future[Exception | None]] = {}

    async def join(self, key: str, act: Callable[[], Awaitable[None]]) -> None:
        """Act, or wait for the one who acts under this key already, and end as that one does.

        A caller who is cancelled while it waits disturbs nobody. Where the one who acts is cancelled, one of those who
        wait acts in its place.

        Args:
            key: What is done, the same for all who want the same.
            act: Does it.

        Raises:
            Exception: Whatever `act` raised, in every caller.
        """
        while (flying := self._flying.get(key)) is not None:
            await asyncio.wait({flying})  # not `await flying`: that would cancel it for everybody
            if not flying.cancelled():
                if (error := flying.result()) is not None:
                    raise error
                return
        flying = self._flying[key] = asyncio.get_running_loop().create_future()
        try:
            await act()
        except Exception as error:
            flying.set_result(error)
            raise
        else:
            flying.set_result(None)
        finally:
            del self._flying[key]
            flying.cancel()  # does nothing where the end is known
