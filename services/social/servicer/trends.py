"""gRPC in: what the mesh hears over time, for admins."""

from collections.abc import Callable
from datetime import date

import grpc

from museed.social.v1 import trends_pb2, trends_pb2_grpc
from services.social.domain import fields, paging
from services.social.domain.genres import GENRES
from services.social.domain.ids import is_id
from services.social.domain.paging import Page
from services.social.domain.trends import (
    LONGEST_SUBJECT,
    Dimension,
    PeriodLength,
    Trend,
    check_days,
    periods,
    to_csv,
)
from services.social.errors import Malformed
from services.social.store import trends
from services.social.store.database import Database

_DEFAULT_LIST, _LARGEST_LIST = 50, 500
_DEFAULT_FILE, _LARGEST_FILE = 1_000, 5_000


class TrendServicer(trends_pb2_grpc.TrendServiceServicer):
    """Serves TrendService. Figures name nobody, and what is not public has no title."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def ListTrends(
        self,
        request: trends_pb2.ListTrendsRequest,
        context: grpc.aio.ServicerContext[trends_pb2.ListTrendsRequest, trends_pb2.ListTrendsResponse],
    ) -> trends_pb2.ListTrendsResponse:
        """List figures by period and subject."""
        size = paging.page_size(request.page_size, _DEFAULT_LIST, _LARGEST_LIST)
        page = await self._page("ListTrends", request, size)
        return trends_pb2.ListTrendsResponse(
            trends=[_trend(one) for one in page.items], next_page_token=page.next_token
        )

    async def ExportTrends(
        self,
        request: trends_pb2.ExportTrendsRequest,
        context: grpc.aio.ServicerContext[trends_pb2.ExportTrendsRequest, trends_pb2.ExportTrendsResponse],
    ) -> trends_pb2.ExportTrendsResponse:
        """Write the same as CSV."""
        size = paging.page_size(request.page_size, _DEFAULT_FILE, _LARGEST_FILE)
        page = await self._page("ExportTrends", request, size)
        content = to_csv(page.items, with_header=not request.page_token)
        return trends_pb2.ExportTrendsResponse(content=content, next_page_token=page.next_token)

    async def _page(
        self, rpc: str, request: trends_pb2.ListTrendsRequest | trends_pb2.ExportTrendsRequest, size: int
    ) -> Page[Trend]:
        dimension, length = _dimension(request.dimension), _length(request.period)
        first, last = check_days(request.from_day, request.to_day)
        subject = _subject(request.subject, dimension)
        scope = f"{rpc} {dimension} {first} {last} {length} {subject}"
        key = paging.decode_token(scope, request.page_token, [_is_day, paging.is_text])
        # A period is told by its first day, also where the report begins in the middle of it.
        begin, after = (date.min, "") if key is None else (date.fromisoformat(str(key[0])), str(key[1]))
        found: list[Trend] = []
        async with self._database.reading() as connection:
            for period in periods(first, last, length):
                if period.shown < begin:
                    continue
                room = size + 1 - len(found)
                found += await trends.trends_of(connection, dimension, period, after, room, subject)
                after = ""
                if len(found) > size:
                    break
        return paging.cut(found, size, scope, _key_of)


def _key_of(one: Trend) -> tuple[str, str]:
    return one.day.isoformat(), one.subject


def _is_day(value: object) -> bool:
    return isinstance(value, str) and len(value) == len("2026-11-22") and paging.is_time(f"{value}T00:00:00+00:00")


def _dimension(value: trends_pb2.TrendDimension.ValueType) -> Dimension:
    if value == trends_pb2.TREND_DIMENSION_UNSPECIFIED or value not in trends_pb2.TrendDimension.values():
        raise Malformed("dimension", value, "GENRE, TRACK, ARTIST or PLAYLIST")
    return Dimension(trends_pb2.TrendDimension.Name(value).removeprefix("TREND_DIMENSION_"))


def _length(value: trends_pb2.TrendPeriod.ValueType) -> PeriodLength:
    if value == trends_pb2.TREND_PERIOD_UNSPECIFIED:
        return PeriodLength.DAY
    if value not in trends_pb2.TrendPeriod.values():
        raise Malformed("period", value, "DAY, WEEK or MONTH")
    return PeriodLength(trends_pb2.TrendPeriod.Name(value).removeprefix("TREND_PERIOD_"))


def _subject(given: str, dimension: Dimension) -> str:
    subject = fields.line(given, "subject", longest=LONGEST_SUBJECT)
    is_known: Callable[[object], bool] = GENRES.__contains__ if dimension is Dimension.GENRE else is_id
    if subject and not is_known(subject):
        raise Malformed("subject", subject, "one of the genres" if dimension is Dimension.GENRE else "a UUID")
    return subject


def _trend(one: Trend) -> trends_pb2.Trend:
    return trends_pb2.Trend(
        day=one.day.isoformat(),
        subject=one.subject,
        label=one.label,
        play_count=one.plays,
        listener_count=one.listeners,
        like_count=one.likes,
        save_count=one.saves,
    )
