"""Children: starting them, what they print, the memory they take, and several of them at once."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

SAMPLE_EVERY_S = 0.05
REPOSITORY = Path(__file__).parents[2]


def run_child(*arguments: object, timeout_s: float | None = None) -> tuple[dict[str, Any], int]:
    """What the child printed, and the most memory of its own (no mapped files) that was seen while it ran.

    raises: TimeoutError   it took too long, and was ended
            RuntimeError   it failed
    """
    command = [sys.executable, "-m", "benchmarks.peers.child", *map(str, arguments)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY)
    seen: list[int] = [0]
    sampler = threading.Thread(target=_sample_memory, args=(process, seen), daemon=True)
    sampler.start()
    try:
        output, _ = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise TimeoutError(f"stopped after {timeout_s:,.0f} s") from None
    finally:
        sampler.join()
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}")
    return _last_line(output), max(seen)


def run_together(count: int, *arguments: object) -> list[dict[str, Any]]:
    """What so many children printed that were all ready before any of them started its work."""
    command = [sys.executable, "-m", "benchmarks.peers.child", *map(str, arguments)]
    with ExitStack() as stack:
        children = [stack.enter_context(_start(command)) for _ in range(count)]
        for child in children:
            stack.callback(child.kill)
            if child.stdout is None or child.stdout.readline().strip() != "ready":
                raise RuntimeError(f"{' '.join(command)} was not ready")
        for child in children:
            if child.stdin is not None:
                child.stdin.write("go\n")
        return [_last_line(child.communicate()[0]) for child in children]


def _start(command: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1, cwd=REPOSITORY
    )


def _last_line(output: str) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(output.splitlines()[-1])
    return answer


def _sample_memory(process: subprocess.Popen[str], seen: list[int]) -> None:
    status = Path(f"/proc/{process.pid}/status")
    while process.poll() is None:
        try:
            rows = [line for line in status.read_text().splitlines() if line.startswith("RssAnon:")]
        except OSError:
            return
        if rows:
            seen.append(int(rows[0].split()[1]) * 1024)
        time.sleep(SAMPLE_EVERY_S)
