"""The bell of the mesh: streams, confirmed publishing, work consumers, log readers. Nothing here is truth."""

from services.chassis.bus.connection import Bus, BusSettings, PublishAck
from services.chassis.bus.consume import Delivery, WorkConsumer
from services.chassis.bus.dead_letters import (
    DeadLetter,
    delete_dead_letter,
    find_dead_letter,
    headers_of_dead_letter,
    list_dead_letters,
)
from services.chassis.bus.log import LogBatch, LogEntry, LogPosition, read_log
from services.chassis.bus.streams import (
    DEAD_LETTERS,
    EMBED_WORK,
    EMBEDDER_EVENTS,
    PEOPLE_EVENTS,
    PROFILES,
    SOCIAL_EVENTS,
    STREAMS,
    VECTORS,
    embed_track_subject,
    profile_subject,
    vector_subject,
)

__all__ = [
    "DEAD_LETTERS",
    "EMBEDDER_EVENTS",
    "EMBED_WORK",
    "PEOPLE_EVENTS",
    "PROFILES",
    "SOCIAL_EVENTS",
    "STREAMS",
    "VECTORS",
    "Bus",
    "BusSettings",
    "DeadLetter",
    "Delivery",
    "LogBatch",
    "LogEntry",
    "LogPosition",
    "PublishAck",
    "WorkConsumer",
    "delete_dead_letter",
    "embed_track_subject",
    "find_dead_letter",
    "headers_of_dead_letter",
    "list_dead_letters",
    "profile_subject",
    "read_log",
    "vector_subject",
]
