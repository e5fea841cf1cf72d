"""Suspends, reinstates and promotes people, each with its note in the audit log, and lets them leave."""

from dataclasses import dataclass
from datetime import datetime

from services.chassis.telemetry import request_id
from services.social.domain.accounts import Login, Role
from services.social.domain.ids import JobId, UserId
from services.social.domain.jobs import Kind
from services.social.domain.moderation import Account, Subject
from services.social.domain.sessions import Ending
from services.social.domain.signals import SignalKind
from services.social.errors import BadCredentials
from services.social.errors.moderation import LastAdmin, OwnAccount, SubjectNotFound
from services.social.events import job_progressed, profile_deleted
from services.social.events import moderation as events
from services.social.events.accounts import user_changed
from services.social.store import audit, credentials, custody, jobs, outbox, privacy, sessions, signals
from services.social.store.database import Connection


@dataclass(frozen=True, slots=True)
class Order:
    """What an admin orders: who, of whom, why, when."""

    admin_id: UserId
    user_id: UserId
    because: str
    now: datetime


async def suspend(connection: Connection, order: Order) -> list[JobId]:
    """Suspend a person; one who is suspended stays so, for the reason given first.

    Returns:
        Jobs that were called off.

    Raises:
        OwnAccount, SubjectNotFound, LastAdmin: Nothing has changed.
    """
    found = await _locked(connection, order)
    if found.suspended_at is not None:
        return []
    await _check_others(connection, found)
    await custody.suspend(connection, order.user_id, order.because, order.now)
    await sessions.end_sessions_of(connection, order.user_id, Ending.SUSPENDED, order.now)
    cancelled = await custody.cancel_jobs(connection, order.user_id, order.now)
    await outbox.add(connection, events.user_suspended(order.user_id, order.now))
    await _note(connection, order, "suspend_user")
    return [job.job_id for job in cancelled]


async def reinstate(connection: Connection, order: Order) -> None:
    """End a suspension; where there is none, nothing happens. Sessions stay ended.

    Raises:
        SubjectNotFound: There is no such person.
    """
    await custody.lock_people(connection, [order.admin_id, order.user_id])
    found = await find_account(connection, order.user_id)
    if found.suspended_at is None:
        return
    await custody.reinstate(connection, order.user_id, order.now)
    await outbox.add(connection, events.user_reinstated(order.user_id, order.now))
    await _note(connection, order, "reinstate_user")


async def set_role(connection: Connection, order: Order, role: Role) -> None:
    """Change a role; sessions end, since tokens tell the role that they were made with.

    Raises:
        OwnAccount, SubjectNotFound, LastAdmin: Nothing has changed.
    """
    found = await _locked(connection, order)
    if found.person.role is role:
        return
    await _check_others(connection, found)
    await custody.set_role(connection, order.user_id, role, order.now)
    await sessions.end_sessions_of(connection, order.user_id, Ending.ROLE_CHANGED, order.now)
    await outbox.add(connection, user_changed(order.user_id, order.now))
    await _note(connection, order, "set_role", {"from": found.person.role.value, "to": role.value})


async def check_may_leave(connection: Connection, user_id: UserId) -> None:
    """Lock a person who wants to leave.

    Raises:
        SubjectNotFound: They have left already.
        LastAdmin: Nobody would keep the mesh.
    """
    await custody.lock_people(connection, [user_id])
    await _check_others(connection, await find_account(connection, user_id))


async def leave(connection: Connection, login: Login, job_id: JobId, now: datetime) -> None:
    """Take a person's names and ways in away at once, and have a job take away the rest.

    Args:
        connection: In a transaction.
        login: Who leaves, whose password was proved.
        job_id: New.
        now: Time of day.

    Raises:
        SubjectNotFound: They have left already.
        LastAdmin: Nobody would keep the mesh.
        BadCredentials: The password was changed since it was proved.
    """
    user_id = login.person.user_id
    await check_may_leave(connection, user_id)
    if not await credentials.has_locked(connection, login):
        raise BadCredentials("password")
    await sessions.end_sessions_of(connection, user_id, Ending.ACCOUNT_DELETED, now)
    await custody.cancel_jobs(connection, user_id, now)
    await privacy.anonymise(connection, user_id, now)
    await signals.add(connection, SignalKind.USER_COUNT, now, amount=-1)
    job = await jobs.insert_job(connection, job_id, Kind.ACCOUNT_DELETION, user_id, {}, request_id())
    await outbox.add(connection, profile_deleted(user_id), events.user_deleted(user_id, now), job_progressed(job))


async def find_account(connection: Connection, user_id: UserId) -> Account:
    """Return a person who has not left.

    Raises:
        SubjectNotFound: There is none.
    """
    found = await custody.find_account(connection, user_id)
    if found is None or found.deleted_at is not None:
        raise SubjectNotFound(Subject.USER, user_id, "user_id")
    return found


async def _locked(connection: Connection, order: Order) -> Account:
    if order.user_id == order.admin_id:
        raise OwnAccount(order.user_id)
    await custody.lock_people(connection, [order.admin_id, order.user_id])
    return await find_account(connection, order.user_id)


async def _check_others(connection: Connection, found: Account) -> None:
    """Check that somebody keeps the mesh when this person does no more."""
    if found.is_active_admin and not await custody.has_other_admin(connection, found.person.user_id):
        raise LastAdmin(found.person.user_id)


async def _note(connection: Connection, order: Order, action: str, detail: dict[str, object] | None = None) -> None:
    await audit.add(
        connection,
        order.admin_id,
        action,
        Subject.USER,
        order.user_id,
        order.now,
        because=order.because,
        detail=detail,
    )
