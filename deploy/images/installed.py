"""What is installed in this environment."""

import importlib.metadata
import sysconfig


def installed(name: str) -> importlib.metadata.Distribution:
    """Return a package of this environment, whatever a library has put in front of it: Ray brings a psutil of its own.

    Raises:
        importlib.metadata.PackageNotFoundError: It is not installed.
    """
    found = importlib.metadata.distributions(name=name, path=[sysconfig.get_path("purelib")])
    for distribution in found:
        return distribution
    raise importlib.metadata.PackageNotFoundError(name)
