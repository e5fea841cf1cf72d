"""How long a gateway worker takes from its start to its first answer, what it computes for that, and its memory."""

import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

import psutil

from benchmarks.retrieval.run import Row
from tests.conftest import free_port

_LONGEST_S = 120


def measure(starts: int) -> list[Row]:
    """Start it several times, with nobody behind it; blocks."""
    found = [_start() for _ in range(starts)]
    seconds, computed, mib = (statistics.median(each) for each in zip(*found, strict=True))
    return [
        Row(f"a worker's start to its first answer, median of {starts}", f"{seconds:.1f} s, {computed:.1f} s computed"),
        Row("a worker's memory then", f"{mib:.0f} MiB"),
    ]


def _start() -> tuple[float, float, float]:
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        environment = {
            "GATEWAY_LISTEN": f"127.0.0.1:{port}",
            "GATEWAY_SOCIAL_ADDRESS": "127.0.0.1:9",
            "GATEWAY_RETRIEVER_ADDRESS": "127.0.0.1:9",
            "GATEWAY_BLOB_STORE_URL": f"file://{folder}/blobs",
            "GATEWAY_URL_SIGNING_KEY": "k" * 32,
            "NATS_URL": "nats://127.0.0.1:9",
        }
        began = time.monotonic()
        with subprocess.Popen(
            [sys.executable, "-m", "services.gateway"], env=os.environ | environment, stderr=subprocess.DEVNULL
        ) as process:
            try:
                while not _answers(port):
                    if process.poll() is not None or time.monotonic() - began > _LONGEST_S:
                        raise SystemExit("the gateway does not start")
                    time.sleep(0.02)
                seconds, seen = time.monotonic() - began, psutil.Process(process.pid)
                times = seen.cpu_times()
                return seconds, times.user + times.system, seen.memory_info().rss / 2**20
            finally:
                process.terminate()


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5):
            return True
    except (urllib.error.URLError, OSError):
        return False
