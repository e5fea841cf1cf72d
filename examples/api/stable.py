"""Makes answers the same at every recording: ids, tokens, times and addresses get names of their own. Pure."""

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

HOME = "http://127.0.0.1:8080"
_BEGIN = datetime(2026, 1, 1, 12, tzinfo=UTC)
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
# What the page itself asks for: it stays.
_NOBODY = "00000000-0000-7000-8000-000000000000"
_JWT = re.compile(r"eyJ[\w-]{8,}\.[\w-]+\.[\w-]+")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|\+00:00)")
_SECRETS = frozenset({"refreshToken", "secret", "signature", "guest"})
_CURSORS = frozenset({"cursor", "endCursor", "startCursor"})
_PARAMETER = re.compile(r"\b(expires|signature|guest|nonce|access)=[^&]*")
_SLUG = re.compile(r"/p/[\w-]{22}")
_HEX = re.compile(r"\b[0-9a-f]{64}\b")


@dataclass
class Stabiliser:
    """Gives the same names to the same things over all answers of a recording.

    Args:
        home: Where the mesh was.
        started_at: When the recording began.
    """

    home: str
    started_at: datetime
    _uuids: dict[str, str] = field(default_factory=dict)
    _cursors: dict[str, str] = field(default_factory=dict)

    def answer(self, value: Any, name: str = "") -> Any:
        """Return an answer, or a part of it that stands under a name, as the page has it."""
        if isinstance(value, dict):
            return {key: self.answer(one, key) for key, one in value.items()}
        if isinstance(value, list):
            return [self.answer(one, name) for one in value]
        if isinstance(value, float):
            return round(value, 3)
        return self._text(value, name) if isinstance(value, str) else value

    def _text(self, text: str, name: str) -> str:
        if name in _SECRETS and text:
            return "…"
        if name in _CURSORS:
            return self._cursors.setdefault(text, f"cursor-{len(self._cursors) + 1}")
        if name == "Museed-Request-Id":
            return "4bf92f3577b34da6a3ce929d0e0e4736"
        if name == "Upload-Expires":
            return "Fri, 02 Jan 2026 12:00:00 GMT"
        text = _JWT.sub("eyJhbGciOiJFZERTQSIs…", text.replace(self.home, HOME))
        text = _UUID.sub(self._uuid, text)
        text = _TIME.sub(self._time, text)
        text = _SLUG.sub("/p/nQ3vXk0aR5mT2cYh7LbW9e", text)
        text = _HEX.sub("9f86d081884c7d65…", text)
        return _PARAMETER.sub(lambda found: f"{found[1]}={'1767269700' if found[1] == 'expires' else '…'}", text)

    def _uuid(self, found: re.Match[str]) -> str:
        if found[0] == _NOBODY:
            return _NOBODY
        return self._uuids.setdefault(found[0], f"019b7902-5c00-7000-8000-{len(self._uuids) + 1:012}")

    def _time(self, found: re.Match[str]) -> str:
        told = datetime.fromisoformat(found[0])
        minutes = round((told - self.started_at) / timedelta(minutes=1))
        return (_BEGIN + timedelta(minutes=minutes)).isoformat()
