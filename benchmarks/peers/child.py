"""One measurement in a process of its own, so that memory and start-up are this engine's alone.

    python -m benchmarks.peers.child index ENGINE DOCS.jsonl FOLDER
    python -m benchmarks.peers.child open ENGINE FOLDER QUERIES.json

Prints one JSON object.
"""

from __future__ import annotations

import importlib
import json
import platform
import resource
import sys
import time
from pathlib import Path

from benchmarks.corpora import read_jsonl
from benchmarks.peers.engines import ENGINES


def index(engine: str, docs: str, folder: str) -> dict[str, float]:
    """Seconds from the first line read to all on disk, JSON decoding included and imports not."""
    importlib.import_module(ENGINES[engine].module)
    started = time.perf_counter()
    ENGINES[engine].build(read_jsonl(Path(docs)), Path(folder))
    return {"seconds": time.perf_counter() - started, "peak_rss_bytes": peak_rss_bytes()}


def open_and_ask(engine: str, folder: str, queries: str) -> dict[str, float]:
    """Seconds of the import, and from opening to the first answer; memory after all of them."""
    asked = json.loads(Path(queries).read_text())
    started = time.perf_counter()
    importlib.import_module(ENGINES[engine].module)
    began = time.perf_counter()
    searcher = ENGINES[engine].open(Path(folder))
    kind, words = asked[0]
    searcher.search(searcher.prepare(kind, words), 10, False)
    first = time.perf_counter() - began
    for kind, words in asked:
        searcher.search(searcher.prepare(kind, words), 10, False)
    memory = {"resident_bytes": memory_bytes("VmRSS"), "private_bytes": memory_bytes("RssAnon")}
    searcher.close()
    return {"import_seconds": began - started, "open_seconds": first, **memory}


def peak_rss_bytes() -> int:
    # On Linux `ru_maxrss` remembers the parent from before exec; VmHWM starts anew.
    if platform.system() == "Linux":
        return memory_bytes("VmHWM")
    unit = 1 if platform.system() == "Darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def memory_bytes(row: str) -> int:
    """One row of /proc/self/status: RssAnon is the process's own memory, VmRSS that and mapped files.

    0 where there is no /proc.
    """
    status = Path("/proc/self/status")
    if not status.exists():
        return 0
    rows = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
    return int(rows[row].split()[0]) * 1024


if __name__ == "__main__":
    command, *arguments = sys.argv[1:]
    print(json.dumps({"index": index, "open": open_and_ask}[command](*arguments)))
