"""`quidditch users`, `keys` and `roles`."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import command_line
import pytest
from command_line import Run

run = command_line.run

PASSWORD = "correct horse"


@pytest.fixture
def shelf(run: Run) -> Run:
    Path("shelf").mkdir()
    return run


def test_a_user_comes_and_goes(shelf: Run) -> None:
    shelf("users", "add", "shelf", "ada", "--role", "reader", "--role", "monitor", input=PASSWORD + "\n")
    assert shelf("users", "list", "shelf", "--json").json == [{"user": "ada", "roles": ["reader", "monitor"]}]
    assert PASSWORD not in Path("shelf/security.json").read_text()
    again = shelf("users", "add", "shelf", "ada", "--role", "admin", input=PASSWORD + "\n", code=1)
    assert "--replace" in again.err
    shelf("users", "add", "shelf", "ada", "--role", "admin", "--replace", input="another horse\n")
    assert shelf("users", "list", "shelf", "--json").json == [{"user": "ada", "roles": ["admin"]}]
    assert "lets nobody in" in shelf("users", "remove", "shelf", "ada").out
    assert "ada" in shelf("users", "remove", "shelf", "ada", code=1).err
    assert "no users" in shelf("users", "list", "shelf").out


def test_a_key_is_shown_once(shelf: Run) -> None:
    made = shelf("keys", "create", "shelf", "loader", "--role", "writer", "--expires", "30d")
    shown = made.out.strip()
    assert shown.startswith("Authorization: ApiKey ")
    id, secret = base64.b64decode(shown.split()[-1]).decode().split(":")
    assert secret not in Path("shelf/security.json").read_text()
    listed = shelf("keys", "list", "shelf", "--json")
    assert secret not in listed.out
    (key,) = listed.json
    assert (key["id"], key["name"], key["roles"]) == (id, "loader", ["writer"])
    assert key["expires_ms"] - key["created_ms"] == 30 * 86_400_000
    assert id in shelf("keys", "list", "shelf").out
    shelf("keys", "revoke", "shelf", id)
    assert shelf("keys", "list", "shelf", "--json").json == []
    assert id in shelf("keys", "revoke", "shelf", id, code=1).err


def test_a_key_for_programs(shelf: Run) -> None:
    made = shelf("keys", "create", "shelf", "loader", "--role", "writer", "--json").json
    assert base64.b64decode(made["encoded"]).decode() == f"{made['id']}:{made['api_key']}"
    assert shelf("keys", "list", "shelf", "--json").json[0]["expires_ms"] is None


def test_a_role_of_ones_own(shelf: Run) -> None:
    shelf("roles", "add", "shelf", "logs", "--read", "logs-*", "--write", "logs-new", "--cluster", "read")
    found = {role["role"]: role for role in shelf("roles", "list", "shelf", "--json").json}
    assert found["logs"] == {
        "role": "logs",
        "cluster": "read",
        "indices": {"logs-*": "read", "logs-new": "write"},
    }
    assert found["admin"]["indices"] == {"*": "admin"}
    assert "read logs-*" in shelf("roles", "list", "shelf").out
    shelf("users", "add", "shelf", "ada", "--role", "logs", input=PASSWORD)
    assert "ada" in shelf("roles", "remove", "shelf", "logs", code=1).err
    shelf("users", "remove", "shelf", "ada")
    shelf("roles", "remove", "shelf", "logs")
    assert "logs" not in json.dumps(shelf("roles", "list", "shelf", "--json").json)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("users", "add", "shelf", "ada", "--role", "readers"), "there are admin"),
        (("users", "add", "shelf", "a/b", "--role", "reader"), "a/b"),
        (("keys", "create", "shelf", "x", "--role", "reader", "--expires", "soon"), "30d"),
        (("keys", "create", "shelf", "x", "--role", "readers"), "there are admin"),
        (("roles", "add", "shelf", "x"), "--read"),
        (("roles", "add", "shelf", "admin", "--read", "x"), "built in"),
        (("roles", "add", "shelf", "x", "--read", "A B"), "A B"),
        (("roles", "add", "shelf", "x", "--cluster", "all"), "read, write, admin"),
        (("roles", "remove", "shelf", "x"), "[x]"),
        (("users", "list", "no-such"), "mkdir"),
    ],
)
def test_what_is_wrong_is_one_sentence_and_changes_nothing(
    shelf: Run, words: tuple[str, ...], said: str
) -> None:
    done = shelf(*words, input=PASSWORD + "\n", code=1)
    assert said in done.err
    assert len(done.err.splitlines()) == 1
    assert not Path("shelf/security.json").exists()


@pytest.mark.parametrize("password", ["", "short", "x" * 2000, "tab\there and there"])
def test_a_password_that_is_none(shelf: Run, password: str) -> None:
    done = shelf("users", "add", "shelf", "ada", "--role", "reader", input=password + "\n", code=1)
    assert "password" in done.err
    assert len(password) < 6 or password not in done.err


@pytest.mark.parametrize("group", ["users", "keys", "roles"])
def test_each_command_has_help_and_json(run: Run, group: str) -> None:
    commands = {"users": "add list remove", "keys": "create list revoke", "roles": "add list remove"}
    for command in commands[group].split():
        assert "--json" in run(group, command, "--help").out
