"""What holds the service together: domain modules stay pure, every RPC has an access rule, migrations have no gap."""

import ast
from pathlib import Path

import pytest

import services.social
from services.social.migrate import Migration, MigrationError, read_migrations
from services.social.servicer.access import ACCESS
from services.social.wiring.contracts import contract_files, contract_services

FOLDER = Path(services.social.__path__[0])
# What knows nothing of the outside; everything else speaks to it, or with what does.
PURE = ("domain", "errors", "exchange", "mail", "settings", "sources")
MODULES = {str(path.relative_to(FOLDER)): path for name in PURE for path in sorted((FOLDER / name).rglob("*.py"))}
OUTSIDE = {"grpc", "asyncpg", "nats", "museed", "google"}


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("module", MODULES)
def test_domain_imports_no_transport_and_no_adapter(module: str) -> None:
    names = imported(MODULES[module])
    own = {name.removeprefix("services.social.") for name in names if name.startswith("services.social.")}
    assert {name.split(".")[0] for name in names} & OUTSIDE == set()
    assert {name.split(".")[0] for name in own} <= set(PURE)


def test_servicers_contain_no_try() -> None:
    for path in (FOLDER / "servicer").glob("*.py"):
        assert not [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Try)], path.name


def test_every_rpc_has_an_access_rule_and_every_rule_an_rpc() -> None:
    rpcs = {f"/{service.full_name}/{method.name}" for service in contract_services() for method in service.methods}
    assert set(ACCESS) == rpcs


def test_contracts_are_those_of_the_folder() -> None:
    folder = FOLDER.parents[1] / "protos" / "museed" / "social" / "v1"
    found = sorted(f"museed/social/v1/{path.name}" for path in folder.glob("*.proto"))
    assert sorted(file.name for file in contract_files()) == found
    assert "museed/social/v1/playlists.proto" in found


def test_migrations_are_numbered_without_a_gap() -> None:
    migrations = read_migrations()
    assert [migration.number for migration in migrations] == list(range(1, len(migrations) + 1))
    assert len(migrations) == len(list((FOLDER / "migrations").iterdir()))


def test_index_built_concurrently_stands_alone_in_its_file() -> None:
    """Several statements sent at once are one transaction, in which that is refused."""
    for migration in read_migrations():
        is_apart = migration.sql.startswith("-- no-transaction")
        assert is_apart == ("CONCURRENTLY" in migration.sql), migration.name
        assert not is_apart or migration.sql.count(";") == 1, migration.name


def test_gap_in_migrations_is_refused(tmp_path: Path) -> None:
    (tmp_path / "0001_a.sql").write_text("SELECT 1")
    (tmp_path / "0003_c.sql").write_text("SELECT 1")
    with pytest.raises(MigrationError):
        read_migrations(tmp_path)
    (tmp_path / "0002_b.sql").write_text("SELECT 2")
    assert read_migrations(tmp_path)[1] == Migration(2, "0002_b.sql", "SELECT 2")
