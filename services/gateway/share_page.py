"""GET and HEAD /p/{slug}: a shared playlist as a page that needs no script, and that chats and networks can preview."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from html import escape
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from museed.social.v1 import accounts_pb2, catalog_pb2, editing_pb2, playlists_pb2
from services.chassis.errors import DomainError, Internal
from services.gateway.context import Parts, RequestContext
from services.gateway.covers.addresses import may_have_cover
from services.gateway.errors import http_status
from services.gateway.schema.playlist_format import PlaylistFormat, export_url
from services.gateway.share_texts import Texts, texts_for

# Audio elements on a page; the rest is told by number.
MOST_TRACKS = 100
_LONGEST_PREVIEW = 300
_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:44em;margin:2em auto;padding:0 1em;color:#222;background:#fff}"
    "h1{margin-bottom:0}.by{margin-top:0;color:#666}.about{white-space:pre-line}ol{padding-left:2em}"
    "li{margin:.4em 0}li span{color:#666}audio{display:block;width:100%;height:2em}"
)
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()


def content_policy(public_url: str) -> str:
    """Return the page's Content-Security-Policy: its own style, and audio and pictures of this mesh; no script."""
    parts = urlsplit(public_url)
    own = "'self'" + (f" {parts.scheme}://{parts.netloc}" if parts.scheme in ("http", "https") and parts.netloc else "")
    return (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; media-src {own}; img-src {own}; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


class SharePage:
    """The route of shared playlists.

    Args:
        parts: The parts of the process.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._headers = {
            "Content-Security-Policy": content_policy(parts.settings.public_url),
            # It holds addresses of audio that end.
            "Cache-Control": "private, no-cache",
            "Vary": "Accept-Language",
        }

    async def handle(self, request: Request) -> Response:
        """Answer with the page; people who follow a link get a page as well when there is none."""
        texts = texts_for(request.headers.get("accept-language", ""))
        context = RequestContext(self._parts)
        context.forget_sender()
        try:
            page, is_listed = await self._page(request, context, texts)
        except Internal:
            raise
        except DomainError as error:
            return self._answer(_refusal(error, texts), http_status(error), is_listed=False)
        return self._answer(page, 200, is_listed=is_listed)

    async def _page(self, request: Request, context: RequestContext, texts: Texts) -> tuple[str, bool]:
        slug = request.path_params["slug"]
        found = await context.call(
            self._parts.upstream.editing.GetPlaylistBySlug, editing_pb2.GetPlaylistBySlugRequest(share_slug=slug)
        )
        shown = found.entries[:MOST_TRACKS]
        tracks = await context.loaders.tracks.load_many(list(dict.fromkeys(entry.track_id for entry in shown)))
        owner = await context.loaders.users.load(found.playlist.owner_id)
        public_url = self._parts.settings.public_url or str(request.base_url).rstrip("/")
        page = _playlist_page(
            context,
            found.playlist,
            shown,
            {track.track_id: track for track in tracks if track is not None},
            owner,
            public_url,
            texts,
        )
        return page, found.playlist.visibility == playlists_pb2.VISIBILITY_PUBLIC

    def _answer(self, page: str, status: int, *, is_listed: bool) -> Response:
        # Who knows the link may read it; a search engine would tell everybody.
        robots = {} if is_listed else {"X-Robots-Tag": "noindex"}
        return HTMLResponse(page, status_code=status, headers=self._headers | robots)


def _playlist_page(
    context: RequestContext,
    playlist: playlists_pb2.Playlist,
    entries: Sequence[playlists_pb2.PlaylistEntry],
    tracks: Mapping[str, catalog_pb2.Track],
    owner: accounts_pb2.User | None,
    base_url: str,
    texts: Texts,
) -> str:
    url = f"{base_url}/p/{playlist.share_slug}"
    by = texts.by(owner.nickname if owner else "")
    summary = " · ".join(filter(None, (by, texts.count(playlist.entry_count), texts.length(playlist.duration_seconds))))
    about = playlist.description or summary
    tags = {
        "og:type": "music.playlist",
        "og:site_name": "MUSEED",
        "og:title": playlist.title,
        "og:description": _shortened(about),
        "og:url": url,
        "og:locale": texts.locale,
    }
    pictured = (each for each in entries if each.track_id in tracks and may_have_cover(tracks[each.track_id]))
    if first := next(pictured, None):
        tags["og:image"] = f"{base_url}/tracks/{first.track_id}/cover"
    head = [f'<meta property="{name}" content="{escape(value)}">' for name, value in tags.items()]
    head.append('<meta name="twitter:card" content="summary">')
    head.append(f'<meta name="description" content="{escape(_shortened(about))}">')
    head.append(f'<link rel="canonical" href="{escape(url)}">')
    if playlist.visibility != playlists_pb2.VISIBILITY_PUBLIC:
        head.append('<meta name="robots" content="noindex">')
    rows = [_row(context, tracks[entry.track_id]) for entry in entries if entry.track_id in tracks]
    left_out = playlist.entry_count - len(entries)
    files = " · ".join(
        f'<a href="{escape(export_url(context, playlist.playlist_id, each))}">{each.name}</a>'
        for each in PlaylistFormat
    )
    body = [
        f"<h1><bdi>{escape(playlist.title)}</bdi></h1>",
        f'<p class="by"><bdi>{escape(summary)}</bdi></p>',
        f'<p class="about"><bdi>{escape(playlist.description)}</bdi></p>' if playlist.description else "",
        f"<ol>{''.join(rows)}</ol>",
        f"<p>{escape(texts.more(left_out))}</p>" if left_out > 0 else "",
        f"<p>{escape(texts.take_along)}: {files}</p>",
    ]
    return _document(playlist.title, head, body, texts)


def _row(context: RequestContext, track: catalog_pb2.Track) -> str:
    artist = f" <span><bdi>{escape(track.artist)}</bdi></span>" if track.artist else ""
    minutes, seconds = divmod(round(track.duration_seconds), 60)
    return (
        f"<li><bdi>{escape(track.title)}</bdi>{artist} <span>{minutes}:{seconds:02}</span>"
        f'<audio controls preload="none" src="{escape(context.stream_url(track.track_id))}"></audio></li>'
    )


def _refusal(error: DomainError, texts: Texts) -> str:
    said = texts.not_found if http_status(error) == 404 else texts.unavailable
    return _document(said, ['<meta name="robots" content="noindex">'], [f"<h1>{escape(said)}</h1>"], texts)


def _document(title: str, head: Sequence[str], body: Sequence[str], texts: Texts) -> str:
    return (
        f'<!doctype html>\n<html lang="{texts.language}" prefix="og: https://ogp.me/ns# music: '
        'https://ogp.me/ns/music#">\n<head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)} · MUSEED</title>\n{chr(10).join(head)}\n<style>{_STYLE}</style></head>\n"
        f"<body><main>\n{chr(10).join(filter(None, body))}\n</main></body></html>\n"
    )


def _shortened(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_PREVIEW else line[: _LONGEST_PREVIEW - 1] + "…"
