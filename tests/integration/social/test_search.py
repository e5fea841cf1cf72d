"""Search over a real database: accents, case, form, typos, order, pages."""

import random
import unicodedata

import pytest

from museed.social.v1 import catalog_pb2
from services.chassis.errors import InvalidArgument
from services.social.domain.ids import new_id
from services.social.store.search import FEW, MOST_CANDIDATES
from tests.integration.social.conftest import TIMEOUT_S, Client, Person, Sql, registration

TITLES = [
    ("Café del Mar", "Énergie 52", "Electronic"),
    ("Coffee", "Miguel", "Soul"),
    ("Hoppípolla", "Sigur Rós", "Rock"),
    ("Sigur 1", "Sigur Rós", "Rock"),
    ("좋은 날", "아이유", "Pop"),
    ("너의 의미", "아이유", "Pop"),
    ("Prelude in C major", "Johann Sebastian Bach", "Classical"),
    ("Prelude", "Frédéric Chopin", "Classical"),
    ("Chopin's Revenge", "Prelude Band", "Rock"),
    ("100% Pure Love", "Crystal Waters", "House"),
    ("Straße", "Møller", "Folk"),
    ("!!!", "Noise", "Noise"),
]


@pytest.fixture
async def admin(social: Client) -> Person:
    admin = await social.sign_up("admin")
    root_id = await social.register_root(admin)
    tracks = [
        registration(f"file {number}", title=title, artist=artist, album="", raw_genre=genre)
        for number, (title, artist, genre) in enumerate(TITLES)
    ]
    await social.register(admin, root_id, tracks)
    return admin


async def page(social: Client, query: str, **more: object) -> catalog_pb2.SearchTracksResponse:
    request = catalog_pb2.SearchTracksRequest(query=query, **more)  # type: ignore[arg-type]  # any field
    return await social.catalog.SearchTracks(request, timeout=TIMEOUT_S)


async def titles(social: Client, query: str, **more: object) -> list[str]:
    return [track.title for track in (await page(social, query, **more)).tracks]


@pytest.mark.usefixtures("admin")
@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("cafe", ["Café del Mar"]),
        ("CAFÉ DEL", ["Café del Mar"]),
        ("energie", ["Café del Mar"]),
        ("hopipolla", ["Hoppípolla"]),
        ("좋은날", ["좋은 날"]),
        (unicodedata.normalize("NFD", "좋은 날"), ["좋은 날"]),
        ("strasse moller", ["Straße"]),
        ("100%", ["100% Pure Love"]),
        ("!!!", ["!!!"]),
        ("bach prelude", ["Prelude in C major"]),
        ("prelud", ["Prelude", "Prelude in C major", "Chopin's Revenge"]),
        ("prelude chopin", ["Prelude", "Chopin's Revenge"]),
        ("xylophone", []),
        ("cafe xylophone", []),
        ("del már", ["Café del Mar"]),
        ("o", []),
        ("cr", ["100% Pure Love"]),
    ],
)
async def test_words_are_found_as_people_type_them(social: Client, query: str, expected: list[str]) -> None:
    assert await titles(social, query) == expected


@pytest.mark.usefixtures("admin")
async def test_very_title_comes_first_and_artists_follow(social: Client) -> None:
    assert (await titles(social, "sigur ros"))[:2] == ["Sigur 1", "Hoppípolla"]
    assert (await titles(social, "prelude"))[0] == "Prelude"
    assert sorted(await titles(social, "아이유")) == ["너의 의미", "좋은 날"]


@pytest.mark.usefixtures("admin")
async def test_genre_narrows_and_an_unknown_one_is_refused(social: Client) -> None:
    assert await titles(social, "prelude", genre="Rock") == ["Chopin's Revenge"]
    assert await titles(social, "", genre="Classical") == ["Prelude", "Prelude in C major"]
    with pytest.raises(InvalidArgument) as refusal:
        await titles(social, "", genre="Zeuhl")
    assert (refusal.value.reason, refusal.value.field, refusal.value.value) == ("MALFORMED", "genre", "Zeuhl")


@pytest.mark.usefixtures("admin")
async def test_nothing_lists_everything_by_title(social: Client) -> None:
    assert await titles(social, " ") == [
        "!!!",
        "100% Pure Love",
        "Café del Mar",
        "Chopin's Revenge",
        "Coffee",
        "Hoppípolla",
        "Prelude",
        "Prelude in C major",
        "Sigur 1",
        "Straße",
        "너의 의미",
        "좋은 날",
    ]


@pytest.mark.usefixtures("admin")
@pytest.mark.parametrize(("query", "genre"), [("", ""), ("", "Rock"), ("prelude", ""), ("c", "")])
async def test_pages_together_are_the_whole_list_without_repetition(social: Client, query: str, genre: str) -> None:
    whole = await titles(social, query, genre=genre, page_size=100)
    paged: list[str] = []
    token = ""
    while True:
        answer = await page(social, query, genre=genre, page_size=2, page_token=token)
        paged += [track.title for track in answer.tracks]
        token = answer.next_page_token
        if not token:
            break
    assert paged == whole
    assert len(whole) >= 3


