"""Builds and pushes a release, and writes the digests that production runs: `python -m deploy.images.release 0.2.0`.

Needs Docker with buildx, logged in to the registry, and a clean checkout. `--check` needs nothing: it refuses what
overlays/production would run by a tag alone; with `--released` also the zeros that stand there until a first release.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from deploy.images.dockerfile import stages
from deploy.images.table import IMAGES, REGISTRY, ROOT, Image

K8S = ROOT / "deploy" / "k8s"
DIGESTS = Path("overlays/production/images/kustomization.yaml")
# Nobody's: nothing can be pulled by it.
UNRELEASED = f"sha256:{64 * '0'}"
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_ENTRY = re.compile(r"^(\s*)- name: (\S+)\n((?:\1  .*\n)*)", re.MULTILINE)
_IMAGE = re.compile(r"^\s*(?:- )?(?:image|imageName): [\"']?([^\s\"']+)", re.MULTILINE)
_BASE = "PYTHON_IMAGE"


class ReleaseError(RuntimeError):
    """A release cannot go on; the text says why."""


def faults(k8s: Path = K8S, *, is_released: bool = False) -> Iterator[str]:
    """Tell what production would run by a tag alone.

    Args:
        k8s: Folder of the manifests.
        is_released: Whether the zeros count as none.
    """
    path = k8s / DIGESTS
    if not k8s.is_dir():  # no manifests: nothing is run
        return
    if not path.is_file():
        yield f"{path} is missing"
        return
    entries: list[dict[str, Any]] = yaml.safe_load(path.read_text()).get("images") or []
    for entry in entries:
        digest = str(entry.get("digest", ""))
        if "newTag" in entry:
            yield f"{DIGESTS}: {entry['name']} has a tag"
        if not _DIGEST.fullmatch(digest):
            yield f"{DIGESTS}: {entry['name']} has no digest"
        elif is_released and digest == UNRELEASED:
            yield f"{DIGESTS}: {entry['name']} was never released"
    named = {entry["name"] for entry in entries}
    for name in sorted(set(used(k8s)) - named):
        yield f"{DIGESTS}: {name} is run, and has no entry"


def used(k8s: Path = K8S) -> dict[str, str]:
    """Return the images of base, components and bulk work by name, each with its tag, empty where it has none.

    What already stands there with a digest is left out.
    """
    found = {}
    for folder in ("base", "components", "bulk"):
        for path in sorted((k8s / folder).rglob("*.yaml")):
            for reference in _IMAGE.findall(path.read_text()):
                if "@sha256:" not in reference:
                    name, tag = split(reference)
                    found[name] = tag
    kustomization = k8s / "base" / "kustomization.yaml"
    if kustomization.is_file():
        for entry in yaml.safe_load(kustomization.read_text()).get("images") or []:
            found[entry["name"]] = str(entry.get("newTag", found.get(entry["name"], "")))
    return found


def split(reference: str) -> tuple[str, str]:
    """Split name and tag; a port of a registry is no tag."""
    head, slash, last = reference.rpartition("/")
    name, _, tag = last.partition(":")
    return f"{head}{slash}{name}", tag


def with_digests(text: str, digests: Mapping[str, str]) -> str:
    """Return a kustomization with these digests in the entries of its `images:`, all else as it was.

    Raises:
        ReleaseError: An image has no entry.
    """
    missing = set(digests)

    def entry(found: re.Match[str]) -> str:
        indent, name, rest = found[1], found[2], found[3]
        if name not in digests:
            return found[0]
        missing.discard(name)
        kept = [
            line for line in rest.splitlines(keepends=True) if line.split(":")[0].strip() not in ("digest", "newTag")
        ]
        return f"{indent}- name: {name}\n{indent}  digest: {digests[name]}\n{''.join(kept)}"

    changed = _ENTRY.sub(entry, text)
    if missing:
        raise ReleaseError(f"no entry in {DIGESTS}: {', '.join(sorted(missing))}")
    return changed


class Release:
    """One release.

    Args:
        version: Its tag.
        revision: Commit that is built.
        built_at: Seconds since 1970 of that commit, so that building it again gives the same files.
        docker: The program.
    """

    def __init__(self, version: str, revision: str, built_at: int, docker: str = "docker") -> None:
        self._version = version
        self._revision = revision
        self._built_at = built_at
        self._docker = docker

    def digest_of(self, reference: str) -> str:
        """Ask a registry for the digest behind a tag.

        Raises:
            ReleaseError: It does not know it.
        """
        told = self._run("buildx", "imagetools", "inspect", "--format", "{{json .Manifest}}", reference)
        digest = str(json.loads(told).get("digest", ""))
        if not _DIGEST.fullmatch(digest):
            raise ReleaseError(f"{reference} has no digest: {told[:200]}")
        return digest

    def push(self, image: Image) -> str:
        """Build an image on its base's digest and push it; returns its own digest.

        Raises:
            ReleaseError: It cannot be built or pushed.
        """
        base = base_of(image)
        pinned = f"{base}@{self.digest_of(base)}"
        with tempfile.TemporaryDirectory() as folder:
            metadata = Path(folder) / "metadata.json"
            self._run(
                "buildx", "build", "--file", image.dockerfile, "--target", image.target,
                "--platform", "linux/amd64",
                "--build-arg", f"{_BASE}={pinned}",
                "--build-arg", f"VERSION={self._version}",
                "--build-arg", f"REVISION={self._revision}",
                "--build-arg", f"SOURCE_DATE_EPOCH={self._built_at}",
                "--tag", f"{REGISTRY}/{image.name}:{self._version}",
                "--provenance=mode=max", "--sbom=true", "--push",
                "--metadata-file", str(metadata), ".",
            )  # fmt: skip
            digest = str(json.loads(metadata.read_text()).get("containerimage.digest", ""))
        if not _DIGEST.fullmatch(digest):
            raise ReleaseError(f"buildx told no digest of {image.name}")
        return digest

    def _run(self, *arguments: str) -> str:
        done = subprocess.run([self._docker, *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            raise ReleaseError(f"docker {' '.join(arguments[:3])} ended with {done.returncode}")
        return done.stdout


def base_of(image: Image) -> str:
    """Return the base that a Dockerfile names by a tag.

    Raises:
        ReleaseError: It names none, or already a digest.
    """
    found = re.search(rf"^ARG {_BASE}=(\S+)$", (ROOT / image.dockerfile).read_text(), re.MULTILINE)
    bases = {stage.base for stage in stages(ROOT / image.dockerfile).values()} - set(stages(ROOT / image.dockerfile))
    if found is None or bases != {f"${{{_BASE}}}"}:
        raise ReleaseError(f"{image.dockerfile} is made from {', '.join(sorted(bases))}, and not from {_BASE} alone")
    return found[1]


def write_release(release: Release, k8s: Path = K8S) -> None:
    """Push every image, ask for the digests of others' images, and write all of them.

    Raises:
        ReleaseError: Something failed; what production runs is as it was.
    """
    digests = {f"{REGISTRY}/{image.name}": release.push(image) for image in IMAGES}
    for name, tag in used(k8s).items():
        if name not in digests:
            digests[name] = release.digest_of(f"{name}:{tag}")
    path = k8s / DIGESTS
    path.write_text(with_digests(path.read_text(), digests))


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()


def main() -> None:
    """Release, or check."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("version", nargs="?")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--released", action="store_true")
    asked = parser.parse_args()
    if asked.check:
        sys.exit("\n".join(faults(is_released=asked.released)) or None)
    if not asked.version:
        parser.error("give the version, or --check")
    if _git("status", "--porcelain"):
        sys.exit("the checkout has changes: a release is built from a commit")
    try:
        write_release(Release(asked.version, _git("rev-parse", "HEAD"), int(_git("show", "-s", "--format=%ct"))))
    except ReleaseError as error:
        sys.exit(f"error: {error}")
    print(f"pushed {len(IMAGES)} images; commit {DIGESTS}")


if __name__ == "__main__":
    main()
