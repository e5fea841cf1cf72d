"""The report of what was heard, for admins: as GraphQL and as a file; and how much there is."""

import base64

import pytest

from museed.social.v1 import trends_pb2
from services.chassis.errors import InvalidArgument, Unavailable
from tests.fakes.upstreams import new_id
from tests.integration.gateway.conftest import Gateway

pytestmark = pytest.mark.asyncio(loop_scope="module")

TRENDS = """query($dimension: TrendDimension!, $subject: String, $after: String) {
  trends(dimension: $dimension, fromDay: "2026-11-01", toDay: "2026-11-30", period: WEEK, subject: $subject,
    first: 2, after: $after) {
    pageInfo { hasNextPage endCursor }
    nodes { day subject label playCount listenerCount likeCount saveCount } } }"""
FILE = "/trends.csv?dimension=GENRE&fromDay=2026-11-01&toDay=2026-11-30"


async def test_report_is_asked_for_and_told_row_by_row(gateway: Gateway) -> None:
    admin = gateway.bearer(role="admin")
    track_id = new_id()
    gateway.social.answers["ListTrends"] = trends_pb2.ListTrendsResponse(
        trends=[
            trends_pb2.Trend(day="2026-11-02", subject=track_id, label="A by B", play_count=2**40, listener_count=3),
            trends_pb2.Trend(day="2026-11-09", subject=track_id, play_count=1, like_count=-1, save_count=2),
        ],
        next_page_token="more",
    )
    subject = base64.b64encode(f"Track:{track_id}".encode()).decode()
    found = (await gateway.data(TRENDS, {"dimension": "TRACK", "subject": subject}, admin))["trends"]
    assert found["nodes"] == [
        {
            "day": "2026-11-02",
            "subject": track_id,
            "label": "A by B",
            "playCount": 2**40,
            "listenerCount": 3,
            "likeCount": 0,
            "saveCount": 0,
        },
        {
            "day": "2026-11-09",
            "subject": track_id,
            "label": None,
            "playCount": 1,
            "listenerCount": 0,
            "likeCount": -1,
            "saveCount": 2,
        },
    ]
    request = trends_pb2.ListTrendsRequest(
        dimension=trends_pb2.TREND_DIMENSION_TRACK,
        from_day="2026-11-01",
        to_day="2026-11-30",
        period=trends_pb2.TREND_PERIOD_WEEK,
        subject=track_id,
        page_size=2,
    )
    assert gateway.social.requests["ListTrends"] == request
    await gateway.data(
        TRENDS, {"dimension": "GENRE", "subject": "Rock", "after": found["pageInfo"]["endCursor"]}, admin
    )
    asked = gateway.social.requests["ListTrends"]
    assert (asked.subject, asked.page_token) == ("Rock", "more")


async def test_only_admins_get_the_report(gateway: Gateway) -> None:
    for headers, code, status in (({}, "UNAUTHENTICATED", 401), (gateway.bearer(), "PERMISSION_DENIED", 403)):
        body = await gateway.run(TRENDS, {"dimension": "GENRE"}, headers)
        assert (body["data"], body["errors"][0]["extensions"]["code"]) == ({"trends": None}, code)
        response = await gateway.http.get(FILE, headers=headers)
        assert (response.status_code, response.json()["error"]["code"]) == (status, code)
    assert (await gateway.http.get(FILE, headers=gateway.bearer(role="admin", exp=1))).status_code == 401
    assert gateway.behind.spent() == {}


async def test_subject_is_an_id_where_ids_are_counted(gateway: Gateway) -> None:
    admin = gateway.bearer(role="admin")
    wrong = base64.b64encode(f"Track:{new_id()}".encode()).decode()
    for dimension, subject, reason in (
        ("ARTIST", wrong, "ID_OF_ANOTHER_TYPE"),
        ("PLAYLIST", "Rock", "ID_INVALID"),
    ):
        error = (await gateway.run(TRENDS, {"dimension": dimension, "subject": subject}, admin))["errors"][0]
        assert (error["extensions"]["reason"], error["extensions"]["field"]) == (reason, "subject")
    gateway.social.faults["ListTrends"] = InvalidArgument(
        "to_day is 2026-11-30", reason="OUT_OF_RANGE", field="to_day", value="2026-11-30", limit="2026-11-01"
    )
    error = (await gateway.run(TRENDS, {"dimension": "GENRE"}, admin))["errors"][0]
    assert (error["message"], error["extensions"]["field"]) == ("toDay is 2026-11-30", "toDay")


