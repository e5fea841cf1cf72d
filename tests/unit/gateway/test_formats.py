"""What `format` and `maxBitRate` make of a file."""

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.chassis.errors import InvalidArgument
from services.gateway.transcoding.formats import BIT_RATES, AudioFormat, Original, Target, check_query, choose

# 320 kbit/s and 100 kbit/s over 100 s.
LARGE_MP3 = Original("audio/mpeg", 4_000_000, 100.0)
SMALL_MP3 = Original("audio/mpeg", 1_250_000, 100.0)
FLAC = Original("audio/flac", 9_000_000, 100.0)
UNKNOWN = Original("audio/mpeg", 1_250_000)


@pytest.mark.parametrize(
    ("original", "wanted", "rate", "target"),
    [
        (LARGE_MP3, None, None, None),
        (LARGE_MP3, "raw", "32", None),
        (LARGE_MP3, "mp3", None, None),
        (LARGE_MP3, None, "320", None),
        (LARGE_MP3, None, "310", "mp3-256"),
        (LARGE_MP3, "MP3", "129", "mp3-128"),
        (LARGE_MP3, "ogg", None, "ogg-128"),
        (LARGE_MP3, "flac", None, "flac-0"),
        (SMALL_MP3, None, "100", None),
        (SMALL_MP3, None, "98", None),
        (SMALL_MP3, None, "96", "mp3-96"),
        (SMALL_MP3, "ogg", "320", "ogg-320"),
        (FLAC, "flac", None, None),
        (FLAC, None, "192", "mp3-192"),
        (FLAC, "mp3", None, "mp3-192"),
        (UNKNOWN, None, "320", "mp3-320"),
        (UNKNOWN, "mp3", None, None),
        (UNKNOWN, "mp3", "32", "mp3-32"),
    ],
)
def test_file_is_sent_as_it_is_where_that_is_good_enough(
    original: Original, wanted: str | None, rate: str | None, target: str | None
) -> None:
    found = choose(wanted, rate, original)
    assert (None if found is None else found.name) == (None if target is None else f"{target}-1-av{av.__version__}")


@pytest.mark.parametrize("rate", ["", "0", "31", "321", "-64", "64.0", "٦٤", "9" * 5000, " 64"])
def test_other_bit_rates_are_refused_with_the_bounds(rate: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        choose("mp3", rate, FLAC)
    assert (refused.value.reason, refused.value.field, refused.value.limit) == (
        "BIT_RATE_OUT_OF_RANGE",
        "maxBitRate",
        "32..320",
    )


def test_other_formats_are_refused_with_those_that_there_are() -> None:
    for name in ("", "wav", "../mp3", "m" * 1000):
        with pytest.raises(InvalidArgument) as refused:
            choose(name, None, FLAC)
        assert (refused.value.reason, refused.value.limit) == ("FORMAT_UNKNOWN", "raw mp3 ogg flac")
    with pytest.raises(InvalidArgument, match="loses nothing"):
        choose("flac", "128", LARGE_MP3)


@given(st.none() | st.sampled_from([*AudioFormat]) | st.text(max_size=5), st.none() | st.integers(0, 400).map(str))
def test_whatever_is_asked_for_there_are_few_targets(wanted: str | None, rate: str | None) -> None:
    try:
        target = choose(wanted, rate, FLAC)
    except InvalidArgument:
        return
    if target is not None:
        assert target.kbps in (0, *BIT_RATES)
        assert rate is None or target.kbps <= int(rate)
        assert target.name == Target(target.format, target.kbps).name


def test_addresses_say_what_is_wanted() -> None:
    assert check_query(None, None) == ""
    assert check_query(AudioFormat.OGG, 64) == "&format=ogg&maxBitRate=64"
    with pytest.raises(InvalidArgument):
        check_query(None, 1000)
