"""Suggestions and schedules over HTTP: asked for, listed, judged; set and cleared."""

from datetime import UTC, datetime
from typing import Any

import pytest

from museed.social.v1 import jobs_pb2, jobwork_pb2
from services.chassis.errors import NotFound, ResourceExhausted
from tests.fakes.upstreams import new_id, timestamp
from tests.integration.gateway.conftest import Gateway

pytestmark = pytest.mark.asyncio(loop_scope="module")

ERROR = "... on UserError { code message field value limit }"
SUGGESTION = "trackId state similarity suggestedAt track { title }"
EXTEND = f"""mutation($input: ExtendPlaylistInput!) {{ extendPlaylist(input: $input) {{ __typename
  ... on ExtendPlaylistSuccess {{ job {{ jobId kind playlistId }}
    suggestions(first: 2) {{ nodes {{ {SUGGESTION} }} }} }}
  {ERROR} }} }}"""
JUDGE = f"""mutation($input: JudgeSuggestionsInput!) {{ judgeSuggestions(input: $input) {{ __typename
  ... on JudgeSuggestionsSuccess {{ addedEntryIds playlist {{ title entries {{ nodes {{ position }} }} }} }}
  {ERROR} }} }}"""
SCHEDULE = f"""mutation($input: SchedulePlaylistInput!) {{ schedulePlaylist(input: $input) {{ __typename
  ... on SchedulePlaylistSuccess {{ schedule {{ playlistId every nextAt lastJobId }} playlist {{ title }} }}
  {ERROR} }} }}"""
UNSCHEDULE = f"""mutation($input: UnschedulePlaylistInput!) {{ unschedulePlaylist(input: $input) {{ __typename
  ... on UnschedulePlaylistSuccess {{ playlistId playlist {{ title schedule {{ every }} }} }} {ERROR} }} }}"""
LIST = f"""query($id: ID!, $state: SuggestionState! = PROPOSED, $after: String) {{
  suggestions(playlistId: $id, state: $state, first: 2, after: $after) {{
    pageInfo {{ hasNextPage endCursor }} nodes {{ {SUGGESTION} }} }} }}"""
NOON = datetime(2026, 2, 3, 12, tzinfo=UTC)


def suggest(gateway: Gateway, count: int) -> list[str]:
    """Let the fake suggest so many tracks, in pages whose tokens are places."""
    ids = [track.track_id for track in gateway.social.add_tracks(count)]
    made = [
        jobwork_pb2.Suggestion(
            track_id=track_id,
            state=jobwork_pb2.SUGGESTION_STATE_PROPOSED,
            similarity=0.9 - place / 10,
            suggested_at=timestamp(),
        )
        for place, track_id in enumerate(ids)
    ]

    def page(request: jobwork_pb2.ListSuggestionsRequest) -> jobwork_pb2.ListSuggestionsResponse:
        start = int(request.page_token or 0)
        end = start + request.page_size
        return jobwork_pb2.ListSuggestionsResponse(
            suggestions=made[start:end], next_page_token=str(end) if end < count else ""
        )

    gateway.social.answers["ListSuggestions"] = page
    return ids


def shown(track_id: str, title: str, similarity: float) -> dict[str, Any]:
    return {
        "trackId": track_id,
        "state": "PROPOSED",
        "similarity": similarity,
        "suggestedAt": "2026-01-02T03:04:05+00:00",
        "track": {"title": title},
    }


async def test_extension_returns_what_it_suggests(gateway: Gateway) -> None:
    playlist = gateway.social.add_playlist([])
    ids = suggest(gateway, 3)
    job = jobs_pb2.Job(job_id=new_id(), kind=jobs_pb2.JOB_KIND_EXTENSION, state=jobs_pb2.JOB_STATE_SUCCEEDED)
    job.playlist_id = playlist.playlist_id
    gateway.social.answers["CreateExtensionJob"] = jobwork_pb2.CreateExtensionJobResponse(job=job)
    input_ = {
        "playlistId": playlist.playlist_id,
        "count": 3,
        "filter": {"genres": ["Rock"], "trackIds": [ids[0]], "year": {"min": 1990}},
        "idempotencyKey": "more",
    }
    found = (await gateway.data(EXTEND, {"input": input_}, gateway.bearer()))["extendPlaylist"]
    assert found == {
        "__typename": "ExtendPlaylistSuccess",
        "job": {"jobId": job.job_id, "kind": "EXTENSION", "playlistId": playlist.playlist_id},
        "suggestions": {"nodes": [shown(ids[0], "Track 000", 0.9), shown(ids[1], "Track 001", 0.8)]},
    }
    assert gateway.behind.spent() == {"CreateExtensionJob": 1, "ListSuggestions": 1, "BatchGetTracks": 1}
    assert gateway.social.requests["CreateExtensionJob"] == jobwork_pb2.CreateExtensionJobRequest(
        idempotency_key="more",
        playlist_id=playlist.playlist_id,
        count=3,
        wait_ms=1500,
        filter=jobs_pb2.TrackFilter(genres=["Rock"], track_ids=[ids[0]], year=jobs_pb2.NumberRange(min=1990)),
    )
    assert gateway.social.requests["ListSuggestions"] == jobwork_pb2.ListSuggestionsRequest(
        playlist_id=playlist.playlist_id, state=jobwork_pb2.SUGGESTION_STATE_PROPOSED, page_size=2
    )


