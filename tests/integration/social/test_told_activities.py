"""What feeds tell is carried by the events of what people did: the gateway makes of them what the rows of feeds say."""

from typing import cast

from museed.social.v1 import feed_pb2, jobs_pb2, people_events_pb2, playlists_pb2
from services.chassis.bus import LogEntry
from services.chassis.tokens import Revocations
from services.gateway.consumer import Streams
from services.gateway.live.live import Live
from tests.integration.social.conftest import TIMEOUT_S, Client, Library, Person, Sql
from tests.integration.social.hands import PRIVATE, PUBLIC, UNLISTED, Hands
from tests.integration.social.people_steps import feeds, follow
from tests.integration.social.test_people import unfollow

KEEP = (
    "CREATE TABLE told (LIKE outbox);"
    "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS"
    " $$ BEGIN INSERT INTO told SELECT NEW.*; RETURN NEW; END $$;"
    "CREATE TRIGGER keep AFTER INSERT ON outbox FOR EACH ROW EXECUTE FUNCTION keep()"
)


async def heard(sql: Sql) -> list[feed_pb2.Activity]:
    """What a gateway gives to feeds of all that was told, in the order in which it was written."""

    async def nobody() -> list[str]:
        return []

    live = Live(b"k" * 32, ())
    streams = Streams(live, Revocations(nobody))
    rows = await sql.fetch("SELECT id, subject, payload FROM told WHERE kind = 'event' ORDER BY id")
    for row in rows:
        streams.tell(LogEntry(row["subject"], row["id"], row["payload"]))
    items = [item for item in live.hub._recent if item.topic == "feed"]
    assert [item.thing_id for item in items] == [cast(feed_pb2.Activity, item.message).activity_id for item in items]
    return [cast(feed_pb2.Activity, item.message) for item in items]


async def feed_of(social: Client, viewer: Person) -> list[feed_pb2.Activity]:
    answer = await feeds(social).ListFeed(feed_pb2.ListFeedRequest(), timeout=TIMEOUT_S, metadata=viewer.metadata)
    return list(answer.activities)


async def test_each_activity_is_told_once_as_the_feed_has_it(social: Client, sql: Sql) -> None:
    await sql.execute(KEEP)  # the publisher empties the outbox
    viewer, ann, bob = [await social.sign_up(name) for name in ("viewer", "ann", "bob")]
    await follow(social, viewer, ann.user_id)
    anns, bobs = Hands(social, ann), Hands(social, bob)
    made = (await anns.create(visibility=PUBLIC)).playlist.playlist_id
    await anns.create(visibility=PRIVATE)
    later = (await anns.create(visibility=UNLISTED)).playlist.playlist_id
    shown = await anns.show(later, PUBLIC)
    await anns.update(later, shown.version, title="Another title")
    for visibility in (PRIVATE, PUBLIC):
        await anns.show(later, visibility)
    other = (await bobs.create(visibility=PUBLIC)).playlist.playlist_id
    for _ in range(2):
        await anns.like(other)
        await anns.unlike(other)
    await anns.like(other)
    for _ in range(2):
        await anns.copy(other)
        await follow(social, ann, bob.user_id)
        await unfollow(social, ann, bob.user_id)
    await follow(social, ann, bob.user_id)
    comment = await anns.comment(other, "nice")

    told = [one for one in await heard(sql) if one.actor_id == ann.user_id]
    names = [feed_pb2.ActivityKind.Name(one.kind).rpartition("_")[2] for one in told]
    assert names == ["CREATED", "CREATED", "LIKED", "SAVED", "FOLLOWED", "COMMENTED"]
    assert [one.playlist_id for one in told] == [made, later, other, other, "", other]
    assert (told[4].user_id, told[5].comment_id) == (bob.user_id, comment.comment_id)
    assert told[::-1] == await feed_of(social, viewer)
    recorded = await sql.fetch("SELECT key, payload FROM told WHERE subject LIKE '%activity_recorded' ORDER BY id")
    assert [row["key"] for row in recorded] == [
        people_events_pb2.ActivityRecorded.FromString(row["payload"]).activity.activity_id for row in recorded
    ]
    assert len(recorded) == 3  # of what becomes public, and of nothing else


async def test_a_public_playlist_of_a_job_is_told(social: Client, library: Library, sql: Sql) -> None:
    await sql.execute(KEEP)
    viewer, person = [await social.sign_up(name) for name in ("viewer", "jay")]
    await follow(social, viewer, person.user_id)
    request = jobs_pb2.CreateGenerationJobRequest(
        idempotency_key="public",
        recipe=jobs_pb2.Recipe(seeds=[jobs_pb2.GenerationSeed(track_id=library.track_ids[0])]),
        visibility=playlists_pb2.VISIBILITY_PUBLIC,
    )
    asked = (await social.jobs.CreateGenerationJob(request, timeout=TIMEOUT_S, metadata=person.metadata)).job
    playlist_id = (await social.ended(person, asked)).playlist_id
    told = [one for one in await heard(sql) if one.actor_id == person.user_id]
    assert [one.playlist_id for one in told] == [playlist_id]
    assert told == await feed_of(social, viewer)
