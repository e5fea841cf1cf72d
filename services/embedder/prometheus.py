"""The embedder's metrics in Prometheus's own form: names, units and buckets."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info

from services.embedder.metrics import EmbedderMetrics

# A window is 10 s: from a rest of 3 s to a batch of 128 windows.
_AUDIO_SECONDS = (3.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 640.0, 1280.0)
_ITEMS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
# From one window on a GPU to a full batch of a large model on a CPU.
_MODEL_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
# From a batch that is there at once to a queue that is full of bulk work.
_WAIT_SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
# A three-minute song takes about half a second, two hours some ten; the limit is two minutes.
_DECODE_SECONDS = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
_AGGREGATE_SECONDS = (0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5)
# Why a decoding process ends at work.
_LOSSES = ("AUDIO_CORRUPT", "DECODE_LIMIT", "DECODER_LOST")


class CountedEmbedder(EmbedderMetrics):
    """Counts into a registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"museed_embedder_{name}", text, labels, registry=registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"museed_embedder_{name}", text, labels, registry=registry)

        def histogram(name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
            return Histogram(f"museed_embedder_{name}", text, labels, buckets=buckets, registry=registry)

        self._queue_items = gauge("queue_items", "Items that wait for the model.", "lane")
        self._queue_audio = gauge("queue_audio_seconds", "Seconds of audio that wait for the model.", "lane")
        self._queue_wait = histogram("queue_wait_seconds", "How long an item waited.", _WAIT_SECONDS, "lane")
        self._dropped = counter("dropped_total", "Items that left the queue unheard.", "lane", "cause")
        self._batch_items = histogram("batch_items", "Items of a batch.", _ITEMS)
        self._batch_audio = histogram("batch_audio_seconds", "Seconds of audio of a batch.", _AUDIO_SECONDS)
        self._batch_gather = histogram(
            "batch_gather_seconds", "How long a batch's first item waited for others.", _MODEL_SECONDS
        )
        self._model = histogram("model_seconds", "How long the model worked on a batch.", _MODEL_SECONDS)
        self._model_failures = counter("model_failures_total", "Items on which the model failed.")
        self._aggregate = histogram(
            "aggregate_seconds", "How long a track's vector took, after its windows' were there.", _AGGREGATE_SECONDS
        )
        self._decode = histogram("decode_seconds", "How long a file's decoding was waited for.", _DECODE_SECONDS)
        self._decoder_starts = counter("decoder_starts_total", "Decoding processes that were started.")
        self._decoder_losses = counter("decoder_losses_total", "Decoding processes that died at work.", "reason")
        for reason in _LOSSES:  # from the start: several at once would be where a series begins, which no rate sees
            self._decoder_losses.labels(reason)
        self._files = counter("files_total", "Files by what became of them.", "lane", "outcome")
        self._audio = counter("embedded_audio_seconds_total", "Seconds of audio that were embedded.", "lane")
        self._refusals = counter("refusals_total", "Files that were not embedded.", "lane", "reason")
        self._unwanted = counter("unwanted_total", "Work that nobody waited for any more.")
        self._model_info = Info("museed_embedder_model", "What is served.", registry=registry)

    def queued(self, lane: str, items: int, audio_seconds: float) -> None:
        """Set the depth of a lane."""
        self._queue_items.labels(lane).set(items)
        self._queue_audio.labels(lane).set(audio_seconds)

    def waited(self, lane: str, seconds: float) -> None:
        """Count a wait."""
        self._queue_wait.labels(lane).observe(seconds)

    def dropped(self, lane: str, cause: str) -> None:
        """Count an item that left the queue."""
        self._dropped.labels(lane, cause).inc()

    def batched(self, items: int, audio_seconds: float, gather_seconds: float) -> None:
        """Count a batch."""
        self._batch_items.observe(items)
        self._batch_audio.observe(audio_seconds)
        self._batch_gather.observe(gather_seconds)

    def model_ran(self, seconds: float) -> None:
        """Count a run of the model."""
        self._model.observe(seconds)

    def model_failed(self) -> None:
        """Count a failure of the model."""
        self._model_failures.inc()

    def aggregated(self, seconds: float) -> None:
        """Count a track's vector."""
        self._aggregate.observe(seconds)

    def decoded(self, seconds: float) -> None:
        """Count a decoding."""
        self._decode.observe(seconds)

    def decoder_started(self) -> None:
        """Count a start."""
        self._decoder_starts.inc()

    def decoder_lost(self, reason: str) -> None:
        """Count a loss."""
        self._decoder_losses.labels(reason).inc()

    def file_ended(self, lane: str, outcome: str, audio_seconds: float) -> None:
        """Count a file."""
        self._files.labels(lane, outcome).inc()
        if outcome == "embedded":
            self._audio.labels(lane).inc(audio_seconds)

    def refused(self, lane: str, reason: str) -> None:
        """Count a refusal."""
        self._refusals.labels(lane, reason).inc()

    def unwanted(self) -> None:
        """Count work that was not wanted."""
        self._unwanted.inc()

    def model_loaded(self, encoder_id: str, name: str, device: str, precision: str, dimension: int) -> None:
        """Describe what is served."""
        self._model_info.info(
            {
                "encoder_id": encoder_id,
                "name": name,
                "device": device,
                "precision": precision,
                "dimension": str(dimension),
            }
        )
