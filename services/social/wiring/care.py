"""Moderation, and people's own data."""

from collections.abc import Awaitable, Callable
from datetime import datetime

from services.chassis.blobs import BlobStore
from services.social import events
from services.social.domain.ids import JobId, new_id
from services.social.domain.jobs import Kind
from services.social.domain.quotas import AccountQuotas
from services.social.servicer.moderation import ModerationServicer
from services.social.servicer.privacy import PrivacyServicer
from services.social.servicer.proof import PasswordProof
from services.social.store import jobs, outbox, privacy
from services.social.store.database import Database
from services.social.store.quotas import Quotas
from services.social.wiring.parts import Tools, Wired
from services.social.workers.kinds.account_deletion import AccountDeletion
from services.social.workers.kinds.account_export import AccountExport
from services.social.workers.sweeping import Sweep

_SWEEP_BATCH_SIZE = 100


def wire(tools: Tools) -> Wired:
    """Serve ModerationService and PrivacyService; write exports, and take away what people leave."""
    settings, nudges = tools.settings, tools.nudges
    counts, guesses = Quotas(tools.database, tools.clock), AccountQuotas.of(settings).passwords
    proof = PasswordProof(tools.hasher, counts, guesses)
    return Wired(
        [
            ModerationServicer(tools.database, nudges.ended, settings.reports_per_user_and_day, tools.clock),
            PrivacyServicer(tools.database, proof, nudges.due, tools.clock),
        ],
        sweeps=[
            Sweep("deletions", resume_deletions),
            *([] if tools.blobs is None else [Sweep("data_exports", sweep_exports(tools.blobs))]),
        ],
        job_kinds={
            Kind.ACCOUNT_EXPORT: AccountExport(tools.background, tools.blobs, tools.clock),
            Kind.ACCOUNT_DELETION: AccountDeletion(tools.background),
        },
    )


def sweep_exports(blobs: BlobStore) -> Callable[[Database, datetime], Awaitable[None]]:
    """Return what deletes exports whose time is over."""

    async def sweep(database: Database, now: datetime) -> None:
        async with database.transaction() as connection:
            # Before the commit: one whose deletion failed is tried again.
            for digest in await privacy.take_expired(connection, now, _SWEEP_BATCH_SIZE):
                await blobs.delete(digest)

    return sweep


async def resume_deletions(database: Database, now: datetime) -> None:
    """Begin deletions again that were given up: who left is not kept because something was away for long."""
    async with database.transaction() as connection:
        for user_id in await privacy.undone_deletions(connection, _SWEEP_BATCH_SIZE):
            job = await jobs.insert_job(connection, JobId(new_id()), Kind.ACCOUNT_DELETION, user_id, {}, "", due_at=now)
            await outbox.add(connection, events.job_progressed(job))
