"""The Python client is what the generator makes of schema and documents, and holds what it promises of types."""

import ast
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from graphql import ExecutableDefinitionNode, GraphQLSyntaxError, parse
from mypy import api as mypy

from clients.python.generator.__main__ import OPERATIONS, TRUSTED, generate, main
from clients.python.generator.names import docstring, python_name
from clients.python.generator.shapes import GeneratorError
from clients.python.wire import Json, Operation, UnreadableAnswer, read_answer
from services.gateway.trusted import read_manifest

SCHEMA = '''
scalar DateTime
scalar Date
scalar BigInt
scalar UInt64
"""How a song feels."""
enum Mood { "Bright." GLAD SAD }
interface UserError { code: String! }
type Song { id: ID!  title: String!  from: Artist  moods: [Mood!]!  takes: [[Float]!]  at: DateTime!  day: Date
  plays: BigInt!  seed: UInt64 }
type Artist { name: String  songs: [Song!] }
type NotFound implements UserError { code: String! }
type TooMany implements UserError { code: String!  limit: Int! }
type Kept { song: Song! }
union KeepResult = Kept | NotFound | TooMany
union Thing = Song | Artist
input Wish { mood: Mood = null  inside: Wish = null  titles: [String!]! }
input KeepInput { id: ID!  seed: UInt64 = null  after: DateTime = null  wishes: [Wish!] = null  place: Int! = 3 }
input Loose { maybe: Int }
type Query { song(id: ID!): Song  things: [Thing!]!  search(mood: Mood = SAD, loose: Loose): [Song!]!  odd: Odd }
scalar Odd
type Mutation { keep(input: KeepInput!): KeepResult! }
type Subscription { played: Song! }
'''

DOCUMENTS = """
fragment Refused on UserError { __typename code }
fragment Row on Song { id title }
query Whole($id: ID!) { song(id: $id) { ...Row from { name songs { ...Row } } moods takes at day plays seed } }
query Sure($id: ID!) { song(id: $id) @required { ...Row } }
query Things { things { ... on Song { title } ... on Artist { name } } }
query Both($mood: Mood) { found: search(mood: $mood) { ...Row } things { __typename } }
mutation Keep($input: KeepInput!) { keep(input: $input) { ... on Kept { song { ...Row } } ...Refused } }
subscription Played { played { ...Row } }
"""

SONG = {
    "id": "1",
    "title": "T",
    "from": {"name": None, "songs": [{"id": "2", "title": "U"}]},
    "moods": ["GLAD", "WISTFUL"],
    "takes": [[1, None], []],
    "at": "2026-01-02T03:04:05Z",
    "day": "2026-01-02",
    "plays": "9007199254740991",
    "seed": "18446744073709551615",
}


def made(documents: str, schema: str = SCHEMA) -> str:
    return generate(schema, {"all.graphql": documents})[OPERATIONS]


@pytest.fixture(scope="module")
def module() -> Iterator[Any]:
    """The client of the documents above, as a module."""
    found = ModuleType("generated_for_tests")
    sys.modules[found.__name__] = found
    exec(made(DOCUMENTS), found.__dict__)
    yield found
    del sys.modules[found.__name__]


class Answering:
    """Answers each operation from JSON, and keeps what was sent."""

    def __init__(self, data: Json) -> None:
        self.data = data
        self.sent: list[tuple[str, Json]] = []

    def execute(self, operation: Operation[Any], variables: Json) -> Any:
        self.sent.append((operation.name, variables))
        return read_answer(operation, self.data)

    def subscribe(self, operation: Operation[Any], variables: Json) -> Iterator[Any]:
        self.sent.append((operation.name, variables))
        yield read_answer(operation, self.data)


def test_committed_client_is_fresh() -> None:
    assert main(["--check"]) == 0


def test_stale_client_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("clients.python.generator.__main__.OPERATIONS", tmp_path / "operations.py")
    assert main(["--check"]) == 1


def test_every_kind_of_value_is_read(module: Any) -> None:
    song = module.whole(Answering({"song": SONG}), "1")
    assert (song.id, song.title, song.from_.name) == ("1", "T", None)
    assert song.from_.songs == (module.Row(id="2", title="U"),)
    assert song.moods[0] is module.Mood.GLAD
    assert song.takes == ((1.0, None), ())
    assert isinstance(song.takes[0][0], float)
    assert (song.at, song.day) == (datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), date(2026, 1, 2))
    assert (song.plays, song.seed) == (2**53 - 1, 2**64 - 1)


