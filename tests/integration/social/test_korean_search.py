"""Korean as people type it: wrong letters, missing spaces, half a word, first consonants, another Unicode form."""

import csv
from pathlib import Path

from tests.integration.social.conftest import Client, registration
from tests.integration.social.test_search import titles

FIXTURES = Path(__file__).parents[2] / "fixtures"
_AMONG_FIRST = 3


def rows(name: str) -> list[list[str]]:
    with (FIXTURES / name).open(encoding="utf-8", newline="") as lines:
        return list(csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))


async def test_what_is_meant_is_among_the_first_three(social: Client) -> None:
    admin = await social.sign_up("admin")
    root_id = await social.register_root(admin)
    tracks = [
        registration(f"file {number}", title=title, artist=artist, album="")
        for number, (title, artist) in enumerate(rows("korean_library.tsv"))
    ]
    await social.register(admin, root_id, tracks)
    pairs = rows("korean_search.tsv")
    assert len(pairs) >= 40
    wrong = {}
    for typed, meant in pairs:
        found = await titles(social, typed)
        if meant not in found[:_AMONG_FIRST]:
            wrong[typed] = (meant, found[:6])
    assert wrong == {}
