"""Manifests, ids of documents, and what is refused by them."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from services.chassis.errors import NotFound, PermissionDenied
from services.gateway import trust
from services.gateway.settings import GatewaySettings
from services.gateway.trust import trusted_documents
from services.gateway.trusted import TrustedDocuments, document_id, read_manifest

ME = "{ me { email } }"
ID = hashlib.sha256(ME.encode()).hexdigest()
KEY = "a signing key of at least 32 bytes"


def apollo(digest: Any) -> dict[str, Any]:
    return {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": digest}}}


@pytest.mark.parametrize(
    "request_",
    [
        {"documentId": f"sha256:{ID}"},
        {"documentId": ID},
        {"documentId": f"sha256:{ID.upper()}"},
        {"documentId": ID, "query": None},
        apollo(ID),
    ],
    ids=["prefixed", "bare", "upper case", "with null", "Apollo's"],
)
def test_documents_are_found_by_their_digest(request_: dict[str, Any]) -> None:
    documents = TrustedDocuments({document_id(ME): ME})
    documents.fill_in(request_)
    assert request_["query"] == ME
    assert documents.refusal(request_["query"]) is None


@pytest.mark.parametrize(
    "request_",
    [
        {"documentId": "0" * 64},
        {"documentId": ""},
        {"documentId": "x" * 100_000},
        {"documentId": f"md5:{ID}"},
        apollo("0" * 64),
    ],
    ids=["unknown", "empty", "long", "another digest", "Apollo's"],
)
def test_unknown_ids_are_told(request_: dict[str, Any]) -> None:
    documents = TrustedDocuments({ID: ME})
    documents.fill_in(request_)
    refusal = documents.refusal(request_["query"])
    assert isinstance(refusal, NotFound)
    assert refusal.reason == "DOCUMENT_UNKNOWN"
    # Whoever sends the text that stands for it asks for that text.
    assert documents.refusal("".join(list(request_["query"]))) is None


@pytest.mark.parametrize(
    "request_",
    [{}, {"documentId": 5}, {"extensions": []}, {"extensions": {"persistedQuery": None}}, apollo(None), apollo([])],
)
def test_what_names_nothing_is_left_alone(request_: dict[str, Any]) -> None:
    before = json.dumps(request_)
    TrustedDocuments({ID: ME}).fill_in(request_)
    assert json.dumps(request_) == before


def test_a_text_that_comes_along_is_the_one_that_counts() -> None:
    request: dict[str, Any] = {"query": "{ stats { trackCount } }", "documentId": ID}
    TrustedDocuments({ID: ME}).fill_in(request)
    assert request["query"] == "{ stats { trackCount } }"


def test_closed_lists_let_nothing_else_in() -> None:
    documents = TrustedDocuments({ID: ME}, is_closed=True)
    assert documents.refusal(ME) is None
    for other in ("{ me { email }}", "", None):
        refusal = documents.refusal(other)
        assert isinstance(refusal, PermissionDenied)
        assert refusal.reason == "DOCUMENT_NOT_TRUSTED"


def test_manifest_is_written_from_files_and_read_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, manifest = tmp_path / "me.graphql", tmp_path / "manifest.json"
    file.write_text(ME)
    assert trust.main([str(file)]) == 0
    manifest.write_text(capsys.readouterr().out)
    assert read_manifest(manifest) == {ID: ME}
    settings = GatewaySettings(url_signing_key=KEY, trusted_documents=str(manifest), trusted_only=True)
    assert trusted_documents(settings).refusal("{ __typename }") is not None


@pytest.mark.parametrize(
    ("text", "fault"),
    [("{ me { nickname } }", "nickname"), ("{ me", "Syntax Error"), ("{ a" * 17 + " }" * 17, "levels")],
    ids=["schema", "syntax", "limits"],
)
def test_documents_that_could_not_run_are_no_manifest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, fault: str
) -> None:
    file, manifest = tmp_path / "bad.graphql", tmp_path / "manifest.json"
    file.write_text(text)
    assert trust.main([str(file)]) == 1
    written = capsys.readouterr()
    assert written.out == ""
    assert fault in written.err
    manifest.write_text(json.dumps({document_id(text): text}))
    with pytest.raises(SystemExit, match=fault):
        trusted_documents(GatewaySettings(url_signing_key=KEY, trusted_documents=str(manifest)))


@pytest.mark.parametrize("content", ["{", "[]", '{"a": 1}', json.dumps({"0" * 64: ME})])
def test_bad_manifests_end_the_start(tmp_path: Path, content: str) -> None:
    manifest = tmp_path / "manifest.json"
    manifest.write_text(content)
    with pytest.raises(SystemExit, match="GATEWAY_TRUSTED_DOCUMENTS"):
        trusted_documents(GatewaySettings(url_signing_key=KEY, trusted_documents=str(manifest)))
    with pytest.raises(SystemExit, match="GATEWAY_TRUSTED_DOCUMENTS"):
        trusted_documents(GatewaySettings(url_signing_key=KEY, trusted_documents=str(tmp_path / "none")))


def test_only_trusted_documents_need_some() -> None:
    with pytest.raises(ValueError, match="TRUSTED_ONLY needs TRUSTED_DOCUMENTS"):
        GatewaySettings(url_signing_key=KEY, trusted_only=True)
