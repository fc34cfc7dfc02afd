"""What a cluster in a folder is made of: how many processes of each kind, their ports, secrets and configurations.

Decided once, by the first `quidditch cluster up`, and kept in the folder: put up again, a cluster is what it was, but
for what is asked anew.
"""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from quidditch.cluster.certificates import Authority
from quidditch.cluster.configuration import (
    Configuration,
    NatsConfiguration,
    NodeConfiguration,
    RestConfiguration,
    write_configuration,
)
from quidditch.cluster.nats_server import Credentials, Member, free_ports
from quidditch.cluster.tls import Tls
from quidditch.errors import RequestError

FILE = "layout.json"

NATS_SERVERS = (1, 3, 5)
"""How many there may be: an even number survives no more than one less."""

COPIES = 3
"""Of every stream and key, where there are as many NATS servers."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How many processes of each kind there are, and the port of the coordinator.

    nats:          servers of NATS that are started with it
    nats_urls:     servers that run elsewhere, in place of them
    masters:       the first one that comes is active, the others stand by
    tls:           between all processes, by certificates that are made for the cluster
    repositories:  the directories below which repositories of snapshots may lie
    """

    data_nodes: int = 3
    replicas: int = 1
    port: int = 9200
    nats: int = 1
    nats_urls: tuple[str, ...] = ()
    masters: int = 1
    tls: bool = False
    repositories: tuple[str, ...] = ()

    def members(self) -> list[str]:
        """The names of the NATS servers that are ours."""
        return [] if self.nats_urls else [f"nats-{number}" for number in range(self.nats)]

    def processes(self) -> list[tuple[str, str]]:
        """Role and name of each of our own."""
        masters = [
            ("master", "master" if not number else f"master-{number}") for number in range(self.masters)
        ]
        nodes = [("data", f"data-{number}") for number in range(self.data_nodes)]
        return [*masters, *nodes, ("coordinator", "coordinator")]


@dataclass(frozen=True, slots=True)
class Layout:
    """A plan in its folder, with the ports and secrets that were drawn for it."""

    folder: Path
    plan: Plan
    ports: dict[str, int] = field(default_factory=dict)
    secret: str = ""
    password: str = ""

    def members(self) -> list[Member]:
        """The NATS servers that are ours."""
        return [
            Member(
                name,
                self.ports[name],
                self.folder / name,
                self.ports.get(_routes(name), 0),
                tls=self.tls(name),
            )
            for name in self.plan.members()
        ]

    def tls(self, name: str) -> Tls:
        """The files of TLS of the process of this name; none without TLS."""
        return self._authority().issue(name) if self.plan.tls else Tls()

    def _authority(self) -> Authority:
        return Authority(self.folder / "tls")

    def credentials(self) -> Credentials:
        return Credentials(password=self.password)

    def nats(self) -> NatsConfiguration:
        """How our processes reach NATS."""
        if self.plan.nats_urls:
            return joined(self.plan.nats_urls)
        urls = tuple(member.url for member in self.members())
        return NatsConfiguration(urls, password=self.password, replicas=copies(len(urls)))

    def configuration(self, name: str) -> Configuration:
        """Of the process of this name."""
        (role,) = (role for role, other in self.plan.processes() if other == name)
        return Configuration(
            (role,),
            self.secret,
            self.plan.replicas,
            self.nats(),
            NodeConfiguration(name, str(self.folder / name), port=self.ports.get(name, 0)),
            RestConfiguration(port=self.plan.port, repositories=self.plan.repositories),
            tls=self.tls(name),
        )


def planned(folder: Path, **asked: Any) -> Plan:
    """The plan of the cluster in a folder, or the usual one, with what is asked in place of it; None asks nothing.

    raises: RequestError   the folder's cluster keeps its log on other NATS servers, or there can be no such plan
    """
    path = folder / FILE
    before = _read(path).plan if path.exists() else None
    plan = replace(before or Plan(), **{name: value for name, value in asked.items() if value is not None})
    if plan.nats not in NATS_SERVERS:
        raise RequestError(
            f"nats: 1, 3 or 5 servers expected, not {plan.nats}: a majority of them must be there"
        )
    if plan.nats_urls:
        joined(plan.nats_urls)
    if before is not None and (plan.nats, plan.nats_urls) != (before.nats, before.nats_urls):
        there = ", ".join(before.nats_urls) or f"{before.nats} of its own"
        raise RequestError(f"{folder}: the cluster's NATS servers stay what they were: {there}")
    if plan.nats_urls and plan.tls:
        raise RequestError("tls: certificates are made for a cluster with NATS servers of its own alone")
    return plan


def lay_out(folder: Path, plan: Plan) -> Layout:
    """The layout of this plan, written down with the configuration of every process; ports and secrets are drawn
    for what had none."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILE
    if path.exists():
        layout = replace(_read(path), plan=plan)
    else:
        layout = Layout(folder, plan, {}, secrets.token_urlsafe(32), secrets.token_urlsafe(32))
    layout = replace(layout, ports=_ports(layout))
    kept = {"plan": asdict(plan), "ports": layout.ports, "secret": layout.secret, "password": layout.password}
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(kept, file, indent=1)
    for _, name in plan.processes():
        write_configuration(folder / f"{name}.toml", layout.configuration(name))
    return layout


def _read(path: Path) -> Layout:
    """raises: RequestError   it is none"""
    try:
        kept = json.loads(path.read_text())
        told = {each.name: kept["plan"][each.name] for each in fields(Plan) if each.name in kept["plan"]}
        # JSON has lists alone.
        tuples = {name: tuple(told.get(name, ())) for name in ("nats_urls", "repositories")}
        plan = Plan(**{**told, **tuples})
        return Layout(path.parent, plan, dict(kept["ports"]), kept["secret"], kept["password"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RequestError(f"{path}: no layout of a cluster: {error!r}") from error


def _ports(layout: Layout) -> dict[str, int]:
    """A port for whoever listens, those that were drawn before among them."""
    plan, members = layout.plan, layout.plan.members()
    wanted = [*members, *(name for role, name in plan.processes() if role == "data")]
    if len(members) > 1:
        wanted += map(_routes, members)
    missing = [name for name in wanted if name not in layout.ports]
    drawn = dict(zip(missing, free_ports(len(missing)), strict=True))
    return {**layout.ports, **drawn}


def _routes(member: str) -> str:
    """Under which name the port is kept that a NATS server hears the others at."""
    return f"{member} routes"


def copies(servers: int) -> int:
    """How many copies streams and keys have on so many NATS servers."""
    return COPIES if servers >= COPIES else 1


def joined(urls: tuple[str, ...]) -> NatsConfiguration:
    """NATS servers that others run; user and password stand in the first URL: `nats://user:password@host:4222`.

    raises: RequestError   one is no such URL
    """
    bare = []
    for url in urls:
        try:
            parts = urlsplit(url)
            place = f"{parts.hostname}:{parts.port or 4222}"
        except ValueError:
            parts, place = urlsplit(""), ""
        if parts.scheme not in ("nats", "tls") or not parts.hostname:
            shown = url.rpartition("@")[2]
            raise RequestError(f"nats-url: nats://user:password@host:port expected, not {shown!r}")
        bare.append(f"{parts.scheme}://{place}")
    first = urlsplit(urls[0])
    user, password = unquote(first.username or ""), unquote(first.password or "")
    return NatsConfiguration(tuple(bare), user or "quidditch", password, copies(len(bare)))
