"""Using an index for long takes no more of the machine than using it for a while."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SAMPLES = 12
HOUR_S = 3600.0

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="what a process holds is read from /proc, which Linux has"
)


def samples(folder: Path, seconds: float) -> list[dict[str, int]]:
    program = Path(__file__).with_name("churn.py")
    command = [sys.executable, str(program), str(folder), str(seconds), str(SAMPLES)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def check_flat(found: list[dict[str, int]]) -> None:
    """The last third against the second: the first warms caches and fills the index."""
    assert len(found) == SAMPLES
    middle, late = found[SAMPLES // 3 : -SAMPLES // 3], found[-SAMPLES // 3 :]
    for what, slack in (("files", 6), ("threads", 2), ("anonymous_bytes", 24 << 20), ("size_bytes", 8 << 20)):
        before, after = max(one[what] for one in middle), max(one[what] for one in late)
        assert after <= before * 1.1 + slack, f"{what} grew from {before:,} to {after:,}: {found}"


def test_a_while_of_everything_leaves_no_more_behind_than_half_of_it(tmp_path: Path) -> None:
    check_flat(samples(tmp_path / "data", 15))


@pytest.mark.long
def test_an_hour_of_everything_leaves_memory_and_files_flat(tmp_path: Path) -> None:
    """QUIDDITCH_CHURN_S says another time."""
    check_flat(samples(tmp_path / "data", float(os.environ.get("QUIDDITCH_CHURN_S", HOUR_S))))
