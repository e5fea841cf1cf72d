"""Sessions in a real browser: cookies, tabs, reloads, ends, links of mails, other people's pages, keyboards."""

import email
import re
import time
from collections.abc import Iterator
from email import policy
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page, Response, expect

from tests.e2e.browsing import (
    PASSWORD,
    Watched,
    chromium,
    eventually,
    log_in,
    reload_amid,
    settled,
    sign_up,
    visitor,
)
from tests.e2e.conftest import RunningMesh

COOKIE = "museed-refresh"
LOG_IN = """mutation($input: LogInInput!) { logIn(input: $input) { __typename
  ... on LogInSuccess { tokens { accessToken } } } }"""
# Everything that can be walked to and has no name, by what screen readers are told.
NAMED_ROLES = (
    "button",
    "link",
    "textbox",
    "searchbox",
    "combobox",
    "spinbutton",
    "progressbar",
    "img",
    "dialog",
    "slider",
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture
def guest(browser: Browser, mesh: RunningMesh) -> Iterator[Watched]:
    with visitor(browser, mesh.url) as watched:
        yield watched


def is_logged_in(page: Page, name: str) -> None:
    expect(page.locator("#nickname")).to_have_text(name)


def is_guest(page: Page) -> None:
    expect(page.locator("#who").get_by_role("button", name="Log in")).to_be_visible()


def refreshes_of(page: Page) -> list[Response]:
    """Note from now on the answers to `refresh`."""
    found: list[Response] = []

    def note(response: Response) -> None:
        if response.url.endswith("/graphql") and "refresh(input" in (response.request.post_data or ""):
            found.append(response)

    page.on("response", note)
    return found


def link_of_mail(mesh: RunningMesh, page: Page, to: str, path: str) -> str:
    """Return the link of the newest mail to somebody that leads to a page."""

    def links() -> list[str]:
        found = []
        for file in sorted((mesh.folder / "mails").glob("*.eml")):
            mail = email.message_from_bytes(file.read_bytes(), policy=policy.default)
            if mail["To"] == to:
                found += re.findall(rf"http://\S+{path}#\S+", mail.get_content())
        return found

    found: list[str] = eventually(page, links)
    return found[-1]


def nameless(page: Page) -> list[str]:
    session = page.context.new_cdp_session(page)
    session.send("Accessibility.enable")
    nodes: list[dict[str, Any]] = session.send("Accessibility.getFullAXTree")["nodes"]
    session.detach()
    return [
        node["role"]["value"]
        for node in nodes
        if not node["ignored"]
        and node["role"]["value"] in NAMED_ROLES
        and not node.get("name", {}).get("value", "").strip()
    ]


def test_the_refresh_token_is_in_a_cookie_that_no_script_sees(guest: Watched) -> None:
    page = guest.page()
    sign_up(page, "cora")
    (cookie,) = guest.context.cookies()
    about = {name: cookie.get(name) for name in ("name", "path", "httpOnly", "sameSite", "secure")}
    assert about == {"name": COOKIE, "path": "/graphql", "httpOnly": True, "sameSite": "Strict", "secure": False}
    assert cookie["expires"] > time.time() + 86_400
    assert page.evaluate("document.cookie") == ""
    stored = page.evaluate("JSON.stringify([{ ...localStorage }, { ...sessionStorage }])")
    assert stored == "[{},{}]"


def test_a_reload_keeps_the_session_and_trades_the_cookie_once(guest: Watched) -> None:
    page = guest.page()
    sign_up(page, "dora")
    before = guest.context.cookies()[0]["value"]
    refreshes = refreshes_of(page)
    page.reload()
    is_logged_in(page, "dora")
    assert len(refreshes) == 1
    assert guest.context.cookies()[0]["value"] != before
    # Into the middle of another refresh.
    for _ in range(3):
        reload_amid(page)
    page.reload()
    is_logged_in(page, "dora")


def test_tabs_that_refresh_at_once_do_not_end_the_session(guest: Watched) -> None:
    first = guest.page()
    sign_up(first, "emil")
    second, third = guest.page(), guest.page()
    for page in (second, third):
        is_logged_in(page, "emil")
    for _ in range(3):
        for page in (first, second, third):
            reload_amid(page)
        for page in (first, second, third):
            is_logged_in(page, "emil")
    # And within one tab: whoever needs a token meanwhile gets the same one.
    refreshes = refreshes_of(first)
    script = """async () => { const { Session } = await import("/web/session.js");
      const session = new Session();
      await Promise.all([1, 2, 3].map(() => session.refresh()));
      return session.viewer.user.username; }"""
    assert first.evaluate(script) == "emil"
    assert len(refreshes) == 1


def test_logging_out_ends_it_in_all_tabs(guest: Watched) -> None:
    first = guest.page("/#/feed")
    sign_up(first, "fred")
    with first.context.expect_page() as opened:
        first.evaluate("window.open('/#/feed')")
    second = opened.value
    is_logged_in(second, "fred")
    first.get_by_role("button", name="Log out").click()
    for page in (first, second):
        is_guest(page)
        expect(page.locator("main .problem")).to_contain_text("Log in first.")
    assert guest.context.cookies() == []
    first.reload()
    is_guest(first)
    # Logging in is for all tabs as well.
    log_in(first, "fred")
    for page in (first, second):
        is_logged_in(page, "fred")


def test_a_session_that_is_ended_elsewhere_is_noticed_without_a_click(guest: Watched, mesh: RunningMesh) -> None:
    page = guest.page()
    with page.expect_websocket() as opened:
        sign_up(page, "gesa")
    closed: list[bool] = []
    opened.value.on("close", lambda _: closed.append(True))
    # Follows its notifications, so that there is a socket to close.
    eventually(page, lambda: page.locator("#unread").get_attribute("aria-label") or page.locator("#nickname").count())
    with httpx.Client(base_url=mesh.url) as http:
        input = {"login": "gesa", "password": PASSWORD}
        answer = http.post("/graphql", json={"query": LOG_IN, "variables": {"input": input}}).json()
        token = answer["data"]["logIn"]["tokens"]["accessToken"]
        headers = {"Authorization": f"Bearer {token}"}
        done = http.post("/graphql", json={"query": "mutation { revokeOtherSessions { __typename } }"}, headers=headers)
        assert done.json()["data"]["revokeOtherSessions"]["__typename"] == "RevokeOtherSessionsSuccess"
    is_guest(page)
    assert closed == [True]
    assert guest.context.cookies() == []


def test_an_access_token_that_has_ended_is_replaced_unseen(guest: Watched) -> None:
    page = guest.page()
    sign_up(page, "hugo")
    refreshes = refreshes_of(page)
    answers = [401, 200]

    # The gateway's word, since a token lives for a quarter of an hour.
    def expire(route: Any) -> None:
        if "MyPlaylists" in (route.request.post_data or "") and len(refreshes) == 0:
            answers.pop(0)
            error = {
                "message": "the token has ended",
                "extensions": {"code": "UNAUTHENTICATED", "reason": "TOKEN_EXPIRED"},
            }
            route.fulfill(json={"data": None, "errors": [error]})
        else:
            route.continue_()

    page.route("**/graphql", expire)
    page.get_by_role("link", name="My playlists").click()
    expect(page.get_by_text("You have made no playlist yet.")).to_be_visible()
    assert (len(refreshes), answers) == (1, [200])
    is_logged_in(page, "hugo")


def test_links_of_mails_do_what_they_are_for(guest: Watched, mesh: RunningMesh) -> None:
    page = guest.page()
    sign_up(page, "ines")
    mail = guest.context.new_page()
    link = link_of_mail(mesh, page, "ines@example.org", "/verify-email")
    mail.goto(link)
    assert "token" not in mail.url
    mail.get_by_role("button", name="Confirm").click()
    expect(mail.get_by_role("status")).to_have_text("Thank you: your address is confirmed.")
    page.get_by_role("button", name="Log out").click()
    is_guest(page)

    page.locator("#who").get_by_role("button").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Username or e-mail address").fill("ines@example.org")
    dialog.get_by_role("button", name="Forgot the password?").click()
    expect(dialog.get_by_role("status")).to_contain_text("a mail with a link is on its way")
    dialog.get_by_role("button", name="Close").click()
    mail.goto(link_of_mail(mesh, page, "ines@example.org", "/reset-password"))
    mail.get_by_label("New password").fill("another good one")
    mail.get_by_role("button", name="Set").click()
    expect(mail.get_by_role("status")).to_have_text("Your password is set: log in with it.")
    log_in(page, "ines")
    expect(dialog.get_by_role("alert")).to_contain_text(
        "Login or password is wrong. Look at both, or ask for a new password below."
    )
    dialog.get_by_label("Password").fill("another good one")
    page.keyboard.press("Enter")
    is_logged_in(page, "ines")


def test_a_page_of_another_site_gets_nowhere(guest: Watched, mesh: RunningMesh) -> None:
    page = guest.page()
    sign_up(page, "jan")
    other = guest.context.new_page()
    guest.excused += ["blocked by CORS policy", "net::ERR_FAILED", "415", "Failed to load resource"]
    other.route(
        "http://other.example/**", lambda route: route.fulfill(body="<!doctype html>", content_type="text/html")
    )
    other.goto("http://other.example/")
    sent: list[dict[str, str]] = []
    other.on("request", lambda request: sent.append(request.all_headers()) if "/graphql" in request.url else None)
    before = guest.context.cookies()[0]["value"]
    script = """async ([url, type]) => {
      const body = JSON.stringify({ query: "mutation { refresh(input: {}) { __typename } }" });
      const mode = type === "text/plain" ? "no-cors" : "cors";
      try {
        const answer = await fetch(url, { method: "POST", mode, credentials: "include", body,
          headers: { "Content-Type": type } });
        return answer.type;
      } catch { return "refused"; }
    }"""
    assert other.evaluate(script, [f"{mesh.url}/graphql", "application/json"]) == "refused"
    assert other.evaluate(script, [f"{mesh.url}/graphql", "text/plain"]) in ("opaque", "refused")
    assert [headers for headers in sent if "cookie" in headers] == []
    assert guest.context.cookies(f"{mesh.url}/graphql")[0]["value"] == before
    page.reload()
    is_logged_in(page, "jan")


def test_everything_can_be_done_by_keyboard_and_has_a_name(guest: Watched) -> None:
    page = guest.page()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("main")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_role("searchbox")).to_be_focused()
    page.keyboard.type("Piece 1-0")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_be_focused()
    assert nameless(page) == []
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Shift+Tab")
    expect(page.locator("#who").get_by_role("button", name="Log in")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_label("Username or e-mail address")).to_be_focused()
    assert nameless(page) == []
    page.keyboard.press("Escape")
    expect(page.locator("#who").get_by_role("button", name="Log in")).to_be_focused()
    sign_up(page, "kim")
    page.get_by_role("button", name="Use Piece 1-0 as seed").press("Enter")
    page.get_by_role("button", name="Play Piece 1-0 by Artist 1").press("Enter")
    expect(page.get_by_role("region", name="Player")).to_be_visible()
    assert nameless(page) == []


