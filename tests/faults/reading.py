"""What people look at while everything breaks: what is their own, what is others' for all to see, and what is not."""

import hashlib
from typing import Any

from clients.python.errors import ClientError
from tests.faults import documents as ask_for
from tests.faults.asking import Asker, shown
from tests.faults.calls import NOT_THERE


class Reader(Asker):
    """One person's reads: each is asked once, and what it shows is judged by what was acknowledged before it."""

    async def _read_list(self) -> None:
        known = [*self.ledger.lists, *self.ledger.gone]
        playlist_id = self._dice.choice(known)
        await self._ask("read_list", {"playlist_id": playlist_id}, lambda: self._page(playlist_id), is_read=True)

    async def _browse(self) -> None:
        """Read a public playlist of somebody else, who may be changing it."""
        other = self._other().ledger
        public = [key for key, one in other.lists.items() if one.is_public]
        if public:
            asked = {"of": other.actor, "playlist_id": (playlist_id := self._dice.choice(public))}
            await self._ask("browse", asked, lambda: self._page(playlist_id), is_read=True)

    async def _page(self, playlist_id: str) -> dict[str, Any]:
        try:
            found = (await self._calls.query(ask_for.READ, id=playlist_id))["playlist"]
        except ClientError as error:
            if error.code not in NOT_THERE:
                raise
            found = None
        return {"found": False} if found is None else shown(found)

    async def _read_lists(self) -> None:
        async def ask() -> dict[str, Any]:
            page = (await self._calls.query(ask_for.OWN_LISTS))["myPlaylists"]
            rows = [[row["playlistId"], row["title"], row["version"], row["entryCount"]] for row in page["nodes"]]
            return {"lists": rows, "is_whole": not page["pageInfo"]["hasNextPage"]}

        await self._ask("read_lists", {}, ask, is_read=True)

    async def _read_likes(self) -> None:
        async def ask() -> dict[str, Any]:
            page = (await self._calls.query(ask_for.OWN_LIKES))["likedPlaylists"]
            found = [row["playlistId"] for row in page["nodes"]]
            return {"playlist_ids": found, "is_whole": not page["pageInfo"]["hasNextPage"]}

        await self._ask("read_likes", {}, ask, is_read=True)

    async def _read_follows(self) -> None:
        async def ask() -> dict[str, Any]:
            found = (await self._calls.query(ask_for.FOLLOWED, id=self.ledger.user_id))["user"]["following"]["nodes"]
            return {"user_ids": [row["userId"] for row in found]}

        await self._ask("read_follows", {}, ask, is_read=True)

    async def _read_job(self) -> None:
        job_id = self._dice.choice(list(self.ledger.jobs))

        async def ask() -> dict[str, Any]:
            found = (await self._calls.query(ask_for.JOB, id=job_id))["job"]
            return {"state": None if found is None else found["state"]}

        await self._ask("read_job", {"job_id": job_id}, ask, is_read=True)

    async def _read_audio(self) -> None:
        upload_id = self._dice.choice(list(self.digests))

        async def ask() -> dict[str, Any]:
            found = (await self._calls.query(ask_for.UPLOAD, id=upload_id))["upload"]
            if found is None:
                return {"digest": "not found"}
            return {"digest": hashlib.sha256(await self._calls.fetch(found["streamUrl"])).hexdigest()}

        await self._ask("read_audio", {"upload_id": upload_id, "digest": self.digests[upload_id]}, ask, is_read=True)

    async def _peek(self) -> None:
        """Ask for what is somebody else's alone."""
        other = self._other().ledger
        things = [("playlist", key) for key, one in other.lists.items() if not one.is_public]
        things += [("upload", key) for key in other.uploads] + [("job", key) for key in other.jobs]
        if not things:
            return
        what, thing_id = self._dice.choice(things)

        async def ask() -> dict[str, Any]:
            try:
                found = await self._calls.query(f"query($id: ID!) {{ {what}(id: $id) {{ id }} }}", id=thing_id)
            except ClientError as error:
                if error.code not in NOT_THERE:
                    raise
                return {"found": False}
            return {"found": found[what] is not None}

        await self._ask("peek", {"of": other.actor, "what": what, "id": thing_id}, ask, is_read=True)

    async def _similar(self) -> None:
        # Of one that came later the index need not know yet.
        track_id = self._dice.choice(list(self._world.neighbours))

        async def ask() -> dict[str, Any]:
            found = (await self._calls.query(ask_for.SIMILAR, id=track_id))["similarTracks"]["nodes"]
            return {"track_ids": [track["trackId"] for track in found]}

        await self._ask("similar", {"track_id": track_id}, ask, is_read=True)

    async def _who_am_i(self) -> None:
        async def ask() -> dict[str, Any]:
            found = (await self._calls.query(ask_for.ME))["me"]
            if found is None:
                raise ClientError("taken for a guest", "LOGIN_REQUIRED", is_transient=True)
            return {"user_id": found["user"]["userId"]}

        await self._ask("who_am_i", {}, ask, is_read=True)
