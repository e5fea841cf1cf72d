"""Mails by SMTP, on threads of their own."""

import asyncio
import smtplib
import ssl
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from email.message import EmailMessage

from services.social.errors.mail import MailAway, MailRefused
from services.social.mail.mail import Mail, composed

TIMEOUT_S = 10.0
_CONCURRENCY = 2
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_SMTP_PORT, _SMTPS_PORT = 587, 465


@dataclass(frozen=True, slots=True)
class Relay:
    """A mail server.

    Attributes:
        host: Its name.
        port: Its port; 0 takes 587, or 465 where TLS comes first.
        username: Empty logs in nowhere.
        password: Never shown.
        is_tls_first: Whether the connection begins with TLS; else it changes to TLS before anything is told, but on
            this machine.
    """

    host: str
    port: int = 0
    username: str = ""
    password: str = field(default="", repr=False)
    is_tls_first: bool = False


class SmtpMail:
    """Sends each mail by a connection of its own.

    Args:
        relay: Who takes it.
        sender: Address of the sender.
    """

    def __init__(self, relay: Relay, sender: str) -> None:
        self._relay = relay
        self._sender = sender
        self._executor = ThreadPoolExecutor(_CONCURRENCY, thread_name_prefix="smtp")

    async def send(self, mail: Mail) -> None:
        """Hand a mail to the relay, within 10 s for each of its answers; see `MailPort`."""
        await asyncio.get_running_loop().run_in_executor(self._executor, self._deliver, mail)

    def close(self) -> None:
        """Let what is sent go, and take nothing more."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _deliver(self, mail: Mail) -> None:
        message = composed(mail, self._sender)
        try:
            with self._connected() as server:
                self._enter(server)
                self._hand_over(server, message, mail.to_address)
        except (smtplib.SMTPException, OSError) as error:
            raise MailAway(_said(error)) from error

    def _hand_over(self, server: smtplib.SMTP, message: EmailMessage, to_address: str) -> None:
        try:
            server.send_message(message, from_addr=self._sender, to_addrs=[to_address])
        except smtplib.SMTPRecipientsRefused as error:
            raise _told([code for code, _ in error.recipients.values()]) from error
        except smtplib.SMTPResponseException as error:
            raise _told([error.smtp_code]) from error
        # The server cannot what the mail needs: addresses beyond ASCII.
        except (smtplib.SMTPNotSupportedError, ValueError) as error:
            raise MailRefused(type(error).__name__) from error

    def _connected(self) -> smtplib.SMTP:
        host, port = self._relay.host, self._relay.port
        if self._relay.is_tls_first:
            context = ssl.create_default_context()
            return smtplib.SMTP_SSL(host, port or _SMTPS_PORT, timeout=TIMEOUT_S, context=context)
        return smtplib.SMTP(host, port or _SMTP_PORT, timeout=TIMEOUT_S)

    def _enter(self, server: smtplib.SMTP) -> None:
        relay = self._relay
        if not relay.is_tls_first and relay.host not in _LOOPBACK:
            server.starttls(context=ssl.create_default_context())
        if relay.username:
            server.login(relay.username, relay.password)


def _said(error: Exception) -> str:
    """Return what went wrong before the mail was spoken of: a wrong password is no mail's fault."""
    code = f" {error.smtp_code}" if isinstance(error, smtplib.SMTPResponseException) else ""
    return f"{type(error).__name__}{code}"


def _told(codes: list[int]) -> MailAway | MailRefused:
    """Return what an answer of the relay means: 5xx for ever, all else for now (RFC 5321, section 4.2.1)."""
    text = "the relay answers " + ", ".join(str(code) for code in codes)
    return MailRefused(text) if codes and all(code >= 500 for code in codes) else MailAway(text)
