"""A CA of a test's own: it signs certificates as cert-manager does, and lays them where a process reads them."""

import datetime
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from services.chassis.tls import Identity

USAGES = {"server auth": ExtendedKeyUsageOID.SERVER_AUTH, "client auth": ExtendedKeyUsageOID.CLIENT_AUTH}
_DAY = datetime.timedelta(days=1)


@dataclass(frozen=True)
class Files:
    """Where a certificate lies, with its key and the CA."""

    folder: Path

    @property
    def certificate(self) -> Path:
        """Of the process."""
        return self.folder / "tls.crt"

    @property
    def key(self) -> Path:
        """Of the certificate."""
        return self.folder / "tls.key"

    @property
    def ca(self) -> Path:
        """Whose signatures count."""
        return self.folder / "ca.crt"

    def identity(self, callers: tuple[str, ...] = (), probes_listen: str = "") -> Identity:
        """Read them."""
        return Identity(self.certificate, self.key, self.ca, callers, probes_listen)

    def environment(self) -> dict[str, str]:
        """Name them as a process is told of them."""
        return {
            "TLS_CERTIFICATE_FILE": str(self.certificate),
            "TLS_PRIVATE_KEY_FILE": str(self.key),
            "TLS_CA_FILE": str(self.ca),
        }


class Authority:
    """Signs certificates.

    Args:
        name: BoringSSL finds the CA of a certificate by its name, and tries no other one that is called the same.
    """

    def __init__(self, name: str = "museed-ca") -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _named(name)
        self.certificate = self._signed(self._name, self._key.public_key(), -_DAY, _DAY, is_ca=True)

    def _signed(
        self,
        subject: x509.Name,
        public_key: ec.EllipticCurvePublicKey,
        begins_in: datetime.timedelta,
        ends_in: datetime.timedelta,
        names: tuple[str, ...] = (),
        usages: Sequence[x509.ObjectIdentifier] = (),
        *,
        is_ca: bool = False,
    ) -> bytes:
        now = datetime.datetime.now(datetime.UTC)
        made = x509.CertificateBuilder().subject_name(subject).issuer_name(self._name).public_key(public_key)
        made = made.serial_number(x509.random_serial_number())
        made = made.not_valid_before(now + begins_in).not_valid_after(now + ends_in)
        made = made.add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        if names:
            made = made.add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), False)
        if usages:
            made = made.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        return made.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM)

    def issue(
        self,
        folder: Path,
        *names: str,
        usages: Sequence[str] = (),
        is_expired: bool = False,
        ca: bytes | None = None,
    ) -> Files:
        """Lay a certificate into a folder, in the place of the one that lies there.

        Args:
            folder: Made if it is not there.
            names: DNS names.
            usages: As cert-manager calls them, of `USAGES`; without any it may be used for everything.
            is_expired: Whether it ended an hour ago.
            ca: The CA's certificates that lie beside it; None means its own.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        ends_in = -_DAY / 24 if is_expired else _DAY
        chain = self._signed(
            _named(names[0]), key.public_key(), -_DAY, ends_in, names, [USAGES[usage] for usage in usages]
        )
        files = Files(folder)
        folder.mkdir(parents=True, exist_ok=True)
        _replace(files.certificate, chain)
        _replace(files.key, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        _replace(files.ca, ca or self.certificate)
        return files


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _replace(path: Path, content: bytes) -> None:
    new = path.with_suffix(".new")
    new.write_bytes(content)
    new.chmod(0o600)
    os.replace(new, path)
