"""Writes API.md: `python -m examples.api` runs every example against a mesh of its own.

The mesh is that of `museed up`, with the library of `museed demo`, in a folder that is deleted afterwards.
"""

import argparse
import asyncio
import json
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from deploy.local import account
from deploy.local.client import GatewayClient
from deploy.local.demo_library import render_library
from deploy.local.ingest import ingest_folder
from deploy.local.mesh import running_mesh
from deploy.local.settings import LocalSettings
from deploy.local.state import State
from examples.api.guide import FOLDER, read_guide
from examples.api.page import render
from examples.api.runner import Answer, Runner
from examples.api.stable import Stabiliser

PAGE = FOLDER.parents[1] / "API.md"
ANSWERS = FOLDER / "answers.json"
WORDS = "polonaise"
_MUSIC = Path(".museed/demo/music")


def read_answers() -> dict[str, Answer]:
    """Return the answers of the last recording."""
    found: dict[str, Answer] = json.loads(ANSWERS.read_text("utf-8"))
    return found


class _Silent:
    """An ingest's progress that nobody watches."""

    def reading(self, done: int, total: int) -> None:
        """See nothing."""

    def embedding(self, done: int, total: int) -> None:
        """See nothing."""


def _record(url: str, state: State, seed: Path) -> dict[str, Answer]:
    with GatewayClient(url, account.operator(state)) as operator:
        ingest_folder(operator, _MUSIC / "library", _Silent())
    stable = Stabiliser(url, datetime.now(UTC))
    values = {"MUSEED": url, "WORDS": WORDS, "FILE": str(seed), "OPERATOR": state.secret(account.OPERATOR)}
    runner = Runner(values, lambda example: print(f"  {example.name}"))
    answers = runner.run(read_guide().examples)
    return {name: stable.answer(answer) for name, answer in answers.items()}


async def _on_a_mesh() -> dict[str, Answer]:
    seed = render_library(_MUSIC, lambda piece, done, total: None)[0]
    with tempfile.TemporaryDirectory() as folder:
        state = State.open(Path(folder) / "state")
        settings = LocalSettings(
            state=state.folder, gateway_port=0, social_port=0, embedder_port=0, retriever_port=0, nats_port=0
        )
        async with running_mesh(settings, print) as mesh:
            return await asyncio.to_thread(_record, mesh.ports.url, state, seed)


def main(arguments: list[str]) -> int:
    """Write the page, after a new recording unless `--texts` is given; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m examples.api", description=__doc__)
    parser.add_argument(
        "--texts", action="store_true", help="keep the answers of the last recording, and start no mesh"
    )
    if not parser.parse_args(arguments).texts:
        answers = asyncio.run(_on_a_mesh())
        ANSWERS.write_text(json.dumps(answers, indent=1, ensure_ascii=False) + "\n", "utf-8")
    PAGE.write_text(render(read_guide(), read_answers()), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
