"""What is under way in the mesh and what could not be done: shown by `museed status`, tried again by `dead-letters`."""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from clients.python import operations
from clients.python.operations import ReplayDeadLettersInput, Replayed, SetAside
from deploy.local import account
from deploy.local.client import ClientError, GatewayClient, accepted
from deploy.local.encoder_commands import DEFAULT_STATE, StateOption
from deploy.local.ports import service_of
from deploy.local.state import State
from deploy.local.tables import command, console
from deploy.local.trouble import told_errors

_NEWEST = 3
_PAGE_SIZE = 100
# Each letter takes the gateway some round trips, all within one deadline.
_REPLAY_SIZE = 20

# What somebody can do about a letter beside trying it again, by the reason that it was set aside for.
_REMEDIES = {
    "DECODER_KILLED": "decoding it takes more memory than there is: give the machine more, or mend the file",
    "HANDLER_LOST": "nothing was heard of those who worked on it: look into their logs for what ended them",
    "ENCODING_FAILED": "the model fails on this audio: look for window_failed in the embedder's log",
}


def show_work(client: GatewayClient) -> None:
    """Print what every stream holds, and the newest dead letters with what to do.

    Raises:
        ClientError: The gateway is away, or the caller is no admin.
    """
    found = operations.work(client, _NEWEST)
    table = Table(title="streams", title_justify="left")
    for name in ("stream", "mes-\nsages", "MB", "worked off by", "wait-\ning", "in\nhand"):
        if name in ("stream", "worked off by"):
            table.add_column(name, overflow="fold")  # whole on narrow screens, too: they are names to search for
        else:
            table.add_column(name, justify="right", no_wrap=True)
    for stream in found.streams:
        held = (stream.name, str(stream.message_count), f"{stream.size_bytes / 1e6:.1f}")
        # A row for each consumer: where its name takes two lines, its figures stay beside it.
        for number, each in enumerate(stream.consumers or [None]):
            shown = held if number == 0 else ("", "", "")
            working = (each.name, str(each.waiting_count), str(each.in_hand_count)) if each else ("", "", "")
            table.add_row(*shown, *working)
    console.print(table)
    total = next(one.message_count for one in found.streams if one.name == "DEAD_LETTERS")
    if not total:
        console.print("No message was set aside as a dead letter.")
        return
    if newest := found.dead_letters.nodes:
        show_letters(newest, f"dead letters: the newest of {total}")
    else:
        console.print(f"There are {total} dead letters, older than many that were tried again since.")
    console.print(f"All of them: {command('dead-letters')}. Try them again: {command('dead-letters --replay')}")


def show_letters(letters: Sequence[SetAside], title: str) -> None:
    """Print dead letters, one row each, with the reason and what to do."""
    table = Table(title=title, title_justify="left", show_lines=True)
    table.add_column("what", overflow="fold", ratio=2)
    table.add_column("reason", overflow="fold", ratio=3)
    table.add_column("set aside", no_wrap=True)
    for letter in letters:
        reason = Text(letter.reason or "unknown", style="bold")
        reason.append(f" after {letter.attempt_count} attempts", style="not bold")
        reason.append(f"\n{letter.message}", style="not bold dim")
        if remedy := _REMEDIES.get(letter.reason):
            reason.append(f"\n{remedy}", style="not bold")
        reason.append(f"\nlogs: request_id {letter.request_id or 'unknown'}", style="not bold dim")
        table.add_row(
            _what(letter),
            reason,
            f"{letter.set_aside_at:%Y-%m-%dT%H:%M:%S}\nletter {letter.letter_id.partition('.')[0]}",
        )
    console.print(table)


def show_metrics(state_folder: Path) -> None:
    """Print where Prometheus finds the metrics of the mesh of a state folder."""
    if os.environ.get("MUSEED_URL"):
        return  # of other machines: whoever runs them knows
    mesh_state = State.open(state_folder)
    mesh = mesh_state.read_json("mesh.json") or {}
    urls: dict[str, str] = mesh.get("metrics", {})
    if not urls:
        console.print("Metrics are off. On, for Prometheus: MUSEED_METRICS_PORT=7490 when it is started.")
    running = mesh_state.read_json("processes.json") or {}
    for name, url in urls.items():
        if name not in running and service_of(name) not in running:
            continue
        console.print(f"metrics of {name}: {url}", soft_wrap=True)


def dead_letters_command(
    letter: Annotated[list[str] | None, typer.Argument(help="Numbers of letters; all without any.")] = None,
    replay: Annotated[bool, typer.Option("--replay", help="Have them tried again.")] = False,
    state: StateOption = DEFAULT_STATE,
) -> None:
    """Show messages that nobody could work off, or have them tried again. Safe to repeat."""
    with told_errors(), account.connect(state) as client:
        letters = list(_chosen(_all_letters(client), letter or []))
        if not letters:
            console.print("There are no dead letters.")
        elif replay:
            _show_replay(letters, _replayed(client, letters))
        else:
            show_letters(letters, f"{len(letters)} dead letters, newest first")
            console.print(f"Try them again: {command('dead-letters --replay')}")


def _all_letters(client: GatewayClient) -> Iterator[SetAside]:
    after: str | None = None
    while True:
        page = operations.dead_letters(client, first=_PAGE_SIZE, after=after)
        yield from page.nodes
        if not page.page_info.has_next_page:
            return
        after = page.page_info.end_cursor


def _chosen(letters: Iterator[SetAside], numbers: Sequence[str]) -> Iterator[SetAside]:
    """Return the letters of these numbers, all without any.

    Raises:
        ClientError: There is no such letter.
    """
    left = set(numbers)
    for letter in letters:
        number = letter.letter_id.partition(".")[0]
        if not numbers or number in left:
            left.discard(number)
            yield letter
            if numbers and not left:
                return
    if left:
        raise ClientError(
            f"there is no dead letter {min(left)}", "DEAD_LETTER_NOT_FOUND", field="letter", value=min(left)
        )


def _replayed(client: GatewayClient, letters: Sequence[SetAside]) -> list[Replayed]:
    found: list[Replayed] = []
    for start in range(0, len(letters), _REPLAY_SIZE):
        ids = [letter.letter_id for letter in letters[start : start + _REPLAY_SIZE]]
        found += accepted(operations.replay_dead_letters(client, ReplayDeadLettersInput(letter_ids=ids))).letters
    return found


def _show_replay(letters: Sequence[SetAside], replayed: Sequence[Replayed]) -> None:
    """Print what became of each letter.

    Raises:
        ClientError: Some were kept.
    """
    counts = Counter(str(one.outcome) for one in replayed)
    console.print(
        f"{counts['SENT']} are on their way again, {counts['SETTLED'] + counts['GONE']} needed nothing any more,"
        f" {counts['KEPT']} were kept."
    )
    kept = [(letter, one) for letter, one in zip(letters, replayed, strict=True) if one.outcome == "KEPT"]
    for letter, one in kept:
        console.print(f"  {_what(letter).plain.splitlines()[0]}: {one.reason}: {one.message}", soft_wrap=True)
    if kept:
        raise ClientError(f"{len(kept)} dead letters were kept, see above", "DEAD_LETTERS_KEPT")


def _what(letter: SetAside) -> Text:
    track = letter.track
    if track is None:
        about = f"track {letter.track_id}" if letter.track_id else "a message that tells no track"
        return Text(f"{about}\n{letter.stream}")
    lines = Text(track.title)
    for line in (track.artist, letter.stream):
        if line:
            lines.append(f"\n{line}", style="dim")
    return lines
