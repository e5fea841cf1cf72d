"""Reads the manifest of trusted documents, and writes it: `python -m services.gateway.trust FILE… > manifest.json`.

Each file is one document, byte for byte what clients will send or name. What the schema or the limits refuse is told,
and nothing is written then.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

from graphql import GraphQLError

from services.chassis.errors import DomainError
from services.gateway import pages
from services.gateway.gate import GatewaySchema
from services.gateway.limits import check_shape, parse_document
from services.gateway.schema import make_schema
from services.gateway.settings import GatewaySettings
from services.gateway.trusted import TrustedDocuments, document_id, read_manifest


def faults(schema: GatewaySchema, documents: Mapping[str, str]) -> list[str]:
    """Return what is wrong with documents, each by its name."""
    found = []
    for name, text in documents.items():
        try:
            document = parse_document(text)
            check_shape(document)
            found += [f"{name}: {error.message}" for error in schema.check_document(document)]
        except (DomainError, GraphQLError) as error:
            found.append(f"{name}: {error.message}")
    return found


def trusted_documents(settings: GatewaySettings) -> TrustedDocuments:
    """Read the manifest of the settings; what this process's own pages send is in it, too.

    Raises:
        SystemExit: There is none, or not all of it can be run.
    """
    if not settings.trusted_documents:
        return TrustedDocuments()
    try:
        documents = read_manifest(Path(settings.trusted_documents))
    except (OSError, ValueError) as error:
        raise SystemExit(f"GATEWAY_TRUSTED_DOCUMENTS: {error}") from error
    if wrong := faults(make_schema(), documents):
        raise SystemExit("GATEWAY_TRUSTED_DOCUMENTS: " + "\n".join(wrong))
    own = {document_id(text): text for text in pages.DOCUMENTS}
    return TrustedDocuments(documents | own, is_closed=settings.trusted_only)


def main(paths: list[str]) -> int:
    """Print the manifest of some files; returns the exit status."""
    documents = {path: Path(path).read_text() for path in paths}
    if wrong := faults(make_schema(), documents):
        print("\n".join(wrong), file=sys.stderr)
        return 1
    print(json.dumps({document_id(text): text for text in documents.values()}, indent=2, ensure_ascii=False))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
