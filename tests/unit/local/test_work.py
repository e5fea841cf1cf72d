"""What `museed status` and `museed dead-letters` say, of answers as the gateway gives them."""

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import pytest
import typer
from rich.console import Console

from clients.python.operations import SetAside
from clients.python.wire import Json, Operation
from deploy.local import account, cli, work
from deploy.local.client import ClientError, GatewayClient
from deploy.local.state import State

T = TypeVar("T")


def letter(
    number: int, reason: str = "ENCODING_FAILED", track: Mapping[str, str | None] | None = None
) -> dict[str, Any]:
    return {
        "letterId": f"{number}.event-{number}",
        "stream": "EMBED_WORK",
        "attemptCount": 5,
        "code": "INTERNAL",
        "reason": reason,
        "message": "the model failed on [this] audio",
        "setAsideAt": "2026-01-02T03:04:05+00:00",
        "requestId": "request-1",
        "encoderId": "fake-1",
        "trackId": f"track-{number}" if track else None,
        "track": track,
    }


class StubClient(GatewayClient):
    """Answers from a list of letters; a replay of number 3 is kept."""

    def __init__(self, letters: list[dict[str, Any]]) -> None:
        super().__init__("http://nowhere", None)
        self.letters = letters
        self.replayed: list[list[str]] = []
        self.pages = 0
        self.newest = 3

    def execute(self, operation: Operation[T], variables: Json) -> T:
        return operation.read(self.answer(operation.name, variables))

    def answer(self, name: str, variables: Json) -> Json:
        if name == "ReplayDeadLetters":
            self.replayed.append(list(variables["input"]["letterIds"]))
            return {"replayDeadLetters": self.outcomes(self.replayed[-1])}
        consumer = {"name": "embedder-fake-1", "waitingCount": 7, "inHandCount": 4, "repeatedCount": 0}
        streams = [
            {"name": "EMBED_WORK", "messageCount": 11, "sizeBytes": 2_500_000, "consumers": [consumer]},
            {"name": "DEAD_LETTERS", "messageCount": len(self.letters), "sizeBytes": 0, "consumers": []},
        ]
        if name == "Work":
            return {"streams": streams, "deadLetters": {"nodes": self.letters[: self.newest]}}
        self.pages += 1
        start = int(variables.get("after", 0))
        end = start + 2  # as short as a page may be
        info = {"hasNextPage": end < len(self.letters), "endCursor": str(end)}
        return {"deadLetters": {"pageInfo": info, "nodes": self.letters[start:end]}}

    def outcomes(self, letter_ids: list[str]) -> Json:
        kept = {"outcome": "KEPT", "reason": "ENCODER_NOT_KEPT", "message": "no track is heard by it"}
        sent = {"outcome": "SENT", "reason": None, "message": None}
        letters = [{"letterId": one, **(kept if one[0] == "3" else sent)} for one in letter_ids]
        return {"__typename": "ReplayDeadLettersSuccess", "letters": letters}


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    written = io.StringIO()
    console = Console(file=written, width=160, highlight=False, markup=False)
    monkeypatch.setattr(work, "console", console)
    monkeypatch.setattr("deploy.local.trouble.errors", console)
    return written


def run(client: StubClient, monkeypatch: pytest.MonkeyPatch, *numbers: str, replay: bool = False) -> None:
    monkeypatch.setattr(account, "connect", lambda state: client)
    work.dead_letters_command(list(numbers), replay, Path("unused"))


def test_status_shows_streams_and_the_newest_letters_with_what_to_do(said: io.StringIO) -> None:
    track = {"title": "[Live] Song", "artist": "Band"}
    work.show_work(StubClient([letter(4, track=track), letter(3, "HANDLER_LOST"), letter(2), letter(1)]))
    text = said.getvalue()
    for words in (
        "EMBED_WORK", "11", "2.5", "embedder-fake-1", "dead letters: the newest of 4",
        "[Live] Song", "ENCODING_FAILED after 5 attempts", "the model failed on [this] audio", "2026-01-02T03:04:05",
        "nothing was heard of those who worked on it", "logs: request_id request-1", "dead-letters --replay",
    ):  # fmt: skip
        assert words in text


def test_track_of_nobody_is_shown_by_its_title_alone(said: io.StringIO) -> None:
    work.show_letters([SetAside.read(letter(7, track={"title": "Song", "artist": None}))], "letters")
    assert "Song" in said.getvalue()
    assert "None" not in said.getvalue()
    assert "letter 7" in said.getvalue()


