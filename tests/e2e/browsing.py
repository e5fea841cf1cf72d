"""A real browser for tests: Debian's Chromium by playwright.

What its console complains of is kept, and what a policy stops.
"""

import contextlib
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Error,
    Locator,
    Page,
    Request,
    expect,
    sync_playwright,
)

PATIENCE_S = 120.0
_CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
# Without its background work, which looks for hosts that are not there.
_ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
)  # fmt: skip
_TELL_VIOLATIONS = """addEventListener("securitypolicyviolation", (event) =>
  console.error(`policy: ${event.violatedDirective} stopped ${event.blockedURI}`));"""
PASSWORD = "correct horse battery"


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """Run a browser; without one the test fails and says what to install."""
    assert Path(_CHROMIUM).exists(), "these tests need a browser: apt-get install chromium"
    expect.set_options(timeout=PATIENCE_S * 1000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_CHROMIUM, args=list(_ARGUMENTS))
        yield browser
        browser.close()


@dataclass
class Watched:
    """One visitor's browser, with its own cookies.

    Attributes:
        context: Of playwright.
        url: Of the mesh.
        complaints: Errors and warnings of the console, violations of policies, exceptions that nobody caught.
        excused: Parts of complaints that a test brought about on purpose.
    """

    context: BrowserContext
    url: str
    complaints: list[str] = field(default_factory=list)
    excused: list[str] = field(default_factory=list)

    def page(self, path: str = "/") -> Page:
        """Open a tab and wait until it shows something."""
        page = self.context.new_page()
        page.goto(self.url + path)
        settled(page)
        return page

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.text} ({message.location.get('url', '')})")

    def check(self) -> None:
        """Fail where the browser complained of something that no test brought about."""
        found = [one for one in self.complaints if not any(part in one for part in self.excused)]
        assert found == []


@contextlib.contextmanager
def visitor(browser: Browser, url: str, **options: Any) -> Iterator[Watched]:
    """Let somebody in who was never here; in the end nothing must have gone wrong in their browser."""
    with contextlib.closing(browser.new_context(**{"locale": "en-US", **options})) as context:
        context.set_default_timeout(PATIENCE_S * 1000)
        context.add_init_script(_TELL_VIOLATIONS)
        watched = Watched(context, url)
        context.on("console", watched._hear)
        context.on("weberror", lambda error: watched.complaints.append(str(error.error)))
        yield watched
        watched.check()


def reload_amid(page: Page) -> None:
    """Load a page anew and wait for no more than its first byte.

    Chromium refuses that in the instant in which the document is exchanged by the load before.
    """

    def reloaded() -> bool:
        try:
            page.reload(wait_until="commit")
        except Error as error:
            if "Not attached to an active page" not in error.message:
                raise
            return False
        return True

    eventually(page, reloaded)


def settled(page: Page) -> None:
    """Wait until a view is shown."""
    expect(page.locator("main:not([aria-busy]) > *").first).to_be_visible()


def eventually(page: Page, read: Callable[[], Any], is_good: Callable[[Any], bool] = bool) -> Any:
    """Wait for something that only a script can tell, and return it; the browser's events are heard meanwhile."""
    deadline = time.monotonic() + PATIENCE_S
    while not is_good(found := read()):
        assert time.monotonic() < deadline, found
        page.wait_for_timeout(50)
    return found


def sign_up(page: Page, name: str) -> None:
    """Make an account by the page's own form."""
    page.locator("#who").get_by_role("button").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="New here?").click()
    dialog.get_by_label("Username").fill(name)
    dialog.get_by_label("E-mail address").fill(f"{name}@example.org")
    dialog.get_by_label("Password").fill(PASSWORD)
    dialog.get_by_role("button", name="Sign up", exact=True).click()
    expect(page.locator("#nickname")).to_have_text(name)
    settled(page)


def log_in(page: Page, name: str, password: str = PASSWORD) -> None:
    """Log in by the page's own form."""
    page.locator("#who").get_by_role("button").click()
    dialog = page.get_by_role("dialog")
    dialog.locator("input[name=login]").fill(name)
    dialog.locator("input[name=password]").fill(password)
    dialog.locator("button[type=submit]").click()


def search(page: Page, text: str) -> Locator:
    """Search by the page's own form and return the row of the track of that very title."""
    page.get_by_role("searchbox").fill(text)
    page.get_by_role("searchbox").press("Enter")
    row = page.locator("li.track").filter(has=page.get_by_text(text, exact=True))
    expect(row).to_be_visible()
    settled(page)
    return row


def ranges_of(page: Page, path: str) -> list[tuple[int, int]]:
    """Note from now on where the answers to requests for audio began: status and first byte."""
    found: list[tuple[int, int]] = []

    def note(request: Request) -> None:
        if path in request.url and request.resource_type == "media":
            asked = request.all_headers().get("range", "bytes=0-")
            answer = request.response()
            found.append((answer.status if answer else 0, int(asked.removeprefix("bytes=").partition("-")[0])))

    page.on("requestfinished", note)
    page.on("requestfailed", note)  # a player that seeks drops what it was reading
    return found
