"""A process that adds, updates, deletes and searches for a time, and tells what it takes of the machine.

`python churn.py FOLDER SECONDS SAMPLES`: prints a JSON line for each sample.
"""

from __future__ import annotations

import json
import os
import random
import sys
import threading
import time
from pathlib import Path
from typing import Any

import quidditch
from quidditch.local import LocalIndex

DOCUMENTS = 4_000
WORDS = [f"word{number}" for number in range(5_000)]


def document(chance: random.Random) -> dict[str, Any]:
    words = (WORDS[min(int(chance.expovariate(0.004)), len(WORDS) - 1)] for _ in range(30))
    return {"text": " ".join(words), "n": chance.randrange(1_000)}


def turn(index: LocalIndex, chance: random.Random, number: int) -> None:
    """A little of everything."""
    ids = [str(chance.randrange(DOCUMENTS)) for _ in range(200)]
    index.add_many({"_id": id, **document(chance)} for id in ids)
    for id in ids[:10]:
        index.add(document(chance), id=id)
        index.update(id, {"n": number}, doc_as_upsert=True)
    for id in ids[10:15]:
        index.delete(id)
    index.bulk({"delete": {"_id": id}} for id in ids[15:40])
    for _ in range(5):
        index.search(" ".join(chance.sample(WORDS[:500], 3)), size=10)
    scan = index.scan({"range": {"n": {"lt": 500}}})
    next(scan, None)
    with index.point_in_time() as then:
        then.count(WORDS[number % 100])
    if number % 10 == 0:
        index.flush()
    if number % 50 == 0:
        index.force_merge()
    if number % 100 == 0:
        index.compact()
        assert index.check(deep=False).ok


def sample(index: LocalIndex) -> dict[str, int]:
    """What the process holds: bytes of private memory, open files, threads, bytes of the index's file."""
    status = Path("/proc/self/status").read_text()
    anonymous = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon"))
    return {
        "anonymous_bytes": anonymous * 1024,
        "files": len(os.listdir("/proc/self/fd")),
        "threads": threading.active_count(),
        "size_bytes": index.stats().size_bytes,
        "documents": len(index),
    }


def main(folder: str, seconds: float, samples: int) -> None:
    chance = random.Random(11)
    started = time.monotonic()
    taken = number = 0
    with quidditch.connect(Path(folder)) as database:
        index = database.create_index("churn")
        while taken < samples:
            turn(index, chance, number)
            number += 1
            if time.monotonic() - started >= seconds * (taken + 1) / samples:
                print(json.dumps({**sample(index), "turns": number}), flush=True)
                taken += 1


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), int(sys.argv[3]))