async def test_file_is_all_pages_one_after_another(gateway: Gateway) -> None:
    pages = {
        "": trends_pb2.ExportTrendsResponse(content="day,subject\r\n2026-11-01,음악\r\n".encode(), next_page_token="b"),
        "b": trends_pb2.ExportTrendsResponse(content=b"2026-11-02,Jazz\r\n", next_page_token="c"),
        "c": trends_pb2.ExportTrendsResponse(content=b"2026-11-03,Rock\r\n"),
    }
    asked = []

    def export(request: trends_pb2.ExportTrendsRequest) -> trends_pb2.ExportTrendsResponse:
        asked.append(request)
        return pages[request.page_token]

    gateway.social.answers["ExportTrends"] = export
    response = await gateway.http.get(f"{FILE}&period=MONTH&subject=Jazz", headers=gateway.bearer(role="admin"))
    assert response.status_code == 200
    assert response.content.decode() == ("day,subject\r\n2026-11-01,음악\r\n2026-11-02,Jazz\r\n2026-11-03,Rock\r\n")
    assert response.headers["content-type"] == "text/csv; charset=utf-8"
    assert response.headers["content-disposition"] == 'attachment; filename="trends-2026-11-01-2026-11-30.csv"'
    assert (response.headers["cache-control"], response.headers["x-content-type-options"]) == ("no-store", "nosniff")
    whole = trends_pb2.ExportTrendsRequest(
        dimension=trends_pb2.TREND_DIMENSION_GENRE,
        from_day="2026-11-01",
        to_day="2026-11-30",
        period=trends_pb2.TREND_PERIOD_MONTH,
        subject="Jazz",
        page_size=5000,
    )
    assert len(asked) == 3
    for request, token in zip(asked, ("", "b", "c"), strict=True):
        whole.page_token = token
        assert request == whole


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("fromDay=2026-11-01&toDay=2026-11-30", "dimension"),
        ("dimension=genre", "dimension"),
        ("dimension=GENRE&period=YEAR", "period"),
        ("dimension=TRACK&subject=Rock", "subject"),
    ],
)
async def test_a_file_that_cannot_be_is_refused_before_it_begins(gateway: Gateway, query: str, field: str) -> None:
    response = await gateway.http.get(f"/trends.csv?{query}", headers=gateway.bearer(role="admin"))
    assert (response.status_code, response.json()["error"]["field"]) == (400, field)
    assert gateway.behind.spent() == {}


async def test_days_of_a_file_are_socials_to_judge_and_no_header_is_made_of_bad_ones(gateway: Gateway) -> None:
    gateway.social.faults["ExportTrends"] = InvalidArgument(
        "from_day is no day", reason="MALFORMED", field="from_day", value="x"
    )
    response = await gateway.http.get(
        "/trends.csv", params={"dimension": "GENRE", "fromDay": 'x"\r\nSet-Cookie: a=b'},
        headers=gateway.bearer(role="admin"),
    )  # fmt: skip
    assert (response.status_code, response.json()["error"]["field"]) == (400, "fromDay")
    assert "set-cookie" not in response.headers


async def test_a_file_that_breaks_off_does_not_look_whole(gateway: Gateway) -> None:
    def export(request: trends_pb2.ExportTrendsRequest) -> trends_pb2.ExportTrendsResponse:
        if request.page_token:
            raise Unavailable("the database is away", reason="DATABASE_UNAVAILABLE")
        return trends_pb2.ExportTrendsResponse(content=b"day\r\n" * 1000, next_page_token="b")

    gateway.social.answers["ExportTrends"] = export
    with pytest.raises(Exception, match="incomplete chunked read") as caught:
        await gateway.http.get(FILE, headers=gateway.bearer(role="admin"))
    assert type(caught.value).__name__ == "RemoteProtocolError"


async def test_stats_tell_plays(gateway: Gateway) -> None:
    gateway.social.play_count = 2**35
    assert await gateway.data("{ stats { playCount trackCount } }") == {"stats": {"playCount": 2**35, "trackCount": 0}}


ADDRESS = """query($from: Date! = "2026-11-01") {
  trendsUrl(dimension: TRACK, fromDay: $from, toDay: "2026-11-30", period: MONTH) }"""


async def test_a_browser_opens_the_report_by_an_address_that_acts_for_the_admin(gateway: Gateway) -> None:
    gateway.social.answers["ExportTrends"] = trends_pb2.ExportTrendsResponse(content=b"day\r\n")
    admin = gateway.bearer(role="admin")
    address = (await gateway.data(ADDRESS, headers=admin))["trendsUrl"]
    assert address.startswith("/trends.csv?dimension=TRACK&fromDay=2026-11-01&toDay=2026-11-30&period=MONTH&subject=&")
    assert admin["Authorization"].removeprefix("Bearer ") not in address
    response = await gateway.http.get(address)
    assert (response.status_code, response.content) == (200, b"day\r\n")
    assert gateway.social.seen_tokens["ExportTrends"] == admin["Authorization"].removeprefix("Bearer ")
    # It is for this report alone, and nobody else's to make.
    for other in (
        address.replace("2026-11-30", "2026-12-30"),
        address.replace("TRACK", "GENRE"),
        f"{address[:-4]}AAAA",
        f"{address.partition('access=')[0]}access=",
    ):
        response = await gateway.http.get(other)
        assert (response.status_code, response.json()["error"]["reason"]) == (403, "SIGNATURE_INVALID")
    for headers, reason in ((None, "LOGIN_REQUIRED"), (gateway.bearer(), "PERMISSION_DENIED")):
        body = await gateway.run(ADDRESS, headers=headers)
        assert (body["data"]["trendsUrl"], body["errors"][0]["extensions"]["reason"]) == (None, reason)


async def test_an_address_of_a_report_ends_with_its_session(gateway: Gateway) -> None:
    address = (await gateway.data(ADDRESS, headers=gateway.bearer(role="admin", sid="ended-soon")))["trendsUrl"]
    gateway.parts.authenticator.revocations.hear_of("ended-soon")
    response = await gateway.http.get(address)
    assert (response.status_code, response.json()["error"]["reason"]) == (401, "SESSION_REVOKED")
