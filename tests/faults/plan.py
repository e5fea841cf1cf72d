"""Which faults come when: one seed is one plan, the same on every machine that can do the same kinds."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

PROCESSES = ("postgres", "nats", "embedder", "social", "retriever", "gateway")
SERVICES = ("embedder", "social", "retriever", "gateway")
STOOD_IN_FOR = ("embedder", "social", "retriever")
# Who calls whom; the last are what people's own connections go over.
EDGES = (
    ("gateway", "social"),
    ("gateway", "retriever"),
    ("gateway", "nats"),
    ("social", "postgres"),
    ("social", "nats"),
    ("social", "embedder"),
    ("social", "retriever"),
    ("embedder", "social"),
    ("embedder", "nats"),
    ("retriever", "social"),
    ("retriever", "nats"),
    ("people", "gateway"),
)
LINKS = tuple(f"{caller}-{called}" for caller, called in EDGES)
READERS = tuple(link for link in LINKS if link.endswith("-nats"))


class Kind(StrEnum):
    """What is done to the mesh.

    KILL a process with -9; PAUSE it with SIGSTOP for a while; RESTART it in order; BLACKOUT kills all at once.
    KILL_CHILD kills a child that works for it; OVERSLEEP pauses it for longer than anything is leased to it, while
    another one stands in for it; REPLACE starts it again as `museed restart` does.
    DELAY, THROTTLE, CUT, SILENCE a link for a while: answers late, slowly, with a reset, or not at all.
    RESET a link's connections; STRAND leaves them without an answer for ever, while new ones are served.
    SLOW_READER takes what NATS sends to one service at a trickle, and then loses what was held back.
    WIPE the store of NATS; TEAR files that lay unsynced when the power failed.
    FULL lets a process write to no file for a while; CLOCK jumps for one process, and back.
    """

    KILL = "kill"
    KILL_CHILD = "kill child"
    PAUSE = "pause"
    OVERSLEEP = "oversleep"
    RESTART = "restart"
    REPLACE = "replace"
    BLACKOUT = "blackout"
    DELAY = "delay"
    THROTTLE = "throttle"
    CUT = "cut"
    SILENCE = "silence"
    RESET = "reset"
    STRAND = "strand"
    SLOW_READER = "slow reader"
    WIPE = "wipe"
    TEAR = "tear"
    FULL = "full"
    CLOCK = "clock"


TARGETS: dict[Kind, tuple[str, ...]] = {
    Kind.KILL: PROCESSES,
    # A backend that dies has PostgreSQL recover; the embedder decodes in children.
    Kind.KILL_CHILD: ("postgres", "embedder"),
    Kind.PAUSE: PROCESSES,
    Kind.OVERSLEEP: STOOD_IN_FOR,
    Kind.RESTART: PROCESSES,
    Kind.REPLACE: SERVICES,
    Kind.BLACKOUT: ("everything",),
    Kind.DELAY: LINKS,
    Kind.THROTTLE: LINKS,
    Kind.CUT: LINKS,
    Kind.SILENCE: LINKS,
    Kind.RESET: LINKS,
    Kind.STRAND: LINKS,
    Kind.SLOW_READER: READERS,
    Kind.WIPE: ("nats",),
    Kind.TEAR: ("nats", "nats", "retriever", "gateway"),
    # Uploads are written by the gateway, and by nobody else.
    Kind.FULL: ("gateway", "gateway", "gateway", *SERVICES),
    Kind.CLOCK: SERVICES,
}
# How often one of a kind comes, beside the others; at least one of each comes in a long plan.
WEIGHTS: dict[Kind, int] = {Kind.KILL: 4, Kind.PAUSE: 3, Kind.SILENCE: 2, Kind.CUT: 2, Kind.STRAND: 2}
# What lasts a while, and from how long to how long; a tenth of what is short lasts three times as long.
LASTS_S: dict[Kind, tuple[float, float]] = {
    Kind.PAUSE: (0.2, 4.0),
    # Messages are given to somebody else after 15 s, jobs too.
    Kind.OVERSLEEP: (18.0, 35.0),
    Kind.DELAY: (0.2, 3.0),
    Kind.THROTTLE: (0.2, 3.0),
    Kind.CUT: (0.2, 3.0),
    Kind.SILENCE: (0.2, 4.0),
    Kind.SLOW_READER: (0.2, 4.0),
    Kind.FULL: (0.2, 6.0),
    Kind.CLOCK: (0.2, 4.0),
}
_LONGEST_GAP_S = 4.0
_HOURS_S = 3600.0


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault.

    Attributes:
        number: Order of the beginnings.
        kind: What is done.
        target: To whom: a process or a link.
        after_s: Pause since the beginning of the one before.
        lasts_s: Until it is healed; 0 where there is nothing to heal.
        amount: Seconds of a delay or jump, bytes a second of a bound, a share of a file's bytes; else 0.
    """

    number: int
    kind: Kind
    target: str
    after_s: float
    lasts_s: float
    amount: float

    def __str__(self) -> str:
        amount = f" {self.amount:+.4g}" if self.amount else ""
        lasts = f" for {self.lasts_s:.1f} s" if self.lasts_s else ""
        return f"{self.number:3d}. after {self.after_s:.1f} s: {self.kind} {self.target}{amount}{lasts}"


def plan(seed: int, count: int, kinds: Sequence[Kind] = tuple(Kind), pace: float = 1.0) -> list[Fault]:
    """Return the faults of a seed.

    Args:
        seed: Decides everything.
        count: How many.
        kinds: Those that this machine can do.
        pace: Multiplies every pause and duration, but for those that must outlast a lease.
    """
    dice = random.Random(seed)
    deck: list[Kind] = []
    faults = []
    for number in range(count):
        if not deck:
            deck = [kind for kind in kinds for _ in range(WEIGHTS.get(kind, 1))]
            dice.shuffle(deck)
        kind = deck.pop()
        lasts_s = dice.uniform(*LASTS_S[kind]) if kind in LASTS_S else 0.0
        if dice.random() < 0.1 and kind != Kind.OVERSLEEP:
            lasts_s *= 3
        faults.append(
            Fault(
                number,
                kind,
                dice.choice(TARGETS[kind]),
                round(pace * dice.uniform(0.1, _LONGEST_GAP_S), 3),
                round(lasts_s if kind == Kind.OVERSLEEP else pace * lasts_s, 3),
                round(_amount(kind, dice), 4),
            )
        )
    return faults


def _amount(kind: Kind, dice: random.Random) -> float:
    match kind:
        case Kind.DELAY:
            return dice.uniform(0.01, 0.5)
        case Kind.THROTTLE:
            return dice.uniform(1_000, 100_000)
        case Kind.SLOW_READER:
            return dice.uniform(200, 3_000)
        case Kind.CLOCK:
            # Some seconds as after a correction, or hours as with a dead battery; keys are kept for a day.
            return dice.choice((-1, 1)) * dice.choice((dice.uniform(1, 120), dice.uniform(0.2, 8) * _HOURS_S))
        case Kind.TEAR:
            return dice.random()
    return 0.0
