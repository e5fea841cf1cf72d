"""Rules about Secrets: referred to by name, each one known, and none in the manifests."""

from collections.abc import Iterator, Sequence

from deploy.k8s.manifests import Document, of_kind, pods_of, title, variables
from deploy.k8s.secrets import SECRETS

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
    """Return Secrets that nobody has heard of, and those that stand in the manifests, a sentence each."""
    faults = [f"{title(one)}: a Secret in the manifests is none" for one in of_kind(documents, "Secret")]
    for name, key in sorted(references(documents)):
        if key not in _KNOWN.get(name, ()):
            faults.append(f"Secret {name} has no key {key}: see deploy/k8s/secrets.py")
    issued = {one["spec"]["secretName"] for one in of_kind(documents, "Certificate")}
    for pods in pods_of(documents):
        for volume in pods.spec.get("volumes", []):
            if "secret" in volume and volume["secret"]["secretName"] not in issued:
                faults.append(f"{title(pods.owner)}: no Certificate makes {volume['secret']['secretName']}")
        for container in pods.all_containers:
            for variable in variables(container).values():
                if "value" in variable and _is_secret(variable["name"]) and "$(" not in variable["value"]:
                    faults.append(f"{title(pods.owner)}: {variable['name']} stands in the manifest")
    return faults


def _is_secret(name: str) -> bool:
    return any(part in name for part in ("PASSWORD", "SECRET", "SIGNING_KEY", "TOKEN", "DATABASE_URL"))
