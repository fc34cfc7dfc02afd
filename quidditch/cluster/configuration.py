"""What the processes of a cluster are told: a file in TOML or YAML, and variables that go before it.

`QUIDDITCH_CLUSTER_NATS_URLS=a,b`, `QUIDDITCH_CLUSTER_NODE_PORT=9302`, `QUIDDITCH_CLUSTER_SECRET=...`: the section, if
there is one, and the key. `quidditch cluster config` prints a file with every key (`example.py`).
"""

from __future__ import annotations

import difflib
import json
import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any

from quidditch.cluster.connection import NatsOptions
from quidditch.cluster.nats_server import Credentials
from quidditch.cluster.tls import Tls
from quidditch.errors import MissingLibrary, RequestError
from quidditch.schema.mapping import nearest

ENVIRONMENT = "QUIDDITCH_CLUSTER_"

ROLES = ("master", "data", "coordinator")


@dataclass(frozen=True, slots=True)
class NatsConfiguration:
    """Where NATS is, and how it is let in; with a URL that begins with `tls://`, by TLS."""

    urls: tuple[str, ...] = ("nats://127.0.0.1:4222",)
    user: str = "quidditch"
    password: str = ""
    replicas: int = 1
    allow_unsafe_log: bool = False


@dataclass(frozen=True, slots=True)
class NodeConfiguration:
    """A data node: what it is called, where its copies lie, where it listens, and the address that others call it by
    where that is another."""

    name: str = ""
    folder: str = ""
    host: str = "127.0.0.1"
    port: int = 0
    address: str = ""
    zone: str = ""

    def reached(self) -> str:
        return self.address or f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class RestConfiguration:
    """OpenSearch's REST API at a coordinator, as `quidditch serve` has it: the same flags, by the same names.

    accounts:      the folder whose users and keys hold (`quidditch users add FOLDER ...`)
    repositories:  the directories below which repositories of snapshots may lie
    """

    host: str = "127.0.0.1"
    port: int = 9200
    workers: int = 1
    accounts: str = ""
    tls_cert: str = ""
    tls_key: str = ""
    insecure: bool = False
    allow_host: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()
    repositories: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MasterConfiguration:
    """forget_after_s:  a node that has been silent for so long gets its copies replaced"""

    forget_after_s: int = 60


@dataclass(frozen=True, slots=True)
class LogConfiguration:
    """level:   debug, info, warning or error
    format:  json, a line each; text; or auto: text on a terminal, else json
    """

    level: str = "info"
    format: str = "auto"


@dataclass(frozen=True, slots=True)
class Configuration:
    """The whole of it."""

    roles: tuple[str, ...] = ()
    secret: str = ""
    default_replicas: int = 1
    nats: NatsConfiguration = field(default_factory=NatsConfiguration)
    node: NodeConfiguration = field(default_factory=NodeConfiguration)
    rest: RestConfiguration = field(default_factory=RestConfiguration)
    master: MasterConfiguration = field(default_factory=MasterConfiguration)
    tls: Tls = field(default_factory=Tls)
    log: LogConfiguration = field(default_factory=LogConfiguration)

    def nats_options(self) -> NatsOptions:
        nats = self.nats
        credentials = Credentials(nats.user, nats.password)
        return NatsOptions(nats.urls, credentials, nats.replicas, nats.allow_unsafe_log, tls=self.tls)


def read_configuration(path: Path, environment: Mapping[str, str] | None = None) -> Configuration:
    """The file with what the environment says instead.

    raises: RequestError   it cannot be read, or holds what is not known or of another type
            MissingLibrary   a file in YAML, and PyYAML is not installed
    """
    variables = os.environ if environment is None else environment
    own = {name: value for name, value in variables.items() if name.startswith(ENVIRONMENT)}
    told = _parsed(path)
    if not isinstance(told, dict):
        raise RequestError(
            f"{path}: no configuration of a cluster: keys with values expected, not {told!r:.80}"
        )
    found: Configuration = _filled(Configuration(), told, own, "", path)
    if own:
        name = min(own)
        raise RequestError(f"${name}: no such variable{_nearest_variable(name)}")
    _check(found, path)
    return found


def _parsed(path: Path) -> Any:
    """raises: RequestError, MissingLibrary"""
    try:
        text = path.read_text()
        return _yaml(text, path) if path.suffix in (".yaml", ".yml") else tomllib.loads(text)
    except (OSError, ValueError) as error:
        raise RequestError(f"{path}: no configuration of a cluster: {error}") from error


