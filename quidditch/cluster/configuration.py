"""What the processes of a cluster are told: a TOML file, and variables of the environment that go before it.

    secret = "..."                          # between processes
    [nats]
    urls = ["nats://127.0.0.1:4222"]
    user = "quidditch"
    password = "..."
    replicas = 1                            # 3 on three servers or more
    [node]                                  # of a data node, a coordinator or a master
    name = "n0"
    folder = "/var/lib/quidditch/n0"
    host = "127.0.0.1"
    port = 9301
    zone = "a"

`QUIDDITCH_CLUSTER_NATS_URLS=a,b`, `QUIDDITCH_CLUSTER_NODE_PORT=9302`, `QUIDDITCH_CLUSTER_SECRET=...` likewise.
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from quidditch.cluster.connection import NatsOptions
from quidditch.cluster.nats_server import Credentials
from quidditch.errors import RequestError
from quidditch.schema.mapping import nearest

ENVIRONMENT = "QUIDDITCH_CLUSTER_"


@dataclass(frozen=True, slots=True)
class NatsConfiguration:
    urls: tuple[str, ...] = ("nats://127.0.0.1:4222",)
    user: str = "quidditch"
    password: str = ""
    replicas: int = 1
    allow_unsafe_log: bool = False

    def options(self) -> NatsOptions:
        return NatsOptions(
            self.urls, Credentials(self.user, self.password), self.replicas, self.allow_unsafe_log
        )


@dataclass(frozen=True, slots=True)
class NodeConfiguration:
    name: str = ""
    folder: str = ""
    host: str = "127.0.0.1"
    port: int = 0
    zone: str = ""


@dataclass(frozen=True, slots=True)
class Configuration:
    """The whole of it."""

    nats: NatsConfiguration
    node: NodeConfiguration
    secret: str = ""
    default_replicas: int = 1


def read_configuration(path: Path, environment: Mapping[str, str] | None = None) -> Configuration:
    """The file with what the environment says instead.

    raises: RequestError   it cannot be read, or holds what is not known or of another type
    """
    try:
        told = tomllib.loads(path.read_text())
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RequestError(f"{path}: no configuration of a cluster: {error}") from error
    variables = os.environ if environment is None else environment
    nats = _filled(NatsConfiguration, told.pop("nats", {}), variables, "nats.", path)
    node = _filled(NodeConfiguration, told.pop("node", {}), variables, "node.", path)
    known = ("secret", "default_replicas")
    for name in told:
        if name not in known:
            raise RequestError(f"{path}: unknown key [{name}]{nearest(name, (*known, 'nats', 'node'))}")
    secret = variables.get(f"{ENVIRONMENT}SECRET", told.get("secret", ""))
    replicas = variables.get(f"{ENVIRONMENT}DEFAULT_REPLICAS", told.get("default_replicas", 1))
    if not isinstance(secret, str) or not secret:
        raise RequestError(f"{path}: secret: a string expected that nobody else knows")
    return Configuration(nats, node, secret, _typed(replicas, 1, f"{path}: default_replicas"))


def _filled(kind: type[Any], told: Any, variables: Mapping[str, str], where: str, path: Path) -> Any:
    """raises: RequestError"""
    if not isinstance(told, dict):
        raise RequestError(f"{path}: a table expected as [{where[:-1]}], not {told!r}")
    names = [each.name for each in fields(kind)]
    for name in told:
        if name not in names:
            raise RequestError(f"{path}: unknown key [{where}{name}]{nearest(name, names)}")
    values: dict[str, Any] = {}
    for each in fields(kind):
        variable = f"{ENVIRONMENT}{where[:-1]}_{each.name}".upper()
        value = variables.get(variable, told.get(each.name, each.default))
        values[each.name] = _typed(value, each.default, f"{path}: {where}{each.name}")
    return kind(**values)


def _typed(value: Any, like: Any, where: str) -> Any:
    """The value as the type of `like`; text, as variables of the environment are, is read. raises: RequestError"""
    if isinstance(like, tuple):
        values = value.split(",") if isinstance(value, str) else value
        if isinstance(values, list | tuple) and values and all(isinstance(each, str) for each in values):
            return tuple(values)
    elif isinstance(like, bool):
        if isinstance(value, bool) or value in ("true", "false"):
            return value in (True, "true")
    elif isinstance(like, int):
        if not isinstance(value, bool) and str(value).isdecimal():
            return int(str(value))
    elif isinstance(value, str):
        return value
    raise RequestError(f"{where}: {_EXPECTED[type(like)]} expected, not {value!r}")


_EXPECTED = {
    tuple: "a list of strings",
    bool: "true or false",
    int: "a whole number from 0 on",
    str: "a string",
}


def write_configuration(path: Path, configuration: Configuration) -> None:
    """The file, which only its owner may read: there are secrets in it."""
    lines = [f"secret = {json.dumps(configuration.secret)}"]
    lines.append(f"default_replicas = {configuration.default_replicas}")
    for name, part in (("nats", configuration.nats), ("node", configuration.node)):
        lines += ["", f"[{name}]"]
        lines += [f"{each.name} = {json.dumps(getattr(part, each.name))}" for each in fields(part)]
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write("\n".join(lines) + "\n")
