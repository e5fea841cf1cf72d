"""Secrets that are made: all that nobody else makes, fresh each time; the README tells of every one."""

import json
import re

import pytest

from deploy.k8s import secrets
from deploy.k8s.manifests import FOLDER
from deploy.k8s.rules.api import check_api
from services.gateway.settings import GatewaySettings

_ROW = re.compile(r"^\| `(museed-[a-z-]+)` \| ([^|]+) \|")


def _printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *options: str
) -> list[dict[str, object]]:
    monkeypatch.setattr("sys.argv", ["secrets", *options])
    secrets.main()
    items: list[dict[str, object]] = json.loads(capsys.readouterr().out)["items"]
    return items


def test_readme_lists_every_key() -> None:
    rows = (_ROW.match(line) for line in (FOLDER / "README.md").read_text().splitlines())
    listed = {row[1]: set(re.findall(r"`([a-z-]+)`", row[2])) for row in rows if row}
    assert listed == {one.name: set(one.make) for one in secrets.SECRETS}


def test_manifest_is_one_that_the_api_takes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    items = _printed(monkeypatch, capsys)
    assert check_api(items) == []
    assert [one["metadata"] for one in items] == [
        {"name": name, "namespace": "museed"} for name in ("museed-nats", "museed-gateway", "museed-operator")
    ]


def test_local_ones_come_on_top() -> None:
    assert secrets.made(is_local=True).keys() - secrets.made(is_local=False).keys() == {
        "museed-blobs",
        "museed-postgres-app",
    }
    made = secrets.made(is_local=True)["museed-postgres-app"]
    assert made["uri"] == f"postgresql://museed:{made['password']}@museed-postgres-rw.museed:5432/museed"


def test_no_value_is_made_twice() -> None:
    first, second = (secrets.made(is_local=False)["museed-gateway"]["url-signing-key"] for _ in range(2))
    assert first != second
    field = GatewaySettings.model_fields["url_signing_key"]
    assert len(first) >= next(one.min_length for one in field.metadata if hasattr(one, "min_length"))
