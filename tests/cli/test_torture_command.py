"""`quidditch torture`: what it prints, and its exit code."""

from __future__ import annotations

import os
from pathlib import Path

import command_line
import pytest
from command_line import Run

from quidditch.cluster.nats_server import find_server
from quidditch.errors import RequestError
from quidditch.torture import campaign

run = command_line.run


@pytest.fixture(autouse=True)
def compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Installed packages are compiled once; so is what the children load, whatever the environment says."""
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)


def test_a_short_run_finds_nothing_and_leaves_nothing(run: Run) -> None:
    report = run("torture", "here", "--kills", "3", "--seed", "5", "--json").json
    assert report["findings"] == []
    assert report["kills"] >= 3
    assert report["seed"] == 5
    assert report["operations"] >= report["acknowledged"]
    assert set(report) == {
        "seed", "rounds", "kills", "operations", "acknowledged", "checks", "documents", "seconds", "findings",
    }  # fmt: skip
    assert not Path("here").exists()


def test_findings_are_shown_kept_and_told_by_the_exit_code(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "torture_dying_writers.py").write_text("import sys; sys.exit('no memory')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(campaign, "WORKLOAD", "torture_dying_writers")
    words = ("torture", "here", "--minutes", "1", "--seed", "5", "--threads", "2")
    shown = run(*words, code=1)
    assert "no memory" in shown.out
    assert f"kept in {tmp_path / 'here' / 'kept-5-0'}" in shown.out
    assert shown.err == ""
    (finding, *_) = run(*words, "--json", code=1).json["findings"]
    assert finding["kind"] == "crash"
    assert finding["seed"] == 5
    assert Path(finding["kept"]).is_dir()


def test_a_directory_that_holds_something_else_is_refused(run: Run, tmp_path: Path) -> None:
    Path("shelf").mkdir()
    Path("shelf", "letter.txt").write_text("mine")
    assert "not from torture" in run("torture", "shelf", "--kills", "1", code=1).err
    assert run("torture", "here", "--kills", "0", code=2).err


def test_a_cluster_that_is_tortured_loses_nothing_and_leaves_nothing(run: Run) -> None:
    try:
        find_server()
    except RequestError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))
    report = run("torture", "here", "--cluster", "--kills", "1", "--seed", "7", "--json").json
    assert report["findings"] == []
    assert report["kills"] >= 1
    assert report["calls"]["write ok"] > 0
    assert report["documents"] > 0
    assert not Path("here").exists()
    Path("shelf").mkdir()
    Path("shelf", "letter.txt").write_text("mine")
    assert "a directory that is new" in run("torture", "shelf", "--cluster", code=1).err
