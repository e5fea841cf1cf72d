"""`museed operator`: makes the first account of a mesh elsewhere, its admin, before anybody can reach the door."""

import asyncio
from typing import Annotated

import typer

from deploy.local.account import AccountSettings
from deploy.local.client import Credentials
from deploy.local.tables import console, errors
from museed.social.v1 import accounts_pb2, accounts_pb2_grpc
from services.chassis.channel import connect
from services.chassis.errors import AlreadyExists, DomainError
from services.chassis.settings import load
from services.chassis.tls import TlsSettings, open_identity

_TIMEOUT_S = 20.0
_ADMIN = "admin"


def operator_command(
    social: Annotated[str, typer.Option(help="Where social listens, host:port; not the gateway.")],
) -> None:
    """Make the account MUSEED_LOGIN, MUSEED_PASSWORD, MUSEED_SIGN_UP_EMAIL; safe to repeat.

    The first account of a mesh is its admin. It is made through social itself, so that the gateway may start after it.
    """
    who = load(AccountSettings)
    if not (who.login and who.sign_up_email):
        errors.print("error: set MUSEED_LOGIN, MUSEED_PASSWORD and MUSEED_SIGN_UP_EMAIL", markup=False)
        raise typer.Exit(1)
    try:
        role = asyncio.run(made(social, who.credentials))
    except DomainError as error:
        errors.print(f"error: {error.reason}: {error.message}", markup=False)
        raise typer.Exit(1) from None
    if role != _ADMIN:
        errors.print(f"error: {who.login} is no admin of this mesh: somebody else was its first account", markup=False)
        raise typer.Exit(1)
    console.print(f"{who.login} is admin of this mesh.", markup=False)


async def made(social: str, who: Credentials) -> str:
    """Make an account where nobody is called so, else log in; returns its role.

    Raises:
        DomainError: Social is away, the account is refused, or has another password.
    """
    async with connect(social, identity=open_identity(load(TlsSettings)), peer="social") as channel:
        accounts = accounts_pb2_grpc.AccountServiceStub(channel)
        request = accounts_pb2.SignUpRequest(
            username=who.username, nickname=who.username, email=who.sign_up_email or "", password=who.password
        )
        try:
            viewer = (await accounts.SignUp(request, timeout=_TIMEOUT_S)).viewer
        except AlreadyExists:
            log_in = accounts_pb2.LogInRequest(login=who.username, password=who.password)
            viewer = (await accounts.LogIn(log_in, timeout=_TIMEOUT_S)).viewer
    return viewer.role
