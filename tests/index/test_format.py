"""FORMAT.md is the truth about the bytes: its examples run, and it names every database and real functions only."""

from __future__ import annotations

import doctest
import importlib
import re
from pathlib import Path
from types import ModuleType

import pytest

from quidditch.index import buffer, codecs, inversion, merge, stored_fields
from quidditch.index.codecs import FORMAT_VERSION, OLDEST_READABLE
from quidditch.index.storage import Table

FORMAT = Path(codecs.__file__).with_name("FORMAT.md")
ROW = re.compile(r"^\| `(\w+)` \| (.+) \|$", re.MULTILINE)
NAMED = re.compile(r"`([a-z_]+)\.([A-Za-z_]+)`")
MODULES = {path.stem for path in FORMAT.parent.glob("*.py")}


def rows() -> dict[str, list[str]]:
    """Database -> key, value, functions, since."""
    return {
        name: re.split(r" (?<!\\)\| ", rest) for name, rest in ROW.findall(FORMAT.read_text(encoding="utf-8"))
    }


def test_the_examples_run() -> None:
    failed, attempted = doctest.testfile(str(FORMAT), module_relative=False, encoding="utf-8")
    assert attempted > 30
    assert failed == 0


@pytest.mark.parametrize("module", [codecs, stored_fields, inversion, merge, buffer])
def test_the_examples_of_the_functions_run(module: ModuleType) -> None:
    failed, attempted = doctest.testmod(module)
    assert attempted > 0
    assert failed == 0


def test_every_database_is_in_the_table() -> None:
    assert sorted(rows()) == sorted(Table)
    for name, cells in rows().items():
        assert len(cells) == 4, name
        assert 1 <= int(cells[3]) <= FORMAT_VERSION, name


@pytest.mark.parametrize("table", list(Table))
def test_every_database_is_drawn_and_has_functions(table: Table) -> None:
    assert NAMED.findall(rows()[table][2])
    heads = re.findall(r"^\*\*(.+?)\*\*", FORMAT.read_text(encoding="utf-8"), re.MULTILINE)
    assert any(f"`{table}`" in head for head in heads)


def test_every_function_named_is_there() -> None:
    named = [one for one in NAMED.findall(FORMAT.read_text(encoding="utf-8")) if one[0] in MODULES]
    assert len(named) > 30
    for module, name in named:
        found = importlib.import_module(f"quidditch.index.{module}")
        assert hasattr(found, name), f"{module}.{name}"


def test_limits_are_the_ones_written() -> None:
    text = FORMAT.read_text(encoding="utf-8")
    for number in (codecs.WINDOW_DOCS, codecs.COLUMN_CHUNK_DOCS, codecs.ID_CHUNK_DOCS):
        assert f"{number:,}" in text
    assert f"up to {codecs.LONGEST_PLAIN_ID} bytes" in text


def test_the_history_has_every_version() -> None:
    history = FORMAT.read_text(encoding="utf-8").split("## History")[1]
    versions = [int(found) for found in re.findall(r"^\*\*(\d+)\.\*\*", history, re.MULTILINE)]
    assert sorted(versions) == list(range(1, FORMAT_VERSION + 1))
    assert OLDEST_READABLE in versions
