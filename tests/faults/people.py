"""People who go on with what they do while everything breaks, and note each thing that they ask for."""

import asyncio
import hashlib
import io
import random
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import numpy as np
import soundfile
from uuid_utils.compat import uuid7

from clients.python.errors import ClientError
from tests.faults import documents as ask_for
from tests.faults.asking import KINDS, shown
from tests.faults.calls import NOT_THERE
from tests.faults.ledger import MAY_BE_GIVEN_UP
from tests.faults.reading import Reader
from tests.faults.table import is_read

_RATE_HZ = 22_050
# How often something that nobody has been answered yet is asked for, while there is any.
_NEWS = 0.5
# What leaves nothing behind that is not known for sure, or may be told from all else.
_IN_HASTE = {kind for kind in KINDS if kind in MAY_BE_GIVEN_UP or is_read(kind)}


class Person(Reader):
    """One person, who does one thing after the other; nobody else changes what is theirs."""

    async def live(self) -> None:
        """Sign up, and do one thing after the other until the world is over."""
        try:
            if await self._sign_up():
                self._world.people.append(self)
                while not self._world.is_over:
                    await self._act()
                    await asyncio.sleep(self._dice.random() * 0.1)
        finally:
            await self._calls.close()

    async def _act(self) -> None:
        dice = self._dice
        acts = [(weight, act) for weight, act in self._acts() if not self._is_hasty or _kind(act) in _IN_HASTE]
        lacking = [(weight, act) for weight, act in acts if _kind(act) in self._world.lacking]
        weights, choices = zip(*(lacking if lacking and dice.random() < _NEWS else acts), strict=True)
        await dice.choices(choices, weights)[0]()

    def _acts(self) -> list[tuple[int, Callable[[], Awaitable[Any]]]]:
        """What may be done now, each with how often it is."""
        own = self.ledger
        acts: list[tuple[int, Callable[[], Awaitable[Any]]]] = [
            (3, self._create),
            (2, self._play),
            (2, self._upload),
            (2, self._generate),
            (3, self._similar),
            (1, self._who_am_i),
        ]
        if own.lists:
            acts += [(3, self._add), (2, self._rename), (1, self._remove), (5, self._read_list), (2, self._read_lists)]
        if own.jobs:
            acts += [(2, self._read_job), (1, self._cancel)]
        if own.uploads:
            acts.append((1, self._read_audio))
        if len(self._world.people) > 1:
            acts += [(2, self._follow_or_not), (3, self._like_or_not), (1, self._comment)]
            acts += [(2, self._peek), (3, self._browse), (1, self._read_likes), (1, self._read_follows)]
        if any(not one.is_public for one in own.lists.values()):
            acts.append((1, self._delete))
        return acts

    async def _sign_up(self) -> bool:
        account = {
            "username": self.ledger.actor,
            "email": f"{self.ledger.actor}@example.org",
            "password": self._calls.password,
            "idempotencyKey": _key(),
        }

        async def ask() -> dict[str, Any]:
            found = await self._calls.mutate(ask_for.SIGN_UP, **account)
            self._calls.keep(found["tokens"]["accessToken"])
            return {"user_id": found["viewer"]["user"]["userId"]}

        return await self._ask("sign_up", {"username": self.ledger.actor}, ask)

    async def _create(self) -> None:
        title, tracks, is_public = _key(), self._some_tracks(), self._dice.random() < 0.5
        visibility, key = "PUBLIC" if is_public else "PRIVATE", _key()

        async def ask() -> dict[str, Any]:
            input_ = {"title": title, "trackIds": tracks, "visibility": visibility, "idempotencyKey": key}
            return shown((await self._calls.mutate(ask_for.CREATE, **input_))["playlist"])

        await self._ask("create", {"title": title, "is_public": is_public, "track_ids": tracks}, ask)

    async def _add(self) -> None:
        playlist_id, one = self._own()
        tracks, place, key = self._some_tracks(), self._dice.randint(0, len(one.entries)), _key()

        async def ask() -> dict[str, Any]:
            input_ = {"playlistId": playlist_id, "trackIds": tracks, "position": place, "idempotencyKey": key}
            found = await self._calls.mutate(ask_for.ADD, **input_)
            entries = [[entry["entryId"], entry["trackId"]] for entry in found["entries"]]
            return {"version": found["playlist"]["version"], "entries": entries}

        if len(one.entries) < 80:
            await self._ask("add", {"playlist_id": playlist_id, "track_ids": tracks, "position": place}, ask)

    async def _rename(self) -> None:
        playlist_id, one = self._own()
        title, version, is_again = _key(), one.version, False

        async def ask() -> dict[str, Any]:
            nonlocal is_again
            was_again, is_again = is_again, True
            try:
                input_ = {"playlistId": playlist_id, "title": title, "version": version}
                return {"version": (await self._calls.mutate(ask_for.RENAME, **input_))["playlist"]["version"]}
            except ClientError as error:
                if error.code != "VERSION_CONFLICT" or not was_again:
                    raise
            # Nobody else edits it: the version that is in the way is that of the try which nobody answered.
            found = (await self._calls.query(ask_for.READ, id=playlist_id))["playlist"]
            return {"version": found["version"]}

        await self._ask("rename", {"playlist_id": playlist_id, "title": title}, ask)

    async def _remove(self) -> None:
        playlist_id, one = self._own()
        if one.entries:
            entry_id = self._dice.choice(one.entries)[0]

            async def ask() -> dict[str, Any]:
                input_ = {"playlistId": playlist_id, "entryIds": [entry_id]}
                return {"version": (await self._calls.mutate(ask_for.REMOVE, **input_))["playlist"]["version"]}

            await self._ask("remove", {"playlist_id": playlist_id, "entry_id": entry_id}, ask)

    async def _delete(self) -> None:
        private = [key for key, one in self.ledger.lists.items() if not one.is_public]
        if not private:
            return
        playlist_id, is_again = self._dice.choice(private), False

        async def ask() -> dict[str, Any]:
            nonlocal is_again
            was_again, is_again = is_again, True
            try:
                await self._calls.mutate(ask_for.DELETE, playlistId=playlist_id)
            except ClientError as error:
                if error.code not in NOT_THERE or not was_again:
                    raise
            return {}

        await self._ask("delete", {"playlist_id": playlist_id}, ask)

    async def _like_or_not(self) -> None:
        public = [key for other in self._world.people for key, one in other.ledger.lists.items() if one.is_public]
        if public and self.ledger.may_touch("like", playlist_id := self._dice.choice(public)):
            is_liked = playlist_id in self.ledger.likes
            if is_liked and self._is_hasty:
                return
            document = ask_for.UNLIKE if is_liked else ask_for.LIKE
            arguments = {"playlist_id": playlist_id}
            await self._ask(
                "unlike" if is_liked else "like",
                arguments,
                lambda: self._calls.mutate(document, playlistId=playlist_id),
            )

    async def _follow_or_not(self) -> None:
        user_id = self._other().ledger.user_id
        if self.ledger.may_touch("follow", user_id):
            is_followed = user_id in self.ledger.follows
            if is_followed and self._is_hasty:
                return
            document = ask_for.UNFOLLOW if is_followed else ask_for.FOLLOW
            await self._ask(
                "unfollow" if is_followed else "follow",
                {"user_id": user_id},
                lambda: self._calls.mutate(document, userId=user_id),
            )

    async def _comment(self) -> None:
        public = [key for key, one in self._other().ledger.lists.items() if one.is_public]
        if public:
            text, key, playlist_id = _key(), _key(), self._dice.choice(public)

            async def ask() -> dict[str, Any]:
                input_ = {"playlistId": playlist_id, "text": text, "idempotencyKey": key}
                return {"comment_id": (await self._calls.mutate(ask_for.COMMENT, **input_))["comment"]["commentId"]}

            await self._ask("comment", {"playlist_id": playlist_id, "text": text}, ask)

    async def _play(self) -> None:
        sent = len(self.ledger.plays) + len(self.ledger.maybe.get("play", ())) + 1
        # Yesterday, and each far enough from the others: neither a clock that is hours off nor a repetition matters.
        played_at = self._world.began_at - timedelta(days=1, minutes=6 * sent)
        play_id, track_id = _key(), self._dice.choice(self._world.tracks)
        play = {"playId": play_id, "trackId": track_id, "playedAt": played_at.isoformat(), "heardSeconds": 45}

        async def ask() -> dict[str, Any]:
            return {"outcome": (await self._calls.mutate(ask_for.PLAY, plays=[play]))["plays"][0]["outcome"]}

        await self._ask("play", {"play_id": play_id, "track_id": track_id}, ask)

    async def _upload(self) -> None:
        name, key, body = f"{_key()}.flac", _key(), _song(self._dice)
        digest = hashlib.sha256(body).hexdigest()

        async def ask() -> dict[str, Any]:
            return {"upload_id": (await self._calls.send_audio(body, name, key))["uploadId"]}

        before = set(self.ledger.uploads)
        if len(before) < 90 and await self._ask("upload", {"name": name, "digest": digest}, ask):
            (upload_id,) = set(self.ledger.uploads) - before
            self.digests[upload_id] = digest

    async def _generate(self) -> None:
        title, key = _key(), _key()
        has_own_song = self.digests and self._dice.random() < 0.6
        seed = (
            {"uploadId": self._dice.choice(list(self.digests))}
            if has_own_song
            else {"trackId": self._dice.choice(self._world.heard)}
        )
        input_ = {"seeds": [seed], "title": title, "length": 3, "visibility": "PRIVATE", "idempotencyKey": key}

        async def ask() -> dict[str, Any]:
            return {"job_id": (await self._calls.mutate(ask_for.GENERATE, **input_))["job"]["jobId"]}

        await self._ask("generate", {"title": title}, ask)

    async def _cancel(self) -> None:
        job_id = self._dice.choice(list(self.ledger.jobs))

        async def ask() -> dict[str, Any]:
            return {"state": (await self._calls.mutate(ask_for.CANCEL, jobId=job_id))["job"]["state"]}

        if job_id not in self.ledger.ended:
            await self._ask("cancel", {"job_id": job_id}, ask)

    def _some_tracks(self) -> list[str]:
        return self._dice.choices(self._world.tracks, k=self._dice.randint(1, 3))


def _kind(act: Callable[[], Awaitable[Any]]) -> str:
    name: str = act.__name__
    return name.removeprefix("_").removesuffix("_or_not")


def _key() -> str:
    return str(uuid7())


def _song(dice: random.Random) -> bytes:
    """Return a song of 4 s that nobody else has."""
    time_s = np.arange(4 * _RATE_HZ) / _RATE_HZ
    tones = np.stack([np.sin(2 * np.pi * dice.uniform(80, 2_000) * time_s) for _ in range(3)])
    body = io.BytesIO()
    soundfile.write(body, (0.2 * tones.sum(axis=0)).astype(np.float32), _RATE_HZ, format="FLAC")
    return body.getvalue()