async def test_each_extension_without_a_key_is_its_own(gateway: Gateway) -> None:
    suggest(gateway, 0)
    keys = set()
    for _ in range(2):
        await gateway.data(EXTEND, {"input": {"playlistId": new_id()}}, gateway.bearer())
        sent = gateway.social.requests["CreateExtensionJob"]
        keys.add(sent.idempotency_key)
        assert (sent.count, sent.HasField("filter")) == (0, False)
    assert len(keys) == 2


async def test_no_suggestion_is_no_count(gateway: Gateway) -> None:
    found = await gateway.data(EXTEND, {"input": {"playlistId": new_id(), "count": 0}}, gateway.bearer())
    assert found["extendPlaylist"] == {
        "__typename": "InvalidInputError",
        "code": "OUT_OF_RANGE",
        "message": "count is 0, it must be 1 to 100",
        "field": "count",
        "value": "0",
        "limit": "100",
    }
    assert gateway.behind.spent() == {}


async def test_suggestions_are_walked_through_by_state(gateway: Gateway) -> None:
    ids = suggest(gateway, 5)
    playlist_id = new_id()
    found: list[str] = []
    after = None
    while True:
        variables = {"id": playlist_id, "state": "REJECTED", "after": after}
        page = (await gateway.data(LIST, variables, gateway.bearer()))["suggestions"]
        found += [node["trackId"] for node in page["nodes"]]
        if not page["pageInfo"]["hasNextPage"]:
            break
        after = page["pageInfo"]["endCursor"]
    assert found == ids
    assert gateway.social.requests["ListSuggestions"].state == jobwork_pb2.SUGGESTION_STATE_REJECTED
    body = await gateway.run(LIST, {"id": playlist_id})
    assert body["errors"][0]["extensions"]["reason"] == "LOGIN_REQUIRED"


async def test_judgements_are_passed_on_and_the_playlist_comes_back(gateway: Gateway) -> None:
    ids = [track.track_id for track in gateway.social.add_tracks(3)]
    playlist = gateway.social.add_playlist(list(gateway.social.tracks.values())[:2])
    entry_id = new_id()
    gateway.social.answers["JudgeSuggestions"] = jobwork_pb2.JudgeSuggestionsResponse(version=2, entry_ids=[entry_id])
    input_ = {"playlistId": playlist.playlist_id, "acceptTrackIds": [ids[0].upper()], "rejectTrackIds": ids[1:]}
    found = (await gateway.data(JUDGE, {"input": input_}, gateway.bearer()))["judgeSuggestions"]
    assert found == {
        "__typename": "JudgeSuggestionsSuccess",
        "addedEntryIds": [entry_id],
        "playlist": {"title": "Like Track 000", "entries": {"nodes": [{"position": 0}, {"position": 1}]}},
    }
    assert gateway.social.requests["JudgeSuggestions"] == jobwork_pb2.JudgeSuggestionsRequest(
        playlist_id=playlist.playlist_id, accept_track_ids=[ids[0]], reject_track_ids=ids[1:]
    )
    assert gateway.behind.spent() == {"JudgeSuggestions": 1, "GetPlaylist": 1}


async def test_judgement_of_what_was_never_suggested_names_it(gateway: Gateway) -> None:
    track_id = new_id()
    gateway.social.faults["JudgeSuggestions"] = NotFound(
        "this was not suggested", reason="SUGGESTION_NOT_FOUND", field="accept_track_ids[0]", value=track_id
    )
    input_ = {"playlistId": new_id(), "acceptTrackIds": [track_id]}
    found = (await gateway.data(JUDGE, {"input": input_}, gateway.bearer()))["judgeSuggestions"]
    assert (found["__typename"], found["code"]) == ("NotFoundError", "SUGGESTION_NOT_FOUND")
    assert (found["field"], found["value"]) == ("acceptTrackIds[0]", track_id)
    gateway.behind.spent()
    for field in ("acceptTrackIds", "rejectTrackIds"):
        input_ = {"playlistId": new_id(), field: [track_id, "x"]}
        found = (await gateway.data(JUDGE, {"input": input_}, gateway.bearer()))["judgeSuggestions"]
        assert (found["code"], found["field"]) == ("ID_INVALID", f"{field}[1]")
    assert gateway.behind.spent() == {}


