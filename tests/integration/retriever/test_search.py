"""Search over a real socket: filters against brute force, pages, damped hubs, and what is refused."""

import asyncio
from typing import Any

import numpy as np
import pytest

from museed.retriever.v1 import retriever_pb2
from museed.retriever.v1.retriever_pb2 import Filter, Range
from museed.social.v1 import catalog_pb2
from services.chassis import vectors
from services.chassis.errors import DomainError
from tests.integration.retriever.conftest import Log, Retriever, unit

COUNT = 60


def described(number: int) -> dict[str, Any]:
    """What the log says of a track; every fifth is known by nothing but its sound."""
    if number % 5 == 0:
        return {"artist": "", "duration_seconds": 0.0}
    return {
        "artist": f"Artist {number % 7}",
        "genre": ["Rock", "Jazz"][number % 2],
        "year": 1990 + number,
        "duration_seconds": 60.0 + number,
        "tags": ["Piano", "loud"][: 1 + number % 2],
        "descriptors": catalog_pb2.Descriptors(
            tempo_bpm=80 + number, energy=number / COUNT, loudness_lufs=-number, key=["C major", "D minor"][number % 2]
        ),
    }


@pytest.fixture
async def library(retriever: Retriever, log: Log) -> Retriever:
    """A retriever that holds t00 to t59 and has read them from its log."""
    for number in range(COUNT):
        last = await log.put(f"t{number:02d}", number, **described(number))
    await retriever.until(
        lambda: retriever.live.position is not None and retriever.live.position.sequence >= last.sequence
    )
    # On a busy machine a first connection can take longer than a call waits for it.
    await asyncio.wait_for(retriever.channel.channel_ready(), 60)
    return retriever


async def search(library: Retriever, **fields: Any) -> retriever_pb2.SearchResponse:
    request = retriever_pb2.SearchRequest(**({"track_id": "t01"} | fields))
    return await library.stub.Search(request, timeout=30)


def found(response: retriever_pb2.SearchResponse) -> list[str]:
    return [hit.track_id for hit in response.hits]


def nearest(numbers: list[int]) -> list[str]:
    """Order tracks by their cosine to t01, in double precision."""
    query = unit(1).astype(np.float64)
    return [f"t{number:02d}" for number in sorted(numbers, key=lambda number: -float(query @ unit(number)))]


KNOWN = [number for number in range(COUNT) if number % 5]


FILTERS: list[tuple[Filter, list[int]]] = [
    (Filter(genres=["ROCK"]), [n for n in KNOWN if n % 2 == 0]),
    (Filter(artists=["artist 3", "artist 4"]), [n for n in KNOWN if n % 7 in (3, 4)]),
    (Filter(blocked_artists=["ARTIST 3", "nobody"]), [n for n in range(COUNT) if n % 5 == 0 or n % 7 != 3]),
    (Filter(blocked_track_ids=["t02", "x"]), [n for n in range(COUNT) if n != 2]),
    (Filter(track_ids=["t07", "t05", "x"]), [5, 7]),
    (Filter(tags=["piano", "Loud"]), [n for n in KNOWN if n % 2]),
    (Filter(blocked_tags=["loud"]), [n for n in range(COUNT) if n % 5 == 0 or n % 2 == 0]),
    (Filter(keys=["c MAJOR"]), [n for n in KNOWN if n % 2 == 0]),
    (Filter(duration_seconds=Range(max=100)), [n for n in KNOWN if n <= 40]),
    (Filter(year=Range(min=1996, max=2001)), [6, 7, 8, 9, 11]),
    (Filter(year=Range()), KNOWN),
    (Filter(tempo_bpm=Range(min=130)), [n for n in KNOWN if n >= 50]),
    (Filter(energy=Range(min=0.5)), [n for n in KNOWN if n >= 30]),
    (Filter(loudness_lufs=Range(min=-9, max=-3)), [3, 4, 6, 7, 8, 9]),
    (Filter(genres=["jazz"], year=Range(max=2000), blocked_artists=["artist 3"]), [7, 9]),
    (Filter(genres=["Polka"]), []),
]


async def test_a_filter_finds_what_brute_force_finds(library: Retriever) -> None:
    for asked, numbers in FILTERS:
        response = await search(library, filter=asked, k=100)
        assert found(response) == nearest([number for number in numbers if number != 1]), asked
        assert response.next_page_token == ""
        for hit in response.hits:
            assert hit.similarity == pytest.approx(float(unit(1) @ unit(int(hit.track_id[1:]))), abs=2e-6)


async def test_pages_are_one_list_and_exclusions_hold_on_all_of_them(library: Retriever) -> None:
    query: dict[str, Any] = {"filter": Filter(genres=["jazz", "rock"]), "exclude_track_ids": ["t07", "t08"]}
    whole = found(await search(library, k=200, **query))
    assert whole == nearest([number for number in KNOWN if number not in (1, 7, 8)])
    joined: list[str] = []
    token, sizes = "", []
    while True:
        response = await search(library, k=20 if joined else 9, page_token=token, **query)
        joined += found(response)
        sizes.append(len(response.hits))
        token = response.next_page_token
        if not token:
            break
    assert joined == whole
    assert sizes == [9, 20, len(whole) - 29]


