"""Checks references at the border and turns them into what is compared."""

import numpy as np

from museed.retriever.v1 import reference_pb2
from services.chassis import vectors
from services.chassis.errors import InvalidArgument
from services.retriever.reference.reference import MAX_WINDOW_S, Reference
from services.retriever.reference.segments import Float64Array, Windows, voiced
from services.retriever.request_errors import MissingInput, ReferenceUnusable, SizeMismatch, shown
from services.retriever.servicer.filter_requests import MAX_TEXT
from services.retriever.servicer.limits import counted, texts, within
from services.retriever.similarity import Float32Array

MAX_WINDOWS = 720
DEFAULT_WINDOW_S, MIN_WINDOW_S = 10.0, 0.1
# Twelve hours.
MAX_DURATION_S = 43_200
_MIN_HOP_S = 0.01
_SHORTEST_MEAN = 1e-3
MAX_TAGS = 50
_DIGEST_BYTES = 32


def check_times(request: reference_pb2.MatchReferenceRequest) -> None:
    """Check all of the times that can be checked without an index.

    Raises:
        OutOfRange: One is beyond its limits, or no number.
    """
    within("window_seconds", request.window_seconds or DEFAULT_WINDOW_S, MIN_WINDOW_S, MAX_WINDOW_S)
    within("hop_seconds", request.hop_seconds or DEFAULT_WINDOW_S, _MIN_HOP_S, MAX_WINDOW_S)
    within("duration_seconds", request.duration_seconds, 0, MAX_DURATION_S)


def check_windows(request: reference_pb2.MatchReferenceRequest) -> None:
    """Check in what way the windows are given, and how many tags there are.

    Raises:
        InvalidArgument: WINDOWS_AMBIGUOUS: both windows and their blob are given.
        SizeMismatch: The digest is none.
        CountOutOfRange, MissingInput, TextTooLong: The tags are too many, blank or too long.
    """
    if request.windows and request.windows_digest:
        raise InvalidArgument("give windows or windows_digest", reason="WINDOWS_AMBIGUOUS", field="windows_digest")
    if request.windows_digest and len(request.windows_digest) != _DIGEST_BYTES:
        raise SizeMismatch("windows_digest", len(request.windows_digest), _DIGEST_BYTES)
    texts("tags", request.tags, MAX_TEXT, MAX_TAGS)


def reference(
    request: reference_pb2.MatchReferenceRequest, dimension: int, kept: Float32Array | None = None
) -> Reference:
    """Return what is looked for; 720 windows of 1,024 dimensions take 10 ms.

    Args:
        request: Of checked times.
        dimension: Of the index.
        kept: The windows, where the request names their blob.

    Raises:
        MissingInput: There are no windows.
        InvalidArgument: DIMENSION_MISMATCH, VECTOR_NOT_UNIT.
        OutOfRange: There are more than 720 windows or 12 hours, or one begins after the end of the reference.
        ReferenceUnusable: REFERENCE_SILENT: no window was heard; REFERENCE_CANCELS: they have no mean.
    """
    rows = _rows(request.windows, dimension) if kept is None else kept
    counted("windows", len(rows), MAX_WINDOWS)
    starts, ends = _times_s(request, len(rows))
    heard = voiced(rows)
    if not len(heard):
        raise ReferenceUnusable("all windows of the reference are silent", field="windows", value=len(rows))
    windows = Windows(_units(rows, heard), starts[heard], ends[heard])
    seconds = (ends - starts)[heard]
    if request.vector:
        given = vectors.decode(request.vector, dimension)
        vector = (given / np.linalg.norm(given)).astype(np.float32)
    else:
        vector = _mean(windows.vectors, seconds)
    return Reference(windows, seconds, vector, request.window_seconds or DEFAULT_WINDOW_S)


def _rows(data: bytes, dimension: int) -> Float32Array:
    """Read the windows, shape (n, dim), float32."""
    if not data:
        raise MissingInput("windows", f"give 1 to {MAX_WINDOWS}")
    row_bytes = 4 * dimension
    if len(data) % row_bytes:
        raise InvalidArgument(
            f"windows has {len(data)} bytes, a multiple of {row_bytes} is expected for {dimension} dimensions",
            reason="DIMENSION_MISMATCH",
            field="windows",
            value=len(data),
            limit=row_bytes,
        )
    return np.frombuffer(data, dtype="<f4").astype(np.float32).reshape(-1, dimension)


def _units(rows: Float32Array, heard: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Float32Array:
    norms = np.linalg.norm(rows[heard], axis=1)
    # Written so that NaN is refused too.
    wrong = heard[~(np.abs(norms - 1.0) <= vectors.NORM_TOLERANCE)]
    if len(wrong):
        number = int(wrong[0])
        norm = float(np.linalg.norm(rows[number]))
        raise InvalidArgument(
            f"windows[{number}] has norm {shown(norm)}, 1 ± {vectors.NORM_TOLERANCE} or 0 is expected",
            reason="VECTOR_NOT_UNIT",
            field=f"windows[{number}]",
            value=shown(norm),
            limit=vectors.NORM_TOLERANCE,
        )
    units: Float32Array = rows[heard] / norms[:, np.newaxis]
    return units


def _times_s(request: reference_pb2.MatchReferenceRequest, count: int) -> tuple[Float64Array, Float64Array]:
    window_s = request.window_seconds or DEFAULT_WINDOW_S
    starts = np.arange(count, dtype=np.float64) * (request.hop_seconds or window_s)
    ends: Float64Array = starts + window_s
    if request.duration_seconds:
        if starts[-1] >= request.duration_seconds:
            seconds, start = shown(request.duration_seconds), shown(starts[-1])
            raise InvalidArgument(
                f"duration_seconds is {seconds}, window {count - 1} begins at {start}",
                reason="OUT_OF_RANGE",
                field="duration_seconds",
                value=seconds,
                limit=start,
            )
        ends = np.minimum(ends, request.duration_seconds)
    if ends[-1] > MAX_DURATION_S:
        raise InvalidArgument(
            f"the {count} windows end at {shown(ends[-1])} s, {MAX_DURATION_S} s is the longest",
            reason="OUT_OF_RANGE",
            field="windows",
            value=f"{shown(ends[-1])} s",
            limit=MAX_DURATION_S,
        )
    return starts, ends


def _mean(units: Float32Array, seconds: Float64Array) -> Float32Array:
    mean = np.average(units.astype(np.float64), axis=0, weights=seconds)
    length = float(np.linalg.norm(mean))
    if length < _SHORTEST_MEAN:
        raise ReferenceUnusable(
            f"the windows cancel each other out: their mean has length {shown(length)}; give the reference's vector",
            reason="REFERENCE_CANCELS",
            field="windows",
            value=shown(length),
            limit=_SHORTEST_MEAN,
        )
    unit: Float32Array = (mean / length).astype(np.float32)
    return unit
