"""Start a server, run the cases against it, write the page."""

from __future__ import annotations

import argparse
import json
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.compatibility.page import page


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compatibility", description=__doc__)
    parser.add_argument("--cases", type=Path, required=True, help="a directory with runner.py, api and test")
    parser.add_argument("--output", type=Path, default=Path("docs/compatibility.md"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch, _serving(Path(scratch) / "data") as url:
        sections = _results(options.cases, url, Path(scratch) / "results.json")
    options.output.write_text(page(sections), encoding="utf-8")


def _results(cases: Path, url: str, results: Path) -> list[dict[str, Any]]:
    arguments = [
        "--url",
        url,
        "--api",
        cases / "api",
        "--tests",
        cases / "test",
        "--json",
        results,
        "--quiet",
    ]
    command = [sys.executable, str(cases / "runner.py"), *map(str, arguments)]
    # It ends with 1 if any section fails.
    subprocess.run(command, check=False)
    sections: list[dict[str, Any]] = json.loads(results.read_text())["sections"]
    return sections


@contextmanager
def _serving(directory: Path) -> Iterator[str]:
    """The URL of a server in a process of its own, at a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "quidditch_cli.main", "serve", str(directory), "--port", str(port)]
    process = subprocess.Popen(command)
    try:
        _await(port)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(60)


def _await(port: int, patience_s: float = 30.0) -> None:
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise SystemExit(f"the server does not listen at {port} after {patience_s:.0f} s")


if __name__ == "__main__":
    main()
