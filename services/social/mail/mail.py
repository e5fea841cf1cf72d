"""A mail to one person, and the port by which it leaves."""

from dataclasses import dataclass
from email.errors import HeaderParseError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from typing import Protocol

from services.social.errors.mail import MailRefused


@dataclass(frozen=True, slots=True)
class Mail:
    """What a person gets.

    Attributes:
        mail_id: The same at every try, so that a mail server can tell a second copy.
        to_address: One plain address.
        subject: One line.
        text: Plain text.
    """

    mail_id: str
    to_address: str
    subject: str
    text: str


class MailPort(Protocol):
    """Where mails leave."""

    async def send(self, mail: Mail) -> None:
        """Hand a mail over; after a crash that may happen twice.

        Raises:
            MailAway: Try again later.
            MailRefused: No try will help.
        """

    def close(self) -> None:
        """Let go of what was opened."""


def composed(mail: Mail, sender: str) -> EmailMessage:
    """Return a mail as a message. No header can hold a line break, and each address is exactly one.

    Raises:
        MailRefused: One of the addresses is none.
    """
    message = EmailMessage(policy=SMTP)
    try:
        message["From"] = Address(display_name="MUSEED", addr_spec=sender)
        message["To"] = Address(addr_spec=mail.to_address)
        message["Subject"] = mail.subject
        message["Message-ID"] = f"<{mail.mail_id}@{Address(addr_spec=sender).domain}>"
    except (HeaderParseError, ValueError, IndexError) as error:
        raise MailRefused(f"an address is none: {type(error).__name__}") from error
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody's absence note is to answer
    message.set_content(mail.text)
    return message
