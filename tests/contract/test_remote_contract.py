"""A client keeps the contracts of `Database` and `Index`: into an application in this process, and over a socket."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import anyio.from_thread
import pytest
from bridging import IN_PROCESS, InProcess, Switch, on_a_socket
from database_contract import DatabaseContract, OpenAgain
from index_contract import IndexContract
from routing_contract import RoutingContract
from upkeep_contract import UpkeepContract

import quidditch
from quidditch.interface import Database
from quidditch.server.app import create_app

NOT_OVER_THE_NETWORK = {
    "test_by_query_leaves_alone_what_is_changed_meanwhile": "changes a document inside of the call: that runs in the "
    "server, where `type(books)` is another class",
    "test_a_conflict_aborts_unless_told_otherwise": "the same",
}
"""Tests of the contract that cannot be carried out through a client, and why."""


@pytest.fixture(autouse=True)
def possible(request: pytest.FixtureRequest) -> None:
    """Tell of a test that cannot be carried out."""
    reason = NOT_OVER_THE_NETWORK.get(request.function.__name__)
    if reason is not None:
        pytest.skip(reason)


@pytest.fixture(scope="module")
def portal() -> Iterator[anyio.from_thread.BlockingPortal]:
    with anyio.from_thread.start_blocking_portal() as portal:
        yield portal


@pytest.fixture(scope="module")
def switch() -> Switch:
    return Switch()


@pytest.fixture(scope="module")
def address(switch: Switch) -> Iterator[str]:
    with on_a_socket(switch) as address:
        yield address


class Served:
    """Supplies a directory of the test's own."""

    @pytest.fixture
    def served(self, tmp_path: Path) -> Iterator[Database]:
        with quidditch.connect(tmp_path / "data") as opened:
            yield opened


class InThisProcess(Served):
    """The client's requests go to the application by a call."""

    @pytest.fixture
    def open_again(self, served: Database, portal: anyio.from_thread.BlockingPortal) -> OpenAgain:
        app = create_app(served)
        return lambda: quidditch.connect(IN_PROCESS, transport=InProcess(app, portal))

    @pytest.fixture
    def database(self, open_again: OpenAgain) -> Iterator[Database]:
        with open_again() as opened:
            yield opened


class OverASocket(Served):
    """The client's requests go over connections, packed as they are to another machine."""

    @pytest.fixture
    def open_again(self, served: Database, switch: Switch, address: str) -> OpenAgain:
        switch.app = create_app(served)
        return lambda: quidditch.connect(address, compress=True)

    @pytest.fixture
    def database(self, open_again: OpenAgain) -> Iterator[Database]:
        with open_again() as opened:
            yield opened


class TestDatabaseInThisProcess(InThisProcess, DatabaseContract):
    """`connect("http://…")` without a socket."""


class TestUpkeepInThisProcess(InThisProcess, UpkeepContract):
    """Aliases, settings, closing and writes by query, without a socket."""


class TestIndexInThisProcess(InThisProcess, IndexContract):
    """An index, without a socket."""


class TestDatabaseOverASocket(OverASocket, DatabaseContract):
    """`connect("http://…")`."""


class TestUpkeepOverASocket(OverASocket, UpkeepContract):
    """Aliases, settings, closing and writes by query of `connect("http://…")`."""


class TestIndexOverASocket(OverASocket, IndexContract):
    """An index of `connect("http://…")`."""


class TestRoutingInThisProcess(InThisProcess, RoutingContract):
    """Routings through a client."""
