"""Ids in both of their forms."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.chassis.errors import InvalidArgument
from services.gateway.ids import decode_global_id, decode_id, encode_global_id

UUID = "0190a000-0000-7000-8000-00000000abcd"


@pytest.mark.parametrize(
    "value", [UUID, UUID.upper(), encode_global_id("Track", UUID), encode_global_id("Track", UUID.upper())]
)
def test_both_forms_mean_the_same_track(value: str) -> None:
    assert decode_id(value, "Track", "id") == UUID


def encoded(text: bytes) -> str:
    return base64.b64encode(text).decode()


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("", "ID_INVALID"),
        ("nonsense", "ID_INVALID"),
        (UUID[:-1], "ID_INVALID"),
        (UUID + "\n", "ID_INVALID"),
        (UUID.replace("-", ""), "ID_INVALID"),
        (f"{{{UUID}}}", "ID_INVALID"),
        (encoded(UUID.encode()), "ID_INVALID"),
        (encoded(b"Track:"), "ID_INVALID"),
        (encoded(b"Track:1"), "ID_INVALID"),
        (encoded(f":{UUID}".encode()), "ID_INVALID"),
        (encoded(f"Track:{UUID}:x".encode()), "ID_INVALID"),
        (encoded(b"Track:\xff"), "ID_INVALID"),
        (encode_global_id("Track", UUID) + " ", "ID_INVALID"),
        (encode_global_id("Playlist", UUID), "ID_OF_ANOTHER_TYPE"),
        (encode_global_id("track", UUID), "ID_OF_ANOTHER_TYPE"),
    ],
)
def test_anything_else_is_refused_by_name(value: str, reason: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        decode_id(value, "Track", "seeds[0].trackId")
    assert (caught.value.reason, caught.value.field, caught.value.value) == (reason, "seeds[0].trackId", value)


@given(st.text(max_size=80))
def test_no_text_does_more_than_be_refused(value: str) -> None:
    with pytest.raises(InvalidArgument):
        decode_id(value, "Track", "id")


@given(st.sampled_from(["Track", "Playlist", "Job", "User"]), st.uuids())
def test_global_ids_come_back_as_they_were(kind: str, uuid: object) -> None:
    assert decode_global_id(encode_global_id(kind, str(uuid)), "id") == (kind, str(uuid))
