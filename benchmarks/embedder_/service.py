"""Starts the embedder as the process that it is, with a stand-in for social that only tells the keys of tokens."""

import asyncio
import contextlib
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import grpc
import psutil
from grpc_health.v1 import health_pb2, health_pb2_grpc

from museed.social.v1 import accounts_pb2, accounts_pb2_grpc
from tests.conftest import free_port
from tests.fakes.tokens import TokenSigner

_START_S = 60
_MIB = 1 << 20


class _Keys(accounts_pb2_grpc.AccountServiceServicer):
    def __init__(self, jwks: str) -> None:
        self._jwks = jwks

    def GetJwks(self, request: object, context: object) -> accounts_pb2.GetJwksResponse:
        return accounts_pb2.GetJwksResponse(jwks=self._jwks)

    def ListRevokedSessions(self, request: object, context: object) -> accounts_pb2.ListRevokedSessionsResponse:
        return accounts_pb2.ListRevokedSessionsResponse()


def keys_of(signer: TokenSigner) -> accounts_pb2_grpc.AccountServiceServicer:
    """Return a stand-in for social that only tells a signer's keys."""
    return _Keys(asyncio.run(signer.jwks()))


@dataclass(frozen=True, slots=True)
class Service:
    """A running embedder: where it listens, tokens that it takes, its blob store, its metrics and its process."""

    address: str
    user_token: str
    job_token: str
    blob_store_url: str
    metrics_url: str
    process: psutil.Process
    ready_s: float

    def encoded_s(self) -> float:
        """Return the seconds of sound that went through the model."""
        with urllib.request.urlopen(self.metrics_url, timeout=10) as page:
            counted = re.search(rb"^museed_embedder_batch_audio_seconds_sum (\S+)", page.read(), re.MULTILINE)
        return float(counted[1]) if counted else 0.0

    def cpu_s(self) -> float:
        """Return the core-seconds that the process and its living children have used."""
        found = 0.0
        for process in [self.process, *self.process.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                found += times.user + times.system
        return found

    def memory_mib(self) -> float:
        """Return the resident memory of the process and its children, shared pages counted once."""
        found = 0.0
        for process in [self.process, *self.process.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                found += process.memory_full_info().pss / _MIB
        return found


@contextlib.contextmanager
def running_service(**settings: str | int | float) -> Iterator[Service]:
    """Run an embedder until the context ends.

    Args:
        settings: EMBEDDER_* settings by their names in lower case, without the prefix.
    """
    signer = TokenSigner()
    keys = grpc.server(ThreadPoolExecutor(1))
    accounts_pb2_grpc.add_AccountServiceServicer_to_server(keys_of(signer), keys)
    keys_port = keys.add_insecure_port("127.0.0.1:0")
    keys.start()
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="museed-bench-") as folder, (Path(folder) / "log").open("wb") as log:
        chosen = {
            "listen": f"127.0.0.1:{port}",
            "social_address": f"127.0.0.1:{keys_port}",
            "blob_store_url": f"file://{folder}/blobs",
            "artifact_folder": f"{folder}/artifacts",
            "log_level": "WARNING",
            "metrics_listen": f"127.0.0.1:{free_port()}",
        } | settings
        began = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, "-m", "services.embedder"],
            # Nobody listens on the discard port: no work comes from NATS.
            env=os.environ
            | {f"EMBEDDER_{name.upper()}": str(value) for name, value in chosen.items()}
            | {"NATS_URL": "nats://127.0.0.1:9"},
            stdout=log,
            stderr=log,
        )
        try:
            await_ready(f"127.0.0.1:{port}", process, Path(folder) / "log")
            yield Service(
                f"127.0.0.1:{port}",
                signer.token(),
                signer.job_token(),
                str(chosen["blob_store_url"]),
                f"http://{chosen['metrics_listen']}/metrics",
                psutil.Process(process.pid),
                time.monotonic() - began,
            )
        finally:
            process.terminate()
            process.wait(30)
            keys.stop(None)


def await_ready(address: str, process: "subprocess.Popen[bytes]", log: Path, timeout_s: float = _START_S) -> None:
    """Wait until a process says SERVING; blocks.

    Raises:
        SystemExit: It ended, with its log, or it did not say so in time.
    """
    deadline = time.monotonic() + timeout_s
    with grpc.insecure_channel(address) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise SystemExit(f"the service ended:\n{log.read_text()}")
            with contextlib.suppress(grpc.RpcError):
                answer = health.Check(health_pb2.HealthCheckRequest(), timeout=1)
                if answer.status == health_pb2.HealthCheckResponse.SERVING:
                    return
            time.sleep(0.02)
    raise SystemExit("the service was not ready in time")
