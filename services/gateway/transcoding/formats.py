"""What `format` and `maxBitRate` ask for, and whether the original is that already. Pure."""

from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import version

from services.chassis.errors import InvalidArgument

# In kbit/s. What is asked for is rounded down to one of them, so that a cache holds few of each track.
BIT_RATES = (32, 48, 64, 96, 128, 160, 192, 256, 320)


class AudioFormat(StrEnum):
    """What a stream may be sent as."""

    RAW = "raw"
    MP3 = "mp3"
    OGG = "ogg"
    FLAC = "flac"


_TYPES = {
    AudioFormat.MP3: "audio/mpeg",
    AudioFormat.OGG: "audio/ogg",
    AudioFormat.FLAC: "audio/flac",
}
_ALIASES = {
    "audio/mp3": AudioFormat.MP3,
    "audio/mpeg": AudioFormat.MP3,
    "audio/ogg": AudioFormat.OGG,
    "audio/opus": AudioFormat.OGG,
    "application/ogg": AudioFormat.OGG,
    "audio/flac": AudioFormat.FLAC,
    "audio/x-flac": AudioFormat.FLAC,
}
_USUAL_KBPS = {AudioFormat.MP3: 192, AudioFormat.OGG: 128, AudioFormat.FLAC: 0}
# What decides over the bytes that come out: our own way of asking for them, which counts up, and FFmpeg in av's wheel.
_WAY = f"1-av{version('av')}"
# A file has a little more than its sound.
_TOLERANCE = 1.03


@dataclass(frozen=True, slots=True)
class Original:
    """What there is: content type, bytes, and seconds, 0 where they are not known."""

    content_type: str
    size_bytes: int
    seconds: float = 0.0

    def fits(self, kbps: int) -> bool:
        """Say whether it is known to take no more than so many kbit/s on average."""
        return self.seconds > 0 and 8 * self.size_bytes <= _TOLERANCE * 1000 * kbps * self.seconds


@dataclass(frozen=True, slots=True)
class Target:
    """What to make of it: a format, and kbit/s, 0 for FLAC, which loses nothing."""

    format: AudioFormat
    kbps: int

    @property
    def content_type(self) -> str:
        """As HTTP calls it."""
        return _TYPES[self.format]

    @property
    def name(self) -> str:
        """Another one for other bytes, of letters, digits, "." and "-": "mp3-128-1-av17.0.0"."""
        return f"{self.format.value}-{self.kbps}-{_WAY}"


def choose(wanted_format: str | None, max_bit_rate: str | None, original: Original) -> Target | None:
    """Return what to make of a file, None where it is sent as it is.

    Args:
        wanted_format: `format` of the query, None where it is not given: MP3, if the original is too large.
        max_bit_rate: `maxBitRate` of the query, in kbit/s.
        original: The file.

    Raises:
        InvalidArgument: FORMAT_UNKNOWN or BIT_RATE_OUT_OF_RANGE.
    """
    limit = None if max_bit_rate is None else _kbps(max_bit_rate)
    if wanted_format is None:
        if limit is None or original.fits(limit):
            return None
        return Target(AudioFormat.MP3, _step(limit))
    try:
        wanted = AudioFormat(wanted_format.lower())
    except ValueError:
        known = " ".join(AudioFormat)
        raise InvalidArgument(
            f"there is no format {wanted_format[:20]!r}, there are {known}",
            reason="FORMAT_UNKNOWN",
            field="format",
            value=wanted_format,
            limit=known,
        ) from None
    if wanted is AudioFormat.RAW:
        return None
    if wanted is AudioFormat.FLAC and limit is not None:
        raise InvalidArgument(
            "flac loses nothing and takes what it takes: leave maxBitRate out",
            reason="BIT_RATE_OUT_OF_RANGE",
            field="maxBitRate",
            value=max_bit_rate,
        )
    is_that_already = _ALIASES.get(original.content_type) is wanted
    if is_that_already and (limit is None or original.fits(limit)):
        return None
    return Target(wanted, _USUAL_KBPS[wanted] if limit is None else _step(limit))


def check_query(wanted: AudioFormat | None, max_bit_rate: int | None) -> str:
    """Return what to add to a signed address, so that it is sent as that.

    Raises:
        InvalidArgument: BIT_RATE_OUT_OF_RANGE.
    """
    named = None if wanted is None else wanted.value
    rate = None if max_bit_rate is None else str(max_bit_rate)
    choose(named, rate, Original("", 0))
    return ("" if named is None else f"&format={named}") + ("" if rate is None else f"&maxBitRate={rate}")


def _kbps(text: str) -> int:
    low, high = BIT_RATES[0], BIT_RATES[-1]
    # As many digits as the highest has: int() takes digits of every script, and thousands of them.
    number = int(text) if text.isascii() and text.isdigit() and len(text) <= 4 else 0
    if not low <= number <= high:
        raise InvalidArgument(
            f"maxBitRate is {text[:20]!r}, {low} to {high} kbit/s are made",
            reason="BIT_RATE_OUT_OF_RANGE",
            field="maxBitRate",
            value=text,
            limit=f"{low}..{high}",
        )
    return number


def _step(limit: int) -> int:
    return max(rate for rate in BIT_RATES if rate <= limit)
