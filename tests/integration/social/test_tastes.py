"""What people hear becomes their taste in the index, and what they do becomes badges."""

import asyncio
from datetime import datetime, timedelta

import pytest

from museed.social.v1 import badges_pb2, badges_pb2_grpc, people_events_pb2, people_pb2, people_pb2_grpc
from services.chassis.bus import PROFILES, Bus
from services.chassis.errors import NotFound
from services.retriever.profile_consumer import parse_profile
from services.retriever.profiles.profiles import Profile
from services.social.actions.history import forget_all, forget_plays
from services.social.domain.avatar import draw, etag_of
from services.social.domain.badges import BADGES, Metric
from services.social.domain.ids import UserId, new_id
from services.social.domain.ranges import shares
from services.social.domain.signals import SignalKind
from services.social.store import badges, counts, signals
from services.social.store.database import Database
from services.social.store.signals import Signal
from services.social.workers.streams_keeper import StreamKeeper
from services.social.workers.taste_worker import TasteWorker, give_badges
from tests.integration.social.conftest import TIMEOUT_S, Client, Sql, until
from tests.integration.social.test_listening import NOW, make_artist, make_track, play, record
from tests.integration.social.test_tallier import make_person, make_playlist, tallier


async def look(database: Database, now: datetime = NOW) -> int:
    """Count what was done, and look at whom it touched."""
    await tallier(database).catch_up()
    return await TasteWorker(database, 0.0, lambda: now + timedelta(days=3_650)).catch_up()


async def waits(sql: Sql) -> bool:
    """Whether some transaction waits for another."""
    text = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    return bool(await sql.fetchval(text))


async def profiles(sql: Sql, user_id: UserId) -> list[Profile | None]:
    """What the index is told of somebody, in order, as the retriever reads it; None deletes the profile."""
    rows = await sql.fetch(
        "SELECT payload, key FROM outbox WHERE subject = $1 ORDER BY id", f"museed.profiles.{user_id}"
    )
    assert all(row["key"] == user_id for row in rows)
    return [parse_profile(row["payload"], user_id) if row["payload"] else None for row in rows]


async def test_weights_halve_in_thirty_days_and_rise_with_each_play(database: Database, sql: Sql) -> None:
    who = await make_person(sql, "who")
    old, new, often = [await make_track(sql, name) for name in ("old", "new", "often")]
    for at in (NOW - timedelta(days=70), NOW - timedelta(days=40)):
        await record(database, who, play(old if at < NOW - timedelta(days=50) else often, at), now=at)
    await record(database, who, play(often, NOW - timedelta(days=10)), play(new, NOW - timedelta(days=10)))
    assert await look(database) == 1
    (found,) = await profiles(sql, who)
    assert found is not None
    # At the time of the newest: often 1 + 1/2, new 1, old 1/4; then by the heaviest.
    assert found.track_ids == (often, new, old)
    assert found.weights.tolist() == pytest.approx([1.0, 1 / 1.5, 0.25 / 1.5])
    assert (found.version, found.is_listed) == (1, False)


async def test_nobody_is_found_by_a_taste_of_a_few_tracks_or_who_does_not_want_to(database: Database, sql: Sql) -> None:
    who = await make_person(sql, "who")
    songs = [await make_track(sql, f"song {number}") for number in range(5)]
    plays = [play(song, NOW - timedelta(hours=number + 1)) for number, song in enumerate(songs)]
    await record(database, who, *plays[:4])
    await look(database)
    await record(database, who, plays[4])
    await look(database)
    for change in ("is_listed = false", "is_listed = true", "suspended_at = now()", "suspended_at = NULL"):
        await sql.execute(f"UPDATE users SET {change} WHERE user_id = $1", who)
        await look(database)
    await forget_plays(database, who, [plays[4].play_id], NOW)
    await look(database)
    found = await profiles(sql, who)
    assert [one and (one.version, one.is_listed, len(one.track_ids)) for one in found] == [
        (1, False, 4),
        (2, True, 5),
        (3, False, 5),
        (4, True, 5),
        (5, False, 5),
        (6, True, 5),
        (7, False, 4),
    ]
    await forget_all(database, who, NOW)
    await look(database)
    assert (await profiles(sql, who))[7:] == [None]


