"""TLS between the processes of a cluster: both ends of a call show a certificate of the cluster's CA."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

from quidditch.errors import RequestError


@dataclass(frozen=True, slots=True)
class Tls:
    """The files of one process, in PEM: the CA that all trust and no other, its own certificate, and its key.

    Without any of them there is no TLS.
    """

    ca: str = ""
    certificate: str = ""
    key: str = ""

    def __bool__(self) -> bool:
        return bool(self.ca)

    def check(self, where: str) -> None:
        """raises: RequestError   one of the three is missing, or cannot be used"""
        told = {"tls.ca": self.ca, "tls.certificate": self.certificate, "tls.key": self.key}
        missing = [name for name, value in told.items() if not value]
        if len(missing) == len(told):
            return
        if missing:
            raise RequestError(f"{where}: {missing[0]} is missing; TLS needs {', '.join(told)}")
        for name, value in told.items():
            if not Path(value).is_file():
                raise RequestError(f"{where}: {name}: there is no file {value}")
        self.client()

    def client(self) -> ssl.SSLContext:
        """For whoever calls: the name in the certificate of who answers must be the one that was called."""
        return self._context(ssl.PROTOCOL_TLS_CLIENT)

    def server(self) -> ssl.SSLContext:
        """For whoever is called: nobody without a certificate of the CA gets further than the handshake."""
        context = self._context(ssl.PROTOCOL_TLS_SERVER)
        context.verify_mode = ssl.CERT_REQUIRED
        return context

    def _context(self, protocol: int) -> ssl.SSLContext:
        """raises: RequestError"""
        context = ssl.SSLContext(protocol)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            # An empty password: a key that has one is refused here instead of asked for at a terminal.
            context.load_cert_chain(self.certificate, self.key, password="")
            context.load_verify_locations(self.ca)
        except (OSError, ssl.SSLError) as error:
            raise RequestError(
                f"tls.ca {self.ca}, tls.certificate {self.certificate}, tls.key {self.key}: {error}; a CA, a "
                "certificate and its key in PEM, without a password, expected"
            ) from error
        return context
