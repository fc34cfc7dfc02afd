"""One measurement in a process of its own, so that memory and start-up are this engine's alone.

    python -m benchmarks.peers.child index ENGINE THREADS DOCS.jsonl FOLDER
    python -m benchmarks.peers.child open ENGINE FOLDER QUERIES.json SECONDS
    python -m benchmarks.peers.child load ENGINE FOLDER QUERIES.json SECONDS
    python -m benchmarks.peers.child add ENGINE FOLDER QUERIES.json COUNT

Prints one JSON object. `load` prints "ready" before it, and starts on a line of standard input.
"""

from __future__ import annotations

import importlib
import itertools
import json
import platform
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.corpora import read_jsonl
from benchmarks.peers.engines import ENGINES
from benchmarks.peers.engines.contract import Searcher
from benchmarks.questions import Kind

WARM_UP_QUERIES = 20
ADDED_WORDS = 3


def index(engine: str, threads: str, docs: str, folder: str) -> dict[str, float]:
    """Seconds from the first line read to all on disk, JSON decoding included and imports not."""
    importlib.import_module(ENGINES[engine].module)
    started = time.perf_counter()
    ENGINES[engine].build(read_jsonl(Path(docs)), Path(folder), int(threads))
    return {"seconds": time.perf_counter() - started, "peak_rss_bytes": peak_rss_bytes()}


def open_and_ask(engine: str, folder: str, queries: str, seconds: str) -> dict[str, float]:
    """Seconds of the import, and from opening to the first answer; memory after the queries, and how many.

    It stops asking when the seconds are over; with 0 the first query is the only one.
    """
    started = time.perf_counter()
    importlib.import_module(ENGINES[engine].module)
    imported = time.perf_counter() - started
    # Behind the import, since what an engine lacks may be asked of its module.
    asked = read_queries(engine, queries)
    began = time.perf_counter()
    searcher = ENGINES[engine].open(Path(folder))
    ask(searcher, *asked[0])
    first = time.perf_counter() - began
    count, until = 0, began + first + float(seconds)
    for query in asked:
        if time.perf_counter() >= until:
            break
        ask(searcher, *query)
        count += 1
    memory = {"resident_bytes": memory_bytes("VmRSS"), "private_bytes": memory_bytes("RssAnon")}
    searcher.close()
    return {"import_seconds": imported, "open_seconds": first, "asked": count, **memory}


def load(engine: str, folder: str, queries: str, seconds: str) -> dict[str, float]:
    """Queries answered, and the seconds that took, going through them over and over."""
    asked = read_queries(engine, queries)
    searcher = ENGINES[engine].open(Path(folder))
    until = time.perf_counter() + float(seconds)
    for query in asked[:WARM_UP_QUERIES]:
        if time.perf_counter() < until:
            ask(searcher, *query)
    print("ready", flush=True)
    sys.stdin.readline()
    started = time.perf_counter()
    count, ended = 0, started
    for query in itertools.cycle(asked):
        if ended >= started + float(seconds):
            break
        ask(searcher, *query)
        count, ended = count + 1, time.perf_counter()
    searcher.close()
    return {"queries": count, "seconds": ended - started}


def add(engine: str, folder: str, queries: str, count: str) -> dict[str, list[float]]:
    """Seconds of adding a document and of a search after it, which must find it, `count` times.

    raises: RuntimeError   the search did not see the document
    """
    asked = [
        words for kind, words in read_queries(engine, queries) if kind == "or" and len(words) <= ADDED_WORDS
    ]
    writer = ENGINES[engine].open_writer(Path(folder))
    adds, searches = [], []
    for number in range(int(count)):
        needle = f"needle{number}x{time.time_ns():x}"
        words = [*asked[number % len(asked)], needle]
        # Short and with all the words, it is among the best whatever else there is.
        doc = {"_id": needle, "title": "one more", "text": " ".join(words), "group": []}
        query = writer.prepare("or", words, None)
        started = time.perf_counter()
        writer.add(doc)
        added = time.perf_counter()
        found = writer.search(query, 10, False)
        ended = time.perf_counter()
        if needle not in found:
            raise RuntimeError(f"{engine} did not find the document added just before")
        adds.append(added - started)
        searches.append(ended - added)
    writer.close()
    return {"add_seconds": adds, "search_seconds": searches}


def ask(searcher: Searcher, kind: Kind, words: list[str]) -> None:
    searcher.search(searcher.prepare(kind, words, None), 10, False)


def read_queries(engine: str, file: str) -> list[tuple[Kind, list[str]]]:
    """The queries of the file that the engine can answer."""
    lacks = ENGINES[engine].lacks
    return [(kind, words) for kind, words in json.loads(Path(file).read_text()) if kind not in lacks]


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


COMMANDS: dict[str, Callable[..., Any]] = {"index": index, "open": open_and_ask, "load": load, "add": add}

if __name__ == "__main__":
    command, *arguments = sys.argv[1:]
    print(json.dumps(COMMANDS[command](*arguments)))