async def test_a_taste_that_did_not_change_is_not_told_again(database: Database, sql: Sql) -> None:
    who, fan, song = await make_person(sql, "who"), await make_person(sql, "fan"), await make_track(sql, "song")
    await record(database, who, play(song))
    await look(database)
    playlist_id = await make_playlist(sql, who)
    async with database.transaction() as connection:
        await signals.add(connection, SignalKind.LIKE, NOW, actor_id=fan, playlist_id=playlist_id, user_id=who)
    assert await look(database) == 2
    assert len(await profiles(sql, who)) == 1


async def test_who_is_busy_or_was_touched_just_now_comes_later(database: Database, sql: Sql) -> None:
    who, song = await make_person(sql, "who"), await make_track(sql, "song")
    await record(database, who, play(song))
    await tallier(database).catch_up()
    since = await sql.fetchval("SELECT since FROM touched_people")
    assert await TasteWorker(database, 10.0, lambda: since + timedelta(seconds=9)).catch_up() == 0
    worker = TasteWorker(database, 10.0, lambda: since + timedelta(seconds=10))
    async with database.transaction() as connection:
        await connection.execute("SELECT FROM users WHERE user_id = $1 FOR NO KEY UPDATE", who)
        assert await worker.catch_up() == 0
    assert await worker.catch_up() == 1
    assert await worker.catch_up() == 0


async def test_a_touch_during_a_look_is_not_lost(database: Database, sql: Sql, monkeypatch: pytest.MonkeyPatch) -> None:
    who, song = await make_person(sql, "who"), await make_track(sql, "song")
    await record(database, who, play(song))
    await tallier(database).catch_up()
    counting: list[asyncio.Task[int]] = []

    async def count_meanwhile(*_: object) -> None:
        async with database.transaction() as connection:
            await signals.add(connection, SignalKind.COMMENT, NOW, actor_id=who)
        counting.append(asyncio.create_task(tallier(database).catch_up()))
        await until(lambda: waits(sql))

    monkeypatch.setattr("services.social.workers.taste_worker.give_badges", count_meanwhile)
    assert await TasteWorker(database, 0.0, lambda: NOW + timedelta(days=3_650)).catch_up() == 1
    await asyncio.gather(*counting)
    assert await sql.fetchval("SELECT count(*) FROM touched_people") == 1


async def test_what_is_counted_while_a_note_is_taken_is_waited_for(database: Database, sql: Sql) -> None:
    owner, fan = await make_person(sql, "owner"), await make_person(sql, "fan")
    playlist_id = await make_playlist(sql, owner)
    await sql.execute("DELETE FROM signals")
    await sql.execute("INSERT INTO touched_people VALUES ($1, $2)", fan, NOW)
    like = Signal(SignalKind.LIKE, fan, playlist_id, None, owner, 1, NOW)
    worker = TasteWorker(database, 0.0, lambda: NOW + timedelta(days=3_650))
    async with database.transaction() as connection:
        await counts.add_to_people(connection, [like])
        looking = asyncio.create_task(worker.catch_up())

        async def is_decided() -> bool:
            return looking.done() or await waits(sql)

        await until(is_decided)
    await looking
    await worker.catch_up()
    rows = await sql.fetch("SELECT user_id::text, badge FROM badges WHERE badge <> 'seed_planter' ORDER BY badge")
    assert [tuple(row) for row in rows] == [(fan, "admirer"), (owner, "curator")]


