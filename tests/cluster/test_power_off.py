"""A whole cluster loses its power: every process is killed at once under writes, NATS too, and comes back by `up`."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import quidditch
from quidditch.cluster import machine
from quidditch.cluster.nats_server import free_ports

from .one_server import need_nats


def write_until_it_ends(url: str, acknowledged: list[str], enough: threading.Event) -> None:
    """Add documents one by one; those that were acknowledged are in the list, in order."""
    with quidditch.connect(url, retries=0) as database:
        index = database.index("books")
        for number in range(1_000_000):
            try:
                index.add({"title": f"dune {number}", "number": number}, id=str(number))
            except quidditch.QuidditchError:
                return
            acknowledged.append(str(number))
            if number == 200:
                enough.set()


def test_every_acknowledged_write_is_there_after_a_power_failure(tmp_path: Path) -> None:
    need_nats()
    (port,) = free_ports(1)
    plan = machine.Plan(data_nodes=2, replicas=1, port=port)
    url = machine.up(tmp_path, plan)
    try:
        with quidditch.connect(url) as database:
            database.create_index("books", settings={"number_of_shards": 2, "number_of_replicas": 1})
        acknowledged: list[str] = []
        enough = threading.Event()
        writing = threading.Thread(target=write_until_it_ends, args=(url, acknowledged, enough))
        writing.start()
        assert enough.wait(60.0)
        pids = machine.status(tmp_path)["processes"]
        assert len(pids) == 5
        for pid in pids.values():
            os.kill(pid, signal.SIGKILL)
        # Their signals are on their way: this waits until they are gone.
        machine.down(tmp_path)
        writing.join(60.0)
        assert not writing.is_alive()

        machine.up(tmp_path, plan)

        with quidditch.connect(url) as database:
            index = database.index("books")
            found = dict(zip(acknowledged, index.mget(acknowledged), strict=True))
            assert [id for id, document in found.items() if document is None] == []
            # The one write that was under way may be there, and nothing may be there twice.
            assert len(index) - len(acknowledged) in (0, 1)
            assert {document.version for document in found.values() if document is not None} == {1}
            assert index.add({"title": "after"}, id="after").version == 1
            assert index.count({"match": {"title": "after"}}) == 1
    finally:
        machine.down(tmp_path)