def _yaml(text: str, path: Path) -> Any:
    try:
        import yaml
    except ImportError as error:
        raise MissingLibrary(
            f"{path}: YAML needs PyYAML; pip install pyyaml installs it, or write TOML"
        ) from error
    try:
        return yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error


def _filled(like: Any, told: Any, variables: dict[str, str], where: str, path: Path) -> Any:
    """A section like this one, with what is told of it; variables that were heeded are taken out.

    raises: RequestError
    """
    if not isinstance(told, dict):
        raise RequestError(f"{path}: a table expected as [{where[:-1]}], not {told!r}")
    names = [each.name for each in fields(like)]
    for name in told:
        if name not in names:
            raise RequestError(f"{path}: unknown key [{where}{name}]{nearest(name, names)}")
    values: dict[str, Any] = {}
    for name in names:
        before = getattr(like, name)
        if is_dataclass(before):
            values[name] = _filled(before, told.get(name, {}), variables, f"{name}.", path)
            continue
        variable = _variable(where, name)
        value = variables.pop(variable, None)
        source = f"${variable}" if value is not None else f"{path}: {where}{name}"
        values[name] = _typed(told.get(name, before) if value is None else value, before, source)
    return type(like)(**values)


def _variable(where: str, name: str) -> str:
    return f"{ENVIRONMENT}{where.replace('.', '_')}{name}".upper()


def variables() -> list[str]:
    """Every variable of the environment that is heeded."""
    found = []
    for each in fields(Configuration()):
        before = getattr(Configuration(), each.name)
        inner = fields(before) if is_dataclass(before) else ()
        found += [_variable(f"{each.name}.", one.name) for one in inner] or [_variable("", each.name)]
    return found


def _nearest_variable(name: str) -> str:
    near = difflib.get_close_matches(name, variables(), 1)
    return f"; did you mean ${near[0]}?" if near else ""


def _typed(value: Any, like: Any, where: str) -> Any:
    """The value as the type of `like`; text, as variables of the environment are, is read. raises: RequestError"""
    if isinstance(like, tuple):
        values = [each for each in value.split(",") if each] if isinstance(value, str) else value
        if isinstance(values, list | tuple) and all(isinstance(each, str) for each in values):
            return tuple(values)
    elif isinstance(like, bool):
        if isinstance(value, bool) or value in ("true", "false"):
            return value in (True, "true")
    elif isinstance(like, int):
        if not isinstance(value, bool) and str(value).isdecimal():
            return int(str(value))
    elif isinstance(value, str):
        return value
    # What stands there is not shown: it may be a secret.
    raise RequestError(f"{where}: {_EXPECTED[type(like)]} expected, not {_shown(value, where)}")


_EXPECTED = {
    tuple: "a list of strings",
    bool: "true or false",
    int: "a whole number from 0 on",
    str: "a string",
}


def _shown(value: Any, where: str) -> str:
    hidden = where.lower().endswith(("secret", "password"))
    return type(value).__name__ if hidden else repr(value)


def _check(found: Configuration, path: Path) -> None:
    """raises: RequestError   a value that cannot be meant"""
    if not found.secret:
        raise RequestError(f"{path}: secret: a string expected that nobody else knows")
    if not found.nats.urls:
        raise RequestError(f"{path}: nats.urls: at least one expected")
    for role in found.roles:
        _one_of(role, ROLES, f"{path}: roles")
    _one_of(found.log.level, ("debug", "info", "warning", "error"), f"{path}: log.level")
    _one_of(found.log.format, ("auto", "json", "text"), f"{path}: log.format")
    found.tls.check(str(path))


def _one_of(value: str, known: Sequence[str], where: str) -> None:
    """raises: RequestError"""
    if value not in known:
        raise RequestError(f"{where}: one of {', '.join(known)} expected, not {value!r}")


def write_configuration(path: Path, configuration: Configuration) -> None:
    """The file, which only its owner may read: there are secrets in it."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write("\n".join(_lines(configuration)) + "\n")


def _lines(section: Any) -> list[str]:
    """Keys first, sections after them, as TOML wants it. JSON's strings, numbers and lists are TOML's."""
    values = {each.name: getattr(section, each.name) for each in fields(section)}
    lines = [f"{name} = {json.dumps(value)}" for name, value in values.items() if not is_dataclass(value)]
    for name, value in values.items():
        if is_dataclass(value):
            lines += ["", f"[{name}]", *_lines(value)]
    return lines
