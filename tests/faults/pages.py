"""Asks once more for every list, comment and job through the gateway, and compares with the rows."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from clients.python.errors import ClientError
from tests.faults.asking import shown
from tests.faults.calls import Calls, is_over_soon
from tests.faults.checker import Final
from tests.faults.documents import JOB, WHOLE_LIST
from tests.faults.final import until_answered
from tests.faults.findings import Finding, Kind
from tests.faults.history import Operation, Outcome


@dataclass(slots=True)
class Pages:
    """What the owners were shown: lists and jobs by id, None where one was not found."""

    lists: dict[str, dict[str, Any] | None] = field(default_factory=dict)
    jobs: dict[str, dict[str, Any] | None] = field(default_factory=dict)


async def read_pages(url: str, operations: Iterable[Operation], final: Final) -> Pages:
    """Ask as each owner for what the rows say is theirs."""
    pages = Pages()
    for actor in sorted({one.actor for one in operations if one.kind == "sign_up" and one.outcome == Outcome.DONE}):
        user_id = final.users.get(actor, "")
        calls = Calls(url, actor)
        try:
            await until_answered(calls.enter)
            for playlist_id in final.lists.get(user_id, {}):
                found = await until_answered(partial(_one, calls, WHOLE_LIST, "playlist", playlist_id))
                pages.lists[playlist_id] = None if found is None else _whole(found)
            for job_id in final.jobs.get(user_id, {}):
                pages.jobs[job_id] = await until_answered(partial(_one, calls, JOB, "job", job_id))
        finally:
            await calls.close()
    return pages


def check_pages(pages: Pages, final: Final) -> list[Finding]:
    """Return each page that says something else than the rows."""
    found = []
    people = set(final.users.values())
    comments = Counter(one for user_id in people for one in final.comments.get(user_id, []))
    for playlist_id, page in pages.lists.items():
        one = next(owned[playlist_id] for owned in final.lists.values() if playlist_id in owned)
        wanted = (one.title, one.is_public, one.version, one.track_ids, one.likes)
        if page is None or (now := _said(page)) != wanted:
            text = "not found" if page is None else f"shown as {now}"
            found.append(Finding(Kind.STALE, f"in the end {playlist_id} is {text}, is {wanted}"))
        if page is not None:
            comments.subtract((comment_id, text) for comment_id, text in page["comments"])
    for (comment_id, text), count in comments.items():
        if count:
            kind = Kind.STALE if count > 0 else Kind.DOUBLED
            found.append(Finding(kind, f"in the end the comment {comment_id} {text!r} is shown {1 - count} times"))
    for job_id, job in pages.jobs.items():
        row = next(owned[job_id] for owned in final.jobs.values() if job_id in owned)
        said = None if job is None else (job["state"], job["playlistId"])
        if said != (row.state, row.playlist_id):
            found.append(Finding(Kind.STALE, f"in the end the job {job_id} is shown as {said}, is {row}"))
    return found


def _said(page: Mapping[str, Any]) -> tuple[Any, ...]:
    return page["title"], page["is_public"], page["version"], page["track_ids"], page["likes"]


def _whole(found: dict[str, Any]) -> dict[str, Any]:
    comments = [[one["commentId"], one["text"]] for one in found["comments"]["nodes"]]
    more = {"is_public": found["visibility"] == "PUBLIC", "likes": found["likeCount"], "comments": comments}
    return {**shown(found), **more}


async def _one(calls: Calls, document: str, name: str, thing_id: str) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] | None = (await calls.query(document, id=thing_id))[name]
    except ClientError as error:
        if is_over_soon(error):
            raise
        return None
    return found
