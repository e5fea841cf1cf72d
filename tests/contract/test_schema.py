"""The committed GraphQL schema: fresh, described, and shaped as clients are told."""

from typing import Any

import pytest
from graphql import (
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLUnionType,
    build_schema,
)

from services.gateway.export_schema import PATH, main, render


def test_committed_schema_is_fresh(capsys: pytest.CaptureFixture[str]) -> None:
    assert PATH.read_text() == render()
    assert main(["--check"]) == 0
    assert capsys.readouterr().err == ""


def test_stale_schema_is_noticed(tmp_path: Any, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    stale = tmp_path / "schema.graphql"
    stale.write_text(render().replace("searchTracks", "findTracks"))
    monkeypatch.setattr("services.gateway.export_schema.PATH", stale)
    assert main(["--check"]) == 1
    assert "make protos" in capsys.readouterr().err
    assert main([]) == 0
    assert stale.read_text() == render()


SCHEMA = build_schema(PATH.read_text())
OWN_TYPES = [type_ for name, type_ in SCHEMA.type_map.items() if not name.startswith("__")]


def test_everything_is_described() -> None:
    bare: list[str] = []
    for type_ in OWN_TYPES:
        if not type_.description and not isinstance(type_, GraphQLUnionType):
            bare.append(type_.name)
        for name, value in getattr(type_, "values", {}).items():
            if not value.description:
                bare.append(f"{type_.name}.{name}")
        for name, field in getattr(type_, "fields", {}).items():
            if not field.description:
                bare.append(f"{type_.name}.{name}")
            is_input = isinstance(type_, GraphQLInputObjectType)
            for argument, definition in {} if is_input else field.args.items():
                # `input` is described by its type.
                if not definition.description and argument != "input":
                    bare.append(f"{type_.name}.{name}({argument})")
    assert bare == []


def test_every_mutation_takes_one_input_and_returns_a_union_of_success_and_errors() -> None:
    mutation = SCHEMA.mutation_type
    user_error = SCHEMA.type_map["UserError"]
    assert mutation is not None
    assert isinstance(user_error, GraphQLInterfaceType)
    for name, field in mutation.fields.items():
        title = name[0].upper() + name[1:]
        assert set(field.args) <= {"input"}
        assert all(str(argument.type) == f"{title}Input!" for argument in field.args.values())
        assert isinstance(field.type, GraphQLNonNull)
        result = field.type.of_type
        assert isinstance(result, GraphQLUnionType)
        assert result.name == f"{title}Result"
        success, *errors = result.types
        assert success.name == f"{title}Success"
        assert errors
        assert all(user_error in error.interfaces for error in errors)


def test_a_failing_query_leaves_its_neighbours_alone() -> None:
    query = SCHEMA.query_type
    assert query is not None
    assert [name for name, field in query.fields.items() if isinstance(field.type, GraphQLNonNull)] == []


def test_connections_are_relays() -> None:
    connections = [type_ for type_ in OWN_TYPES if type_.name.endswith("Connection")]
    assert len(connections) >= 9
    for connection in connections:
        assert isinstance(connection, GraphQLObjectType)
        base = connection.name.removesuffix("Connection")
        assert str(connection.fields["pageInfo"].type) == "PageInfo!"
        assert str(connection.fields["edges"].type) == f"[{base}Edge!]!"
        edge = SCHEMA.type_map[f"{base}Edge"]
        assert isinstance(edge, GraphQLObjectType)
        assert str(edge.fields["cursor"].type) == "String!"
        assert str(connection.fields["nodes"].type) == f"[{edge.fields['node'].type}]!"


def test_relay_root_is_there() -> None:
    query = SCHEMA.query_type
    assert query is not None
    assert str(query.fields["node"].type) == "Node"
    node = SCHEMA.type_map["Node"]
    assert isinstance(node, GraphQLInterfaceType)
    assert {type_.name for type_ in SCHEMA.get_possible_types(node)} >= {"Track", "Playlist", "Job", "User"}
