"""Signs and checks the short-lived addresses of audio, so that `<audio src>` works without a header. Pure."""

import hashlib
import hmac
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from services.chassis.errors import PermissionDenied

_CONTEXT = "museed stream v1"
_PARAMETERS = ("expires", "session", "guest", "signature")


@dataclass(frozen=True, slots=True)
class StreamGrant:
    """What a good signature proves: a session that the address is bound to, empty for a guest's."""

    session_id: str


class StreamSigner:
    """Signs with HMAC-SHA256 over track, session or guest nonce, and expiry.

    Args:
        key: At least 32 bytes, the same in every replica.
        lifetime_s: How long an address is good.
        clock: Seconds since the epoch.
    """

    def __init__(self, key: bytes, lifetime_s: int, clock: Callable[[], float] = time.time) -> None:
        self._key = key
        self._lifetime_s = lifetime_s
        self._clock = clock

    def query(self, track_id: str, *, session_id: str = "", guest_nonce: str = "") -> str:
        """Return the query string that opens a track's audio until it expires.

        Args:
            track_id: The track.
            session_id: Session whose end also ends the address.
            guest_nonce: Any text, where there is no session.
        """
        expires = int(self._clock()) + self._lifetime_s
        who = {"session": session_id} if session_id else {"guest": guest_nonce}
        signature = self._sign(track_id, session_id, "" if session_id else guest_nonce, str(expires))
        return urlencode({"expires": expires, **who, "signature": signature})

    def verify(self, track_id: str, query: Mapping[str, str]) -> StreamGrant:
        """Check the query of a stream address. Whether the session still lives is for the caller to ask.

        Raises:
            PermissionDenied: SIGNATURE_INVALID or URL_EXPIRED.
        """
        expires, session_id, nonce, signature = (query.get(name, "") for name in _PARAMETERS)
        wanted = self._sign(track_id, session_id, nonce, expires)
        if not hmac.compare_digest(wanted.encode(), signature.encode()) or bool(session_id) == bool(nonce):
            raise PermissionDenied("the signature of this address is not valid", reason="SIGNATURE_INVALID")
        if int(expires) < self._clock():
            raise PermissionDenied(
                "this address has expired, ask for a new one", reason="URL_EXPIRED", field="expires", value=expires
            )
        return StreamGrant(session_id)

    def _sign(self, track_id: str, session_id: str, nonce: str, expires: str) -> str:
        # Lengths before the parts: no two different sets of parts sign the same text.
        parts = [_CONTEXT, track_id, session_id, nonce, expires]
        text = "".join(f"{len(part)}:{part}" for part in parts)
        digest = hmac.new(self._key, text.encode(errors="surrogatepass"), hashlib.sha256).digest()
        return urlsafe_b64encode(digest).rstrip(b"=").decode()
