"""The measurements run, at a size that says nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("uvicorn", reason="the server's packages are not installed")

from benchmarks.server.__main__ import main


def test_every_part_measures_something(capsys: pytest.CaptureFixture[str]) -> None:
    if not Path("/proc/self/smaps_rollup").exists():
        pytest.skip("memory is read from /proc, which only Linux has")
    main(
        data=None,
        documents=300,
        seconds=0.2,
        connections=2,
        workers=2,
        bulk=200,
        parts="overhead,searches,gets,bulk",
        as_json=True,
        save=None,
    )
    found = json.loads(capsys.readouterr().out)
    assert found["documents"] == 300
    assert found["overhead"]["http_p50_ms"] > 0
    assert found["searches"]["answers"] > 0
    assert found["gets"]["answers"] == 100
    assert {name for name, rate in found["bulk"].items() if rate["per_second"] > 0} == {
        "add_many in process",
        "bulk in process",
        "_bulk",
        "add_many of the client",
    }
