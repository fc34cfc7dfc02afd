"""A CA for one cluster, and the certificates of its processes: what `quidditch cluster up --tls` makes."""

from __future__ import annotations

import datetime
import ipaddress
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from quidditch.cluster.tls import Tls
from quidditch.errors import MissingLibrary, RequestError

CA_DAYS = 3650
DAYS = 365

RENEW_DAYS = 30
"""A certificate that ends so soon is made anew."""

LOOPBACK = ("localhost", "127.0.0.1", "::1")


class Authority:
    """The CA in a folder: `ca.pem` and `ca.key`, made if they are not there.

    raises: MissingLibrary   `cryptography` is not installed
    """

    def __init__(self, folder: Path) -> None:
        try:
            from cryptography import x509
        except ImportError as error:
            raise MissingLibrary(
                "certificates are made by cryptography, which is not installed; pip install 'quidditch[cluster]' "
                "installs it"
            ) from error
        self._x509 = x509
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.ca = folder / "ca.pem"
        if not self.ca.exists():
            self._make()
        self._key = _read_key(folder / "ca.key")
        self._certificate = x509.load_pem_x509_certificate(self.ca.read_bytes())

    def issue(self, name: str, hosts: Sequence[str] = LOOPBACK, days: int = DAYS) -> Tls:
        """The files of a process of this name, which is reached by these names and addresses; those that are there,
        if they hold for a while yet."""
        tls = Tls(str(self.ca), str(self._folder / f"{name}.pem"), str(self._folder / f"{name}.key"))
        if not self._holds(Path(tls.certificate)):
            self._issue(tls, name, hosts, days)
        return tls

    def _holds(self, path: Path) -> bool:
        if not path.exists():
            return False
        found = self._x509.load_pem_x509_certificate(path.read_bytes())
        return found.not_valid_after_utc - _now() > datetime.timedelta(days=RENEW_DAYS)

    def _issue(self, tls: Tls, name: str, hosts: Sequence[str], days: int) -> None:
        from cryptography.hazmat.primitives import serialization
        from cryptography.x509.oid import ExtendedKeyUsageOID as Usage

        x509 = self._x509
        key = _new_key()
        # A process is called by others and calls them: its certificate is good for both.
        usage = x509.ExtendedKeyUsage([Usage.SERVER_AUTH, Usage.CLIENT_AUTH])
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        built = (
            self._begun(name, key, self._certificate.subject, days)
            .add_extension(x509.SubjectAlternativeName([self._spelt(host) for host in hosts]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(usage, critical=False)
            .add_extension(issuer, critical=False)
        )
        signed = built.sign(self._key, _sha256())
        _write_key(Path(tls.key), key)
        Path(tls.certificate).write_bytes(signed.public_bytes(serialization.Encoding.PEM))

    def _make(self) -> None:
        from cryptography.hazmat.primitives import serialization

        x509 = self._x509
        key = _new_key()
        subject = self._named("Quidditch cluster")
        signs = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        built = (
            self._begun("Quidditch cluster", key, subject, CA_DAYS)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(signs, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        )
        _write_key(self._folder / "ca.key", key)
        self.ca.write_bytes(built.sign(key, _sha256()).public_bytes(serialization.Encoding.PEM))

    def _begun(self, name: str, key: Any, issuer: Any, days: int) -> Any:
        # An hour earlier: clocks of machines differ.
        begins = _now() - datetime.timedelta(hours=1)
        return (
            self._x509.CertificateBuilder()
            .subject_name(self._named(name))
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(self._x509.random_serial_number())
            .not_valid_before(min(begins, begins + datetime.timedelta(days=days)))
            .not_valid_after(_now() + datetime.timedelta(days=days))
        )

    def _named(self, name: str) -> Any:
        from cryptography.x509.oid import NameOID

        return self._x509.Name([self._x509.NameAttribute(NameOID.COMMON_NAME, name)])

    def _spelt(self, host: str) -> Any:
        try:
            return self._x509.IPAddress(ipaddress.ip_address(host))
        except ValueError:
            return self._x509.DNSName(host)


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def _sha256() -> Any:
    from cryptography.hazmat.primitives import hashes

    return hashes.SHA256()


def _new_key() -> Any:
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec.generate_private_key(ec.SECP256R1())


def _write_key(path: Path, key: Any) -> None:
    """A key that only its owner may read."""
    from cryptography.hazmat.primitives import serialization

    data = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)


def _read_key(path: Path) -> Any:
    """raises: RequestError   it is not there, or no key"""
    from cryptography.hazmat.primitives import serialization

    try:
        return serialization.load_pem_private_key(path.read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        raise RequestError(f"{path}: the key of the cluster's CA cannot be read: {error}") from error
