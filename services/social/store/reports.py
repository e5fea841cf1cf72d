"""Rows of reports, and what they are about."""

from datetime import datetime

import asyncpg

from services.social.domain.ids import UserId
from services.social.domain.moderation import Report, ReportReason, ReportState, Subject
from services.social.store.database import Connection
from services.social.store.visibility import openable

_REPORT = "report_id, reporter_id, subject_kind, subject_id, reason, text, state, created_at, decided_at, decided_by"
INSERT = f"""
INSERT INTO reports (report_id, reporter_id, subject_kind, subject_id, reason, text, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING {_REPORT}
"""
SELECT_OPEN = f"""
SELECT {_REPORT} FROM reports
WHERE reporter_id = $1 AND subject_kind = $2 AND subject_id = $3 AND state = 'OPEN'
"""
# At most a quota of a day: what is older was decided long ago.
COUNT_SINCE = "SELECT count(*) FROM reports WHERE reporter_id = $1 AND created_at > $2"
LOCK = f"SELECT {_REPORT} FROM reports WHERE report_id = $1 FOR NO KEY UPDATE"
DECIDE = f"""
UPDATE reports SET state = $2, decided_at = $3, decided_by = $4 WHERE report_id = $1 RETURNING {_REPORT}
"""
# What it is about, in words: whatever the visibility, for admins.
_IN_WORDS = """
    coalesce(u.user_id, p.owner_id, c.user_id) AS owner_id,
    CASE WHEN u.deleted_at IS NOT NULL OR c.deleted_at IS NOT NULL THEN ''
        WHEN p.playlist_id IS NOT NULL THEN concat_ws(E'\\n', p.title, nullif(p.description, ''))
        ELSE coalesce(u.nickname, c.text, '') END AS words
"""
_SUBJECTS = """
    LEFT JOIN users AS u ON r.subject_kind = 'USER' AND u.user_id = r.subject_id
    LEFT JOIN playlists AS p ON r.subject_kind = 'PLAYLIST' AND p.playlist_id = r.subject_id
    LEFT JOIN comments AS c ON r.subject_kind = 'COMMENT' AND c.comment_id = r.subject_id
"""
_QUALIFIED = ", ".join(f"r.{name.strip()}" for name in _REPORT.split(","))
SELECT_WHOLE = f"SELECT {_QUALIFIED}, {_IN_WORDS} FROM reports AS r {_SUBJECTS} WHERE r.report_id = $1"
SELECT_ALL = f"""
SELECT {_QUALIFIED}, {_IN_WORDS} FROM reports AS r {_SUBJECTS}
WHERE $1::uuid IS NULL OR r.report_id > $1 ORDER BY r.report_id LIMIT $2
"""
SELECT_IN_STATE = f"""
SELECT {_QUALIFIED}, {_IN_WORDS} FROM reports AS r {_SUBJECTS}
WHERE r.state = $3 AND ($1::uuid IS NULL OR r.report_id > $1) ORDER BY r.report_id LIMIT $2
"""
# Whose it is; no row where the viewer does not see it. A comment of somebody who left is nobody's.
OWNER_OF = {
    Subject.USER: """
        SELECT user_id AS owner_id FROM users
        WHERE user_id = $1 AND deleted_at IS NULL AND (suspended_at IS NULL OR user_id = $2)
    """,
    Subject.PLAYLIST: f"""
        SELECT p.owner_id FROM playlists AS p JOIN users AS o ON o.user_id = p.owner_id
        WHERE p.playlist_id = $1 AND {openable("$2::uuid")}
    """,
    Subject.COMMENT: f"""
        SELECT c.user_id AS owner_id FROM comments AS c JOIN playlists AS p USING (playlist_id)
        JOIN users AS o ON o.user_id = p.owner_id LEFT JOIN users AS a ON a.user_id = c.user_id
        WHERE c.comment_id = $1 AND c.deleted_at IS NULL AND c.hidden_at IS NULL AND a.suspended_at IS NULL
            AND {openable("$2::uuid")}
    """,
}


async def find_owner(
    connection: Connection, kind: Subject, subject_id: str, viewer_id: UserId
) -> tuple[bool, UserId | None]:
    """Say whether somebody sees a thing, and whose it is: nobody's where its author left."""
    row = await connection.fetchrow(OWNER_OF[kind], subject_id, viewer_id)
    return (False, None) if row is None else (True, row["owner_id"])


async def find_open(connection: Connection, reporter_id: UserId, kind: Subject, subject_id: str) -> Report | None:
    """Return this person's report of a thing that nobody decided yet."""
    row = await connection.fetchrow(SELECT_OPEN, reporter_id, kind.value, subject_id)
    return None if row is None else _report(row)


async def count_since(connection: Connection, reporter_id: UserId, since: datetime) -> int:
    """Count what a person has reported since."""
    return int(await connection.fetchval(COUNT_SINCE, reporter_id, since))


async def insert(connection: Connection, report: Report) -> None:
    """Add an open report."""
    await connection.execute(
        INSERT,
        report.report_id,
        report.reporter_id,
        report.subject_kind.value,
        report.subject_id,
        report.reason.value,
        report.text,
        report.created_at,
    )


async def find(connection: Connection, report_id: str) -> Report | None:
    """Return a report with its subject in words."""
    row = await connection.fetchrow(SELECT_WHOLE, report_id)
    return None if row is None else _report(row)


async def lock(connection: Connection, report_id: str) -> ReportState:
    """Let nobody else decide a report that is there until the transaction ends; return where it stands."""
    row = await connection.fetchrow(LOCK, report_id)
    assert row is not None, "reports are deleted with their reporter only, whose row stays"
    return ReportState(row["state"])


async def decide(connection: Connection, report_id: str, state: ReportState, admin_id: UserId, now: datetime) -> None:
    """Store the decision of a report that the transaction has locked."""
    await connection.execute(DECIDE, report_id, state.value, now, admin_id)


async def page(connection: Connection, state: ReportState | None, after: str | None, limit: int) -> list[Report]:
    """Return reports in a state, or all, oldest first, those after `after`."""
    if state is None:
        rows = await connection.fetch(SELECT_ALL, after, limit)
    else:
        rows = await connection.fetch(SELECT_IN_STATE, after, limit, state.value)
    return [_report(row) for row in rows]


def _report(row: asyncpg.Record) -> Report:
    found = dict(row)
    words = found.pop("words", "")
    return Report(
        **{
            **found,
            "subject_kind": Subject(row["subject_kind"]),
            "reason": ReportReason(row["reason"]),
            "state": ReportState(row["state"]),
            "subject_text": words,
        }
    )
