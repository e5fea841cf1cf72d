"""Sends the mails that transactions promised: at least once, each try under a lease, and gives up after eight."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from services.social.domain.mail_tokens import MailTokens, Purpose
from services.social.errors.mail import MailAway, MailRefused
from services.social.mail.mail import Mail, MailPort
from services.social.mail.texts import PATHS, MailKind, written
from services.social.store import credentials
from services.social.store import mail as mails
from services.social.store.database import Database
from services.social.store.mail import OutgoingMail
from services.social.workers.background import Nudge, repeat

logger = logging.getLogger(__name__)

MOST_ATTEMPTS = 8
_BATCH_SIZE = 4
# Longer than a batch takes whose relay uses all of its time: two at once, eight answers each.
_LEASE = timedelta(minutes=5)
_SHORTEST_PAUSE, _LONGEST_PAUSE = timedelta(seconds=30), timedelta(hours=1)
_POLL_S = 5.0


def pause_after(attempts: int) -> timedelta:
    """Return how long a mail waits that failed for the n-th time: 30 s, 2 min, 8 min, 32 min, then an hour."""
    return min(_SHORTEST_PAUSE * float(4 ** (attempts - 1)), _LONGEST_PAUSE)


class Mailer:
    """Sends what is due.

    Args:
        database: Where the mails are.
        port: Where they leave.
        tokens: Makes the links.
        public_url: Where the links lead, without a slash at its end.
        nudge: Rings when there is something new.
        clock: Time of day.
    """

    def __init__(
        self,
        database: Database,
        port: MailPort,
        tokens: MailTokens,
        public_url: str,
        nudge: Nudge,
        clock: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._port = port
        self._tokens = tokens
        self._public_url = public_url
        self._nudge = nudge
        self._clock = clock

    async def run(self) -> None:
        """Send for ever."""
        try:
            await repeat("send_mails", self.send_due, _POLL_S, self._nudge)
        finally:
            self._port.close()

    async def send_due(self) -> int:
        """Send what is due now; return how many mails that were, sent or not."""
        count = 0
        while claimed := await self._claim():
            count += len(claimed)
            ended = await asyncio.gather(*(self._deliver(one) for one in claimed), return_exceptions=True)
            for fault in filter(None, ended):
                raise fault
        return count

    async def _claim(self) -> list[OutgoingMail]:
        now = self._clock()
        async with self._database.transaction() as connection:
            claimed = await mails.claim(connection, now, now + _LEASE, _BATCH_SIZE)
            return await mails.read(connection, claimed, now)

    async def _deliver(self, claimed: OutgoingMail) -> None:
        told = {"mail_id": claimed.mail_id, "kind": claimed.kind.value, "attempts": claimed.attempts}
        try:
            if claimed.attempts > MOST_ATTEMPTS:
                raise MailRefused("every sender has died with it")
            mail = await self._addressed(claimed)
            if mail is not None:
                await self._port.send(mail)
                logger.info("mail_sent", extra=told)
        except MailAway as error:
            if claimed.attempts < MOST_ATTEMPTS:
                logger.warning("mail_delayed", extra={**told, "reason": error.reason, "detail": error.message})
                async with self._database.connection() as connection:
                    until = self._clock() + pause_after(claimed.attempts)
                    await mails.delay(connection, claimed.mail_id, until, error.message)
                return
            logger.warning("mail_given_up", extra={**told, "reason": error.reason, "detail": error.message})
        except MailRefused as error:
            logger.warning("mail_given_up", extra={**told, "reason": error.reason, "detail": error.message})
        async with self._database.connection() as connection:
            await mails.delete(connection, claimed.mail_id)

    async def _addressed(self, claimed: OutgoingMail) -> Mail | None:
        """Return the mail to send, None where there is nothing to tell or nobody to tell it."""
        if claimed.user_id is None:
            return await self._reset(claimed)
        if not claimed.does_link_hold:
            return None
        if claimed.token_id is None:
            return self._mail(claimed, claimed.username, claimed.locale, "")
        token = self._tokens.make_again(claimed.token_id, claimed.token_hash)
        return None if token is None else self._mail(claimed, claimed.username, claimed.locale, token)

    async def _reset(self, claimed: OutgoingMail) -> Mail | None:
        """Look whose the address is to which a link was asked for."""
        now = self._clock()
        async with self._database.transaction() as connection:
            person = await credentials.find_by_email(connection, claimed.to_address)
            if person is None or person.is_suspended or person.is_deleted:
                return None
            token_id = await mails.insert_token(
                connection, self._tokens, Purpose.RESET, person.user_id, person.email, now
            )
            if not await mails.has_named(connection, claimed.mail_id, person, token_id):
                return None
        named = replace(claimed, to_address=person.email)
        return self._mail(named, person.username, person.locale, self._tokens.make(token_id))

    def _mail(self, claimed: OutgoingMail, username: str, locale: str, token: str) -> Mail:
        # Behind "#", which no browser sends on: no server's log knows the token.
        link = f"{self._public_url}/{PATHS[claimed.kind]}#token={token}" if token else ""
        text = written(MailKind(claimed.kind), locale, username, link)
        return Mail(claimed.mail_id, claimed.to_address, text.subject, text.body)