def test_it_speaks_korean_and_goes_dark(browser: Browser, mesh: RunningMesh) -> None:
    with visitor(browser, mesh.url, locale="ko-KR", color_scheme="dark") as guest:
        page = guest.page()
        assert page.evaluate("document.documentElement.lang") == "ko"
        expect(page.get_by_role("heading", level=1)).to_have_text("노래 한 곡으로 플레이리스트를")
        log_in(page, "nobody", "wrong password")
        expect(page.get_by_role("dialog").get_by_role("alert")).to_contain_text(
            "아이디 또는 비밀번호가 올바르지 않습니다. 다시 확인하거나"
        )
        page.keyboard.press("Escape")
        background = "getComputedStyle(document.body).backgroundColor"
        assert page.evaluate(background) == "rgb(22, 20, 29)"
        page.emulate_media(color_scheme="light")
        assert page.evaluate(background) == "rgb(251, 250, 255)"
        page.get_by_role("button", name="English").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("One song in, a playlist out")
        page.reload()
        settled(page)
        expect(page.get_by_role("button", name="한국어")).to_be_visible()
        page.goto(f"{mesh.url}/verify-email#token=none")
        expect(page.get_by_role("heading", level=1)).to_have_text("이메일 주소 확인")


def test_without_a_connection_it_says_so_and_what_to_do(guest: Watched) -> None:
    page = guest.page()
    guest.excused += ["net::ERR_INTERNET_DISCONNECTED"]
    guest.context.set_offline(True)
    page.get_by_role("searchbox").fill("anything")
    page.get_by_role("searchbox").press("Enter")
    expect(page.locator("main .problem")).to_have_text(
        "There is no connection. Look whether you are online, and try again."
    )
    guest.context.set_offline(False)
    page.get_by_role("link", name="Find", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("One song in, a playlist out")
    page.goto(f"{guest.url}/#/playlist/0190a000-0000-7000-8000-000000000001")
    expect(page.locator("main .problem")).to_contain_text(
        "There is no playlist here, or it is private. Log in if it is yours"
    )
    page.goto(f"{guest.url}/#/nowhere")
    expect(page.locator("main .problem")).to_contain_text("There is nothing at this address.")
