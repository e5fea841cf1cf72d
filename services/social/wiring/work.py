"""Everything that goes through NATS: the outbox, the streams, and what embedders answer."""

import asyncio

from services.chassis.bus import Bus
from services.social.actions.replay import Replayer
from services.social.consumer import EmbedderEvents
from services.social.publisher import Publisher
from services.social.servicer.work import WorkServicer
from services.social.store.locks import LaneLocks
from services.social.wiring.parts import Tools, Wired
from services.social.workers.letter_keeper import LETTER_SWEEP, LetterKeeper
from services.social.workers.streams_keeper import StreamKeeper

# What is in the consumer's hands when the process ends; longer, and it is delivered again.
_CONSUMER_GRACE_S = 10.0


def wire(tools: Tools) -> Wired:
    """Serve WorkService, and do everything that needs NATS, from when it can be reached."""
    events = EmbedderEvents(tools.background)
    servicer = WorkServicer(tools.database, tools.door, Replayer(tools.database, tools.door, events))
    return Wired([servicer], [lambda: _on_bus(tools, events)], [LETTER_SWEEP])


async def _on_bus(tools: Tools, events: EmbedderEvents) -> None:
    bus = tools.door.bus = await Bus.connect(tools.bus_settings, "social", tools.metrics.bus, tools.identity)
    try:
        keeper = StreamKeeper(tools.background, bus, tools.settings.work_lost_after_s)
        locks = LaneLocks(tools.settings.database_url.get_secret_value())
        consumers = [events.consumer(bus), LetterKeeper(tools.background, bus).consumer()]
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(Publisher(locks, bus, tools.nudges.committed).run())
            tasks.create_task(keeper.run())
            consuming = {tasks.create_task(consumer.run()) for consumer in consumers}
            try:
                await asyncio.Event().wait()
            finally:
                for consumer in consumers:
                    consumer.stop()
                await asyncio.wait(consuming, timeout=_CONSUMER_GRACE_S)
    finally:
        await bus.close()
