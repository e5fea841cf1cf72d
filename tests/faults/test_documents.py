"""What people ask for is in the schema: found here in a moment, and not by a mesh of a minute."""

from pathlib import Path

import pytest
from graphql import GraphQLSchema, build_schema, parse, validate

from tests.faults import documents

DOCUMENTS = {
    name: text for name, text in vars(documents).items() if name.isupper() and name not in ("LIST", "COMMENTS")
}


@pytest.fixture(scope="module")
def schema() -> GraphQLSchema:
    return build_schema((Path(__file__).parents[2] / "services" / "gateway" / "schema.graphql").read_text())


@pytest.mark.parametrize("name", DOCUMENTS)
def test_document_is_in_the_schema(schema: GraphQLSchema, name: str) -> None:
    assert validate(schema, parse(DOCUMENTS[name])) == []