def test_word_of_a_later_release_is_kept_as_it_is(module: Any) -> None:
    later = module.whole(Answering({"song": SONG}), "1").moods[1]
    assert (later, str(later), later in set(module.Mood)) == ("WISTFUL", "WISTFUL", False)


def test_null_is_read_where_it_may_be_and_refused_where_it_is_required(module: Any) -> None:
    assert module.whole(Answering({"song": None}), "1") is None
    assert module.sure(Answering({"song": SONG}), "1") == module.Row(id="1", title="T")
    with pytest.raises(UnreadableAnswer, match="the answer to Sure cannot be read"):
        module.sure(Answering({"song": None}), "1")


@pytest.mark.parametrize("song", [{"id": "1"}, [], "text", 7])
def test_answer_of_another_form_is_told(module: Any, song: Any) -> None:
    with pytest.raises(UnreadableAnswer):
        module.sure(Answering({"song": song}), "1")


def test_union_is_told_apart_by_its_type(module: Any) -> None:
    things = [{"__typename": "Artist", "name": "A"}, {"__typename": "Song", "title": "T"}]
    assert module.things(Answering({"things": things})) == (
        module.ThingsArtist(name="A"),
        module.ThingsSong(title="T"),
    )
    with pytest.raises(UnreadableAnswer, match="Album"):
        module.things(Answering({"things": [{"__typename": "Album", "title": "T"}]}))


def test_refusals_are_one_class_with_those_that_come_later(module: Any) -> None:
    request = module.KeepInput(id="1")
    kept = module.keep(Answering({"keep": {"__typename": "Kept", "song": SONG}}), request)
    assert kept == module.KeepKept(song=module.Row(id="1", title="T"))
    for name in ("NotFound", "TooMany", "NotYetKnown"):
        refused = module.keep(Answering({"keep": {"__typename": name, "code": "C"}}), request)
        assert refused == module.Refused(typename=name, code="C")


def test_what_is_none_is_not_sent_and_all_else_as_json_has_it(module: Any) -> None:
    caller = Answering({"keep": {"__typename": "TooMany", "code": "C"}})
    wish = module.Wish(mood=module.Mood.SAD, inside=module.Wish(titles=["a"]), titles=("b", "c"))
    after = datetime(2026, 1, 2, tzinfo=UTC)
    module.keep(caller, module.KeepInput(id="1", seed=2**64 - 1, after=after, wishes=[wish]))
    module.keep(caller, module.KeepInput(id="1"))
    wishes = ({"mood": "SAD", "inside": {"titles": ("a",)}, "titles": ("b", "c")},)
    sent = {"id": "1", "seed": "18446744073709551615", "after": "2026-01-02T00:00:00+00:00", "wishes": wishes}
    assert caller.sent == [("Keep", {"input": sent}), ("Keep", {"input": {"id": "1"}})]


def test_several_fields_are_one_answer_and_may_be_renamed(module: Any) -> None:
    caller = Answering({"found": [{"id": "1", "title": "T"}], "things": [{"__typename": "Song"}]})
    both = module.both(caller)
    assert (both.found, both.things[0].typename) == ((module.Row(id="1", title="T"),), "Song")
    assert caller.sent == [("Both", {})]


def test_subscription_yields_what_comes(module: Any) -> None:
    assert list(module.played(Answering({"played": SONG}))) == [module.Row(id="1", title="T")]


def test_what_is_sent_asks_for_types_and_knows_no_directive_of_ours(module: Any) -> None:
    row = "fragment Row on Song {\n  id\n  title\n}"
    assert module.SURE.text == row + "\n\nquery Sure($id: ID!) {\n  song(id: $id) {\n    ...Row\n  }\n}"
    assert "keep(input: $input) {\n    __typename" in module.KEEP.text
    assert module.KEEP.text.count("__typename") == 2