async def test_who_cannot_be_looked_at_keeps_nobody_from_their_turn(database: Database, sql: Sql) -> None:
    """Whatever is wrong with one person's rows: here the database refuses a badge of theirs."""
    odd, others = await make_person(sql, "odd"), [await make_person(sql, f"other{number}") for number in range(3)]
    song = await make_track(sql, "song")
    for who in (odd, *others):
        await record(database, who, play(song))
    await tallier(database).catch_up()
    await sql.execute("UPDATE touched_people SET since = since - interval '1 day' WHERE user_id = $1", odd)
    await sql.execute(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'odd'; END $$;"
        f"CREATE TRIGGER refuse BEFORE INSERT ON badges FOR EACH ROW WHEN (NEW.user_id = '{odd}')"
        " EXECUTE FUNCTION refuse()"
    )
    now = await sql.fetchval("SELECT now()") + timedelta(minutes=5)
    worker = TasteWorker(database, 0.0, lambda: now)
    assert await worker.catch_up() == 3
    assert await worker.catch_up() == 0
    rows = await sql.fetch("SELECT user_id::text FROM badges")
    assert sorted(row["user_id"] for row in rows) == sorted(others)
    assert await profiles(sql, odd) == [], "nothing of a look that failed is told"
    await sql.execute("DROP TRIGGER refuse ON badges")
    assert await TasteWorker(database, 0.0, lambda: now + timedelta(minutes=1)).catch_up() == 1
    assert len(await profiles(sql, odd)) == 1


async def test_who_has_left_is_neither_counted_nor_looked_at(database: Database, sql: Sql) -> None:
    who, song = await make_person(sql, "who"), await make_track(sql, "song")
    await record(database, who, play(song))
    await sql.execute("UPDATE users SET deleted_at = now() WHERE user_id = $1", who)
    await sql.execute("DELETE FROM touched_people")
    await tallier(database).catch_up()
    assert await sql.fetchval("SELECT count(*) FROM signals") == 0
    assert await sql.fetchval("SELECT count(*) FROM person_counts") == 0
    assert await sql.fetchval("SELECT count(*) FROM touched_people") == 0


async def test_a_lost_log_is_told_every_taste_again(database: Database, sql: Sql, bus: Bus) -> None:
    keeper = StreamKeeper(database, bus, 300.0)
    await keeper.keep_streams()
    people = [await make_person(sql, f"person{number}") for number in range(3)]
    song = await make_track(sql, "song")
    for who in people[:2]:
        await record(database, who, play(song))
    await look(database)
    await keeper.keep_streams()
    assert await sql.fetchval("SELECT count(*) FROM touched_people") == 0
    await bus.jetstream.delete_stream(PROFILES)
    await keeper.keep_streams()
    assert await look(database) == 2
    versions = [[one and one.version for one in await profiles(sql, who)] for who in people]
    assert versions == [[1, 2], [1, 2], []]


async def test_each_tier_is_given_once_whoever_gives_it(database: Database, sql: Sql) -> None:
    who = await make_person(sql, "who")
    for _ in range(10):
        await make_playlist(sql, who)
    await tallier(database).catch_up()

    async def give() -> None:
        async with database.transaction() as connection:
            await give_badges(connection, who, NOW)

    await asyncio.gather(*(give() for _ in range(8)), look(database))
    rows = await sql.fetch("SELECT badge, tier FROM badges ORDER BY badge, tier")
    assert [tuple(row) for row in rows] == [("seed_planter", 1), ("seed_planter", 2)]
    told = await sql.fetch("SELECT kind, badge FROM notifications ORDER BY badge")
    assert [tuple(row) for row in told] == [("BADGE", "seed_planter.1"), ("BADGE", "seed_planter.2")]
    events = await sql.fetch("SELECT payload FROM outbox WHERE subject = 'museed.social.v1.badge_earned'")
    earned = [people_events_pb2.BadgeEarned.FromString(row["payload"]) for row in events]
    assert sorted((one.user_id, one.badge, one.tier) for one in earned) == [
        (who, "seed_planter", 1),
        (who, "seed_planter", 2),
    ]


async def test_a_badge_is_never_taken_back(database: Database, sql: Sql) -> None:
    who, song = await make_person(sql, "who"), await make_track(sql, "song")
    await record(database, who, play(song))
    await look(database)
    await forget_all(database, who, NOW)
    await look(database)
    assert await sql.fetchval("SELECT count(*) FROM badges WHERE badge = 'listener'") == 1
    async with database.connection() as connection:
        assert (await badges.metrics_of(connection, who))[Metric.PLAYS] == 0


