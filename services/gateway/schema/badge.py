"""Badges, and the picture of a person's taste."""

from datetime import datetime
from typing import Self

import strawberry
from strawberry import field

from museed.social.v1 import badges_pb2
from services.gateway.schema.scalars import BigInt
from services.gateway.schema.values import to_datetime


@strawberry.type(description="A step of a badge.")
class BadgeTier:
    """A threshold, reached or not."""

    tier: int = field(description="From 1.")
    threshold: BigInt = field(description="From how many on it is earned.")
    earned_at: datetime | None = field(description="When it was earned; null while it is not. It is never taken back.")

    @classmethod
    def from_message(cls, message: badges_pb2.BadgeTier) -> Self:
        """Translate social's message."""
        return cls(
            tier=message.tier,
            threshold=BigInt(message.threshold),
            earned_at=to_datetime(message.earned_at) if message.HasField("earned_at") else None,
        )


@strawberry.type(description="A badge, and how far a person came.")
class Badge:
    """One of all badges that there are."""

    name: str = field(description='Stable name, for example "seed_planter".')
    rule: str = field(description="What it is given for, a sentence.")
    tiers: list[BadgeTier] = field(description="Its steps, lowest first.")
    progress: BigInt = field(description="How many of what the steps ask for; 0 to everybody but the person.")

    @classmethod
    def from_message(cls, message: badges_pb2.Badge) -> Self:
        """Translate social's message."""
        return cls(
            name=message.name,
            rule=message.rule,
            tiers=[BadgeTier.from_message(tier) for tier in message.tiers],
            progress=BigInt(message.progress),
        )


@strawberry.type(description="A badge that somebody has.")
class EarnedBadge:
    """The highest step of it."""

    name: str = field(description='Stable name, for example "seed_planter".')
    tier: int = field(description="Its highest step, from 1.")
    earned_at: datetime = field(description="When that was earned.")

    @classmethod
    def from_message(cls, message: badges_pb2.EarnedBadge) -> Self:
        """Translate social's message."""
        return cls(name=message.name, tier=message.tier, earned_at=to_datetime(message.earned_at))


@strawberry.type(description="The picture of a person's taste by genres; the same taste is the same picture.")
class Avatar:
    """A picture as text."""

    svg: str = field(description="SVG, at most 64 KiB, without script and without text by people.")
    etag: str = field(description="Another picture has another one.")

    @classmethod
    def from_message(cls, message: badges_pb2.Avatar) -> Self:
        """Translate social's message."""
        return cls(svg=message.svg.decode(errors="replace"), etag=message.etag)
