"""Validates manifests against the schemas of Kubernetes's API, and small ones of ours for what operators add to it."""

import functools
import json
from collections.abc import Sequence

import jsonschema
import kubernetes_validate

from deploy.k8s.manifests import FOLDER, Document, title

KUBERNETES = "1.37"
_CRDS = FOLDER / "schemas" / "crds"
_KNOWN: dict[str, tuple[str, ...]] = {}


def check_api(documents: Sequence[Document]) -> list[str]:
    """Return what the API would refuse, a sentence each; fields that it does not know are refused, too.

    What was found about a document is remembered: many renderings share most of theirs.
    """
    return [fault for document in documents for fault in _faults(document)]


def _faults(document: Document) -> tuple[str, ...]:
    key = json.dumps(document, sort_keys=True)
    if key not in _KNOWN:
        _KNOWN[key] = tuple(f"{title(document)}: {fault}" for fault in _found(document))
    return _KNOWN[key]


def _found(document: Document) -> list[str]:
    group, _, version = document["apiVersion"].rpartition("/")
    path = _CRDS / f"{group}_{document['kind']}_{version}.json"
    if path.is_file():
        return [_told(error) for error in _validator(path.name).iter_errors(document)]
    try:
        kubernetes_validate.validate(document, KUBERNETES, strict=True)
    except kubernetes_validate.ValidationError as error:
        return [f"{'.'.join(map(str, error.path))}: {error.message}"]
    except kubernetes_validate.SchemaNotFoundError:
        return [f"there is no schema of {document['apiVersion']} {document['kind']}, and none at {path.name}"]
    return []


def _told(error: jsonschema.ValidationError) -> str:
    return f"{'.'.join(map(str, error.absolute_path))}: {error.message}"


@functools.cache
def _validator(name: str) -> jsonschema.Draft202012Validator:
    schema = json.loads((_CRDS / name).read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)
