"""Processes that cannot start: one line that says why, and status 1."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import faiss
import pytest

ROOT = Path(__file__).parents[3]


@pytest.fixture
def taken() -> Iterator[str]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield f"127.0.0.1:{listener.getsockname()[1]}"


def said(service: str, folder: Path, **changes: str) -> str:
    """Start a process that cannot start; return what it says but for gRPC's own lines and those that log no error."""
    environment = {
        "NATS_URL": "nats://127.0.0.1:1",
        "RETRIEVER_LISTEN": "127.0.0.1:0",
        "RETRIEVER_SOCIAL_ADDRESS": "127.0.0.1:1",
        "RETRIEVER_ENCODER_ID": "encoder-1",
        "RETRIEVER_SNAPSHOT_FOLDER": str(folder / "snapshots"),
        "EMBEDDER_SOCIAL_ADDRESS": "127.0.0.1:1",
        "EMBEDDER_BLOB_STORE_URL": f"file://{folder}/blobs",
        "GATEWAY_URL_SIGNING_KEY": "x" * 40,
        "GATEWAY_BLOB_STORE_URL": f"file://{folder}/blobs",
    }
    ended = subprocess.run(
        [sys.executable, "-m", f"services.{service}"],
        cwd=ROOT,
        env=os.environ | environment | changes,
        stderr=subprocess.PIPE,
        timeout=60,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    lines = [line for line in ended.stderr.splitlines() if "add_port.cc" not in line]
    return "\n".join(line for line in lines if line[0] != "{" or json.loads(line)["level"] == "ERROR")


@pytest.mark.parametrize("service", ["retriever", "embedder"])
def test_a_taken_port_is_told_in_one_line(service: str, taken: str, tmp_path: Path) -> None:
    told = said(service, tmp_path, **{f"{service.upper()}_LISTEN": taken})
    assert told == f"cannot listen on {taken}: is the port taken by another process?"


def test_the_gateways_taken_port_too(taken: str, tmp_path: Path) -> None:
    told = said("gateway", tmp_path, GATEWAY_LISTEN=taken)
    assert told == f"cannot listen on {taken} (Address already in use): is the port taken by another process?"


@pytest.mark.skipif(hasattr(faiss, "StandardGpuResources"), reason="this FAISS can use a GPU")
def test_a_kind_of_index_without_its_gpu_is_told_in_one_line(tmp_path: Path) -> None:
    told = said("retriever", tmp_path, RETRIEVER_INDEX="gpu-flat")
    assert told.startswith("NO_GPU: ")
    assert len(told.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_made_is_told_in_one_line(tmp_path: Path) -> None:
    told = said("retriever", tmp_path, RETRIEVER_SNAPSHOT_FOLDER="/proc/nope")
    assert told == "RETRIEVER_SNAPSHOT_FOLDER: /proc/nope cannot be used: No such file or directory"
