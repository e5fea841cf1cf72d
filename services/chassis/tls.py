"""Mutual TLS between the processes of a mesh: certificate, key and CA from files, read anew when these are renewed.

Who a process is stands in its certificate as a DNS name without a dot ("social"): callers expect the name of whom they
mean, at whatever address that is, and servers admit those of `TLS_CALLERS`. Decides nothing about people; see auth.
"""

import logging
import ssl
import threading
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Self

import grpc
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from pydantic import field_validator, model_validator
from pydantic_settings import NoDecode

from services.chassis.settings import OptionalListen, Settings, settings_config

logger = logging.getLogger(__name__)

_LOOK_INTERVAL_S = 1.0
# Of each file: inode, time of its last change in ns, size.
_Stamps = tuple[tuple[int, int, int], ...]


class TlsSettings(Settings):
    """Where certificate, key and CA lie, all or none; who may call, and where probes ask without a certificate."""

    model_config = settings_config("TLS_")

    certificate_file: Path | None = None
    private_key_file: Path | None = None
    ca_file: Path | None = None
    # Names of the certificates that may call; empty: every one that the CA signed.
    callers: Annotated[tuple[str, ...], NoDecode] = ()
    # Health and nothing else, without TLS; empty answers it with TLS only.
    probes_listen: OptionalListen = ""

    @field_validator("callers", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(filter(None, (part.strip() for part in value.split(",")))) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _all_or_none(self) -> Self:
        files = (self.certificate_file, self.private_key_file, self.ca_file)
        if any(files) and not all(files):
            raise ValueError("set all of TLS_CERTIFICATE_FILE, TLS_PRIVATE_KEY_FILE and TLS_CA_FILE, or none")
        if not any(files) and (self.callers or self.probes_listen):
            raise ValueError("TLS_CALLERS and TLS_PROBES_LISTEN mean nothing without TLS_CERTIFICATE_FILE")
        return self


@dataclass(frozen=True, slots=True)
class Pem:
    """What the files hold.

    Attributes:
        chain: The certificate, and those between it and the CA.
        key: Its private key.
        ca: Whose signatures count.
        names: DNS names of the certificate.
        expires_at: Of the certificate.
    """

    chain: bytes
    key: bytes
    ca: bytes
    names: tuple[str, ...]
    expires_at: datetime

    def __repr__(self) -> str:
        """Show no key."""
        return f"Pem(names={self.names}, expires_at={self.expires_at})"


class Identity:
    """Who this process is to others of the mesh; made by `open_identity`. Any thread may ask.

    Files that are replaced are looked at once a second, when somebody asks. What is no certificate with its key and a
    CA is told in the log once, and what was there before goes on.

    Args:
        certificate_file: PEM, the certificate first.
        private_key_file: PEM, without a password.
        ca_file: PEM.
        callers: Names of certificates that may call this process; empty: all that the CA signed.
        probes_listen: Where health is answered without TLS; empty: nowhere.

    Raises:
        OSError: A file cannot be read.
        ValueError: The files do not hold what they should, or do not belong together.
    """

    def __init__(
        self,
        certificate_file: Path,
        private_key_file: Path,
        ca_file: Path,
        callers: tuple[str, ...] = (),
        probes_listen: str = "",
    ) -> None:
        self.callers = frozenset(callers)
        self.probes_listen = probes_listen
        self.certificate_file, self.private_key_file, self.ca_file = certificate_file, private_key_file, ca_file
        self._lock = threading.Lock()
        self._looked_at = time.monotonic()
        self._seen = self._stamps()
        self._refused: _Stamps | None = None
        self._pem = self._read()

    @property
    def name(self) -> str:
        """What this process is called in its certificate: the first of its names."""
        return self.pem().names[0]

    def pem(self) -> Pem:
        """Return what the files hold; the same object until they are replaced."""
        with self._lock:
            if time.monotonic() - self._looked_at >= _LOOK_INTERVAL_S:
                self._look()
                self._looked_at = time.monotonic()
            return self._pem

    def _look(self) -> None:
        try:
            stamps = self._stamps()
            if stamps in (self._seen, self._refused):
                return
            found = self._read()
            if self._stamps() != stamps:
                return  # one was replaced while the others were read: they are looked at again
            self._pem = found
        except OSError as error:  # a file that comes back has another stamp
            self._refuse(error, ())
        except ValueError as error:
            self._refuse(error, stamps)
        else:
            self._seen = stamps
            logger.info("tls_files_renewed", extra={"names": found.names, "expires_at": str(found.expires_at)})

    def _refuse(self, error: Exception, stamps: _Stamps) -> None:
        """Go on with what there was; told once for files that stay as they are."""
        if stamps != self._refused:
            logger.warning("tls_files_unusable", extra={"error": str(error), "expires_at": str(self._pem.expires_at)})
        self._refused = stamps

    def _stamps(self) -> _Stamps:
        stats = [path.stat() for path in (self.certificate_file, self.private_key_file, self.ca_file)]
        return tuple((stat.st_ino, stat.st_mtime_ns, stat.st_size) for stat in stats)

    def _read(self) -> Pem:
        return _checked(*(path.read_bytes() for path in (self.certificate_file, self.private_key_file, self.ca_file)))

    def server_credentials(self) -> grpc.ServerCredentials:
        """Return how a server shows itself, and that it wants a certificate of each caller."""
        last = self.pem()

        def renewed() -> grpc.ServerCertificateConfiguration | None:
            """Called by gRPC before each handshake, in a thread of its own; None: as before."""
            nonlocal last
            found = self.pem()
            if found is last:
                return None
            last = found
            return _configuration(found)

        return grpc.dynamic_ssl_server_credentials(_configuration(last), renewed, True)  # type: ignore[arg-type]  # None is allowed

    def client_context(self) -> ssl.SSLContext:
        """Return how this process connects to what does not speak gRPC; renewed by itself, except for the CA's end.

        A CA that was replaced counts until the process ends.
        """
        return _RenewedContext.of(self)


def open_identity(settings: TlsSettings) -> Identity | None:
    """Read the files that the settings name; None where they name none.

    Raises:
        SystemExit: They cannot be read, or do not belong together; one line.
    """
    if settings.certificate_file is None or settings.private_key_file is None or settings.ca_file is None:
        return None
    files = settings.certificate_file, settings.private_key_file, settings.ca_file
    try:
        return Identity(*files, settings.callers, settings.probes_listen)
    except OSError as error:
        raise SystemExit(f"bad settings:\n  {error.filename}: {error.strerror}") from error
    except ValueError as error:
        raise SystemExit(f"bad settings:\n  TLS files: {error}") from error


def caller_names(auth_context: Any) -> frozenset[str]:
    """Return the DNS names of the certificate that a caller showed, from gRPC's auth context."""
    return frozenset(name.decode() for name in auth_context.get("peer_dns", ()))


def _checked(chain: bytes, key: bytes, ca: bytes) -> Pem:
    certificate = x509.load_pem_x509_certificates(chain)[0]
    x509.load_pem_x509_certificates(ca)
    try:
        public = load_pem_private_key(key, None).public_key()
    except TypeError as error:  # it wants a password
        raise ValueError(str(error)) from error
    form = Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    if public.public_bytes(*form) != certificate.public_key().public_bytes(*form):
        raise ValueError("the private key is not the certificate's")
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        raise ValueError("the certificate has no DNS name") from None
    found = tuple(names.get_values_for_type(x509.DNSName))
    if not found:
        raise ValueError("the certificate has no DNS name")
    return Pem(chain, key, ca, found, certificate.not_valid_after_utc)


def _configuration(pem: Pem) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration([(pem.key, pem.chain)], pem.ca)


class _RenewedContext(ssl.SSLContext):
    """Reads the files anew before a handshake where they were replaced."""

    _identity: Identity
    _loaded: Pem

    @classmethod
    def of(cls, identity: Identity) -> Self:
        context = cls(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context._identity = identity
        context._load(identity.pem())
        return context

    def _load(self, pem: Pem) -> None:
        self.load_cert_chain(self._identity.certificate_file, self._identity.private_key_file)
        self.load_verify_locations(cadata=pem.ca.decode())
        self._loaded = pem

    def wrap_bio(self, *args: Any, **kwargs: Any) -> ssl.SSLObject:
        """Begin a handshake: what asyncio and uvloop call."""
        found = self._identity.pem()
        if found is not self._loaded:
            try:
                self._load(found)
            except (OSError, ValueError):  # replaced once more meanwhile: the next handshake reads them
                logger.warning("tls_files_changing")
        return super().wrap_bio(*args, **kwargs)
