"""Rules about Secrets: referred to by name, each one known, and none in the manifests."""

import re
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from deploy.k8s.manifests import Document, of_kind, pods_of, title, variables
from deploy.k8s.rules.environment import SECRET_VARIABLES
from deploy.k8s.secrets import SECRETS

# What a name ends with whose value is nobody's business.
_SECRET_NAME = re.compile(
    r"(PASSWORD|SECRET|SECRET_ACCESS_KEY|SIGNING_KEY|TOKEN|DATABASE_URL|API_KEY|PRIVATE_KEY)(_|$)"
)
# In a file: a name of that kind, and a value that is no variable.
_SECRET_LINE = re.compile(
    r"""(?i)["']?([a-z_.-]*(?:password|passwd|secret|token|signing.key|api.key))["']?\s*[:=]\s*["']?([^\s"',}$][^\s"',}]*)"""
)
_USER_INFO = re.compile(r"[a-z0-9+.-]+://[^/\s:@]*:(?!\$\([A-Z0-9_]+\)@)[^/\s@]+@")
_PRIVATE_KEY = "PRIVATE KEY-----"
_REFERENCE = re.compile(r"\$\([A-Z0-9_]+\)")

_KNOWN = {one.name: frozenset(one.make) for one in SECRETS}


def references(documents: Sequence[Document]) -> set[tuple[str, str]]:
    """Return name and key of every Secret that pods and backups refer to."""
    return set(_references(documents))


def _references(documents: Sequence[Document]) -> Iterator[tuple[str, str]]:
    for pods in pods_of(documents):
        for container in pods.all_containers:
            for variable in variables(container).values():
                source = variable.get("valueFrom", {}).get("secretKeyRef")
                if source:
                    yield source["name"], source["key"]
    for store in of_kind(documents, "ObjectStore"):
        for source in store["spec"]["configuration"].get("s3Credentials", {}).values():
            yield source["name"], source["key"]


def check_secrets(documents: Sequence[Document]) -> list[str]:
    """Return Secrets that nobody has heard of, and those that stand in the manifests, a sentence each.

    What stands there is named, and not repeated: sentences end up in logs.
    """
    faults = [f"{title(one)}: a Secret in the manifests is none" for one in of_kind(documents, "Secret")]
    for name, key in sorted(references(documents)):
        if key not in _KNOWN.get(name, ()):
            faults.append(f"Secret {name} has no key {key}: see deploy/k8s/secrets.py")
    certificates = {one["spec"].get("secretName") for one in of_kind(documents, "Certificate")}
    for pods in pods_of(documents):
        faults += [f"{title(pods.owner)}: {fault}" for fault in _volume_faults(pods.spec, _KNOWN.keys() | certificates)]
        for container in pods.all_containers:
            faults += [f"{title(pods.owner)}: {fault}" for fault in _container_faults(container)]
    for config in of_kind(documents, "ConfigMap"):
        faults += [f"{title(config)}: {fault}" for fault in _config_faults(config)]
    return faults


def _volume_faults(spec: dict[str, Any], known: Collection[str]) -> Iterator[str]:
    for volume in spec.get("volumes", []):
        sources = [volume, *volume.get("projected", {}).get("sources", [])]
        for source in sources:
            found = source.get("secret", {})
            name = found.get("secretName") or found.get("name")
            if found and name not in known:
                yield f"volume {volume['name']}: nobody makes the Secret {name}"


def _container_faults(container: dict[str, Any]) -> Iterator[str]:
    for variable in variables(container).values():
        name, value = variable["name"], str(variable.get("value", ""))
        is_path = name.endswith("_FILE") and value.startswith("/")
        is_secret = name in SECRET_VARIABLES or (_SECRET_NAME.search(name) and not is_path)
        if (is_secret and value and not _REFERENCE.fullmatch(value)) or _has_secret(value):
            yield f"{name} stands in the manifest"
    for word in (*container.get("command", []), *container.get("args", [])):
        option, is_given, value = word.partition("=")
        named = is_given and _SECRET_NAME.search(option.lstrip("-").replace("-", "_").upper())
        if (named and not _REFERENCE.fullmatch(value)) or _has_secret(word):
            yield f"{container['name']}: {option} stands in the manifest"


def _config_faults(config: Document) -> Iterator[str]:
    for key, value in config.get("data", {}).items():
        if _SECRET_NAME.search(re.sub("[^A-Z0-9]", "_", key.upper())) or _has_secret(value):
            yield f"{key} stands in the manifest"
        elif not key.endswith(".json"):  # dashboards speak of tokens
            yield from (f"{key}: {found[1]} stands in the manifest" for found in _SECRET_LINE.finditer(value))


def _has_secret(text: str) -> bool:
    return bool(_USER_INFO.search(text)) or _PRIVATE_KEY in text