async def test_a_change_between_pages_repeats_nothing(library: Retriever, log: Log) -> None:
    whole = found(await search(library, k=200))
    first = await search(library, k=10)
    await log.put("new", 1)  # the very sound of the query
    gone = await log.put_raw(whole[12], b"")
    await library.until(lambda: library.live.position is not None and library.live.position.sequence >= gone.sequence)
    second = await search(library, k=10, page_token=first.next_page_token)
    assert found(second) == [*whole[10:12], *whole[13:21]]
    assert found(await search(library, k=1)) == ["new"]


async def test_an_edit_of_the_log_reaches_the_filter(library: Retriever, log: Log) -> None:
    last = await log.put("t05", 5, version=2, genre="Polka")
    await library.until(lambda: library.live.position is not None and library.live.position.sequence >= last.sequence)
    assert found(await search(library, filter=Filter(genres=["polka"]))) == ["t05"]


async def test_damping_changes_the_order_and_tells_the_cosine(library: Retriever) -> None:
    vector = vectors.encode(unit(1))
    plain = await library.stub.Search(retriever_pb2.SearchRequest(vector=vector, k=100), timeout=30)
    damped = await library.stub.Search(retriever_pb2.SearchRequest(vector=vector, k=100, hub_damping=0.5), timeout=30)
    everybody = np.stack([unit(number) for number in range(COUNT)])
    cosines = everybody @ everybody.T
    np.fill_diagonal(cosines, -np.inf)
    means = np.sort(cosines, axis=1)[:, -10:].mean(axis=1)
    scores = everybody @ unit(1) - 0.5 * means
    assert found(damped) == [f"t{number:02d}" for number in np.argsort(-scores)]
    assert found(damped) != found(plain)
    assert {hit.track_id: hit.similarity for hit in damped.hits} == {hit.track_id: hit.similarity for hit in plain.hits}
    first = await library.stub.Search(retriever_pb2.SearchRequest(vector=vector, k=7, hub_damping=0.5), timeout=30)
    second = await library.stub.Search(
        retriever_pb2.SearchRequest(vector=vector, k=7, hub_damping=0.5, page_token=first.next_page_token), timeout=60
    )
    assert found(first) + found(second) == found(damped)[:14]


REFUSALS: list[tuple[dict[str, Any], tuple[str, str, str, str]]] = [
    ({"hub_damping": 1.5}, ("OUT_OF_RANGE", "hub_damping", "1.5", "1")),
    ({"hub_damping": -0.5}, ("OUT_OF_RANGE", "hub_damping", "-0.5", "0")),
    ({"hub_damping": float("nan")}, ("OUT_OF_RANGE", "hub_damping", "nan", "1")),
    ({"k": 201}, ("OUT_OF_RANGE", "k", "201", "200")),
    ({"k": -1}, ("OUT_OF_RANGE", "k", "-1", "1")),
    ({"exclude_track_ids": ["x"] * 1001}, ("OUT_OF_RANGE", "exclude_track_ids", "1001", "1000")),
    ({"filter": Filter(genres=["x"] * 101)}, ("OUT_OF_RANGE", "filter.genres", "101", "100")),
    ({"filter": Filter(blocked_artists=["x", ""])}, ("MISSING_INPUT", "filter.blocked_artists[1]", "0", "1")),
    ({"filter": Filter(energy=Range(max=2))}, ("OUT_OF_RANGE", "filter.energy.max", "2", "1")),
    ({"filter": Filter(year=Range(min=float("nan")))}, ("OUT_OF_RANGE", "filter.year.min", "nan", "9999")),
    ({"filter": Filter(year=Range(min=2001, max=2000))}, ("RANGE_REVERSED", "filter.year.min", "2001", "2000")),
    ({"page_token": "noise"}, ("PAGE_TOKEN_INVALID", "page_token", "noise", "1000")),
    ({"page_token": "x" * 1001}, ("PAGE_TOKEN_INVALID", "page_token", "x" * 200, "1000")),
]


async def test_bad_input_is_refused_with_field_value_and_limit(library: Retriever) -> None:
    for fields, told in REFUSALS:
        with pytest.raises(DomainError) as refused:
            await search(library, **fields)
        error = refused.value
        assert (error.reason, error.field, error.value, error.limit) == told


async def test_a_token_of_another_query_is_refused(library: Retriever) -> None:
    token = (await search(library, k=5)).next_page_token
    for fields in ({"track_id": "t02"}, {"hub_damping": 0.5}, {"filter": Filter(genres=["Rock"])}):
        with pytest.raises(DomainError) as refused:
            await search(library, page_token=token, **fields)
        assert (refused.value.reason, refused.value.field) == ("PAGE_TOKEN_MISMATCH", "page_token")
    assert len((await search(library, k=5, page_token=token)).hits) == 5


async def test_a_blocklist_of_ten_thousand_is_taken(library: Retriever) -> None:
    blocked = Filter(
        blocked_artists=[f"artist {number}" for number in range(10_000)],
        blocked_track_ids=[f"t{number:02d}" for number in range(10_000)],
    )
    assert found(await search(library, filter=blocked)) == []
    blocked.ClearField("blocked_track_ids")
    assert found(await search(library, filter=blocked)) == nearest(list(range(0, COUNT, 5)))
