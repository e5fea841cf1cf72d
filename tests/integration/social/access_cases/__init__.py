"""What each RPC does with things that are somebody's: one module for each part of the service.

A module holds CASES: by "Service/Method" a `Case`, or the reason why there is nobody's thing to ask for.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from google.protobuf.message import Message

from services.social.store.database import Database
from tests.integration.social.conftest import Client, Library, Mesh, Person, Sql

# Of these the cases speak; what tokens with scopes may follows from what their owner may.
GUEST, OWNER, OTHER, BLOCKED, ADMIN = "guest", "owner", "other", "blocked", "admin"
PEOPLE = (GUEST, OWNER, OTHER, BLOCKED, ADMIN)
EVERYBODY = frozenset(PEOPLE)
LOGGED_IN = frozenset({OWNER, OTHER, BLOCKED, ADMIN})
ONLY_OWNER = frozenset({OWNER})
ONLY_ADMIN = frozenset({ADMIN})
OWNER_OR_ADMIN = ONLY_OWNER | ONLY_ADMIN


@dataclass
class World:
    """A running service with people in it: the owner of things, another one, one whom the owner blocked, an admin."""

    mesh: Mesh
    client: Client
    library: Library
    database: Database
    sql: Sql
    people: dict[str, Person]
    made: dict[str, str] = field(default_factory=dict)

    @property
    def owner(self) -> Person:
        return self.people[OWNER]


@dataclass(frozen=True)
class Case:
    """One RPC.

    Attributes:
        request: Makes what the RPC needs, the owner's, anew for each caller, and the request for it.
        may: Who is answered; everybody else is refused as if it were not there, or not theirs.
    """

    request: Callable[[World], Awaitable[Message]]
    may: frozenset[str]


Cases: TypeAlias = dict[str, Case | str]
