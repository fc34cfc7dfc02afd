"""Imports run one way: each room of the package imports only from further left, or from itself."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# From left to right; rooms of one column are strangers to each other.
COLUMNS = (
    {"errors", "version"},
    {"types", "tables", "progress", "patterns", "sequences"},
    {"schema", "analysis"},
    {"index", "query", "expressions"},
    {"snapshots"},
    {"interface", "bulk"},
    {"search", "topology"},
    {"local", "remote"},
    {"torture", "aio"},
    {"server"},
    {"cluster"},
    {"cluster_torture"},
    {"__init__"},
    {"cli"},
)
RANK = {room: rank for rank, rooms in enumerate(COLUMNS) for room in rooms}


def modules() -> list[Path]:
    return sorted([*ROOT.glob("quidditch/**/*.py"), *ROOT.glob("cli/**/*.py")])


def room_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return "cli" if parts[0] == "cli" else parts[1]


def imported_rooms(path: Path) -> Iterator[tuple[int, str]]:
    """(line, room) of every import of the package in a module, those inside functions and conditions too."""
    package = path.relative_to(ROOT).with_suffix("").parts[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = [*package[: len(package) - node.level + 1]] if node.level else []
            stem = ".".join([*base, *([node.module] if node.module else [])])
            names = [f"{stem}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            if room := room_of_import(name):
                yield node.lineno, room


def room_of_import(name: str) -> str | None:
    parts = name.split(".")
    if parts[0] in ("cli", "quidditch_cli"):
        return "cli"
    if parts[0] != "quidditch":
        return None
    # `from quidditch import connect` names no room of its own: it takes the whole package.
    return parts[1] if len(parts) > 1 and parts[1] in RANK else "__init__"


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_only_from_further_left(path: Path) -> None:
    own = room_of(path)
    assert own in RANK, f"the room {own} has no place in the import order"
    for line, room in imported_rooms(path):
        assert room == own or RANK[room] < RANK[own], f"{path.name}:{line}: {own} imports {room}"


def test_the_walk_sees_imports_inside_functions_and_relative_ones(tmp_path: Path) -> None:
    inside = ROOT / "quidditch" / "index" / "postings.py"
    assert room_of(inside) == "index"
    assert room_of_import("quidditch.search.phases") == "search"
    assert room_of_import("quidditch.connect") == "__init__"
    assert room_of_import("numpy.typing") is None
    assert any(room == "errors" for _, room in imported_rooms(ROOT / "cli" / "failures.py"))
    assert any(room == "cli" for _, room in imported_rooms(ROOT / "cli" / "main.py"))


def test_strangers_do_not_import_each_other() -> None:
    assert RANK["schema"] == RANK["analysis"]
    assert RANK["local"] == RANK["remote"]
    assert RANK["interface"] < RANK["search"] < RANK["local"] < RANK["server"] < RANK["cluster"] < RANK["cli"]


def test_no_module_is_called_by_what_it_is_not() -> None:
    forbidden = {"utils", "util", "helpers", "helper", "common", "misc", "new"}
    named = [str(path.relative_to(ROOT)) for path in modules() if forbidden & {path.stem, path.parent.name}]
    assert not named
