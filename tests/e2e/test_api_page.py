"""What API.md shows is what a mesh of today answers: every example again, compared by shapes."""

from pathlib import Path

from deploy.local.account import OPERATOR
from deploy.local.state import State
from examples.api.__main__ import read_answers
from examples.api.guide import read_guide
from examples.api.runner import Runner
from examples.api.shapes import differences
from tests.e2e.conftest import RunningMesh, tone, write_track


def test_every_example_is_answered_as_the_page_says(mesh: RunningMesh, tmp_path: Path) -> None:
    seed = write_track(tmp_path / "seed.flac", tone(12, 500, 5, 1.5, seed=31), title="A seed")
    examples = read_guide().examples
    operator = State.open(mesh.folder).secret(OPERATOR)
    fresh = Runner({"MUSEED": mesh.url, "WORDS": "Piece", "FILE": str(seed), "OPERATOR": operator}).run(examples)
    known = read_answers()
    found = {example.name: list(differences(known[example.name], fresh[example.name])) for example in examples}
    assert {name: each for name, each in found.items() if each} == {}
