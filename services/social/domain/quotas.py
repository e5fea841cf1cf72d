"""How often something may be tried within a window of time: windows begin at whole multiples of their length."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from services.chassis.errors import DomainError
from services.social.errors import TooManyAttempts
from services.social.errors.credentials import MailQuotaReached, SignUpQuotaReached
from services.social.settings.accounts import AccountSettings

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_HOUR = timedelta(hours=1)
# So many may fail with one login before it is closed to all of them.
_NETWORKS = 10


@dataclass(frozen=True, slots=True)
class Quota:
    """A bound.

    Attributes:
        scope: Its name, under which tries are counted.
        limit: Tries within a window, 1 or more.
        window: Length of a window.
        refusal: Makes the error of a try too many, from the limit and the time to wait in ms.
    """

    scope: str
    limit: int
    window: timedelta
    refusal: Callable[[int, int], DomainError]

    def window_start(self, now: datetime) -> datetime:
        """Return when the window of a moment began."""
        return _EPOCH + (now - _EPOCH) // self.window * self.window

    def refused(self, now: datetime) -> DomainError:
        """Return the error of a try too many, which says when the next window begins."""
        left = self.window_start(now) + self.window - now
        return self.refusal(self.limit, left // timedelta(milliseconds=1) + 1)


def key_of(text: str) -> bytes:
    """Return what stands for a login, an address or a network among the counts: SHA-256, of whatever length it is."""
    return hashlib.sha256(text.encode(errors="replace")).digest()


@dataclass(frozen=True, slots=True)
class AccountQuotas:
    """The bounds of people's accounts.

    Attributes:
        log_ins: Failed log-ins of one login, from one network where that is known: nobody is locked out from elsewhere.
        log_ins_anywhere: Failed log-ins of one login, from all networks together.
        log_ins_of_client: Log-ins tried from one network, good ones among them, whatever the login.
        passwords: Failed proofs of the own password by somebody who is logged in.
        sign_ups_of_client: Sign-ups tried from one network.
        sign_ups: Sign-ups tried in the mesh.
        mails: Mails asked for to one address.
        mails_of_client: Mails asked for from one network, to whatever address.
    """

    log_ins: Quota
    log_ins_anywhere: Quota
    log_ins_of_client: Quota
    passwords: Quota
    sign_ups_of_client: Quota
    sign_ups: Quota
    mails: Quota
    mails_of_client: Quota

    @classmethod
    def of(cls, settings: AccountSettings) -> "AccountQuotas":
        """Return the bounds that settings name."""

        def failed(limit: int, retry_after_ms: int) -> DomainError:
            return TooManyAttempts(limit, limit, retry_after_ms)

        guesses = (settings.failed_logins_per_window, timedelta(seconds=settings.failed_login_window_s), failed)
        return cls(
            log_ins=Quota("log_in", *guesses),
            log_ins_anywhere=Quota("log_in_anywhere", _NETWORKS * guesses[0], *guesses[1:]),
            log_ins_of_client=Quota("log_in_client", settings.log_ins_per_client_and_window, *guesses[1:]),
            passwords=Quota("password", *guesses),
            sign_ups_of_client=Quota(
                "sign_up_client", settings.sign_ups_per_client_and_hour, _HOUR, SignUpQuotaReached
            ),
            sign_ups=Quota("sign_up", settings.sign_ups_per_hour, _HOUR, SignUpQuotaReached),
            mails=Quota("mail", settings.mails_per_address_and_hour, _HOUR, MailQuotaReached),
            mails_of_client=Quota("mail_client", settings.mails_per_client_and_hour, _HOUR, MailQuotaReached),
        )

    def all(self) -> tuple[Quota, ...]:
        """Return every bound."""
        return (
            self.log_ins,
            self.log_ins_anywhere,
            self.log_ins_of_client,
            self.passwords,
            self.sign_ups_of_client,
            self.sign_ups,
            self.mails,
            self.mails_of_client,
        )
