"""Where mails go on a machine of one's own: to the terminal, to a folder, or nowhere."""

import asyncio
import sys
from pathlib import Path
from typing import TextIO

from services.social.errors.mail import MailAway, MailRefused
from services.social.mail.mail import Mail, composed


class ConsoleMail:
    """Prints mails, links and all: for machines whose terminal only their owner reads.

    Args:
        sender: Address of the sender.
        out: Where to; None is the standard output of the moment.
    """

    def __init__(self, sender: str, out: TextIO | None = None) -> None:
        self._sender = sender
        self._out = out

    async def send(self, mail: Mail) -> None:
        """Print a mail; see `MailPort`."""
        composed(mail, self._sender)
        text = f"mail to {mail.to_address}: {mail.subject}\n\n{mail.text}"
        print(text, file=self._out or sys.stdout, flush=True)

    def close(self) -> None:
        """Do nothing."""


class FolderMail:
    """Writes each mail to a file of its own, MAIL_ID.eml.

    Args:
        folder: Where to; made when the first mail comes, readable by its owner alone.
        sender: Address of the sender.
    """

    def __init__(self, folder: Path, sender: str) -> None:
        self._folder = folder
        self._sender = sender

    async def send(self, mail: Mail) -> None:
        """Write a mail, whole or not at all; see `MailPort`."""
        data = composed(mail, self._sender).as_bytes()
        await asyncio.to_thread(self._write, f"{mail.mail_id}.eml", data)

    def close(self) -> None:
        """Do nothing."""

    def _write(self, name: str, data: bytes) -> None:
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            unfinished = self._folder / f"{name}.part"
            unfinished.write_bytes(data)
            unfinished.replace(self._folder / name)
        except OSError as error:
            raise MailAway(f"{type(error).__name__} at {self._folder}") from error


class NoMail:
    """Refuses every mail: nobody has said where they should go."""

    async def send(self, mail: Mail) -> None:
        """Refuse a mail; see `MailPort`."""
        raise MailRefused("no mail server is set")

    def close(self) -> None:
        """Do nothing."""
