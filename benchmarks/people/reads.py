"""The reads that people wait for: how long they take, and the plans by which PostgreSQL really answered them."""

import asyncio
import itertools
import json
import random
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import asyncpg
import grpc
import numpy as np
from google.protobuf.message import Message

from benchmarks.people.service import Social
from museed.social.v1 import catalog_pb2, feed_pb2, people_pb2, playlists_pb2

_PACKAGE = "/museed.social.v1."
_CALLERS = 2
_TIMEOUT_S = 30.0
_WARMING = 30
# A table of fewer rows may be read from end to end.
_LARGE = 10_000


class Asked(NamedTuple):
    """One call: what is asked and by whom, an empty id for a guest."""

    request: Message
    user_id: str


@dataclass(frozen=True, slots=True)
class Read:
    """One kind of read, and calls of it as people make them."""

    name: str
    method: str
    asked: Sequence[Asked]


@dataclass
class Measured:
    """Latencies of one read, in s, and refusals by their text."""

    latencies_s: list[float] = field(default_factory=list)
    refused: dict[str, int] = field(default_factory=dict)

    def percentile_s(self, which: float) -> float:
        """Return a percentile in s; NaN where nothing was answered."""
        return float(np.percentile(self.latencies_s, which)) if self.latencies_s else float("nan")


def reads(social: Social, count: int = 400) -> list[Read]:
    """Return the five reads that have a goal, and their dear cases."""
    chance = random.Random(0)
    people, public = social.population.users, social.population.public_playlists
    words = ["night river", "glass", "mirror gold 17", "artist 41", "silvr", "nigth rivr", "dust engine", "w"]
    some = [chance.choice(people) for _ in range(count)]
    return [
        Read("feed", "FeedService/ListFeed", [Asked(feed_pb2.ListFeedRequest(), who) for who in some]),
        Read("feed of who follows 5,000", "FeedService/ListFeed", [_feed_of(social.population.busiest_follower)]),
        Read("feed of who follows 5,000 quiet", "FeedService/ListFeed", [_feed_of(social.population.quiet_follower)]),
        Read("trending", "FeedService/ListTrending", [Asked(feed_pb2.ListTrendingRequest(), who) for who in some]),
        Read("latest", "FeedService/ListLatest", [Asked(feed_pb2.ListLatestRequest(), who) for who in some]),
        Read(
            "profile",
            "PeopleService/GetProfile",
            [Asked(people_pb2.GetProfileRequest(user_id=chance.choice(people)), who) for who in some],
        ),
        Read(
            "search",
            "CatalogService/SearchTracks",
            [Asked(catalog_pb2.SearchTracksRequest(query=chance.choice(words)), "") for _ in range(count)],
        ),
        Read(
            "playlist",
            "PlaylistService/GetPlaylist",
            [Asked(playlists_pb2.GetPlaylistRequest(playlist_id=chance.choice(public)), who) for who in some],
        ),
    ]


def _feed_of(user_id: str) -> Asked:
    return Asked(feed_pb2.ListFeedRequest(), user_id)


async def measure(social: Social, read: Read, seconds: float) -> Measured:
    """Let two callers make the calls of a read one after another, for a time."""
    tokens = {who: social.token(who) for who in {each.user_id for each in read.asked} if who}
    found = Measured()
    numbers = itertools.count()
    async with grpc.aio.insecure_channel(social.address, options=(("grpc.enable_retries", 0),)) as channel:
        call = channel.unary_unary(_PACKAGE + read.method)

        async def once(number: int, *, is_counted: bool) -> None:
            asked = read.asked[number % len(read.asked)]
            metadata = (("authorization", f"Bearer {tokens[asked.user_id]}"),) if asked.user_id else ()
            began = time.perf_counter()
            try:
                await call(asked.request.SerializeToString(), timeout=_TIMEOUT_S, metadata=metadata)
            except grpc.aio.AioRpcError as error:
                text = f"{error.code().name}: {error.details()}"
                found.refused[text] = found.refused.get(text, 0) + 1
                return
            if is_counted:
                found.latencies_s.append(time.perf_counter() - began)

        for number in range(_WARMING):
            await once(number, is_counted=False)
        ends = time.monotonic() + seconds

        async def caller() -> None:
            while time.monotonic() < ends and not found.refused:
                await once(next(numbers), is_counted=True)

        await asyncio.gather(*(caller() for _ in range(_CALLERS)))
    return found


async def show_plans(social: Social) -> None:
    """Have PostgreSQL write down the plan of every statement, in connections that are opened from now on."""
    sql = await asyncpg.connect(social.database_url)
    try:
        name = await sql.fetchval("SELECT current_database()")
        for setting, value in (
            ("session_preload_libraries", "auto_explain"),
            ("auto_explain.log_min_duration", "0"),
            ("auto_explain.log_format", "json"),
        ):
            await sql.execute(f"ALTER DATABASE \"{name}\" SET {setting} = '{value}'")
        await sql.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND pid <> pg_backend_pid()",
            name,
        )
    finally:
        await sql.close()


async def hide_plans(social: Social) -> None:
    """Undo `show_plans`."""
    sql = await asyncpg.connect(social.database_url)
    try:
        await sql.execute(f'ALTER DATABASE "{await sql.fetchval("SELECT current_database()")}" RESET ALL')
    finally:
        await sql.close()


async def long_scans(social: Social, since: int) -> set[str]:
    """Return the large tables that were read from end to end, by the plans logged after a place of the log."""
    sql = await asyncpg.connect(social.database_url)
    try:
        rows = await sql.fetch("SELECT relname FROM pg_class WHERE reltuples > $1 AND relkind = 'r'", _LARGE)
    finally:
        await sql.close()
    large = {row["relname"] for row in rows}
    with social.postgres_log.open(errors="replace") as log:
        log.seek(since)
        text = log.read()
    return large & {scan for plan in _plans(text) for scan in _scans(plan)}


def _plans(text: str) -> "list[dict[str, Any]]":
    plans = []
    decoder = json.JSONDecoder()
    for found in re.finditer(r"plan:\s*(?=\{)", text):
        try:
            plan, _ = decoder.raw_decode(text, found.end())
        except json.JSONDecodeError:  # the last one may be cut
            continue
        plans.append(plan["Plan"])
    return plans


def _scans(plan: "dict[str, Any]") -> list[str]:
    own = [plan["Relation Name"]] if plan["Node Type"] == "Seq Scan" else []
    return own + [scan for part in plan.get("Plans", ()) for scan in _scans(part)]
