"""A directory, and the temporary one of `:memory:`, keep the contracts of `Database` and `Index`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from database_contract import DatabaseContract, OpenAgain
from index_contract import IndexContract

import quidditch
from quidditch.interface import Database


class OnDirectory:
    """Supplies databases in a directory of the test's own."""

    @pytest.fixture
    def database(self, tmp_path: Path) -> Iterator[Database]:
        opened = quidditch.connect(tmp_path / "data")
        yield opened
        opened.close()

    @pytest.fixture
    def open_again(self, tmp_path: Path) -> OpenAgain:
        return lambda: quidditch.connect(str(tmp_path / "data"))


class InMemory:
    """Supplies databases that vanish on close."""

    @pytest.fixture
    def database(self) -> Iterator[Database]:
        opened = quidditch.connect(":memory:")
        yield opened
        opened.close()

    @pytest.fixture
    def open_again(self) -> OpenAgain:
        pytest.skip("a temporary database has no name to open it by again")


class TestLocalDatabase(OnDirectory, DatabaseContract):
    """`connect("./data")`."""


class TestLocalIndex(OnDirectory, IndexContract):
    """An index of `connect("./data")`."""


class TestTemporaryDatabase(InMemory, DatabaseContract):
    """`connect(":memory:")`."""


class TestTemporaryIndex(InMemory, IndexContract):
    """An index of `connect(":memory:")`."""
