"""The example page in a real browser: found, uploaded, made, played, liked, shared, and followed live."""

import contextlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from playwright.sync_api import Browser, Error, Page, Request, Route, WebSocketRoute, expect

from clients.python.operations import SeedInput, Visibility
from deploy.local.playlists import make_playlist, search_tracks
from tests.e2e.browsing import Watched, chromium, eventually, log_in, ranges_of, search, settled, sign_up, visitor
from tests.e2e.conftest import RunningMesh, tone

MIB = 1024 * 1024
# Notes every value that a progress bar takes.
WATCH_BARS = """() => { window.seen = []; new MutationObserver((changes) => { for (const { target } of changes)
  if (target.matches("progress")) window.seen.push(target.value); }).observe(
  document.body, { subtree: true, attributes: true, attributeFilter: ["value"] }); }"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture
def guest(browser: Browser, mesh: RunningMesh) -> Iterator[Watched]:
    with visitor(browser, mesh.url) as watched:
        yield watched


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A WAV of 80 s and 13.5 MiB: more than a browser reads ahead."""
    once = tone(20, 110 * 2**3 * 1.03, 11, 3.5, seed=99)
    path = tmp_path_factory.mktemp("recording") / "내 데모.wav"
    both = np.stack([np.tile(np.repeat(once, 2), 4)] * 2, axis=1)
    soundfile.write(path, both, 44100, subtype="PCM_16")
    return path


def position(page: Page) -> float:
    return float(page.locator("audio").evaluate("audio => audio.currentTime"))


def uploads_of(page: Page) -> list[int]:
    """Note from now on at which offsets parts of uploads are sent."""
    offsets: list[int] = []

    def note(request: Request) -> None:
        if request.method == "PATCH":
            offsets.append(int(request.headers["upload-offset"]))

    page.on("request", note)
    return offsets


def test_from_a_search_to_a_playlist_with_reasons_that_plays(guest: Watched, mesh: RunningMesh) -> None:
    page = guest.page()
    search(page, "Piece 1-0")
    sign_up(page, "wanda")
    # Who logs in stays where they were.
    page.get_by_role("button", name="Use Piece 1-0 as seed").click()
    page.get_by_label("Tracks").fill("5")
    page.get_by_role("button", name="Make the playlist").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Like “Piece 1-0” by Artist 1")
    rows = page.locator("li.track")
    expect(rows).to_have_count(6)
    expect(rows.nth(0).locator(".why")).to_have_text("seed")
    expect(rows.nth(1).locator(".why")).to_contain_text("similarity 0.")
    expect(rows.nth(1).locator(".why")).to_contain_text("nearest to Piece 1-0")
    page.get_by_role("button", name="Play all").click()
    expect(page.locator("#now")).to_have_text("Piece 1-0 · Artist 1")
    eventually(page, lambda: position(page), lambda at: at > 0.5)
    page.get_by_role("button", name="Next track").click()
    title = rows.nth(1).locator("b").inner_text()
    expect(page.locator("#now")).to_contain_text(title)
    eventually(page, lambda: position(page), lambda at: at > 0)
    page.get_by_role("link", name="My playlists").click()
    expect(page.get_by_role("link", name="Like “Piece 1-0” by Artist 1")).to_be_visible()
    expect(page.get_by_role("heading", level=1)).to_be_focused()


