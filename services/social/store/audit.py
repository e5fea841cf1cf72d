"""Rows of the audit log: written in the transaction of what they tell of, and never changed."""

from datetime import datetime

from services.chassis.telemetry import request_id
from services.social.domain.ids import UserId, new_id
from services.social.domain.moderation import AuditEntry, Subject
from services.social.store.database import Connection

INSERT = """
INSERT INTO audit_log (entry_id, actor_id, action, subject_kind, subject_id, because, detail, request_id, at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, coalesce($9, now()))
"""
_ENTRY = "entry_id, actor_id, action, subject_kind, subject_id, because, detail, request_id, at"
SELECT_ALL = f"""
SELECT {_ENTRY} FROM audit_log WHERE $1::uuid IS NULL OR entry_id < $1 ORDER BY entry_id DESC LIMIT $2
"""
SELECT_OF_SUBJECT = f"""
SELECT {_ENTRY} FROM audit_log
WHERE subject_id = $3 AND ($1::uuid IS NULL OR entry_id < $1) ORDER BY entry_id DESC LIMIT $2
"""
SELECT_ACTION = """
SELECT detail ->> 'action' FROM audit_log WHERE subject_id = $1 AND action = 'decide_report' LIMIT 1
"""


async def add(
    connection: Connection,
    actor_id: UserId | None,
    action: str,
    kind: Subject,
    subject_id: str,
    at: datetime | None = None,
    *,
    because: str = "",
    detail: dict[str, object] | None = None,
) -> None:
    """Note what an admin did, with the request that did it.

    Args:
        connection: In the transaction that does it.
        actor_id: Who; None where the mesh did it by itself.
        action: For example "suspend_user".
        kind: What it was done to.
        subject_id: Which one.
        at: When; None is the database's time, where what is done has no clock.
        because: Why, as the admin said.
        detail: What else there is to say.
    """
    await connection.execute(
        INSERT, new_id(), actor_id, action, kind.value, subject_id, because, detail or {}, request_id(), at
    )


async def entries(connection: Connection, subject_id: str, before: str | None, limit: int) -> list[AuditEntry]:
    """Return entries, newest first, those before `before`; an empty subject means all."""
    if subject_id:
        rows = await connection.fetch(SELECT_OF_SUBJECT, before, limit, subject_id)
    else:
        rows = await connection.fetch(SELECT_ALL, before, limit)
    return [AuditEntry(**row) for row in rows]


async def action_of(connection: Connection, report_id: str) -> str | None:
    """Return what was done when a report was decided."""
    found: str | None = await connection.fetchval(SELECT_ACTION, report_id)
    return found
