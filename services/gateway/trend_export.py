"""GET /trends.csv: the report of what was heard as a file for spreadsheets, page by page as social writes it."""

from collections.abc import AsyncGenerator

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from museed.social.v1 import trends_pb2
from services.chassis.errors import InvalidArgument
from services.gateway.context import Parts
from services.gateway.schema.trend import TrendDimension, TrendPeriod, report_subject, trend_subject
from services.gateway.sealing import TokenSealer

_PAGE_ROWS = 5_000


class TrendExport:
    """The route of the report.

    Args:
        parts: The parts of the process.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._sealer = TokenSealer(parts.settings.url_signing_key.get_secret_value().encode())

    async def handle(self, request: Request) -> Response:
        """Answer with the whole report; one that breaks off was not whole.

        Raises:
            Unauthenticated, PermissionDenied: Admins only, by the header or by an address of `trendsUrl`.
            InvalidArgument: MALFORMED, or what social says of the days.
        """
        wanted = _wanted(request)
        header = request.headers.get("authorization")
        await self._parts.authenticator.bind(
            self._sealer.authorization(report_subject(wanted), request.query_params, header)
        )
        # Before the answer begins, so that a refusal is one.
        first = await self._page(wanted)
        name = f"trends-{wanted.from_day}-{wanted.to_day}.csv"
        return StreamingResponse(
            self._rest(wanted, first),
            media_type="text/csv; charset=utf-8",
            headers={"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"},
        )

    async def _rest(
        self, wanted: trends_pb2.ExportTrendsRequest, page: trends_pb2.ExportTrendsResponse
    ) -> AsyncGenerator[bytes, None]:
        yield page.content
        while page.next_page_token:
            wanted.page_token = page.next_page_token
            page = await self._page(wanted)
            yield page.content

    async def _page(self, wanted: trends_pb2.ExportTrendsRequest) -> trends_pb2.ExportTrendsResponse:
        method = self._parts.upstream.trends.ExportTrends
        return await method(wanted, timeout=self._parts.settings.upstream_timeout_s)


def _wanted(request: Request) -> trends_pb2.ExportTrendsRequest:
    query = request.query_params
    dimension = query.get("dimension", "")
    period = query.get("period", TrendPeriod.DAY.name)
    for name, value, kind in (("dimension", dimension, TrendDimension), ("period", period, TrendPeriod)):
        if value not in kind.__members__:
            known = ", ".join(kind.__members__)
            raise InvalidArgument(
                f"{name} is {value[:40]!r}, it must be one of {known}",
                reason="MALFORMED",
                field=name,
                value=value,
                limit=known,
            )
    counted = TrendDimension[dimension].value
    return trends_pb2.ExportTrendsRequest(
        dimension=counted,
        from_day=query.get("fromDay", ""),
        to_day=query.get("toDay", ""),
        period=TrendPeriod[period].value,
        subject=trend_subject(counted, query.get("subject", "")),
        page_size=_PAGE_ROWS,
    )
