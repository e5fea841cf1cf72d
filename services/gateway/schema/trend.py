"""What the mesh hears over time, for admins."""

import json
from datetime import date
from enum import Enum
from typing import Annotated, Self
from urllib.parse import urlencode

import strawberry
from strawberry import field

from museed.social.v1 import trends_pb2
from services.chassis import auth
from services.gateway.context import Info
from services.gateway.ids import decode_id
from services.gateway.schema.fields import member, resolver
from services.gateway.schema.paging import After, Connection, First, connection_from_page, page_request
from services.gateway.schema.scalars import BigInt
from services.gateway.schema.values import to_date

_KINDS = {
    trends_pb2.TREND_DIMENSION_TRACK: "Track",
    trends_pb2.TREND_DIMENSION_ARTIST: "Artist",
    trends_pb2.TREND_DIMENSION_PLAYLIST: "Playlist",
}


@strawberry.enum(description="What is counted.")
class TrendDimension(Enum):
    """Social's values."""

    GENRE = member(trends_pb2.TREND_DIMENSION_GENRE, "Top-level genres.")
    TRACK = member(trends_pb2.TREND_DIMENSION_TRACK, "Tracks.")
    ARTIST = member(trends_pb2.TREND_DIMENSION_ARTIST, "Artists.")
    PLAYLIST = member(trends_pb2.TREND_DIMENSION_PLAYLIST, "Playlists; private and unlisted ones without a title.")


@strawberry.enum(description="How long a period is.")
class TrendPeriod(Enum):
    """Social's values."""

    DAY = member(trends_pb2.TREND_PERIOD_DAY, "A day in UTC.")
    WEEK = member(trends_pb2.TREND_PERIOD_WEEK, "From Monday to Sunday.")
    MONTH = member(trends_pb2.TREND_PERIOD_MONTH, "A calendar month.")


Dimension = Annotated[TrendDimension, strawberry.argument(description="What is counted.")]
FromDay = Annotated[date, strawberry.argument(description="First day, in UTC.")]
ToDay = Annotated[date, strawberry.argument(description="Last day, at most 366 days later; periods are cut by both.")]
Period = Annotated[TrendPeriod, strawberry.argument(description="How long a period is.")]
Subject = Annotated[
    str | None, strawberry.argument(description="Only this genre, or this track, artist or playlist by its id.")
]


@strawberry.type(description="Figures of a subject in a period. They name nobody.")
class Trend:
    """A row of the report."""

    day: date = field(description="First day of the period.")
    subject: str = field(description="A genre's name, or the UUID of a track, artist or playlist.")
    label: str | None = field(
        description="Name, title and artist, or title; null where it is gone or must not be shown."
    )
    play_count: BigInt = field(description="Plays that count.")
    listener_count: BigInt = field(description="People who heard it, each once a day.")
    like_count: BigInt = field(description="Likes less likes taken back; of playlists only.")
    save_count: BigInt = field(description="Copies; of playlists only.")

    @classmethod
    def from_message(cls, message: trends_pb2.Trend) -> Self:
        """Translate social's message."""
        return cls(
            day=to_date(message.day),
            subject=message.subject,
            label=message.label or None,
            play_count=BigInt(message.play_count),
            listener_count=BigInt(message.listener_count),
            like_count=BigInt(message.like_count),
            save_count=BigInt(message.save_count),
        )


def trend_subject(dimension: "trends_pb2.TrendDimension.ValueType", subject: str) -> str:
    """Return what upstream calls a subject: a genre by its name, all else by its UUID.

    Raises:
        InvalidArgument: ID_INVALID or ID_OF_ANOTHER_TYPE.
    """
    return decode_id(subject, _KINDS[dimension], "subject") if subject and dimension in _KINDS else subject


def report_subject(wanted: trends_pb2.ExportTrendsRequest) -> str:
    """Return what a sealed address of a report is for."""
    said = (wanted.dimension, wanted.from_day, wanted.to_day, wanted.period, wanted.subject)
    return json.dumps(("trends", *said))


@strawberry.type
class TrendQuery:
    """The query of the report."""

    @resolver(
        "What was heard, by period and subject, periods first. Admins only. As a file: `GET /trends.csv` with "
        "the same arguments, or what `trendsUrl` returns."
    )
    async def trends(
        self,
        info: Info,
        dimension: Dimension,
        from_day: FromDay,
        to_day: ToDay,
        period: Period = TrendPeriod.DAY,
        subject: Subject = None,
        first: First = 50,
        after: After = None,
    ) -> Connection[Trend] | None:
        """List it."""
        page = page_request(first, after)
        request = trends_pb2.ListTrendsRequest(
            dimension=dimension.value,
            from_day=from_day.isoformat(),
            to_day=to_day.isoformat(),
            period=period.value,
            subject=trend_subject(dimension.value, subject or ""),
            page_size=page.size,
            page_token=page.token,
        )
        answer = await info.context.call(info.context.parts.upstream.trends.ListTrends, request)
        nodes = [Trend.from_message(each) for each in answer.trends]
        return connection_from_page(page, nodes, answer.next_page_token)

    @resolver(
        "Address of the report as a file, for a browser to open: good as long as the access token that asks, at most "
        "15 minutes, and no longer than its session. Admins only."
    )
    def trends_url(
        self,
        info: Info,
        dimension: Dimension,
        from_day: FromDay,
        to_day: ToDay,
        period: Period = TrendPeriod.DAY,
        subject: Subject = None,
    ) -> str | None:
        """Seal the caller's token into it."""
        auth.check(auth.Access.ADMIN, auth.viewer(), "ExportTrends")
        wanted = trends_pb2.ExportTrendsRequest(
            dimension=dimension.value,
            from_day=from_day.isoformat(),
            to_day=to_day.isoformat(),
            period=period.value,
            subject=trend_subject(dimension.value, subject or ""),
        )
        asked = {
            "dimension": dimension.name,
            "fromDay": wanted.from_day,
            "toDay": wanted.to_day,
            "period": period.name,
            "subject": wanted.subject,
        }
        query = f"{urlencode(asked)}&{info.context.sealed_query(report_subject(wanted))}"
        return f"{info.context.parts.settings.public_url}/trends.csv?{query}"
