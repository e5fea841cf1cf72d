"""A start outlives a database that dies under it."""

from typing import Any

import pytest

from services.social.errors import DatabaseUnavailable
from services.social.store import accounts
from services.social.store.database import Database
from tests.integration.social.conftest import Mesh


async def test_a_database_that_dies_under_a_start_is_waited_for(mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    failed: list[str] = []

    def once(name: str, call: Any) -> Any:
        async def called(*arguments: Any, **named: Any) -> Any:
            if name not in failed:
                failed.append(name)
                raise DatabaseUnavailable("it is gone")
            return await call(*arguments, **named)

        return called

    monkeypatch.setattr(Database, "connect", once("connect", Database.connect))
    monkeypatch.setattr(accounts, "signing_keys", once("signing_keys", accounts.signing_keys))
    await mesh.start()
    assert failed == ["connect", "signing_keys"]
