"""What a process is told by its file and by the environment; what cannot be meant is refused by name."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path

import pytest

from quidditch.cluster.configuration import (
    ROLES,
    Configuration,
    NodeConfiguration,
    read_configuration,
    variables,
    write_configuration,
)
from quidditch.cluster.example import example
from quidditch.errors import MissingLibrary, RequestError

SECRET = 'secret = "s3cret"\n'


def told(folder: Path, text: str, name: str = "node.toml", **environment: str) -> Configuration:
    """What a process is told by a file and by variables, named without what all begin with."""
    path = folder / name
    path.write_text(text)
    return read_configuration(path, {f"QUIDDITCH_CLUSTER_{key}": value for key, value in environment.items()})


def test_the_environment_goes_before_the_file(tmp_path: Path) -> None:
    text = SECRET + '[node]\nname = "n0"\nport = 9301\n[nats]\nurls = ["nats://one"]\n'
    assert told(tmp_path, text).node == NodeConfiguration("n0", port=9301)
    found = told(
        tmp_path, text, NODE_PORT="9302", NATS_URLS="nats://a,nats://b", ROLES="data,master", SECRET="other"
    )
    assert (found.node.port, found.nats.urls) == (9302, ("nats://a", "nats://b"))
    assert (found.roles, found.secret) == (("data", "master"), "other")
    assert told(tmp_path, SECRET, NATS_ALLOW_UNSAFE_LOG="true").nats.allow_unsafe_log


def test_yaml_says_the_same(tmp_path: Path) -> None:
    pytest.importorskip("yaml", reason="PyYAML is not installed")
    text = "secret: s3cret\nroles: [data]\nnode:\n  name: n0\n  port: 9301\nnats:\n  urls: [nats://one]\n"
    found = told(tmp_path, text, "node.yaml")
    assert (found.node.name, found.node.port, found.nats.urls) == ("n0", 9301, ("nats://one",))
    with pytest.raises(RequestError, match=r"node\.yml: no configuration of a cluster"):
        told(tmp_path, "secret: [", "node.yml")
    with pytest.raises(RequestError, match=r"keys with values expected"):
        told(tmp_path, "- a\n- b\n", "node.yml")


def test_yaml_without_its_library_is_told_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(MissingLibrary, match="pip install pyyaml"):
        told(tmp_path, "secret: x\n", "node.yaml")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sercet = 'x'", r"unknown key \[sercet\]; did you mean \[secret\]\?"),
        (SECRET + "[node]\nprot = 1", r"unknown key \[node\.prot\]; did you mean \[port\]\?"),
        (SECRET + "[nods]\nport = 1", r"unknown key \[nods\]; did you mean \[node\]\?"),
        (SECRET + "[node]\nport = 'x'", r"node\.port: a whole number from 0 on expected, not 'x'"),
        (SECRET + "[node]\nport = true", r"node\.port: a whole number"),
        (SECRET + "node = 3", r"a table expected as \[node\], not 3"),
        (SECRET + "[nats]\nurls = []", r"nats\.urls: at least one expected"),
        (SECRET + "[nats]\nurls = [3]", r"nats\.urls: a list of strings expected"),
        (SECRET + "roles = ['mastre']", r"roles: one of master, data, coordinator expected, not 'mastre'"),
        (SECRET + "[log]\nformat = 'xml'", r"log\.format: one of auto, json, text expected, not 'xml'"),
        (SECRET + "[log]\nlevel = 'loud'", r"log\.level: one of debug, info"),
        (SECRET + "[tls]\nca = 'ca.pem'", r"tls\.certificate is missing"),
        ("", r"secret: a string expected that nobody else knows"),
        ("secret = ", r"no configuration of a cluster"),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(RequestError, match=words) as caught:
        told(tmp_path, text)
    assert "node.toml" in str(caught.value)


def test_a_variable_that_is_not_known_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        RequestError, match=r"\$QUIDDITCH_CLUSTER_NDOE_PORT: .* \$QUIDDITCH_CLUSTER_NODE_PORT\?"
    ):
        told(tmp_path, SECRET, NDOE_PORT="9302")
    with pytest.raises(RequestError, match=r"\$QUIDDITCH_CLUSTER_NODE_PORT: a whole number"):
        told(tmp_path, SECRET, NODE_PORT="x")


def test_a_secret_of_the_wrong_type_is_not_shown(tmp_path: Path) -> None:
    with pytest.raises(RequestError) as caught:
        told(tmp_path, "secret = 123456789")
    assert "123456789" not in str(caught.value)


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "node.toml"
    before = Configuration(("data",), 'a "quoted" \\ secret', node=NodeConfiguration("n0", "/a b", port=1))
    write_configuration(path, before)
    assert read_configuration(path, {}) == before


@pytest.mark.parametrize(
    "roles", [some for count in (1, 2, 3) for some in itertools.combinations(ROLES, count)]
)
def test_the_example_of_each_role_is_what_a_process_is_told_by_default(
    tmp_path: Path, roles: Sequence[str]
) -> None:
    found = told(tmp_path, example(list(roles)))
    assert found.roles == tuple(roles)
    usual = Configuration()
    for name in ("default_replicas", "rest", "master", "tls", "log"):
        assert getattr(found, name) == getattr(usual, name)


def test_the_example_of_all_roles_has_every_key() -> None:
    lines = example(list(ROLES)).splitlines()
    usual = Configuration()
    for each in fields(usual):
        section = getattr(usual, each.name)
        names = [one.name for one in fields(section)] if is_dataclass(section) else [each.name]
        for name in names:
            assert any(line.startswith(f"{name} = ") for line in lines), name
    assert (
        len(variables()) == len(set(variables())) == sum(" = " in line for line in lines if line[0:1] != "#")
    )
    with pytest.raises(RequestError, match="some of master, data, coordinator expected"):
        example(["nurse"])
