"""The operator, who goes on bringing files into the library while everything breaks, as `museed ingest` does."""

import asyncio
import random
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mutagen

from clients.python.operations import TrackRegistrationInput
from deploy.local.files import Candidate, TrackFile, read
from tests.e2e.conftest import tone, write_track
from tests.faults import documents as ask_for
from tests.faults.asking import Asker, World
from tests.faults.library import HEARD

# So many that an index of them all is looked through in a moment.
_MOST_FILES = 80
_SECONDS = 31.0
# Of files, those that sound like one of before; and of turns, those that give a file other tags.
_TWINS = 0.2
_RETAGS = 0.2
_LONGEST_PAUSE_S = 2.5


@dataclass(frozen=True, slots=True)
class Shelf:
    """A folder of nobody else's, and the root that it is registered as."""

    root_id: str
    folder: Path


class Librarian(Asker):
    """Registers one or two new files every second or two, and looks how far they are.

    Args:
        world: Where; what is registered may be played and listed by everybody at once, before anything has heard it.
        name: Username of an admin.
        password: Its password.
        shelf: Where new files are put.
        dice: Decide what is done.
    """

    def __init__(self, world: World, name: str, password: str, shelf: Shelf, dice: random.Random) -> None:
        super().__init__(world, name, dice, password)
        self._shelf = shelf
        self._track_ids: dict[str, str] = {}

    async def enter(self) -> None:
        """Log in; while nothing is broken."""
        await self._calls.enter()

    async def live(self) -> None:
        """Do one thing after the other until the world is over."""
        try:
            while not self._world.is_over:
                await self._act()
                await asyncio.sleep(self._dice.uniform(0.1, _LONGEST_PAUSE_S))
        finally:
            await self._calls.close()

    async def _act(self) -> None:
        lacking = self._world.lacking
        if not self._track_ids or "register" in lacking:
            await self._register()
        elif "retag" in lacking:
            await self._retag()
        elif self._dice.random() < _RETAGS:
            await self._retag()
        elif len(self._files()) < _MOST_FILES:
            await self._register()
        if self._track_ids:
            await self._read_track()

    async def _register(self) -> None:
        files = [await asyncio.to_thread(self._write) for _ in range(self._dice.randint(1, 2))]
        asked = {"files": [[file.relative_path, file.title] for file in files]}
        answered: list[list[str]] = []

        async def ask() -> dict[str, Any]:
            answered[:] = await self._send(files)
            return {"tracks": answered}

        if await self._ask("register", asked, ask):
            known = {path: track_id for path, track_id, _ in answered if track_id}
            self._track_ids |= known
            self._world.tracks += known.values()

    async def _retag(self) -> None:
        path = self._dice.choice(sorted(self._track_ids))
        _entitle(self._shelf.folder / path, title := f"Named {self._dice.getrandbits(64):016x}")
        file = await asyncio.to_thread(self._read, path)

        async def ask() -> dict[str, Any]:
            return {"tracks": await self._send([file])}

        await self._ask("retag", {"path": path, "title": title}, ask)

    async def _read_track(self) -> None:
        known = sorted(self._track_ids.values())
        track_id = self._dice.choice([one for one in known if one not in self._world.heard] or known)

        async def ask() -> dict[str, Any]:
            found = (await self._calls.query(ask_for.TRACK, id=track_id))["track"]
            if found is None:
                return {"state": None}
            if found["embeddingState"] in HEARD and track_id not in self._world.heard:
                self._world.heard.append(track_id)
            return {"state": found["embeddingState"], "title": found["title"], "reason": found["failureReason"]}

        await self._ask("read_track", {"track_id": track_id}, ask, is_read=True)

    async def _send(self, files: list[TrackFile]) -> list[list[str]]:
        """Register files and return the path, the id and what became of each."""
        input_ = {"rootId": self._shelf.root_id, "tracks": [_registration(file) for file in files]}
        answers = (await self._calls.mutate(ask_for.REGISTER, **input_))["tracks"]
        return [
            [file.relative_path, answer["trackId"] or "", answer["reason"] or answer["outcome"]]
            for file, answer in zip(files, answers, strict=True)
        ]

    def _write(self) -> TrackFile:
        number, dice = len(self._files()), self._dice
        path = self._shelf.folder / f"{number}.flac"
        if number and dice.random() < _TWINS:
            shutil.copyfile(self._shelf.folder / f"{dice.randrange(number)}.flac", path)
            _entitle(path, f"Piece {number}")
        else:
            audio = tone(_SECONDS, dice.uniform(80, 800), dice.randint(2, 12), dice.uniform(0.3, 4), number)
            write_track(path, audio, title=f"Piece {number}", artist="Librarian")
        return self._read(path.name)

    def _read(self, path: str) -> TrackFile:
        found = read(Candidate(self._shelf.folder, path))
        assert isinstance(found, TrackFile), found
        return found

    def _files(self) -> list[Path]:
        return list(self._shelf.folder.glob("*.flac"))


def _entitle(path: Path, title: str) -> None:
    file = mutagen.File(path)
    file["title"] = title
    file.save()


def _registration(file: TrackFile) -> dict[str, Any]:
    written: dict[str, Any] = TrackRegistrationInput(
        relative_path=file.relative_path,
        file_hash=file.file_hash.hex(),
        audio_hash=file.audio_hash.hex(),
        size_bytes=file.size_bytes,
        content_type=file.content_type,
        title=file.title,
        artist=file.artist,
        duration_seconds=file.duration_s,
        source="folder",
        mtime_ns=str(file.mtime_ns),
        has_cover=False,
    ).written()
    return written
