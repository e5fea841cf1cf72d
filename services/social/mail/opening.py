"""Opens the place that settings name for mails."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

from services.social.mail.mail import MailPort
from services.social.mail.places import ConsoleMail, FolderMail, NoMail
from services.social.mail.smtp import Relay, SmtpMail


def open_mail(url: str, sender: str) -> MailPort:
    """Open a place for mails; nothing is connected before the first one.

    Args:
        url: "console:", "file:///folder", "smtp://user:password@host:port", "smtps://…"; empty refuses every mail.
        sender: Address of the sender.

    Raises:
        ValueError: The URL names no such place; its text is not repeated, since it may hold a password.
    """
    if not url:
        return NoMail()
    parts = urlsplit(url)
    if parts.scheme == "console":
        return ConsoleMail(sender)
    if parts.scheme == "file" and parts.path.startswith("/") and not parts.netloc:
        return FolderMail(Path(unquote(parts.path)), sender)
    if parts.scheme in ("smtp", "smtps") and parts.hostname:
        relay = Relay(
            parts.hostname,
            parts.port or 0,
            unquote(parts.username or ""),
            unquote(parts.password or ""),
            is_tls_first=parts.scheme == "smtps",
        )
        return SmtpMail(relay, sender)
    raise ValueError("SOCIAL_MAIL_URL must be console:, file:///folder, smtp://host or smtps://host")