@pytest.mark.parametrize(
    ("documents", "words"),
    [
        ("query A { song(id: 1) { titel } }", "titel"),
        ("{ things { __typename } }", "needs a name"),
        ("query A { odd }", "scalar Odd"),
        ("query A($on: Boolean!) { things { ... on Song @include(if: $on) { title } } }", "two operations"),
        ("query A($l: Loose) { search(loose: $l) { id } }", "Loose.maybe"),
        ("query A { search @required { id } }", "never null"),
        ("query A { song(id: 1) { fromName: title from_name: title } }", "one name"),
        ("query A { song(id: 1) { id } things { __typename } } query ASong { song(id: 1) { title } }", "class ASong"),
        ("query Mood { search(mood: SAD) { moods } }", "Mood would be there twice"),
        ("query Given { search { id } }", "given would be there twice"),
        ("fragment F on Thing { ... on Song { id } } query A { things { ...F } }", "fragment of a union"),
    ],
)  # fmt: skip
def test_documents_that_no_client_can_be_made_of_are_told(documents: str, words: str) -> None:
    with pytest.raises(GeneratorError, match=words):
        made(documents)


def test_names_are_those_of_python() -> None:
    names = ["streamUrl", "__typename", "from", "loudnessLufs", "relativePathBase64", "URLOf", "trackId"]
    found = ["stream_url", "typename", "from_", "loudness_lufs", "relative_path_base64", "url_of", "track_id"]
    assert [python_name(name) for name in names] == found


def test_descriptions_cannot_end_the_docstring_they_stand_in() -> None:
    for text in ('He said """no""".', "ends with \\", 'ends with "quotes"', "x" * 300, "word " * 60, "  a\n b "):
        (expression,) = ast.parse(docstring(text, "", "")).body
        assert isinstance(expression, ast.Expr)


def test_manifest_holds_every_document(tmp_path: Path) -> None:
    documents = read_manifest(TRUSTED)
    definitions = [definition for text in documents.values() for definition in parse(text).definitions]
    names = {one.name.value for one in definitions if isinstance(one, ExecutableDefinitionNode) and one.name}
    assert {"LogIn", "GeneratePlaylist", "JobProgress", "RegisterTracks", "ReplayDeadLetters"} <= names


def is_document(text: str) -> bool:
    try:
        return bool(parse(text).definitions) and "{" in text
    except GraphQLSyntaxError:
        return False


def test_the_command_has_no_document_outside_of_the_files_of_documents() -> None:
    root = OPERATIONS.parents[2]
    written = [
        (path.name, node.value)
        for path in (root / "deploy").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and is_document(node.value)
    ]
    assert written == []
    assert is_document("{ me { email } }")


HEAD = """
from clients.python import operations
from clients.python.operations import JobState, LogInInput, Refusal, SeedInput
from clients.python.wire import Caller, Subscriber
def check(caller: Caller, live: Subscriber) -> None:
    {}
"""


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("title: str = operations.search_tracks(caller, query='x', first=1).nodes[0].title", ""),
        ("left: float | None = next(operations.job_progress(live, 'id')).eta_seconds", ""),
        ("operations.search_tracks(caller, query='x', first=1).nodes[0].titel", '"TrackRow" has no attribute "titel"'),
        ("operations.search_tracks(caller, query='x')", 'Missing named argument "first"'),
        ("operations.search_tracks(caller, query='x', first='1')", 'incompatible type "str"; expected "int"'),
        ("LogInInput(login='x')", 'Missing named argument "password" for "LogInInput"'),
        ("SeedInput(trackId='x')", 'Unexpected keyword argument "trackId" for "SeedInput"'),
        ("operations.log_in(caller, LogInInput(login='', password='')).tokens",
         'Item "Refusal" of "LogInSuccess | Refusal" has no attribute "tokens"'),
        ("operations.playlist_page(caller, playlist_id='x').entries.nodes[0].track.title",
         'Item "None" of "PlayableTrack | None" has no attribute "title"'),
        ("operations.stats(caller).track_count = 1", 'Property "track_count" defined in "Stats" is read-only'),
        ("operations.job_progress(caller, 'id')", 'has incompatible type "Caller"; expected "Subscriber"'),
    ],
    ids=lambda value: value[:24] if value else "right",
)  # fmt: skip
def test_types_are_proved(tmp_path_factory: pytest.TempPathFactory, line: str, fault: str) -> None:
    cache = tmp_path_factory.getbasetemp() / "mypy"
    found, _, _ = mypy.run(["--strict", f"--cache-dir={cache}", "--config-file=", "-c", HEAD.format(line)])
    assert (fault in found, "error" in found) == (True, bool(fault)), found
