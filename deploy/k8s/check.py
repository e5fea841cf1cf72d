"""Renders a kustomization and judges it: `python -m deploy.k8s.check deploy/k8s/overlays/production`."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from deploy.k8s.manifests import Document, RenderError, parse, render
from deploy.k8s.rules.addresses import check_addresses
from deploy.k8s.rules.api import check_api
from deploy.k8s.rules.environment import check_connections, check_environment
from deploy.k8s.rules.network import check_network
from deploy.k8s.rules.pods import check_digests, check_pods
from deploy.k8s.rules.secrets import check_secrets

RULES = (check_api, check_pods, check_environment, check_connections, check_addresses, check_network, check_secrets)


def faults_of(documents: Sequence[Document], *, is_for_production: bool = False) -> list[str]:
    """Return everything that is wrong with the manifests of a whole mesh, a sentence each."""
    rules = (*RULES, check_digests) if is_for_production else RULES
    return [fault for rule in rules for fault in rule(documents)]


def main() -> None:
    """Judge the folders that are named; ends with status 1 where one has faults."""
    parser = argparse.ArgumentParser(prog="python -m deploy.k8s.check", description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER", help="An overlay of yours, or of ours.")
    parser.add_argument("--tags", action="store_true", help="Let images be named by a tag alone.")
    arguments = parser.parse_args()
    found = False
    for folder in arguments.folders:
        try:
            faults = faults_of(parse(render(folder)), is_for_production=not arguments.tags)
        except RenderError as error:
            faults = [str(error)]
        for fault in faults:
            print(f"{folder}: {fault}")
        found = found or bool(faults)
    if found:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
