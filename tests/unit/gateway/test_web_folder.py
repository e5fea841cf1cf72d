"""A folder of files as a web client: what of it is served, how, and what is refused at the start."""

from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr
from starlette.applications import Starlette

from services.chassis.errors import NotFound
from services.gateway.settings import GatewaySettings
from services.gateway.web_folder import WebFolder, web_client

PAGE = "<!doctype html><title>A page</title>"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "views" / "deep").mkdir(parents=True)
    (tmp_path / "index.html").write_text(PAGE)
    (tmp_path / "app.js").write_text("export {};")
    (tmp_path / "views" / "deep" / "one.css").write_text("a { color: red }")
    (tmp_path / "notes.txt").write_text("not for the web")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "config.json").write_text("{}")
    return tmp_path


async def ask(folder: Path, path: str, method: str = "GET", **headers: str) -> httpx.Response:
    transport = httpx.ASGITransport(Starlette(routes=list(WebFolder(folder).routes())))
    async with httpx.AsyncClient(transport=transport, base_url="http://museed.test") as client:
        return await client.request(method, path, headers=headers)


def settings(folder: str) -> GatewaySettings:
    return GatewaySettings(url_signing_key=SecretStr("k" * 32), web_folder=folder)


@pytest.mark.parametrize(
    ("path", "content_type", "text"),
    [
        ("/", "text/html; charset=utf-8", PAGE),
        ("/web/index.html", "text/html; charset=utf-8", PAGE),
        ("/web/app.js", "text/javascript; charset=utf-8", "export {};"),
        ("/web/views/deep/one.css", "text/css; charset=utf-8", "a { color: red }"),
    ],
)
async def test_files_are_served_with_a_policy_that_allows_nothing_inline(
    folder: Path, path: str, content_type: str, text: str
) -> None:
    answer = await ask(folder, path)
    assert (answer.status_code, answer.headers["content-type"], answer.text) == (200, content_type, text)
    policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == policy["media-src"] == "'self'"
    assert policy["require-trusted-types-for"] == "'script'"
    assert "unsafe" not in answer.headers["content-security-policy"]
    head = await ask(folder, path, "HEAD")
    assert (head.content, head.headers["content-length"]) == (b"", str(len(text)))


async def test_what_has_not_changed_is_not_sent_again(folder: Path) -> None:
    etag = (await ask(folder, "/web/app.js")).headers["etag"]
    again = await ask(folder, "/web/app.js", **{"If-None-Match": etag})
    assert (again.status_code, again.content, again.headers["cache-control"]) == (304, b"", "no-cache")
    (folder / "app.js").write_text("export const other = 1;")
    assert (await ask(folder, "/web/app.js", **{"If-None-Match": etag})).status_code == 200


@pytest.mark.parametrize(
    "path",
    ["notes.txt", ".git/config.json", "none.js", "", "../index.html", "..%2fnotes.txt", "views/../app.js", "views"],
)
async def test_nothing_else_is_served(folder: Path, path: str) -> None:
    with pytest.raises(NotFound, match="there is nothing here"):
        await ask(folder, f"/web/{path.replace('..', '%2e%2e')}")


def test_a_folder_without_a_page_ends_the_start(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"^GATEWAY_WEB_FOLDER: .* has no index\.html$"):
        web_client(settings(str(tmp_path)))
    with pytest.raises(SystemExit, match=r"^GATEWAY_WEB_FOLDER: .* has no index\.html$"):
        web_client(settings(str(tmp_path / "nowhere")))
    assert web_client(settings("")) == []


def test_a_folder_that_nobody_would_load_ends_the_start(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.gateway.web_folder._MOST_BYTES", 40)
    with pytest.raises(SystemExit, match="has more than 1000 files or 40 bytes"):
        web_client(settings(str(folder)))
