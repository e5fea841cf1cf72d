import asyncio

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from services.chassis.errors import DomainError
from services.embedder.errors import AudioSilent, EmbedderBusy
from services.embedder.metrics import EmbedderMetrics, embedder_metrics

# Everything that a label may be called: none of them holds an id of a track, a request or a person.
LABELS = {"lane", "cause", "reason", "outcome", "le", "encoder_id", "name", "device", "precision", "dimension"}


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


def end(metrics: EmbedderMetrics, error: BaseException | None = None) -> None:
    with metrics.file("bulk") as notes:
        notes.audio_seconds = 30.0
        if error is not None:
            raise error


def files(registry: CollectorRegistry) -> dict[str, float]:
    samples = (sample for metric in registry.collect() for sample in metric.samples)
    return {one.labels["outcome"]: one.value for one in samples if one.name == "museed_embedder_files_total"}


@pytest.mark.parametrize(
    ("error", "outcome", "reason"),
    [
        (AudioSilent("quiet"), "refused", "AUDIO_SILENT"),
        (EmbedderBusy("full"), "failed", "EMBEDDER_BUSY"),
        (RuntimeError("broken"), "failed", "INTERNAL"),
        (asyncio.CancelledError(), "cancelled", None),
    ],
)
def test_file_counts_by_what_it_raises(
    registry: CollectorRegistry, error: BaseException, outcome: str, reason: str | None
) -> None:
    with pytest.raises(type(error)):
        end(embedder_metrics(registry), error)
    assert files(registry) == {outcome: 1}
    labels = {"lane": "bulk", "reason": reason or ""}
    found = registry.get_sample_value("museed_embedder_refusals_total", labels)
    assert found == (1 if reason else None)
    assert registry.get_sample_value("museed_embedder_embedded_audio_seconds_total", {"lane": "bulk"}) is None


def test_embedded_file_counts_its_seconds(registry: CollectorRegistry) -> None:
    metrics = embedder_metrics(registry)
    end(metrics)
    end(metrics)
    assert files(registry) == {"embedded": 2}
    assert registry.get_sample_value("museed_embedder_embedded_audio_seconds_total", {"lane": "bulk"}) == 60


def test_without_a_registry_everything_is_taken_and_nothing_counted() -> None:
    metrics = embedder_metrics(None)
    tell_everything(metrics)
    with pytest.raises(DomainError):
        end(metrics, AudioSilent("quiet"))


def tell_everything(metrics: EmbedderMetrics) -> None:
    metrics.queued("bulk", 3, 25.5)
    metrics.waited("interactive", 0.02)
    metrics.dropped("interactive", "expired")
    metrics.batched(4, 40.0, 0.005)
    metrics.model_ran(0.2)
    metrics.model_failed()
    metrics.aggregated(0.001)
    metrics.decoded(0.4)
    metrics.decoder_started()
    metrics.decoder_lost("DECODER_LOST")
    metrics.file_ended("bulk", "embedded", 180.0)
    metrics.refused("bulk", "NOT_AUDIO")
    metrics.unwanted()
    metrics.model_loaded("museed-mini-0123", "museed-mini", "cpu", "fp16", 400)


def test_names_follow_the_conventions_and_labels_are_bounded(registry: CollectorRegistry) -> None:
    tell_everything(embedder_metrics(registry))
    for metric in registry.collect():
        assert metric.name.startswith("museed_embedder_")
        assert metric.documentation.endswith(".")
        assert metric.type != "gauge" or not metric.name.endswith("_total")
        for sample in metric.samples:
            assert set(sample.labels) <= LABELS
    text = generate_latest(registry).decode()
    for line in (
        'museed_embedder_queue_audio_seconds{lane="bulk"} 25.5',
        'museed_embedder_batch_audio_seconds_bucket{le="40.0"} 1.0',
        "museed_embedder_batch_audio_seconds_sum 40.0",
        'museed_embedder_decoder_losses_total{reason="DECODER_LOST"} 1.0',
        'museed_embedder_dropped_total{cause="expired",lane="interactive"} 1.0',
        "museed_embedder_unwanted_total 1.0",
    ):
        assert line in text