def test_a_file_goes_up_in_parts_and_is_played_with_seek(guest: Watched, recording: Path) -> None:
    page = guest.page()
    sign_up(page, "xaver")
    page.evaluate(WATCH_BARS)
    offsets = uploads_of(page)
    size = recording.stat().st_size
    page.get_by_label("An audio file").set_input_files(recording)
    expect(page.get_by_text("내 데모.wav is uploaded, and is a seed now.")).to_be_visible()
    assert offsets == list(range(0, size, MIB))
    seen = page.evaluate("window.seen")
    assert seen == sorted(seen)
    assert len(set(seen)) >= len(offsets)
    assert (seen[-1], size // MIB) == (size, 13)

    ranges = ranges_of(page, "/uploads/")
    page.get_by_role("button", name="Play 내 데모.wav").click()
    eventually(page, lambda: position(page), lambda at: at > 0.5)
    page.locator("audio").evaluate("audio => { audio.currentTime = 70; }")
    eventually(page, lambda: position(page), lambda at: at > 70.5)
    # 70 of 80 s: the bytes of before were not all read for that.
    later = eventually(page, lambda: [one for one in ranges if one[1] > size // 2])
    assert {status for status, _ in later} == {206}

    page.get_by_label("Tracks").fill("3")
    page.get_by_role("button", name="Make the playlist").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Like “내 데모”")
    expect(page.locator("li.track")).to_have_count(3)
    # It goes on playing while people look around.
    assert position(page) > 70


def test_an_upload_goes_on_after_a_lost_connection_and_after_a_reload(guest: Watched, recording: Path) -> None:
    page = guest.page()
    sign_up(page, "yara")
    offsets = uploads_of(page)
    limit = [3 * MIB]
    guest.excused += ["net::ERR_FAILED"]

    def lose(route: Route) -> None:
        offset = int(route.request.headers.get("upload-offset", "0"))
        route.abort() if offset >= limit[0] else route.continue_()

    page.route("**/uploads/*", lose)
    page.get_by_label("An audio file").set_input_files(recording)
    expect(page.get_by_text("The connection is lost; it goes on by itself.")).to_be_visible()
    limit[0] = 6 * MIB
    eventually(page, lambda: max(offsets), lambda offset: offset == 6 * MIB)
    assert sorted(set(offsets)) == [place * MIB for place in range(7)]
    page.reload()
    settled(page)
    offsets.clear()
    limit[0] = 1 << 40
    page.get_by_label("An audio file").set_input_files(recording)
    expect(page.get_by_text("내 데모.wav is uploaded")).to_be_visible()
    assert offsets == [place * MIB for place in range(6, 14)]
    expect(page.locator("aside li.track")).to_have_count(1)


def test_an_upload_can_be_stopped_gone_on_with_and_called_off(guest: Watched, recording: Path) -> None:
    page = guest.page()
    sign_up(page, "mira")
    held: list[Route] = []
    page.route("**/uploads/*", lambda route: held.append(route))
    page.get_by_label("An audio file").set_input_files(recording)
    eventually(page, lambda: len(held), lambda count: count == 1)
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_text("Paused at")).to_be_visible()
    page.unroute("**/uploads/*")
    offsets = uploads_of(page)
    page.get_by_role("button", name="Go on").click()
    eventually(page, lambda: offsets, lambda found: len(found) > 2)
    with page.expect_response(lambda answer: answer.request.method == "DELETE") as deleted:
        page.get_by_role("button", name="Call it off").click()
    assert deleted.value.status == 204
    expect(page.locator("progress")).to_have_count(0)
    expect(page.get_by_text("Nothing is uploaded.")).to_be_visible()
    guest.excused += ["net::ERR_ABORTED", "net::ERR_FAILED"]
    for route in held:
        with contextlib.suppress(Error):  # the page has given it up
            route.abort()


def test_likes_and_links_and_who_may_see_it(guest: Watched, browser: Browser, mesh: RunningMesh) -> None:
    with mesh.person("zoe") as zoe:
        seed = search_tracks(zoe, "Piece 2-0", 1)[0].track_id
        made = make_playlist(zoe, [SeedInput(track_id=seed)], lambda _: None, length=3, title="Zoe's <b>list</b>")
    path = f"/#/playlist/{made.playlist_id}"
    page = guest.page(path)
    expect(page.locator("main .problem")).to_contain_text("There is no playlist here, or it is private.")
    page.locator("#who").get_by_role("button").click()
    page.get_by_role("dialog").get_by_label("Username or e-mail address").fill("zoe")
    page.get_by_role("dialog").get_by_label("Password").fill("password of zoe")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Zoe's <b>list</b>")
    page.get_by_label("Who may see it").select_option("PUBLIC")
    page.get_by_role("button", name="Save").click()
    link = page.get_by_label("Link", exact=True).input_value()
    guest.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy the link").click()
    assert page.evaluate("navigator.clipboard.readText()") == link

    with visitor(browser, mesh.url) as other:
        theirs = other.page(path)
        sign_up(theirs, "zara")
        settled(theirs)
        like = theirs.get_by_role("button", name="Like")
        expect(like).to_have_attribute("aria-pressed", "false")
        like.click()
        expect(like).to_have_attribute("aria-pressed", "true")
        # The owner sees it without doing anything, and is told.
        expect(page.locator(".facts")).to_contain_text("1 like")
        with mesh.person("zoe") as zoe:

            def news() -> tuple[bool, bool]:
                told = zoe.query("{ unreadNotificationCount notifications { nodes { kind } } }")
                kinds = [node["kind"] for node in told["notifications"]["nodes"]]
                shown = page.locator("#unread").inner_text()
                return "LIKED" in kinds, shown == str(told["unreadNotificationCount"])

            eventually(page, news, lambda found: found == (True, True))
        like.click()
        expect(like).to_have_attribute("aria-pressed", "false")
        expect(page.locator(".facts")).to_contain_text("0 likes")
        shared = other.context.new_page()
        shared.goto(link)
        expect(shared.get_by_role("heading", level=1)).to_have_text("Zoe's <b>list</b>")
        audio = shared.locator("audio").first
        audio.evaluate("audio => audio.play()")
        eventually(shared, lambda: audio.evaluate("audio => audio.currentTime"), lambda at: at > 0.2)


def test_comments_are_written_and_told_of_and_read(guest: Watched, browser: Browser, mesh: RunningMesh) -> None:
    with mesh.person("nora") as nora:
        seed = [SeedInput(track_id=search_tracks(nora, "Piece 2-0", 1)[0].track_id)]
        made = make_playlist(nora, seed, lambda _: None, length=3, title="Nora's", visibility=Visibility.PUBLIC)
    path = f"/#/playlist/{made.playlist_id}"
    page = guest.page(path)
    expect(page.get_by_text("Nobody has said anything yet.")).to_be_visible()
    expect(page.get_by_label("Say something about it")).to_have_count(0)  # a guest reads
    log_in(page, "nora", "password of nora")
    expect(page.locator("#nickname")).to_have_text("nora")
    settled(page)
    with visitor(browser, mesh.url) as other:
        theirs = other.page(path)
        sign_up(theirs, "omar")
        theirs.get_by_label("Say something about it").fill("<b>좋아요</b>")
        theirs.get_by_role("button", name="Say so").click()
        expect(theirs.locator("#comments .said")).to_have_text("<b>좋아요</b>")
        expect(theirs.get_by_label("Say something about it")).to_have_value("")
        theirs.get_by_role("button", name="Like").click()
        # The owner sees it come, and is told; badges and ended jobs come when they come.
        expect(page.locator("#comments .said")).to_have_text("<b>좋아요</b>")
        page.get_by_role("link", name="Notifications", exact=True).click()
        notices = page.locator("li.notice").filter(has_text="omar")
        expect(notices.locator("a")).to_have_text(["omar likes Nora's.", "omar commented on Nora's."])
        expect(notices.nth(1).locator("q")).to_have_text("<b>좋아요</b>")
        unread = notices.and_(page.locator(".is-unread"))
        expect(unread).to_have_count(2)
        notices.nth(1).get_by_role("button", name="Mark as read").click()
        expect(unread).to_have_text([re.compile("omar likes Nora's")])
        theirs.get_by_label("Say something about it").fill("And again")
        theirs.get_by_role("button", name="Say so").click()
        expect(notices.locator("a").first).to_have_text("omar commented on Nora's.")
        expect(notices).to_have_count(3)
        expect(unread).to_have_count(2)
        page.get_by_role("button", name="Mark all as read").click()
        expect(unread).to_have_count(0)
        with mesh.person("nora") as nora:

            def shown() -> tuple[int, str]:
                count = page.locator("#unread")
                told: int = nora.query("{ unreadNotificationCount }")["unreadNotificationCount"]
                return told, "0" if count.is_hidden() else count.inner_text()

            eventually(page, shown, lambda found: str(found[0]) == found[1])
        page.reload()
        expect(notices).to_have_count(3)
        expect(notices.get_by_role("button", name="Mark as read")).to_have_count(0)
        notices.locator("a").first.click()
        # Whose playlist it is may delete what others say of it.
        expect(page.locator("#comments .said")).to_have_text(["And again", "<b>좋아요</b>"])
        page.get_by_role("button", name="Delete the comment of omar").last.click()
        expect(page.locator("#comments .said")).to_have_text(["And again"])
        expect(theirs.locator("#comments .said")).to_have_text(["And again"])


class Cable:
    """What a page's sockets go through: it can be cut, and stays dead until it is mended."""

    def __init__(self, page: Page) -> None:
        self._sockets: list[WebSocketRoute] = []
        self._is_dead = False
        self.subscribed: list[dict[str, Any]] = []
        page.route_web_socket("**/graphql", self._plug)

    def _plug(self, socket: WebSocketRoute) -> None:
        self._sockets.append(socket)
        if self._is_dead:
            return
        server = socket.connect_to_server()

        def pass_on(message: str | bytes) -> None:
            told = json.loads(message)
            if told["type"] == "subscribe":
                self.subscribed.append(told["payload"])
            server.send(message)

        socket.on_message(pass_on)

    def cut(self) -> None:
        self._is_dead = True
        self._sockets[-1].close(code=1012)

    def mend(self) -> None:
        self._is_dead = False
        self._sockets[-1].close(code=1012)

    @property
    def count(self) -> int:
        return len(self._sockets)


def test_the_feed_shows_what_followed_people_do_as_they_do_it(guest: Watched, mesh: RunningMesh) -> None:
    with mesh.person("aki") as aki:
        seed = [SeedInput(track_id=search_tracks(aki, "Piece 3-0", 1)[0].track_id)]
        first = make_playlist(aki, seed, lambda _: None, length=3, title="Aki's first", visibility=Visibility.PUBLIC)
        page = guest.context.new_page()
        cable = Cable(page)
        page.goto(f"{guest.url}/#/playlist/{first.playlist_id}")
        sign_up(page, "bea")
        page.get_by_role("button", name="Follow aki").click()
        expect(page.get_by_role("button", name="Follow aki")).to_have_attribute("aria-pressed", "true")
        page.get_by_role("link", name="Feed").click()
        expect(page.get_by_role("link", name="aki made Aki's first")).to_be_visible()
        make_playlist(aki, seed, lambda _: None, length=4, title="Aki's second", visibility=Visibility.PUBLIC)
        items = page.locator("li.activity a")
        expect(items).to_have_text(["aki made Aki's second", "aki made Aki's first"])
        # What happens while there is no connection is there afterwards, once.
        sockets = cable.count
        cable.cut()
        make_playlist(aki, seed, lambda _: None, length=5, title="Aki's third", visibility=Visibility.PUBLIC)
        eventually(page, lambda: cable.count > sockets)
        cable.mend()
        expect(items).to_have_text(["aki made Aki's third", "aki made Aki's second", "aki made Aki's first"])
        followed = [told["variables"].get("after") for told in cable.subscribed if "FeedLive" in told["query"]]
        assert followed[0] is None
        assert len(followed[-1]) > 20
