"""The page of a shared playlist: what previews read, what people see, and that nothing in it runs."""

import base64
import hashlib
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from museed.social.v1 import accounts_pb2, playlists_pb2
from services.chassis.errors import Unavailable
from tests.fakes.upstreams import make_track
from tests.integration.gateway.conftest import Gateway, serving_gateway
from tests.integration.gateway.test_streaming import AUDIO, add_audio

pytestmark = pytest.mark.asyncio(loop_scope="module")

EVIL = """"><script>alert('x')</script><img src=x onerror="alert(1)">&amp;"""


class Page(HTMLParser):
    """What a browser makes of a page: its elements, and all of its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def meta(self) -> dict[str | None, str | None]:
        found = [attributes for tag, attributes in self.elements if tag == "meta"]
        return {one.get("property") or one.get("name"): one.get("content") for one in found}

    def all(self, tag: str, attribute: str) -> list[str | None]:
        return [attributes.get(attribute) for found, attributes in self.elements if found == tag]


def share(gateway: Gateway, count: int = 2, **more: Any) -> playlists_pb2.Playlist:
    """Put an open playlist with a link into social."""
    owner = gateway.social.add_user("mina")
    made = gateway.social.add_playlist(gateway.social.add_tracks(count), owner.user_id)
    shared = gateway.social.playlists[made.playlist_id].playlist
    shared.MergeFrom(playlists_pb2.Playlist(share_slug="a-slug", **more))
    return shared


async def test_previews_show_the_first_picture_that_there_may_be(gateway: Gateway) -> None:
    playlist = share(gateway, 3)
    entries = [entry.track_id for entry in gateway.social.playlists[playlist.playlist_id].entries]
    for bare in range(4):
        for number, track_id in enumerate(entries):
            gateway.social.tracks[track_id].has_cover = number >= bare
        page = Page((await gateway.http.get("/p/a-slug")).text)
        expected = f"{gateway.url}/tracks/{entries[bare]}/cover" if bare < 3 else None
        assert page.meta().get("og:image") == expected


async def test_previews_find_what_it_is(gateway: Gateway) -> None:
    playlist = share(gateway, description="On the roof.\n\nAll night.")
    response = await gateway.http.get("/p/a-slug")
    assert (response.status_code, response.headers["content-type"]) == (200, "text/html; charset=utf-8")
    page = Page(response.text)
    first = gateway.social.playlists[playlist.playlist_id].entries[0].track_id
    assert page.meta() == {
        None: None,
        "viewport": "width=device-width, initial-scale=1",
        "og:type": "music.playlist",
        "og:site_name": "MUSEED",
        "og:title": "Like Track 000",
        "og:description": "On the roof. All night.",
        "og:url": f"{gateway.url}/p/a-slug",
        "og:locale": "en_US",
        "og:image": f"{gateway.url}/tracks/{first}/cover",
        "twitter:card": "summary",
        "description": "On the roof. All night.",
    }
    assert page.all("link", "href") == [f"{gateway.url}/p/a-slug"]
    assert page.all("html", "lang") == ["en"]
    assert "by Mina · 2 tracks · 4 min" in page.text
    formats = ("m3u8", "jspf", "xspf")
    assert page.all("a", "href") == [f"/playlists/{playlist.playlist_id}/export.{each}" for each in formats]
    assert gateway.behind.spent() == {"GetPlaylistBySlug": 1, "BatchGetTracks": 1, "BatchGetUsers": 1}
    head = await gateway.http.head("/p/a-slug")
    assert (head.status_code, head.content) == (200, b"")


async def test_page_without_a_description_says_whose_it_is(gateway: Gateway) -> None:
    share(gateway, 1)
    page = Page((await gateway.http.get("/p/a-slug")).text)
    assert page.meta()["og:description"] == "by Mina · 1 track · 2 min"


async def test_page_plays_for_guests(gateway: Gateway, tmp_path: Path) -> None:
    playlist = share(gateway, 0)
    track_id = add_audio(gateway, tmp_path)
    gateway.social.tracks[track_id] = make_track("Rain", track_id=track_id, artist="비")
    playlist.entry_count = 1
    gateway.social.playlists[playlist.playlist_id].entries.add(track_id=track_id)
    response = await gateway.http.get("/p/a-slug", headers=gateway.bearer())
    page = Page(response.text)
    (source,) = page.all("audio", "src")
    assert source is not None
    assert source.startswith(f"/tracks/{track_id}/stream?expires=")
    assert "guest=" in source
    assert (await gateway.http.get(source)).content == AUDIO
    assert page.all("audio", "preload") == ["none"]
    assert "비" in page.text
    assert response.headers["cache-control"] == "private, no-cache"


async def test_nothing_that_people_wrote_becomes_markup(gateway: Gateway) -> None:
    playlist = share(gateway, 0, description=EVIL)
    playlist.title = EVIL
    owner = gateway.social.users[playlist.owner_id]
    owner.MergeFrom(accounts_pb2.User(nickname=EVIL))
    track = make_track(EVIL, artist=EVIL)
    gateway.social.tracks[track.track_id] = track
    gateway.social.playlists[playlist.playlist_id].entries.add(track_id=track.track_id)
    page = Page((await gateway.http.get("/p/a-slug")).text)
    assert {tag for tag, _ in page.elements} == {
        "html", "head", "meta", "title", "link", "style", "body", "main", "h1", "p", "bdi", "ol", "li", "span",
        "audio", "a",
    }  # fmt: skip
    assert page.meta()["og:title"] == EVIL
    # Title, heading, who made it, description, track, artist.
    assert page.text.count(EVIL) == 6


async def test_policy_lets_nothing_run_and_nothing_in(gateway: Gateway, tmp_path: Path) -> None:
    share(gateway)
    response = await gateway.http.get("/p/a-slug")
    style = response.text.partition("<style>")[2].partition("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert response.headers["content-security-policy"] == (
        f"default-src 'none'; style-src 'sha256-{digest}'; media-src 'self'; img-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    assert response.headers["x-content-type-options"] == "nosniff"
    async with serving_gateway(tmp_path, public_url="https://music.example.org/api") as other:
        share(other)
        elsewhere = await other.http.get("/p/a-slug")
    assert "media-src 'self' https://music.example.org;" in elsewhere.headers["content-security-policy"]
    page = Page(elsewhere.text)
    assert page.meta()["og:url"] == "https://music.example.org/api/p/a-slug"
    sources = page.all("audio", "src")
    assert [str(source).partition("/tracks/")[0] for source in sources] == ["https://music.example.org/api"] * 2


@pytest.mark.parametrize(("visibility", "wanted"), [("PUBLIC", None), ("UNLISTED", "noindex")])
async def test_search_engines_leave_out_what_is_not_listed(
    gateway: Gateway, visibility: str, wanted: str | None
) -> None:
    playlist = share(gateway)
    playlist.visibility = playlists_pb2.Visibility.Value(f"VISIBILITY_{visibility}")
    response = await gateway.http.get("/p/a-slug")
    assert response.headers.get("x-robots-tag") == wanted
    assert Page(response.text).meta().get("robots") == wanted


async def test_long_list_shows_a_hundred_tracks_and_tells_the_rest(gateway: Gateway) -> None:
    share(gateway, 103)
    page = Page((await gateway.http.get("/p/a-slug")).text)
    assert len(page.all("audio", "src")) == 100
    assert "and 3 more" in page.text
    assert "103 tracks · 3 h 32 min" in page.text


@pytest.mark.parametrize(
    ("accepted", "language", "said"),
    [
        ("ko-KR,ko;q=0.9,en;q=0.8", "ko", "mina 님의 플레이리스트 · 2곡 · 4분"),
        ("en,ko;q=0.5", "en", "by mina"),
        ("de", "en", "by mina"),
        ("ko;q=nonsense", "en", "by mina"),
        ("ko" * 5_000, "en", "by mina"),
    ],
)
async def test_page_speaks_korean_to_whom_it_is_nearer(
    gateway: Gateway, accepted: str, language: str, said: str
) -> None:
    playlist = share(gateway)
    gateway.social.users[playlist.owner_id].nickname = "mina"
    response = await gateway.http.get("/p/a-slug", headers={"Accept-Language": accepted})
    page = Page(response.text)
    assert page.all("html", "lang") == [language]
    assert said in page.text
    assert "Accept-Language" in response.headers["vary"]


@pytest.mark.parametrize("slug", ["another", "%00", "%ff", "x" * 3_000, "%3Cscript%3E"])
async def test_link_that_opens_nothing_is_a_page_as_well(gateway: Gateway, slug: str) -> None:
    playlist = share(gateway)
    playlist.visibility = playlists_pb2.VISIBILITY_PRIVATE
    for given in (slug, "a-slug"):
        response = await gateway.http.get(f"/p/{given}")
        assert (response.status_code, response.headers["content-type"]) == (404, "text/html; charset=utf-8")
        page = Page(response.text)
        assert "There is no playlist here, or it is private" in page.text
        assert "script" not in {tag for tag, _ in page.elements}
        assert page.meta()["robots"] == response.headers["x-robots-tag"] == "noindex"
        assert "default-src 'none'" in response.headers["content-security-policy"]


async def test_page_says_so_while_social_is_away(gateway: Gateway) -> None:
    gateway.social.faults["GetPlaylistBySlug"] = Unavailable("away", reason="UNAVAILABLE")
    response = await gateway.http.get("/p/a-slug")
    assert (response.status_code, response.headers["content-type"]) == (503, "text/html; charset=utf-8")
    assert "This does not work for the moment" in response.text


async def test_gone_owner_and_gone_tracks_leave_the_rest(gateway: Gateway) -> None:
    playlist = share(gateway, 2)
    gateway.social.users.clear()
    gateway.social.tracks.pop(gateway.social.playlists[playlist.playlist_id].entries[0].track_id)
    page = Page((await gateway.http.get("/p/a-slug")).text)
    assert len(page.all("audio", "src")) == 1
    assert page.meta()["og:description"] == "2 tracks · 4 min"
