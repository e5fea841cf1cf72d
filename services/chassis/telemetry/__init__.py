"""What a process tells of itself: logs with request ids, metrics, and spans of one trace across processes."""

from services.chassis.telemetry.logs import REQUEST_ID_HEADER, begin_request, configure_logging, log_call, request_id
from services.chassis.telemetry.metrics import Metrics
from services.chassis.telemetry.process import told

__all__ = ["REQUEST_ID_HEADER", "Metrics", "begin_request", "configure_logging", "log_call", "request_id", "told"]