@pytest.mark.usefixtures("admin")
async def test_token_is_good_for_its_own_question_only(social: Client) -> None:
    token = (await page(social, "", page_size=1)).next_page_token
    for query, genre, given in (("prelude", "", token), ("", "Rock", token), ("", "", token[:-3]), ("", "", "x")):
        with pytest.raises(InvalidArgument) as refusal:
            await page(social, query, genre=genre, page_token=given)
        assert (refusal.value.reason, refusal.value.field) == ("MALFORMED", "page_token")


async def test_vowel_signs_belong_to_their_words(social: Client) -> None:
    admin = await social.sign_up()
    root_id = await social.register_root(admin)
    names = ["हिन्दी गाना", "हम दिल दे चुके सनम", "รักแท้ยังมีอยู่", "ที่ว่าง", "தமிழ் பாடல்"]
    await social.register(admin, root_id, [registration(name, artist="", album="") for name in names])
    for typed, meant in (
        ("हिन्दी", ["हिन्दी गाना"]),
        ("गान", ["हिन्दी गाना"]),
        ("चुकी सनम", ["हम दिल दे चुके सनम"]),
        ("ยังมีอยู่", ["รักแท้ยังมีอยู่"]),
        ("ทีว่าง", ["ที่ว่าง"]),
        ("பாடல்", ["தமிழ் பாடல்"]),
    ):
        assert await titles(social, typed) == meant, typed


async def test_sizes_and_lengths_have_limits(social: Client) -> None:
    with pytest.raises(InvalidArgument) as negative:
        await page(social, "", page_size=-1)
    assert (negative.value.reason, negative.value.field) == ("OUT_OF_RANGE", "page_size")
    with pytest.raises(InvalidArgument) as long:
        await page(social, "a" * 201)
    assert (long.value.field, long.value.value, long.value.limit) == ("query", "201", "200")


async def test_pages_stay_whole_while_tracks_are_added(social: Client) -> None:
    admin = await social.sign_up()
    root_id = await social.register_root(admin)
    names = [f"song {number:03}" for number in range(0, 60, 2)]
    random.Random(1).shuffle(names)
    await social.register(admin, root_id, [registration(name) for name in names])
    seen: list[str] = []
    token = ""
    number = 1
    while True:
        answer = await page(social, "song", page_size=7, page_token=token)
        seen += [track.title for track in answer.tracks]
        token = answer.next_page_token
        if not token:
            break
        await social.register(admin, root_id, [registration(f"song {number:03}")])
        number += 2
    assert [name for name in seen if int(name[5:]) % 2 == 0] == sorted(names)
    assert len(seen) == len(set(seen))


ADD_TRACKS = """
INSERT INTO tracks (track_id, root_id, relative_path, file_hash, audio_hash, size_bytes, content_type, title, artist,
    album, raw_genre, genre, is_genre_known, year, header_seconds, search_title, search_text)
SELECT uuidv7(), $1, n::text::bytea, sha256(n::text::bytea), sha256(n::text::bytea), 1, 'audio/ogg', name, '', '', '',
    'Pop', false, 0, 1, name, name
FROM unnest($2::text[]) WITH ORDINALITY AS given (name, n)
"""


async def add(sql: Sql, names: list[str]) -> None:
    root_id = new_id()
    await sql.execute("INSERT INTO roots (root_id, location) VALUES ($1, $2)", root_id, f"/{root_id}")
    await sql.execute(ADD_TRACKS, root_id, names)
    await sql.execute("ANALYZE tracks")


async def test_very_title_comes_first_among_more_than_are_ranked(social: Client, sql: Sql) -> None:
    common = [f"a song of love {number}" for number in range(3 * MOST_CANDIDATES)]
    await add(sql, [*common, "love me", "love", "lovely", "a love"])
    for query in ("love", "Lové"):
        found = await titles(social, query)
        assert found[0] == "love"
        assert "love me" in found
    assert (await titles(social, "lovely love"))[0] == "lovely"
    assert await titles(social, "love", genre="Rock") == []
    # A rare word narrows a common one, wherever it stands.
    assert (await titles(social, common[-1].removeprefix("a song of ")))[0] == common[-1]


async def test_pages_of_a_common_word_repeat_nothing(social: Client, sql: Sql) -> None:
    await add(sql, [f"a song of love {number:04}" for number in range(2 * MOST_CANDIDATES)])
    seen: list[str] = []
    token = ""
    while True:
        answer = await page(social, "love", page_size=100, page_token=token)
        seen += [track.title for track in answer.tracks]
        token = answer.next_page_token
        if not token:
            break
    assert len(seen) == len(set(seen)) == MOST_CANDIDATES


async def test_what_is_nearly_meant_is_found_where_few_have_what_was_typed(social: Client, sql: Sql) -> None:
    await add(sql, ["silver", *[f"a song of silvr {number}" for number in range(FEW - 1)]])
    found = await titles(social, "silvr")
    assert (len(found), "silver" in found) == (FEW, True)
    await add(sql, ["silvr"])
    found = await titles(social, "silvr")
    assert (found[0], len(found), "silver" in found) == ("silvr", FEW, False)
