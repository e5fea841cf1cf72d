"""Which packages some extras of ours ask for, by the metadata of what is installed here."""

import importlib.metadata
import re
import tomllib
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from deploy.images.installed import installed
from deploy.images.table import ROOT


@dataclass(frozen=True, slots=True)
class Closure:
    """Names of packages.

    Attributes:
        known: What is asked for, canonical names.
        is_partial: Whether some of it is not installed, so that nobody knows what that asks for.
    """

    known: frozenset[str]
    is_partial: bool


def closure(extras: Iterable[str], files_only: Iterable[str] = ()) -> Closure:
    """Follow what the project and these extras of it ask for.

    Args:
        extras: Of pyproject.toml.
        files_only: Packages beside, whose own requirements do not count.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    optional: dict[str, list[str]] = project["optional-dependencies"]
    unwanted = _unwanted()
    waiting = deque(Requirement(line) for line in project["dependencies"])
    for extra in extras:
        waiting += map(Requirement, optional[extra])
    seen: set[tuple[str, frozenset[str]]] = set()
    known, missing = set(map(canonicalize_name, files_only)), set()
    while waiting:
        requirement = waiting.popleft()
        name, wanted = canonicalize_name(requirement.name), frozenset(requirement.extras)
        if (name, wanted) in seen or name in unwanted:
            continue
        seen.add((name, wanted))
        if name == project["name"]:
            waiting += [Requirement(line) for extra in sorted(wanted) for line in optional[extra]]
            continue
        known.add(name)
        try:
            waiting += _asked_by(name, wanted)
        except importlib.metadata.PackageNotFoundError:
            missing.add(name)
    return Closure(frozenset(known), bool(missing))


def _asked_by(name: str, extras: frozenset[str]) -> list[Requirement]:
    found = []
    for line in installed(name).requires or ():
        requirement = Requirement(line)
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in (extras or {""})):
            found.append(requirement)
    return found


def _unwanted() -> set[str]:
    """Return what requirements/overrides.txt leaves out everywhere."""
    text = (ROOT / "requirements" / "overrides.txt").read_text()
    return {
        canonicalize_name(found) for found in re.findall(r"^([A-Za-z0-9._-]+)\s*; sys_platform == 'never'", text, re.M)
    }
