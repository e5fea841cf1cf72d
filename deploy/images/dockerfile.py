"""Reads our Dockerfiles as far as they are written here: stages, what they set and copy; and .dockerignore."""

import fnmatch
import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path

from deploy.images.table import ROOT, Image

_INSTRUCTION = re.compile(r"([A-Z]+)\s+(.*)", re.DOTALL)


@dataclass(slots=True)
class Stage:
    """One stage: its name, the name of what it is made from, and its instructions in order."""

    name: str
    base: str
    instructions: list[tuple[str, str]] = field(default_factory=list)


def stages(path: Path) -> dict[str, Stage]:
    """Read a Dockerfile's stages by their names."""
    found: dict[str, Stage] = {}
    current: Stage | None = None
    lines = (line for line in path.read_text().splitlines() if not line.startswith("#"))
    for text in "\n".join(lines).replace("\\\n", " ").splitlines():
        matched = _INSTRUCTION.fullmatch(text.strip())
        if matched is None:
            continue
        keyword, rest = matched[1], " ".join(matched[2].split())
        if keyword == "FROM":
            base, _, name = rest.partition(" AS ")
            current = found[name] = Stage(name, base)
        elif current is not None:
            current.instructions.append((keyword, rest))
    return found


def lineage(image: Image) -> list[tuple[str, str]]:
    """Return the instructions that make an image, from the first stage of ours to its target."""
    known = stages(ROOT / image.dockerfile)
    stage = known[image.target]
    found = stage.instructions
    while stage.base in known:
        stage = known[stage.base]
        found = stage.instructions + found
    return found


def environment(image: Image) -> dict[str, str]:
    """Return the variables that an image sets."""
    words = [word for keyword, rest in lineage(image) if keyword == "ENV" for word in shlex.split(rest)]
    return dict(word.split("=", 1) for word in words)


def copied_files(image: Image, kept: frozenset[str]) -> dict[str, Path]:
    """Return the files of the code by their places in the image.

    Args:
        image: Which.
        kept: Paths that .dockerignore leaves, from the root of the repository.

    Raises:
        FileNotFoundError: A COPY names nothing that is left.
    """
    found = {}
    for keyword, rest in stages(ROOT / image.dockerfile)["code"].instructions:
        if keyword != "COPY":
            continue
        source, target = rest.split()
        inside = [path for path in kept if path == source or path.startswith(f"{source}/")]
        if not inside:
            raise FileNotFoundError(f"{image.dockerfile}: COPY {rest}: nothing is there, or .dockerignore has it")
        for path in inside:
            below = path.removeprefix(source).lstrip("/") or Path(path).name
            found[f"{target.rstrip('/')}/{below}"] = ROOT / path
    return found


def kept_by_dockerignore(paths: list[str], ignore_file: Path = ROOT / ".dockerignore") -> frozenset[str]:
    """Return those of the paths that reach the builder; the last line that matches a path decides."""
    lines = [line for line in ignore_file.read_text().splitlines() if line and not line.startswith("#")]
    return frozenset(path for path in paths if not _is_ignored(path, lines))


def _is_ignored(path: str, lines: list[str]) -> bool:
    ignored = False
    for line in lines:
        pattern = line.removeprefix("!").rstrip("/")
        if _matches(path, pattern):
            ignored = not line.startswith("!")
    return ignored


def _matches(path: str, pattern: str) -> bool:
    parts = path.split("/")
    heads = ["/".join(parts[: count + 1]) for count in range(len(parts))]
    if pattern.startswith("**/"):
        return any(fnmatch.fnmatchcase(part, pattern.removeprefix("**/")) for part in parts)
    return any(fnmatch.fnmatchcase(head, pattern) and head.count("/") == pattern.count("/") for head in heads)
