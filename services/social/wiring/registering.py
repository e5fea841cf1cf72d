"""Puts servicers on the server; an RPC that nobody wrote yet is refused behind the door, with a reason."""

import importlib
from collections.abc import Callable, Sequence
from pathlib import PurePosixPath
from types import ModuleType, SimpleNamespace
from typing import Any, NoReturn

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor

from services.chassis.errors import Unimplemented
from services.social.wiring.contracts import contract_services


def register(server: grpc.aio.Server, servicers: Sequence[object]) -> None:
    """Serve every service of museed.social.v1, whether or not somebody wrote its servicer.

    The generated base would answer an RPC without code by raising NotImplementedError outside of any coroutine, which
    callers see as a fault of ours, and a service that is not there would be refused before the door has looked at
    the caller.

    Args:
        server: Not started yet.
        servicers: Subclasses of the generated ones; at most one of each service.

    Raises:
        TypeError: One is of no service of museed.social.v1, or two are of the same.
    """
    left = list(servicers)
    for service in contract_services():
        generated = _generated(service)
        base: type[object] = getattr(generated, f"{service.name}Servicer")
        own = [servicer for servicer in left if isinstance(servicer, base)]
        if len(own) > 1:
            raise TypeError(f"{service.full_name} has {len(own)} servicers: {own}")
        left = [servicer for servicer in left if servicer not in own]
        servicer = own[0] if own else None
        answers = {method.name: _answer(servicer, base, method) for method in service.methods}
        getattr(generated, f"add_{service.name}Servicer_to_server")(SimpleNamespace(**answers), server)
    if left:
        raise TypeError(f"of no service of museed.social.v1: {left}")


def _generated(service: ServiceDescriptor) -> ModuleType:
    name = PurePosixPath(service.file.name).with_suffix("").as_posix().replace("/", ".")
    return importlib.import_module(f"{name}_pb2_grpc")


def _answer(servicer: object | None, base: type[object], method: MethodDescriptor) -> Callable[..., Any]:
    """Return what answers an RPC: the servicer's own code, or a refusal."""
    if servicer is not None and getattr(type(servicer), method.name) is not getattr(base, method.name):
        own: Callable[..., Any] = getattr(servicer, method.name)
        return own
    name = f"{method.containing_service.name}.{method.name}"

    async def refuse(request: object, context: object) -> NoReturn:
        raise Unimplemented(f"{name} is not offered yet")

    return refuse