@pytest.mark.parametrize(
    ("first_at", "sent"),
    [
        (None, None),
        ("2026-02-03T12:00:00Z", NOON),
        ("2026-02-03T21:00:00+09:00", NOON),
        ("2026-02-03T12:00:00", NOON),
    ],
)
async def test_schedule_is_set_from_a_time_on(gateway: Gateway, first_at: str | None, sent: datetime | None) -> None:
    playlist = gateway.social.add_playlist([])
    gateway.social.answers["SetSchedule"] = jobwork_pb2.SetScheduleResponse(
        schedule=jobwork_pb2.Schedule(
            playlist_id=playlist.playlist_id, every=jobwork_pb2.SCHEDULE_PERIOD_MONTHLY, next_at=timestamp(NOON)
        )
    )
    input_ = {"playlistId": playlist.playlist_id, "every": "MONTHLY", "firstAt": first_at}
    found = (await gateway.data(SCHEDULE, {"input": input_}, gateway.bearer()))["schedulePlaylist"]
    assert found == {
        "__typename": "SchedulePlaylistSuccess",
        "schedule": {
            "playlistId": playlist.playlist_id,
            "every": "MONTHLY",
            "nextAt": "2026-02-03T12:00:00+00:00",
            "lastJobId": None,
        },
        "playlist": {"title": "Like Track 000"},
    }
    assert gateway.social.requests["SetSchedule"] == jobwork_pb2.SetScheduleRequest(
        playlist_id=playlist.playlist_id,
        every=jobwork_pb2.SCHEDULE_PERIOD_MONTHLY,
        first_at=timestamp(sent) if sent else None,
    )


@pytest.mark.parametrize("first_at", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
async def test_time_beyond_the_calendar_is_refused(gateway: Gateway, first_at: str) -> None:
    input_ = {"playlistId": new_id(), "every": "DAILY", "firstAt": first_at}
    found = (await gateway.data(SCHEDULE, {"input": input_}, gateway.bearer()))["schedulePlaylist"]
    assert (found["code"], found["field"], found["value"]) == ("OUT_OF_RANGE", "firstAt", first_at)
    assert gateway.behind.spent() == {}


async def test_too_many_schedules_are_a_limit(gateway: Gateway) -> None:
    gateway.social.faults["SetSchedule"] = ResourceExhausted(
        "50 schedules, the limit is 50", reason="TOO_MANY_SCHEDULES", value=50, limit=50
    )
    input_ = {"playlistId": new_id(), "every": "DAILY"}
    found = (await gateway.data(SCHEDULE, {"input": input_}, gateway.bearer()))["schedulePlaylist"]
    assert (found["__typename"], found["code"], found["limit"]) == ("LimitReachedError", "TOO_MANY_SCHEDULES", "50")


async def test_schedule_is_read_with_its_playlist_and_cleared(gateway: Gateway) -> None:
    playlist, job_id = gateway.social.add_playlist([]), new_id()
    gateway.social.answers["BatchGetSchedules"] = jobwork_pb2.BatchGetSchedulesResponse(
        schedules=[
            jobwork_pb2.Schedule(
                playlist_id=playlist.playlist_id,
                every=jobwork_pb2.SCHEDULE_PERIOD_WEEKLY,
                next_at=timestamp(),
                last_job_id=job_id,
            )
        ]
    )
    document = "query($id: ID!) { playlist(id: $id) { schedule { every nextAt lastJobId } } }"
    found = await gateway.data(document, {"id": playlist.playlist_id}, gateway.bearer())
    assert found["playlist"]["schedule"] == {
        "every": "WEEKLY",
        "nextAt": "2026-01-02T03:04:05+00:00",
        "lastJobId": job_id,
    }
    gateway.social.answers["BatchGetSchedules"] = jobwork_pb2.BatchGetSchedulesResponse()
    gateway.behind.spent()
    found = await gateway.data(UNSCHEDULE, {"input": {"playlistId": playlist.playlist_id}}, gateway.bearer())
    assert found["unschedulePlaylist"] == {
        "__typename": "UnschedulePlaylistSuccess",
        "playlistId": playlist.playlist_id,
        "playlist": {"title": "Like Track 000", "schedule": None},
    }
    assert gateway.behind.spent() == {"ClearSchedule": 1, "GetPlaylist": 1, "BatchGetSchedules": 1}
    assert gateway.social.requests["ClearSchedule"].playlist_id == playlist.playlist_id
