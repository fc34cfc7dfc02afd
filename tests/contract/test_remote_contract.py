"""A client keeps the contracts of `Database` and `Index`: into an application in this process, over a socket, and
with two workers, where each request may be answered by another process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import anyio.from_thread
import pytest
from bridging import IN_PROCESS, InProcess, Switch, on_a_socket
from database_contract import DatabaseContract, OpenAgain
from index_contract import IndexContract
from routing_contract import RoutingContract
from server.processes import Served as Process
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


@pytest.fixture(scope="module")
def two_workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """One server for all tests: each begins with an empty one."""
    process = Process(tmp_path_factory.mktemp("served") / "data", workers=2)
    yield process
    process.stop()


class OfTwoWorkers:
    """Every request takes a connection of its own, so that either worker may be the one to answer it."""

    @pytest.fixture
    def open_again(self, two_workers: Process) -> OpenAgain:
        return lambda: quidditch.connect(two_workers.url, headers={"connection": "close"})

    @pytest.fixture
    def database(self, open_again: OpenAgain) -> Iterator[Database]:
        with open_again() as opened:
            yield opened
        with open_again() as emptying:
            for name in emptying.indices():
                emptying.delete_index(name)


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


class TestDatabaseOfTwoWorkers(OfTwoWorkers, DatabaseContract):
    """`quidditch serve --workers 2`."""


class TestUpkeepOfTwoWorkers(OfTwoWorkers, UpkeepContract):
    """Aliases, settings, closing and writes by query with two workers."""


@pytest.mark.long
class TestIndexOfTwoWorkers(OfTwoWorkers, IndexContract):
    """An index of two workers."""

    def test_either_worker_is_asked(self, two_workers: Process) -> None:
        """Without which the rest of this class would say nothing of two."""
        missing = {str(pid) for pid in two_workers.pids()}
        assert len(missing) == 2
        with two_workers.client() as client:
            for _ in range(2_000):
                missing -= {client.get("/").headers["x-request-id"].partition("-")[0]}
                if not missing:
                    return
        raise AssertionError(f"workers that were never asked: {missing}")
