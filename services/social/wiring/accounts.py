"""People's accounts."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from services.social.domain.mail_tokens import MailTokens
from services.social.domain.quotas import AccountQuotas
from services.social.mail.opening import open_mail
from services.social.servicer.account_messages import SessionStarter
from services.social.servicer.accounts import AccountServicer
from services.social.servicer.api_tokens import ApiTokenServicer
from services.social.servicer.credentials import CredentialServicer, CredentialTools
from services.social.servicer.proof import PasswordProof
from services.social.servicer.sessions import SessionServicer
from services.social.store import mail
from services.social.store.database import Database
from services.social.store.quotas import Quotas, delete_over
from services.social.wiring.parts import Tools, Wired
from services.social.workers.background import Nudge
from services.social.workers.mailer import Mailer
from services.social.workers.sweeping import Sweep


def wire(tools: Tools) -> Wired:
    """Serve accounts, sessions, credentials and API tokens, and send mails."""
    settings, database, clock = tools.settings, tools.database, tools.clock
    counts, quotas = Quotas(database, clock), AccountQuotas.of(settings)
    mail_tokens, mailed = MailTokens(tools.issuer.derived_keys("mail tokens")), Nudge()
    port = open_mail(settings.mail_url.get_secret_value(), settings.mail_from)
    mailer = Mailer(tools.background, port, mail_tokens, settings.public_url.rstrip("/"), mailed, clock)
    proof = PasswordProof(tools.hasher, counts, quotas.passwords)
    credential_tools = CredentialTools(
        database, tools.hasher, counts, quotas, proof, SessionStarter(tools.issuer), mail_tokens, mailed, clock
    )
    servicers = [
        AccountServicer(
            database,
            tools.hasher,
            counts,
            quotas,
            tools.issuer,
            mail_tokens,
            mailed,
            clock,
            timedelta(seconds=settings.refresh_grace_s),
        ),
        SessionServicer(database, clock),
        CredentialServicer(credential_tools),
        ApiTokenServicer(database, tools.issuer, clock),
    ]
    return Wired(
        servicers, [mailer.run], [Sweep("mail_tokens", _sweep_mail_tokens), Sweep("quotas", _sweep_quotas(quotas))]
    )


async def _sweep_mail_tokens(database: Database, now: datetime) -> None:
    async with database.connection() as connection:
        await mail.delete_expired_tokens(connection, now)


def _sweep_quotas(quotas: AccountQuotas) -> Callable[[Database, datetime], Awaitable[None]]:
    async def sweep(database: Database, now: datetime) -> None:
        async with database.connection() as connection:
            for quota in quotas.all():
                await delete_over(connection, quota, now)

    return sweep
