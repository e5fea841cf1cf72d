"""Feed and notifications from what people really do to those who follow them: real social, NATS and gateway."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from tests.integration.gateway.live_steps import event
from tests.integration.gateway.socket_client import SocketClient, initialised
from tests.integration.social.conftest import Client, Mesh, Person
from tests.integration.social.gateway_process import gateway_before
from tests.integration.social.hands import PUBLIC, Hands
from tests.integration.social.people_steps import block, follow

FEED = (
    "subscription($after: String) { event: feed(after: $after) { cursor activity { kind playlist { playlistId } } } }"
)
NOTES = "subscription { event: notifications { cursor unreadCount notification { kind actor { username } } } }"


def bearer(who: Person) -> str:
    return f"Bearer {who.access_token}"


async def thing(client: SocketClient, name: str, id_: str = "1") -> tuple[dict[str, Any], str]:
    """Return the next activity or notification, and the cursor behind it."""
    while (found := await event(client, id_))[name] is None:
        pass
    return found[name], found["cursor"]


async def shown_by(social: Client, who: Person) -> str:
    """Let somebody make a public playlist."""
    return (await Hands(social, who).create(visibility=PUBLIC)).playlist.playlist_id


async def test_what_people_do_is_with_their_followers_and_goes_on_after_a_pause(
    mesh: Mesh, social: Client, tmp_path: Path
) -> None:
    ann, bob, eve = [await social.sign_up(name) for name in ("ann", "bob", "eve")]
    await follow(social, ann, bob.user_id)
    async with asyncio.timeout(300), gateway_before(mesh, tmp_path) as door:
        async with initialised(door.url, bearer(ann)) as client, initialised(door.url, bearer(bob)) as bobs:
            await client.subscribe("1", FEED, {})
            assert (await event(client))["activity"] is None
            await bobs.subscribe("1", NOTES, {})
            assert (await event(bobs))["notification"] is None
            # Eve's is nobody's business.
            await shown_by(social, eve)
            shown = await shown_by(social, bob)
            found, cursor = await thing(client, "activity")
            assert found == {"kind": "CREATED", "playlist": {"playlistId": shown}}
            await Hands(social, eve).like(shown)
            told, _ = await thing(bobs, "notification")
            assert told == {"kind": "LIKED", "actor": {"username": "eve"}}
            # Whom she begins to follow is in her feed without another subscription.
            await follow(social, ann, eve.user_id)
            await Hands(social, eve).comment(shown, "nice")
            found, cursor = await thing(client, "activity")
            assert found["kind"] == "COMMENTED"
        later = await shown_by(social, bob)
        await block(social, eve, ann.user_id)  # which ends the follow
        await shown_by(social, eve)
        async with initialised(door.url, bearer(ann)) as client:
            await client.subscribe("1", FEED, {"after": cursor})
            found, _ = await thing(client, "activity")
            assert found["playlist"] == {"playlistId": later}
            last = await shown_by(social, bob)
            found, _ = await thing(client, "activity")
            assert found["playlist"] == {"playlistId": last}
            await door.do("logOut", token=ann.access_token)
            with pytest.raises(ConnectionClosed):
                await event(client)
            assert (client.connection.close_code, client.connection.close_reason) == (4403, "SESSION_REVOKED")
