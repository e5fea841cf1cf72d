"""The contracts of this service, read from the generated modules: a new file is in it at once."""

import importlib
import pkgutil
from pathlib import Path

from google.protobuf.descriptor import FileDescriptor, ServiceDescriptor

from museed.social.v1 import events_pb2

_PACKAGE = "museed.social.v1"
# Of what is imported, and no other: a namespace package also spans what lies in further folders of the path.
_FOLDER = Path(events_pb2.__file__).parent


def contract_files() -> list[FileDescriptor]:
    """Return every file of museed.social.v1, by name."""
    found = sorted(module.name for module in pkgutil.iter_modules([str(_FOLDER)]))
    names = [name for name in found if name.endswith("_pb2")]
    files: list[FileDescriptor] = [importlib.import_module(f"{_PACKAGE}.{name}").DESCRIPTOR for name in names]
    return files


def contract_services() -> list[ServiceDescriptor]:
    """Return every service of museed.social.v1."""
    return [service for file in contract_files() for service in file.services_by_name.values()]