async def test_badges_count_what_people_did(database: Database, sql: Sql) -> None:
    who, other = await make_person(sql, "who"), await make_person(sql, "other")
    artists = [await make_artist(sql, name) for name in ("one", "two")]
    rock = await make_track(sql, "rock", artist_id=artists[0])
    jazz = await make_track(sql, "jazz", "Jazz", artist_id=artists[1])
    plays = [play(rock, NOW - timedelta(minutes=10 * number)) for number in range(3)]
    await record(database, who, *plays, play(jazz, NOW - timedelta(days=1)))
    own, others = await make_playlist(sql, who), await make_playlist(sql, other)
    await sql.execute("UPDATE playlists SET version = 2, visibility = 'PUBLIC' WHERE playlist_id = $1", own)
    await sql.execute(
        "INSERT INTO saves (user_id, playlist_id, copy_id, at) VALUES ($1, $2, $3, $4)", who, others, new_id(), NOW
    )
    async with database.transaction() as connection:
        for actor, playlist_id, owner, kinds in (
            (who, others, other, (SignalKind.LIKE, SignalKind.SAVE, SignalKind.COMMENT)),
            (other, own, who, (SignalKind.LIKE, SignalKind.SAVE)),
        ):
            for kind in kinds:
                await signals.add(connection, kind, NOW, actor_id=actor, playlist_id=playlist_id, user_id=owner)
        await signals.add(connection, SignalKind.FOLLOW, NOW, actor_id=who, user_id=other)
        await signals.add(connection, SignalKind.FOLLOW, NOW, actor_id=other, user_id=who)
    await tallier(database).catch_up()
    async with database.connection() as connection:
        found = await badges.metrics_of(connection, who)
    ones = dict.fromkeys(Metric, 1) | {Metric.UPLOADS: 0}
    assert found == ones | {
        Metric.PLAYS: 4,
        Metric.MOST_PLAYS_OF_A_TRACK: 3,
        Metric.MOST_PLAYS_OF_A_DAY: 3,
        Metric.GENRES: 2,
        Metric.ARTISTS: 2,
        Metric.ACTIVE_DAYS: 2,
    }


async def test_copies_are_not_made_and_own_likes_are_nobodys(database: Database, sql: Sql) -> None:
    who, other = await make_person(sql, "who"), await make_person(sql, "other")
    own, copy, others = [await make_playlist(sql, owner) for owner in (who, who, other)]
    await sql.execute("UPDATE playlists SET copied_from = $1 WHERE playlist_id = $2", others, copy)
    for actor, playlist_id, owner in ((who, own, who), (who, others, other), (other, own, who)):
        await sql.execute("INSERT INTO likes VALUES ($1, $2, $3)", actor, playlist_id, NOW)
        async with database.transaction() as connection:
            await signals.add(connection, SignalKind.LIKE, NOW, actor_id=actor, playlist_id=playlist_id, user_id=owner)
    await tallier(database).catch_up()
    async with database.connection() as connection:
        found = await badges.metrics_of(connection, who)
    assert [found[one] for one in (Metric.PLAYLISTS, Metric.LIKES_GIVEN, Metric.LIKES_RECEIVED)] == [1, 1, 1]


async def test_first_edit_and_first_upload_touch_their_person(social: Client, sql: Sql) -> None:
    admin, who = await social.sign_up("admin"), await social.sign_up("who")
    await social.upload(who)
    assert await sql.fetchval("SELECT count(*) FROM touched_people WHERE user_id = $1", who.user_id) == 1
    playlist_id = await make_playlist(sql, UserId(admin.user_id))
    await sql.execute("DELETE FROM touched_people")
    await sql.execute("UPDATE playlists SET version = 2 WHERE playlist_id = $1", playlist_id)
    assert await sql.fetchval("SELECT count(*) FROM touched_people WHERE user_id = $1", admin.user_id) == 1


