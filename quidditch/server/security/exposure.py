"""Where a server may be reached, and what that takes."""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from quidditch.errors import RequestError
from quidditch.server.security.accounts import LiveAccounts
from quidditch.server.security.gate import OPEN, Access
from quidditch.server.security.origins import Origins


@dataclass(frozen=True, slots=True)
class Exposure:
    """An address to listen at, who may come in, and the files of TLS; without them, plain HTTP."""

    host: str = "127.0.0.1"
    access: Access = field(default=OPEN)
    tls_cert: Path | None = None
    tls_key: Path | None = None

    @property
    def scheme(self) -> str:
        return "http" if self.tls_cert is None else "https"


def expose(
    directory: Path | None,
    host: str = "127.0.0.1",
    *,
    tls_cert: Path | None = None,
    tls_key: Path | None = None,
    insecure: bool = False,
    names: Sequence[str] = (),
) -> Exposure:
    """What a server at a host is to be.

    directory:  whose accounts hold; None for a database that has no place for any
    insecure:   passwords and documents may go over the network as they are
    names:      by which the server is reached beside its addresses and `localhost`
    raises: RequestError   others than this machine would reach the server, without TLS or without accounts;
                           files of TLS that cannot be used
            StorageError   the accounts cannot be read
    """
    loopback = is_loopback(host)
    _check_tls(tls_cert, tls_key)
    accounts = LiveAccounts(directory) if directory is not None else None
    if not loopback:
        if tls_cert is None and not insecure:
            raise RequestError(
                f"serve: host [{host}] is reached from elsewhere: give --tls-cert and --tls-key, or --insecure to "
                "send passwords and documents as they are"
            )
        found = accounts.now() if accounts else None
        if found is None or not (found.users or found.keys):
            raise RequestError(
                f"serve: host [{host}] is reached from elsewhere, and there are no accounts: add one first "
                "(quidditch users add, quidditch keys create)"
            )
    own = [] if loopback or _is_address(host) else [host]
    access = Access(accounts, Origins([*own, *names], loopback=loopback), closed=not loopback)
    return Exposure(host, access, tls_cert, tls_key)


def is_loopback(host: str) -> bool:
    """Whether nobody but this machine reaches a host."""
    return host == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _check_tls(cert: Path | None, key: Path | None) -> None:
    if cert is None and key is None:
        return
    if cert is None or key is None:
        lacking = "--tls-cert" if cert is None else "--tls-key"
        raise RequestError(f"serve: {lacking} is missing; TLS needs both --tls-cert and --tls-key")
    try:
        # An empty password: a key that has one is refused here instead of asked for at a terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key, password="")
    except OSError as error:
        raise RequestError(
            f"serve: --tls-cert {cert}, --tls-key {key}: {error.strerror or error}; a certificate and its key "
            "in PEM, without a password, expected"
        ) from error
