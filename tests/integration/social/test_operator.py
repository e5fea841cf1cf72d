"""`museed operator` makes the first account of a mesh through social itself, once."""

import asyncio

import pytest
from typer.testing import CliRunner

from deploy.local.cli import app
from deploy.local.client import Credentials
from deploy.local.operator_command import made
from services.chassis.errors import Unauthenticated
from tests.integration.social.conftest import Mesh

WHO = Credentials("operator", "a long password", "operator@museed.localhost")


async def run(mesh: Mesh, monkeypatch: pytest.MonkeyPatch, **variables: str) -> tuple[int, str]:
    for name in ("LOGIN", "PASSWORD", "SIGN_UP_EMAIL"):
        monkeypatch.delenv(f"MUSEED_{name}", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(f"MUSEED_{name}", value)
    result = await asyncio.to_thread(CliRunner().invoke, app, ["operator", "--social", mesh.settings.listen])
    return result.exit_code, result.output


async def test_first_account_is_made_once_and_is_the_admin(mesh: Mesh) -> None:
    await mesh.start()
    address = mesh.settings.listen
    assert await made(address, WHO) == "admin"
    assert await made(address, WHO) == "admin"
    with pytest.raises(Unauthenticated):
        await made(address, Credentials("operator", "another password", WHO.sign_up_email))


async def test_command_says_who_is_admin_and_who_is_not(mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    await mesh.start()
    given = {"LOGIN": "boss", "PASSWORD": "a long password", "SIGN_UP_EMAIL": "boss@museed.localhost"}
    assert await run(mesh, monkeypatch, **given) == (0, "boss is admin of this mesh.\n")
    assert await run(mesh, monkeypatch, **given) == (0, "boss is admin of this mesh.\n")
    status, told = await run(mesh, monkeypatch, **{**given, "PASSWORD": "another password"})
    assert (status, told.split(":")[:2]) == (1, ["error", " BAD_CREDENTIALS"])
    late = {"LOGIN": "late", "PASSWORD": "a long password", "SIGN_UP_EMAIL": "late@museed.localhost"}
    status, told = await run(mesh, monkeypatch, **late)
    assert status == 1
    assert "late is no admin of this mesh: somebody else was its first account" in " ".join(told.split())


async def test_command_needs_an_account(mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    status, told = await run(mesh, monkeypatch, LOGIN="boss")
    assert status == 1
    assert " ".join(told.split()) == "error: set MUSEED_LOGIN, MUSEED_PASSWORD and MUSEED_SIGN_UP_EMAIL"
