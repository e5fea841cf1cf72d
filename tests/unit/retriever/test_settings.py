"""Settings that would fail much later are refused at the start."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from services.retriever.settings import RetrieverSettings


def settings(**changes: object) -> RetrieverSettings:
    fields = {"social_address": "127.0.0.1:1", "encoder_id": "enc", "snapshot_folder": Path("snapshots")}
    return RetrieverSettings(**(fields | changes))  # type: ignore[arg-type]  # any setting


@pytest.mark.parametrize("url", ["", "file:///blobs", "s3://bucket/prefix"])
def test_a_blob_store_is_a_folder_or_s3_or_none(url: str) -> None:
    assert settings(blob_store_url=url).blob_store_url == url


@pytest.mark.parametrize(
    "wrong", [{"blob_store_url": "/blobs"}, {"blob_store_url": "http://blobs"}, {"window_cache_bytes": -1}]
)
def test_what_is_none_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        settings(**wrong)
