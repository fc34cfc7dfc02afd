"""The command on a few made-up documents, so that it cannot rot."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import pytest

pytest.importorskip("nats", reason="nats-py is not installed: pip install 'quidditch[cluster]'")

from benchmarks.cluster_processes.__main__ import measured
from benchmarks.corpora import synthetic
from quidditch.cluster import machine
from quidditch.cluster.nats_server import find_server
from quidditch.errors import RequestError


@pytest.mark.long
def test_each_process_has_figures(tmp_path: Path) -> None:
    try:
        find_server()
    except RequestError as error:
        pytest.skip(str(error))
    folder = tmp_path / "cluster"
    try:
        found = measured(folder, list(islice(synthetic(50), 50)), 0.0)
    finally:
        machine.down(folder)
    assert len(found["megabytes"]) == 4
    for processes in found["megabytes"].values():
        assert set(processes) == {"coordinator", "data-0", "master", "nats-0"}
        assert all(0 < each["pss"] <= each["rss"] for each in processes.values())
    assert all(seconds > 0 for seconds in found["seconds to start"].values())
