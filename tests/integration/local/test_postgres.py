"""The local PostgreSQL is open to its owner only."""

import asyncpg
import pytest

from deploy.local.postgres import Postgres, PostgresError


async def test_nobody_gets_in_without_the_password(postgres: Postgres) -> None:
    for password in ("", "wrong"):
        stranger = Postgres(postgres.data_folder, password, postgres.user)
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(stranger.url(), password=password)


async def test_socket_and_data_are_closed_to_other_users(postgres: Postgres) -> None:
    for folder in (postgres.socket_folder, postgres.data_folder):
        assert folder.stat().st_mode & 0o777 == 0o700


async def test_server_keeps_no_group_of_its_starter(postgres: Postgres) -> None:
    connection = await asyncpg.connect(postgres.url())
    groups = await connection.fetchval("SELECT pg_read_file('/proc/self/status')")
    await connection.close()
    if postgres.user is not None:
        assert "Gid:\t0" not in groups
        (line,) = [line for line in groups.splitlines() if line.startswith("Groups:")]
        assert "0" not in line.split()[1:]


def test_folder_that_cannot_be_made_is_told(tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.mktemp("file") / "file"
    file.touch()
    with pytest.raises(PostgresError, match="cannot be made"):
        Postgres.at(file / "data", "secret").initialise()
