"""What keeps a mail from being sent; no caller of an RPC sees these."""

from services.chassis.errors import FailedPrecondition, Unavailable


class MailAway(Unavailable):
    """The mail server is away or busy: the mail is tried again."""

    default_reason = "MAIL_AWAY"


class MailRefused(FailedPrecondition):
    """The mail will never be taken: no try will help."""

    default_reason = "MAIL_REFUSED"
