"""Writes the client: `python -m clients.python.generator`.

`operations.py` is made of the committed schema and of `documents/*.graphql`; `trusted.json` is the manifest of these
documents for a gateway that runs no others.
"""

import argparse
import hashlib
import json
import subprocess
import sys
from pathlib import Path

from graphql import GraphQLError, GraphQLSchema, OperationDefinitionNode, build_schema

from clients.python.generator import render
from clients.python.generator.documents import Documents, read_documents
from clients.python.generator.inputs import Inputs, merged
from clients.python.generator.names import constant_name, python_name
from clients.python.generator.render import OperationCode
from clients.python.generator.selections import Selections
from clients.python.generator.shapes import GeneratorError

HERE = Path(__file__).parents[1]
SCHEMA = HERE.parents[1] / "services/gateway/schema.graphql"
OPERATIONS = HERE / "operations.py"
TRUSTED = HERE / "trusted.json"


def generate(schema_text: str, sources: dict[str, str]) -> dict[Path, str]:
    """Return the files of a client, by path.

    Args:
        schema_text: In GraphQL's own language.
        sources: Documents by their names.

    Raises:
        GeneratorError: No client can be made of them.
        GraphQLError: Something is no GraphQL.
    """
    schema = build_schema(schema_text)
    documents = read_documents(schema, (sources[name] for name in sorted(sources)))
    trusted = {hashlib.sha256(text.encode()).hexdigest(): text for text in documents.texts.values()}
    return {
        OPERATIONS: _formatted(_module(schema, documents)),
        TRUSTED: json.dumps(trusted, indent=2, ensure_ascii=False) + "\n",
    }


def _module(schema: GraphQLSchema, documents: Documents) -> str:
    inputs, selections = Inputs(schema), Selections(schema, documents.fragments)
    operations = [_operation(schema, node, documents, inputs, selections) for node in documents.operations]
    enums = merged(inputs.enums, selections.enums)
    names = [*render.IMPORTED, *(type_.name for type_ in enums), *inputs.classes, *selections.classes]
    names += [name for one in operations for name in (python_name(one.name), constant_name(one.name))]
    if doubled := {name for name in names if names.count(name) > 1}:
        raise GeneratorError(f"{', '.join(sorted(doubled))} would be there twice: rename the fragment or operation")
    return render.module(
        enums, inputs.classes.values(), selections.classes.values(), selections.unions.values(), operations
    )


def _operation(
    schema: GraphQLSchema,
    node: OperationDefinitionNode,
    documents: Documents,
    inputs: Inputs,
    selections: Selections,
) -> OperationCode:
    assert node.name is not None
    name = node.name.value
    root_type = schema.get_root_type(node.operation)
    assert root_type is not None
    answer = selections.answer(root_type, node)
    variables, text = inputs.variables(node), documents.texts[name]
    return OperationCode(name, node.operation.value, text, variables, answer.shape, answer.read, answer.description)


def _formatted(text: str) -> str:
    """Format code and take out imports that it does not need."""
    ruff = [sys.executable, "-m", "ruff"]
    name = f"--stdin-filename={OPERATIONS}"
    for command in (
        ["check", "--quiet", "--isolated", "--fix", "--select=F401", name],
        ["format", "--line-length=120", "--isolated", name],
    ):
        text = subprocess.run([*ruff, *command, "-"], input=text, capture_output=True, text=True, check=True).stdout
    return text


def main(arguments: list[str]) -> int:
    """Write the files, or with `--check` only compare; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m clients.python.generator", description=__doc__)
    parser.add_argument("--check", action="store_true", help="only say whether it is fresh")
    is_checked = parser.parse_args(arguments).check
    sources = {path.name: path.read_text() for path in HERE.glob("documents/*.graphql")}
    try:
        fresh = generate(SCHEMA.read_text(), sources)
    except (GeneratorError, GraphQLError) as error:
        print(error, file=sys.stderr)
        return 1
    if not is_checked:
        for path, text in fresh.items():
            path.write_text(text)
        return 0
    stale = [path for path, text in fresh.items() if not path.exists() or path.read_text() != text]
    for path in stale:
        print(f"{path} is not fresh: run `make protos`", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
