"""Rules about PostgreSQL in the cluster: it keeps what it acknowledged, and nobody comes in without a proof."""

from collections.abc import Iterator, Sequence

from deploy.k8s.manifests import Document, of_kind, title


def check_database(documents: Sequence[Document]) -> list[str]:
    """Return what is wrong with clusters of PostgreSQL, a sentence each."""
    return [f"{title(one)}: {fault}" for one in of_kind(documents, "Cluster") for fault in _faults(one)]


def _faults(cluster: Document) -> Iterator[str]:
    spec = cluster["spec"]
    settings = spec.get("postgresql", {})
    for name in ("synchronous_commit", "fsync", "full_page_writes"):
        value = settings.get("parameters", {}).get(name, "on")
        if value != "on":
            yield f"{name} is {value}: what it acknowledged may be lost"
    for line in settings.get("pg_hba", []):
        if line.split()[-1:] == ["trust"]:
            yield f"pg_hba {line}: comes in without a password"
    if spec.get("enableSuperuserAccess"):
        yield "enableSuperuserAccess is true: the superuser has a password"
    if not spec.get("resources", {}).get("limits", {}).get("memory"):
        yield "has no limits.memory"
