"""What `import quidditch` adds to the start of an interpreter, and what the first connection adds to that."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

PROGRAMS = {
    "nothing": "pass",
    "import numpy": "import numpy",
    "import quidditch": "import quidditch",
    "connect": "import sys, quidditch; quidditch.connect(sys.argv[1]).close()",
}


@pytest.mark.parametrize("which", PROGRAMS)
def test_start(benchmark: BenchmarkFixture, tmp_path: Path, which: str) -> None:
    command = [sys.executable, "-c", PROGRAMS[which], str(tmp_path / "data")]
    assert benchmark(subprocess.run, command, check=True).returncode == 0
