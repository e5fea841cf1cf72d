"""The client of the `museed` command: logs in by itself as whom it is told to, and makes the account where it may."""

from dataclasses import dataclass

from clients.python import operations
from clients.python.client import Client, accepted
from clients.python.errors import ClientError
from clients.python.operations import Refusal, SignUpInput

__all__ = ["ClientError", "Credentials", "GatewayClient", "accepted"]


@dataclass(frozen=True, slots=True)
class Credentials:
    """How to log in. `sign_up_email` makes the account when there is none yet."""

    username: str
    password: str
    sign_up_email: str | None = None


class GatewayClient(Client):
    """Speaks to one gateway as one account, and logs in again when its session has ended.

    Args:
        url: Base address, for example "http://127.0.0.1:8080".
        credentials: None for a guest.
    """

    def __init__(self, url: str, credentials: Credentials | None) -> None:
        super().__init__(url)
        self._credentials = credentials

    def enter(self) -> None:
        """Log in now, making the account first where the credentials say so.

        Raises:
            ClientError: Wrong credentials, or no gateway.
        """
        who = self._credentials
        if who is None:
            raise ClientError("log in first: set MUSEED_LOGIN and MUSEED_PASSWORD", "LOGIN_REQUIRED")
        try:
            self.log_in(who.username, who.password)
        except ClientError as error:
            if who.sign_up_email is None or error.code != "BAD_CREDENTIALS":
                raise
            self._sign_up(who, who.sign_up_email)

    def _sign_up(self, who: Credentials, email: str) -> None:
        account = SignUpInput(username=who.username, nickname=who.username, email=email, password=who.password)
        answer: operations.SignUpSuccess | Refusal = operations.sign_up(self._transport, account)
        self.keep(accepted(answer).tokens)

    def _begin(self) -> None:
        if self._credentials is not None:
            self.enter()

    def _renewed(self) -> bool:
        if super()._renewed():
            return True
        if self._credentials is None:
            return False
        self.enter()
        return True
