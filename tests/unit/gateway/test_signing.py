"""Signed addresses: every part is signed, and time ends them."""

from urllib.parse import parse_qs, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.chassis.errors import PermissionDenied
from services.gateway.signing import StreamGrant, StreamSigner

TRACK = "0190a000-0000-7000-8000-000000000001"
KEY = b"k" * 32
NOW = 1_700_000_000.0


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


def signer(clock: Clock | None = None, key: bytes = KEY) -> StreamSigner:
    return StreamSigner(key, 900, clock or Clock())


def fields(query: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(query, strict_parsing=True).items()}


def test_a_session_gets_an_address_bound_to_it() -> None:
    query = fields(signer().query(TRACK, session_id="session-1", guest_nonce="unused"))
    assert set(query) == {"expires", "session", "signature"}
    assert query["expires"] == "1700000900"
    assert signer().verify(TRACK, query) == StreamGrant("session-1")


def test_a_guest_gets_one_bound_to_nothing() -> None:
    query = fields(signer().query(TRACK, guest_nonce="nonce"))
    assert set(query) == {"expires", "guest", "signature"}
    assert signer().verify(TRACK, query) == StreamGrant("")


def tampered(query: dict[str, str]) -> dict[str, dict[str, str]]:
    swapped = {("guest" if name == "session" else name): value for name, value in query.items()}
    return {
        "later": query | {"expires": "1800000000"},
        "earlier": query | {"expires": "1700000899"},
        "same time otherwise": query | {"expires": "01700000900"},
        "no time": query | {"expires": ""},
        "another session": query | {"session": "session-2"},
        "a guest instead": swapped,
        "a guest too": query | {"guest": "nonce"},
        "nobody": {name: value for name, value in query.items() if name != "session"},
        "shorter": query | {"signature": query["signature"][:-1]},
        "padded": query | {"signature": query["signature"] + "="},
        "flipped": query | {"signature": ("A" if query["signature"][0] != "A" else "B") + query["signature"][1:]},
        "none": query | {"signature": ""},
        "not ASCII": query | {"signature": "ü" * 43},
        "half a character": query | {"session": "\ud800"},
        "shifted": query | {"session": "session-", "expires": "11700000900"},
        "nothing": {},
    }


@pytest.mark.parametrize("name", tampered({"signature": "x" * 43}))
def test_tampering_is_noticed(name: str) -> None:
    query = tampered(fields(signer().query(TRACK, session_id="session-1")))[name]
    with pytest.raises(PermissionDenied) as caught:
        signer().verify(TRACK, query)
    assert caught.value.reason == "SIGNATURE_INVALID"


def test_an_address_is_for_one_track_and_one_key() -> None:
    query = fields(signer().query(TRACK, session_id="session-1"))
    for other, track_id in ((signer(), TRACK[:-1] + "2"), (signer(key=b"l" * 32), TRACK)):
        with pytest.raises(PermissionDenied, match="not valid"):
            other.verify(track_id, query)


def test_an_address_ends_after_fifteen_minutes() -> None:
    clock = Clock()
    query = fields(signer(clock).query(TRACK, session_id="session-1"))
    clock.now = NOW + 900
    assert signer(clock).verify(TRACK, query) == StreamGrant("session-1")
    clock.now = NOW + 901
    with pytest.raises(PermissionDenied) as caught:
        signer(clock).verify(TRACK, query)
    assert caught.value.reason == "URL_EXPIRED"


def test_facts_are_signed_and_read_again() -> None:
    query = fields(signer().query("upload 1", session_id="session-1", facts={"digest": "ab", "type": "audio/ogg"}))
    assert set(query) == {"expires", "session", "digest", "type", "signature"}
    names = ("digest", "type")
    found = signer().verify("upload 1", query, names)
    assert found == StreamGrant("session-1", {"digest": "ab", "type": "audio/ogg"})
    without = {name: value for name, value in query.items() if name != "type"}
    changed = [query | {"digest": "abc"}, query | {"digest": "aba", "type": "udio/ogg"}, without]
    for subject, wrong, read in [("upload 1", one, names) for one in changed] + [
        ("upload 2", query, names),
        ("upload 1", query, ("digest",)),
        ("upload 1", query, ("type", "digest")),
        ("upload 1", query, ()),
    ]:
        with pytest.raises(PermissionDenied) as caught:
            signer().verify(subject, wrong, read)
        assert caught.value.reason == "SIGNATURE_INVALID"


@given(st.dictionaries(st.sampled_from(["expires", "session", "guest", "signature"]), st.text(max_size=50)))
def test_no_made_up_query_opens_anything(query: dict[str, str]) -> None:
    with pytest.raises(PermissionDenied):
        signer().verify(TRACK, query)


@given(st.text(min_size=1, alphabet=st.characters(exclude_categories=["Cs"])))
def test_any_session_id_survives_the_address(session_id: str) -> None:
    query = signer().query(TRACK, session_id=session_id)
    assert signer().verify(TRACK, fields(query)) == StreamGrant(session_id)
    assert urlencode(fields(query)) == query
