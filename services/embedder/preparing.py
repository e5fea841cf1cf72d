"""Makes ready what hears: the encoder, warm, and the queue before it."""

import logging
import time

from services.chassis.errors import DomainError
from services.embedder.batcher import Batcher
from services.embedder.choice import load_encoder
from services.embedder.metrics import EmbedderMetrics
from services.embedder.model import ServedEncoder
from services.embedder.runtimes import warm_up
from services.embedder.settings import EncodingSettings

logger = logging.getLogger(__name__)


def make_batcher(chosen: EncodingSettings, encoder: ServedEncoder, metrics: EmbedderMetrics | None = None) -> Batcher:
    """Make the queue before an encoder."""
    return Batcher(
        encoder,
        max_batch_seconds=chosen.max_batch_seconds,
        max_delay_ms=chosen.max_batch_delay_ms,
        max_queued_seconds=chosen.max_queued_seconds,
        metrics=metrics,
    )


def prepare_encoder(chosen: EncodingSettings) -> ServedEncoder:
    """Load the encoder and run it, so that the first caller does not wait for that; blocks.

    Raises:
        SystemExit: It cannot be loaded; the text says what to do.
    """
    began = time.monotonic()
    try:
        encoder = load_encoder(
            chosen.encoder,
            artifacts_folder=chosen.artifact_folder,
            muq_folder=chosen.muq_folder,
            threads=chosen.model_threads,
            runtime=chosen.runtime,
            precision=chosen.precision,
            is_compiled=chosen.torch_compile,
        )
    except DomainError as error:
        raise SystemExit(f"{error.reason}: {error.message}") from error
    except OSError as error:
        text = f"EMBEDDER_ARTIFACT_FOLDER: no encoder can be made at {error.filename}: {error.strerror}"
        raise SystemExit(text) from error
    chosen.check_room(encoder.manifest.window_seconds)
    loaded = time.monotonic()
    warm_up(encoder, chosen.max_batch_seconds, is_compiled=chosen.torch_compile)
    logger.info(
        "encoder_loaded",
        extra={
            "encoder_id": encoder.manifest.encoder_id,
            "device": encoder.device,
            "runtime": encoder.runtime,
            "precision": encoder.precision,
            "load_s": round(loaded - began, 2),
            "warm_up_s": round(time.monotonic() - loaded, 2),
        },
    )
    return encoder