async def test_badges_and_picture_are_shown_to_all_but_the_blocked(social: Client, sql: Sql) -> None:
    stub = badges_pb2_grpc.BadgeServiceStub(social.channel)
    who, other = await social.sign_up("who"), await social.sign_up("other")
    await sql.execute(
        "INSERT INTO badges (user_id, badge, tier, earned_at) VALUES ($1, 'listener', 1, $2)", who.user_id, NOW
    )
    await sql.execute("INSERT INTO person_counts (user_id, plays) VALUES ($1, 12)", who.user_id)
    await sql.execute(
        "INSERT INTO daily_listening (user_id, day, genre, plays, seconds) VALUES ($1, $2, 'Jazz', 12, 1)",
        who.user_id,
        NOW.date(),
    )
    await sql.execute("INSERT INTO badges VALUES ($1, 'sharer', 1, $2)", who.user_id, NOW)
    request = badges_pb2.ListBadgesRequest(user_id=who.user_id)

    async def seen(metadata: tuple[tuple[str, str], ...] | None) -> tuple[int, list[str], list[str]]:
        """Progress of one badge, and which are shown as earned, here and on the profile."""
        found = await stub.ListBadges(request, timeout=TIMEOUT_S, metadata=metadata)
        assert [one.name for one in found.badges] == [one.name for one in BADGES]
        listener = next(one for one in found.badges if one.name == "listener")
        assert [(one.tier, one.threshold) for one in listener.tiers] == [(1, 1), (2, 100), (3, 1_000), (4, 10_000)]
        earned = [one.name for one in found.badges if any(tier.HasField("earned_at") for tier in one.tiers)]
        profile = await social.stub(people_pb2_grpc.PeopleServiceStub).GetProfile(
            people_pb2.GetProfileRequest(user_id=who.user_id), timeout=TIMEOUT_S, metadata=metadata
        )
        return listener.progress, earned, sorted(badge.name for badge in profile.profile.badges)

    both = ["listener", "sharer"]
    # How far one came tells of what is private, too: of plays, of playlists, of uploads.
    for metadata, progress in ((None, 0), (other.metadata, 0), (who.metadata, 12)):
        assert await seen(metadata) == (progress, ["sharer", "listener"], both)
    asked = badges_pb2.GetAvatarRequest(user_id=who.user_id)
    jazz, nothing = draw(shares({"Jazz": 12})), draw([])
    for metadata in (None, other.metadata, who.metadata):
        answer = await stub.GetAvatar(asked, timeout=TIMEOUT_S, metadata=metadata)
        assert (answer.svg, answer.etag) == (jazz, etag_of(jazz))
    await sql.execute("UPDATE users SET is_listed = false WHERE user_id = $1", who.user_id)
    for metadata in (None, other.metadata):
        assert await seen(metadata) == (0, ["sharer"], ["sharer"])
    assert await seen(who.metadata) == (12, ["sharer", "listener"], both)
    track_id = await make_track(sql, "song")
    playlist_id = await make_playlist(sql, UserId(who.user_id))
    await sql.execute("UPDATE playlists SET visibility = 'PUBLIC' WHERE playlist_id = $1", playlist_id)
    await sql.execute(
        "INSERT INTO playlist_entries (entry_id, playlist_id, position, track_id) VALUES ($1, $2, 0, $3)",
        new_id(),
        playlist_id,
        track_id,
    )
    for metadata, expected in ((None, nothing), (other.metadata, nothing), (who.metadata, jazz)):
        assert (await stub.GetAvatar(asked, timeout=TIMEOUT_S, metadata=metadata)).svg == expected
    await sql.execute(
        "INSERT INTO user_blocks (blocker_id, blocked_id, at) VALUES ($1, $2, now())", who.user_id, other.user_id
    )
    with pytest.raises(NotFound):
        await stub.ListBadges(request, timeout=TIMEOUT_S, metadata=other.metadata)
    with pytest.raises(NotFound):
        await stub.GetAvatar(asked, timeout=TIMEOUT_S, metadata=other.metadata)
