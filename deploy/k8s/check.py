"""Renders a kustomization and judges it: `python -m deploy.k8s.check deploy/k8s/overlays/production`."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from deploy.k8s.manifests import Document, RenderError, parse, pods_of, render
from deploy.k8s.rules.addresses import check_addresses
from deploy.k8s.rules.api import check_api
from deploy.k8s.rules.borders import check_borders, check_there
from deploy.k8s.rules.database import check_database
from deploy.k8s.rules.environment import SERVICES, check_connections, check_environment, service_of
from deploy.k8s.rules.network import check_network
from deploy.k8s.rules.pods import check_pods, check_production, is_unreleased
from deploy.k8s.rules.secrets import check_secrets

RULES = (check_there, check_api, check_pods, check_environment, check_secrets, check_borders, check_database)
# Of services beside each other; what runs none of them, such as bulk work, has no edges.
RULES_OF_A_MESH = (check_connections, check_addresses, check_network)


def faults_of(documents: Sequence[Document], *, is_for_production: bool = False) -> list[str]:
    """Return everything that is wrong with manifests, a sentence each."""
    rules = [*RULES, *(RULES_OF_A_MESH if _is_mesh(documents) else ())]
    rules += [check_production] if is_for_production else []
    return [fault for rule in rules for fault in rule(documents)]


def _is_mesh(documents: Sequence[Document]) -> bool:
    serving = (one for pods in pods_of(documents) if pods.is_serving for one in pods.containers)
    return any(service_of(one) in SERVICES for one in serving)


def main() -> None:
    """Judge the folders that are named; ends with status 1 where one has faults."""
    parser = argparse.ArgumentParser(prog="python -m deploy.k8s.check", description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER", help="An overlay of yours, or of ours.")
    parser.add_argument("--tags", action="store_true", help="Let images be named by a tag alone.")
    arguments = parser.parse_args()
    found = False
    for folder in arguments.folders:
        try:
            documents = parse(render(folder))
            faults = faults_of(documents, is_for_production=not arguments.tags)
            if is_unreleased(documents):
                print(f"{folder}: note: digests are zeros, nothing was released yet (deploy/images)")
        except RenderError as error:
            faults = [str(error)]
        for fault in faults:
            print(f"{folder}: {fault}")
        found = found or bool(faults)
    if found:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