def test_names_are_whole_on_a_narrow_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.StringIO()
    monkeypatch.setattr(work, "console", Console(file=written, width=80, highlight=False, markup=False))
    names = ["embedder-museed-mini-2558bd6924eb8808", "embedder-other-model-0123456789abcdef"]
    consumers = [{"name": name, "waitingCount": 97_531, "inHandCount": 9, "repeatedCount": 0} for name in names]
    client = StubClient([])
    stream = {"name": "EMBED_WORK", "messageCount": 123_456, "sizeBytes": 10**9, "consumers": consumers}
    letters = {"name": "DEAD_LETTERS", "messageCount": 0, "sizeBytes": 0, "consumers": []}
    monkeypatch.setattr(client, "answer", lambda *_: {"streams": [stream, letters], "deadLetters": {"nodes": []}})
    work.show_work(client)
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in written.getvalue().splitlines()[3:]]
    worked_off_by = "".join(cell[3] for cell in cells if len(cell) == 6)
    assert worked_off_by == "".join(names)
    assert "…" not in written.getvalue()
    assert written.getvalue().count("97531") == 2


def test_status_without_letters_says_so(said: io.StringIO) -> None:
    work.show_work(StubClient([]))
    assert "No message was set aside" in said.getvalue()


def test_status_says_where_no_letter_is_among_the_newest(said: io.StringIO) -> None:
    client = StubClient([letter(1)])
    client.newest = 0
    work.show_work(client)
    assert "There are 1 dead letters, older than many that were tried again since." in said.getvalue()
    assert "the newest of" not in said.getvalue()


def test_no_page_is_read_after_the_letters_that_are_named(said: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    client = StubClient([letter(number) for number in range(9, 0, -1)])
    run(client, monkeypatch, "9", "7")
    assert client.pages == 2
    assert "2 dead letters, newest first" in said.getvalue()


def test_many_letters_are_replayed_in_calls_that_end_in_time(
    said: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = StubClient([letter(number) for number in range(245, 200, -1)])
    run(client, monkeypatch, replay=True)
    assert [len(ids) for ids in client.replayed] == [20, 20, 5]
    assert "45 are on their way again" in said.getvalue()


class HalfAway(StubClient):
    """Knows the library, and cannot tell what is under way."""

    def answer(self, name: str, variables: Json) -> Json:
        if name == "Work":
            raise ClientError("NATS cannot be reached now", "BUS_UNAVAILABLE")
        return {"stats": {"trackCount": 7, "indexedCount": 7, "userCount": 1, "playlistCount": 0, "genres": []}}


def test_status_goes_on_where_nats_is_away(said: io.StringIO, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(account, "connect", lambda state: HalfAway([]))
    monkeypatch.setattr(cli, "list_encoders", lambda client: None)
    monkeypatch.setattr(cli, "show_encoders", lambda roles: None)
    monkeypatch.setattr(cli, "console", Console(file=said, width=160))
    monkeypatch.delenv("MUSEED_URL", raising=False)
    cli.status(tmp_path)
    text = said.getvalue()
    assert "What is under way cannot be told: BUS_UNAVAILABLE: NATS cannot be reached now" in text
    assert "MUSEED_METRICS_PORT" in text


def test_all_pages_are_shown(said: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    client = StubClient([letter(number) for number in range(5, 0, -1)])
    run(client, monkeypatch)
    assert "5 dead letters, newest first" in said.getvalue()
    assert client.replayed == []


def test_replay_takes_all_and_tells_what_was_kept(said: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    client = StubClient([letter(3), letter(2), letter(1)])
    with pytest.raises(typer.Exit) as ended:
        run(client, monkeypatch, replay=True)
    assert ended.value.exit_code == 1
    assert client.replayed == [["3.event-3", "2.event-2", "1.event-1"]]
    text = said.getvalue()
    assert "2 are on their way again, 0 needed nothing any more, 1 were kept." in text
    assert "ENCODER_NOT_KEPT: no track is heard by it" in text
    assert "DEAD_LETTERS_KEPT" in text


def test_replay_takes_those_that_are_named_and_refuses_others(
    said: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = StubClient([letter(2), letter(1)])
    run(client, monkeypatch, "1", replay=True)
    assert client.replayed == [["1.event-1"]]
    with pytest.raises(typer.Exit) as ended:
        run(client, monkeypatch, "1", "99", replay=True)
    assert ended.value.exit_code == 1
    assert "DEAD_LETTER_NOT_FOUND: there is no dead letter 99 (letter: 99)" in said.getvalue()
    assert client.replayed == [["1.event-1"]]


def test_no_letters_are_no_error(said: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    run(StubClient([]), monkeypatch, replay=True)
    assert said.getvalue() == "There are no dead letters.\n"


@pytest.mark.parametrize("is_on", [True, False])
def test_status_tells_where_metrics_are(said: io.StringIO, tmp_path: Path, is_on: bool) -> None:
    state = State.open(tmp_path)
    urls = {"embedder": "http://127.0.0.1:7492/metrics", "embedder-2": "http://127.0.0.1:7494/metrics"} if is_on else {}
    (state / "mesh.json").write_text(json.dumps({"url": "", "pid": 1, "metrics": urls}))
    (state / "processes.json").write_text(json.dumps({"nats": {}, "embedder": {}}))
    work.show_metrics(tmp_path)
    wanted = "metrics of embedder: http://127.0.0.1:7492/metrics" if is_on else "MUSEED_METRICS_PORT=7490"
    assert wanted in said.getvalue()
    assert "embedder-2" not in said.getvalue()  # it does not run
