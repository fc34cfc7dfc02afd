"""The measurements run, at a size that says nothing."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("nats", reason="nats-py is not installed: pip install 'quidditch[cluster]'")

from benchmarks.cluster_recovery.__main__ import main
from quidditch.cluster.nats_server import find_server
from quidditch.errors import RequestError


@pytest.mark.long
def test_every_recovery_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        find_server()
    except RequestError as error:
        pytest.skip(str(error))
    main(data=None, documents=200, shards=2, as_json=True, save=None, wait_for=None)
    found = json.loads(capsys.readouterr().out)
    assert found["data node restarted"]["serving_s"] > 0
    assert found["data node killed"]["users"]["search"]["calls"] > 0
