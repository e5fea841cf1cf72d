"""Asks a process whether it serves, for whoever runs containers: `python -m services.chassis.health 127.0.0.1:7401`.

Where the environment says that the mesh speaks TLS, it shows the process's own certificate, and expects the same name.
Ends with status 0 if it does, and with 1 and a line if it does not. An address that begins with http:// is asked by
GET, and 200 means yes; all others are asked by gRPC health.
"""

import asyncio
import sys
import urllib.error
import urllib.request
from http import HTTPStatus

from grpc_health.v1 import health_pb2

from services.chassis.channel import connect
from services.chassis.errors import DomainError
from services.chassis.settings import load
from services.chassis.tls import Identity, TlsSettings, open_identity

_CHECK = "/grpc.health.v1.Health/Check"
_TIMEOUT_S = 5.0


async def fault_of(address: str, identity: Identity | None = None) -> str | None:
    """Return why a process does not serve, or None where it does.

    Args:
        address: gRPC target, for example "127.0.0.1:7401".
        identity: Who that process is; None asks without TLS.
    """
    async with connect(address, identity=identity, peer="" if identity is None else identity.name) as channel:
        check = channel.unary_unary(
            _CHECK,
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        try:
            answer = await check(health_pb2.HealthCheckRequest(), timeout=_TIMEOUT_S)
        except DomainError as error:
            return error.message
    state = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
    return None if answer.status == health_pb2.HealthCheckResponse.SERVING else state


def http_fault_of(url: str) -> str | None:
    """Return why a GET of an address is not answered by 200, or None where it is; blocks."""
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as answer:
            status = answer.status
    except urllib.error.HTTPError as error:
        status = error.code
    except OSError as error:
        return str(error)
    return None if status == HTTPStatus.OK else f"status {status}"


def main(arguments: list[str]) -> None:
    """Ask, and end the process.

    Raises:
        SystemExit: With the fault as its text where there is one.
    """
    if len(arguments) != 1:
        raise SystemExit("give one address: host:port, or http://host:port/path")
    [address] = arguments
    if address.startswith("http://"):
        fault = http_fault_of(address)
    else:
        fault = asyncio.run(fault_of(address, open_identity(load(TlsSettings))))
    if fault is not None:
        raise SystemExit(f"{address}: {fault}")


if __name__ == "__main__":
    main(sys.argv[1:])
