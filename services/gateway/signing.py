"""Signs and checks short-lived addresses of audio and other bytes: `<audio src>` works without a header. Pure."""

import hashlib
import hmac
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlencode

from services.chassis.errors import PermissionDenied

_CONTEXT = "museed stream v1"
_PARAMETERS = ("expires", "session", "guest", "signature")


@dataclass(frozen=True, slots=True)
class StreamGrant:
    """What a good signature proves.

    Attributes:
        session_id: The session that the address is bound to; empty for a guest's.
        facts: What else was signed.
    """

    session_id: str
    facts: Mapping[str, str] = field(default_factory=dict)


class StreamSigner:
    """Signs with HMAC-SHA256 over subject, session or guest nonce, expiry, and facts.

    Args:
        key: At least 32 bytes, the same in every replica.
        lifetime_s: How long an address is good.
        clock: Seconds since the epoch.
    """

    def __init__(self, key: bytes, lifetime_s: int, clock: Callable[[], float] = time.time) -> None:
        self._key = key
        self._lifetime_s = lifetime_s
        self._clock = clock

    def query(
        self, subject: str, *, session_id: str = "", guest_nonce: str = "", facts: Mapping[str, str] | None = None
    ) -> str:
        """Return the query string that opens something until it expires.

        Args:
            subject: What it opens: a track's id, or for other things their kind before it, as "upload 0190…".
            session_id: Session whose end also ends the address.
            guest_nonce: Any text, where there is no session.
            facts: What was known of it when the address was made, by parameter; read again by `verify`.
        """
        expires = int(self._clock()) + self._lifetime_s
        who = {"session": session_id} if session_id else {"guest": guest_nonce}
        known = dict(facts or {})
        nonce = "" if session_id else guest_nonce
        signature = self._sign(subject, session_id, nonce, str(expires), *known.values())
        return urlencode({"expires": expires, **who, **known, "signature": signature})

    def verify(self, subject: str, query: Mapping[str, str], facts: Sequence[str] = ()) -> StreamGrant:
        """Check the query of an address. Whether the session still lives is for the caller to ask.

        Args:
            subject: As it was signed.
            query: Parameters of the address.
            facts: Names of those that were signed, in their order.

        Raises:
            PermissionDenied: SIGNATURE_INVALID or URL_EXPIRED.
        """
        expires, session_id, nonce, signature = (query.get(name, "") for name in _PARAMETERS)
        known = {name: query.get(name, "") for name in facts}
        wanted = self._sign(subject, session_id, nonce, expires, *known.values())
        if not hmac.compare_digest(wanted.encode(), signature.encode()) or bool(session_id) == bool(nonce):
            raise PermissionDenied("the signature of this address is not valid", reason="SIGNATURE_INVALID")
        if int(expires) < self._clock():
            raise PermissionDenied(
                "this address has expired, ask for a new one", reason="URL_EXPIRED", field="expires", value=expires
            )
        return StreamGrant(session_id, known)

    def _sign(self, *signed: str) -> str:
        # Lengths before the parts: no two different sets of parts sign the same text.
        text = "".join(f"{len(part)}:{part}" for part in (_CONTEXT, *signed))
        digest = hmac.new(self._key, text.encode(errors="surrogatepass"), hashlib.sha256).digest()
        return urlsafe_b64encode(digest).rstrip(b"=").decode()
