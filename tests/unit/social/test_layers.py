"""What holds the service together: domain modules stay pure, every RPC has an access rule, migrations have no gap."""

import ast
from pathlib import Path

import pytest
from google.protobuf.descriptor import FileDescriptor

import services.social
from museed.social.v1 import accounts_pb2, catalog_pb2, encoders_pb2, jobs_pb2, playlists_pb2, work_pb2
from services.social.migrate import Migration, MigrationError, read_migrations
from services.social.servicer.access import ACCESS

FOLDER = Path(services.social.__path__[0])
DOMAIN = [
    "accounts", "background", "catalog", "encoders", "errors", "fields", "folding", "genres", "ids", "jobs", "paging",
    "passwords", "playlists", "tokens", "uploads",
]  # fmt: skip
OUTSIDE = {"grpc", "asyncpg", "nats", "museed", "google"}
FILES: list[FileDescriptor] = [
    accounts_pb2.DESCRIPTOR, catalog_pb2.DESCRIPTOR, encoders_pb2.DESCRIPTOR,
    playlists_pb2.DESCRIPTOR, jobs_pb2.DESCRIPTOR, work_pb2.DESCRIPTOR,
]  # fmt: skip


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


@pytest.mark.parametrize("module", DOMAIN)
def test_domain_imports_no_transport_and_no_adapter(module: str) -> None:
    names = imported(FOLDER / f"{module}.py")
    own = {name.removeprefix("services.social.") for name in names if name.startswith("services.social.")}
    assert {name.split(".")[0] for name in names} & OUTSIDE == set()
    assert own <= set(DOMAIN)


def test_servicers_contain_no_try() -> None:
    for path in (FOLDER / "servicer").glob("*.py"):
        assert not [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Try)], path.name


def test_every_rpc_has_an_access_rule_and_every_rule_an_rpc() -> None:
    rpcs = {
        f"/{service.full_name}/{method.name}"
        for file in FILES
        for service in file.services_by_name.values()
        for method in service.methods
    }
    assert set(ACCESS) == rpcs


def test_migrations_are_numbered_without_a_gap() -> None:
    assert [migration.number for migration in read_migrations()] == [1, 2, 3, 4, 5, 6, 7]


def test_gap_in_migrations_is_refused(tmp_path: Path) -> None:
    (tmp_path / "0001_a.sql").write_text("SELECT 1")
    (tmp_path / "0003_c.sql").write_text("SELECT 1")
    with pytest.raises(MigrationError):
        read_migrations(tmp_path)
    (tmp_path / "0002_b.sql").write_text("SELECT 2")
    assert read_migrations(tmp_path)[1] == Migration(2, "0002_b.sql", "SELECT 2")
