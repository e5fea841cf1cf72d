"""What a part of the service is given, and what it gives back; the list of all parts is in `wiring`."""

import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from services.chassis.blobs import BlobStore
from services.chassis.bus import BusSettings
from services.chassis.telemetry import Metrics
from services.chassis.tls import Identity
from services.social.clients import RetrieverClient
from services.social.domain.jobs import Kind
from services.social.domain.passwords import PasswordHasher
from services.social.domain.tokens import TokenIssuer
from services.social.embedders import Embedders
from services.social.metrics import SocialMetrics
from services.social.reference_client import ReferenceClient
from services.social.settings import SocialSettings
from services.social.store.database import Database
from services.social.streams import BusDoor
from services.social.taste_client import TasteClient
from services.social.workers.background import Bells, Nudge
from services.social.workers.kinds import JobKind
from services.social.workers.sweeping import Sweep
from services.social.workers.switching import EncoderSwitch

Loop = Callable[[], Coroutine[None, None, None]]


def now() -> datetime:
    """Return the time of day."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Nudges:
    """Bells that wake loops of this process early.

    Attributes:
        committed: After every transaction that committed.
        due: A job is due.
        begun: There is something new for an encoder to hear.
        ended: By a job's id, that it has ended.
    """

    committed: Nudge = field(default_factory=Nudge)
    due: Nudge = field(default_factory=Nudge)
    begun: Nudge = field(default_factory=Nudge)
    ended: Bells = field(default_factory=Bells)


@dataclass(frozen=True, slots=True)
class Tools:
    """What every part may use.

    Attributes:
        settings: Of this service.
        bus_settings: Where NATS is.
        identity: Who this process is; None speaks without TLS.
        metrics: Of this process.
        database: For requests.
        background: The same database for loops, by connections of their own: requests never wait for them.
        nudges: Wake loops.
        issuer: Signs tokens.
        hasher: Of passwords.
        blobs: Where uploads lie, None where there is no such place.
        embedders: Clients of all embedders.
        retriever: Client of the retriever.
        tastes: Asks the retriever about people's tastes.
        references: Asks the retriever about recordings.
        switch: Puts another encoder in the place of the one that is served.
        door: To NATS, once that can be reached.
        clock: Time of day.
        monotonic: Seconds that only rise.
        counts: Of what social does.
        job_kinds: Of all parts, from when they are all wired.
    """

    settings: SocialSettings
    bus_settings: BusSettings
    identity: Identity | None
    metrics: Metrics
    database: Database
    background: Database
    nudges: Nudges
    issuer: TokenIssuer
    hasher: PasswordHasher
    blobs: BlobStore | None
    embedders: Embedders
    retriever: RetrieverClient
    tastes: TasteClient
    references: ReferenceClient
    switch: EncoderSwitch
    door: BusDoor
    clock: Callable[[], datetime] = now
    monotonic: Callable[[], float] = time.monotonic
    counts: SocialMetrics = field(default_factory=SocialMetrics)
    job_kinds: dict[Kind, JobKind] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Wired:
    """What a part brings.

    Attributes:
        servicers: Subclasses of generated servicers; RPCs that they leave out are answered UNIMPLEMENTED.
        loops: Run from the start until the process ends; one that returns or raises ends the process.
        sweeps: Forget what is over.
        job_kinds: Do jobs: the worker calls the kind of each job that it takes.
    """

    servicers: Sequence[object] = ()
    loops: Sequence[Loop] = ()
    sweeps: Sequence[Sweep] = ()
    job_kinds: Mapping[Kind, JobKind] = field(default_factory=dict)
