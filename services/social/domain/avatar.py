"""Draws a person's taste as a ring of genres, in SVG: the same taste is always the same picture, byte by byte."""

import hashlib
import math
from collections.abc import Sequence

from services.social.domain.genres import GENRES
from services.social.domain.ranges import Share

# One colour for each genre, in their order: hues apart, all readable on light and on dark.
PALETTE = (
    "#2f7ed8", "#7a5fd0", "#d0402f", "#e86fb0", "#6f9a3a", "#3fa796", "#e0a126", "#17a2b8",
    "#8c5a2b", "#5b6fae", "#1f4e9e", "#b0417a", "#8a8f98", "#c9782b", "#a58b5b", "#57b36a",
)  # fmt: skip
_COLOURS = dict(zip(GENRES, PALETTE, strict=True))
_NEUTRAL = "#c3c8cf"
_SIZE = 256
_CENTRE = _SIZE / 2
_OUTER, _INNER = 120.0, 72.0
# In degrees; narrower ones are still seen.
_GAP = 2.0
# Shares are rounded to it: a picture does not change with every play.
_STEPS = 200


def draw(listened: Sequence[Share]) -> bytes:
    """Draw the ring.

    Args:
        listened: Shares of genres; empty draws a ring of no taste.

    Returns:
        SVG in UTF-8, of numbers and fixed words alone, below 8 KiB. Genres stand in the order of their table, clockwise
        from the top; the dot in the middle has the colour of the largest.
    """
    segments = _steps(listened)
    marks = _ring(segments) if segments else [_circle((_OUTER + _INNER) / 2, _NEUTRAL, _OUTER - _INNER)]
    top = max(segments, key=lambda one: (one[1], -GENRES.index(one[0])))[0] if segments else None
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_SIZE} {_SIZE}" width="{_SIZE}" height="{_SIZE}" '
        'role="img">',
        *marks,
        f'<circle cx="{_CENTRE:g}" cy="{_CENTRE:g}" r="36" fill="{_COLOURS[top] if top else _NEUTRAL}"/>',
        "</svg>",
    ]
    return ("\n".join(lines) + "\n").encode()


def etag_of(svg: bytes) -> str:
    """Return a mark that another picture does not have: 32 hexadecimal digits."""
    return hashlib.sha256(svg).hexdigest()[:32]


def _steps(listened: Sequence[Share]) -> list[tuple[str, int]]:
    """Return whole parts of 200 by genre, in the table's order; rests go to the largest remainders."""
    kept = sorted((one for one in listened if one.name in _COLOURS), key=lambda one: GENRES.index(one.name))
    total = sum(one.count for one in kept)
    if not total:
        return []
    floors = {one.name: one.count * _STEPS // total for one in kept}
    by_rest = sorted(kept, key=lambda one: (-(one.count * _STEPS % total), GENRES.index(one.name)))
    for one in by_rest[: _STEPS - sum(floors.values())]:
        floors[one.name] += 1
    return [(one.name, floors[one.name]) for one in kept if floors[one.name] > 0]


def _ring(segments: Sequence[tuple[str, int]]) -> list[str]:
    if len(segments) == 1:
        return [_circle((_OUTER + _INNER) / 2, _COLOURS[segments[0][0]], _OUTER - _INNER)]
    marks, begin = [], 0.0
    for genre, steps in segments:
        end = begin + 360.0 * steps / _STEPS
        gap = min(_GAP, (end - begin) / 2)
        marks.append(_segment(begin + gap / 2, end - gap / 2, _COLOURS[genre]))
        begin = end
    return marks


def _segment(begin: float, end: float, colour: str) -> str:
    """Return a part of the ring between two angles, in degrees clockwise from the top."""
    large = 1 if end - begin > 180 else 0
    a, b = _point(_OUTER, begin), _point(_OUTER, end)
    c, d = _point(_INNER, end), _point(_INNER, begin)
    outer, inner = f"A{_OUTER:g} {_OUTER:g} 0 {large} 1 {b}", f"A{_INNER:g} {_INNER:g} 0 {large} 0 {d}"
    return f'<path d="M{a} {outer} L{c} {inner} Z" fill="{colour}"/>'


def _circle(radius: float, colour: str, width: float) -> str:
    return (
        f'<circle cx="{_CENTRE:g}" cy="{_CENTRE:g}" r="{radius:g}" fill="none" stroke="{colour}" '
        f'stroke-width="{width:g}"/>'
    )


def _point(radius: float, degrees: float) -> str:
    angle = math.radians(degrees)
    # Two digits: a hundredth of a pixel, far above any difference between platforms' sine.
    return f"{_CENTRE + radius * math.sin(angle):.2f} {_CENTRE - radius * math.cos(angle):.2f}"
