"""A directory, and the temporary one of `:memory:`, keep the contracts of `Database` and `Index`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from database_contract import DatabaseContract, OpenAgain
from index_contract import IndexContract
from routing_contract import RoutingContract
from upkeep_contract import UpkeepContract

import quidditch
from quidditch.index.single_writes import Durability
from quidditch.interface import Database
from quidditch.local import shard


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


class AcknowledgedFromMemory(OnDirectory):
    """Every index has durability "async", and is synced by nothing but what reads and writes bring about."""

    @pytest.fixture(autouse=True)
    def asynchronous(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(shard, "durability_of", lambda settings: Durability("async", 3600.0))


class TestLocalDatabase(OnDirectory, DatabaseContract):
    """`connect("./data")`."""


class TestLocalUpkeep(OnDirectory, UpkeepContract):
    """Aliases, settings, closing and writes by query of `connect("./data")`."""


class TestLocalIndex(OnDirectory, IndexContract):
    """An index of `connect("./data")`."""


class TestTemporaryDatabase(InMemory, DatabaseContract):
    """`connect(":memory:")`."""


class TestTemporaryIndex(InMemory, IndexContract):
    """An index of `connect(":memory:")`."""


class TestAsynchronousDatabase(AcknowledgedFromMemory, DatabaseContract):
    """`durability: async` for every index."""


class TestAsynchronousIndex(AcknowledgedFromMemory, IndexContract):
    """An index with `durability: async`."""


class TestLocalRouting(OnDirectory, RoutingContract):
    """Routings of `connect("./data")`."""


class TestAsynchronousRouting(AcknowledgedFromMemory, RoutingContract):
    """Routings of writes that are acknowledged from memory."""
