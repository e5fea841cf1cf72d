"""Documents that clients ask for by their digest, and nothing else where that is wanted.

The manifest is a JSON object from the SHA-256 of each document, in hexadecimal, to its text; `python -m
services.gateway.trust` writes one.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from services.chassis.errors import DomainError, NotFound, PermissionDenied

_PREFIX = "sha256:"
_DIGEST_CHARACTERS = 64
# Stands for a document whose id nobody knows. It is compared by identity: a client that sends this very text asks it.
_UNKNOWN = "{ __typename }  # what this id stands for is not known"


def document_id(text: str) -> str:
    """Return the id of a document: its SHA-256 in hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


class TrustedDocuments:
    """The documents of a manifest.

    Args:
        documents: Texts by their ids.
        is_closed: Whether nothing else may be asked.
    """

    def __init__(self, documents: Mapping[str, str] | None = None, *, is_closed: bool = False) -> None:
        self._by_id = dict(documents or {})
        self._texts = frozenset(self._by_id.values())
        self._is_closed = is_closed

    def __contains__(self, text: str | None) -> bool:
        return text in self._texts

    @property
    def texts(self) -> frozenset[str]:
        """All documents."""
        return self._texts

    def fill_in(self, request: dict[str, Any]) -> None:
        """Put the text into a request that names a document and does not bring it, in place.

        Two ways are understood: `"documentId": "sha256:…"` (GraphQL over HTTP, appendix on persisted documents) and
        `"extensions": {"persistedQuery": {"sha256Hash": "…"}}` (Apollo's clients).
        """
        if request.get("query") is None and (named := _named(request)) is not None:
            request["query"] = self._by_id.get(named, _UNKNOWN)

    def refusal(self, text: str | None) -> DomainError | None:
        """Return why a document is not run, None where nothing speaks against it."""
        if text is _UNKNOWN:
            return NotFound("no document has this id: send its text", reason="DOCUMENT_UNKNOWN", field="documentId")
        if self._is_closed and text not in self._texts:
            return PermissionDenied(
                "only documents that were registered are run here", reason="DOCUMENT_NOT_TRUSTED", field="query"
            )
        return None


def read_manifest(path: Path) -> dict[str, str]:
    """Read a manifest; blocks.

    Raises:
        ValueError: It is no manifest, or a digest is not that of its document.
    """
    documents = json.loads(path.read_text())
    if not isinstance(documents, dict) or not all(isinstance(text, str) for text in documents.values()):
        raise ValueError(f"{path} is no object of texts")
    for name, text in documents.items():
        if name != document_id(text):
            raise ValueError(f"{path}: {name} is not the SHA-256 of its document, {document_id(text)} is")
    return documents


def _named(request: Mapping[str, Any]) -> str | None:
    named = request.get("documentId")
    if named is None:
        extensions = request.get("extensions")
        persisted = extensions.get("persistedQuery") if isinstance(extensions, dict) else None
        named = persisted.get("sha256Hash") if isinstance(persisted, dict) else None
    if not isinstance(named, str):
        return None
    # An id that cannot be one is not known either.
    return named.removeprefix(_PREFIX).lower()[: _DIGEST_CHARACTERS + 1]
