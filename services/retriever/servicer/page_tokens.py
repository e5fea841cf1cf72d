"""Turns the place where a page of hits ended into an opaque text, and reads it back."""

import base64
import hashlib
import math
import struct

from services.retriever.request_errors import PageTokenInvalid, PageTokenMismatch
from services.retriever.search import MAX_HITS, Cursor

MAX_TOKEN = 1000
_DIGEST_BYTES = 16
# Version, digest of the query, hits served, score; the id of the last hit comes behind.
_HEAD = struct.Struct(f"<B{_DIGEST_BYTES}sHd")
_VERSION = 1
# A cosine less a mean cosine.
_MAX_SCORE = 2.0


def query_digest(query: bytes) -> bytes:
    """Return the digest by which a query is known again, 16 bytes."""
    return hashlib.sha256(query).digest()[:_DIGEST_BYTES]


def encode(end: Cursor, digest: bytes) -> str:
    """Return the token of the page after this one.

    It is not signed: a forged one makes its bearer see another part of hits that are theirs to see, at the same cost.

    Args:
        end: Where this page ended.
        digest: Of the query.
    """
    data = _HEAD.pack(_VERSION, digest, end.served, end.score) + end.track_id.encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def digest_of(token: str) -> bytes:
    """Return the digest of the query that a token belongs to, which `decode` has read."""
    return bytes(_HEAD.unpack_from(_data(token))[1])


def decode(token: str, digest: bytes) -> Cursor:
    """Read a token.

    Args:
        token: What the caller sent.
        digest: Of the query that it came with.

    Raises:
        PageTokenInvalid: It is no token of ours.
        PageTokenMismatch: It belongs to another query.
    """
    if len(token) > MAX_TOKEN:
        raise PageTokenInvalid(token, MAX_TOKEN)
    try:
        data = _data(token)
        version, digest_of_token, served, score = _HEAD.unpack_from(data)
        track_id = data[_HEAD.size :].decode()
    except (ValueError, struct.error) as error:
        raise PageTokenInvalid(token, MAX_TOKEN) from error
    # NaN is no score either.
    if version != _VERSION or not 0 < served < MAX_HITS or not math.fabs(score) <= _MAX_SCORE or not track_id:
        raise PageTokenInvalid(token, MAX_TOKEN)
    if digest_of_token != digest:
        raise PageTokenMismatch(token)
    return Cursor(served, score, track_id)


def _data(token: str) -> bytes:
    return base64.b64decode(token.encode() + b"=" * (-len(token) % 4), altchars=b"-_", validate=True)
