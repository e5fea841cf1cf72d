"""Logs as JSON lines with the request id that crosses gRPC and NATS, and the trace at hand where spans are recorded."""

import logging
import sys
from contextvars import ContextVar

from pythonjsonlogger.json import JsonFormatter
from uuid_utils.compat import uuid7

from services.chassis.telemetry import tracing

REQUEST_ID_HEADER = "museed-request-id"
_MAX_REQUEST_ID_LENGTH = 64

logger = logging.getLogger(__name__)

_request_id: ContextVar[str] = ContextVar("request_id", default="")


def request_id() -> str:
    """Return the id of the request that this task serves; empty outside of one."""
    return _request_id.get()


def begin_request(incoming: str | None) -> str:
    """Bind this task to a request: the caller's id where it sent a sane one, else a new one."""
    sane = incoming is not None and 0 < len(incoming) <= _MAX_REQUEST_ID_LENGTH and incoming.isascii()
    chosen = incoming if sane and incoming is not None and incoming.isprintable() else str(uuid7())
    _request_id.set(chosen)
    return chosen


def log_call(method: str, code: str, reason: str, seconds: float) -> None:
    """Write the line of a call that was answered for somebody's request, by which that is followed through the mesh."""
    fields = {"method": method, "code": code, "duration_ms": round(1000 * seconds, 1)}
    logger.info("rpc", extra=fields | ({"reason": reason} if reason else {}))


class _RequestIdFilter(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = _request_id.get()
        if (ids := tracing.ids()) is not None:
            record.trace_id, record.span_id = ids
        return True


def configure_logging(service: str, level: str = "INFO") -> None:
    """Send every log record of this process to stderr as one JSON object a line."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        JsonFormatter(
            "%(asctime)s %(levelname)s %(name)s %(message)s %(request_id)s",
            rename_fields={"asctime": "time", "levelname": "level", "name": "logger", "message": "event"},
            static_fields={"service": service},
        )
    )
    handler.addFilter(_RequestIdFilter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.captureWarnings(True)
