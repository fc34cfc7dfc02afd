"""No array backed by the mapped file outlives its snapshot: reading one after the unmapping kills a process."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import quidditch

KEEP_EVERYTHING = """
    import gc, mmap, pickle, sys
    from pathlib import Path
    import numpy as np
    from pyroaring import BitMap
    from quidditch.index.snapshot import Snapshots
    from quidditch.index.environment import Environment
    from quidditch.index.storage import SHARD_TABLES
    from quidditch.schema.mapping import Mapping

    (data,) = Path(sys.argv[1]).glob("*/0/data.mdb")
    environment = Environment(data.parent, SHARD_TABLES, readonly=sys.argv[2] == "readonly")
    snapshots = Snapshots(environment)
    kept = []

    def keep(*values):
        for value in values:
            if hasattr(value, "__slots__") and not isinstance(value, (BitMap, np.ndarray)):
                keep(*(getattr(value, name) for name in value.__slots__ if hasattr(value, name)))
            elif hasattr(value, "__dict__"):
                keep(*(one for name, one in vars(value).items() if name != "_rows"))
            elif isinstance(value, (list, tuple)):
                keep(*value)
            else:
                kept.append(value)

    snapshot = snapshots.open(lambda: Mapping.parse({}, analyzers=()))
    for segment in snapshot.segments:
        docs = np.arange(segment.doc_count, dtype=np.uint32)
        keep(segment.deleted, segment.ids(docs), segment.sources(docs), segment.all_seq_nos(), segment.seq_nos(docs))
        for field in segment.record.fields:
            name = field.name
            keep(segment.exists(name), segment.lengths(name), segment.column(name), segment.field_stats(name))
            terms = segment.terms(name)
            keep(terms, segment.ordinal_terms(name, np.arange(len(terms), dtype=np.uint32)))
            keep(*segment.blocks(name))
            keep(*segment._cache._entries.values())
            for term in terms:
                postings = segment.postings(name, term)
                keep(postings.docs(), postings.freqs(), postings.positions(), postings.distances(), postings.bitmap())
                keep(postings.positions_at(np.arange(0, postings.doc_freq, 2)))
    with environment.read() as transaction:
        keep(snapshots.segment_list.read(transaction))
    snapshot.close()
    before = pickle.dumps(kept)
    environment.close()
    gc.collect()
    blocks = [mmap.mmap(-1, 1 << 24) for _ in range(8)]  # takes the addresses that became free
    for block in blocks:
        block.write(b"\\xee" * (1 << 20))
    arrays = [one for one in kept if isinstance(one, np.ndarray)]
    views = [one for one in kept if isinstance(one, memoryview)]
    print(len(arrays) > 100, len(views), pickle.dumps(kept) == before)
"""


@pytest.mark.parametrize("how", ["readonly", "writable"])
def test_everything_a_segment_hands_out_survives_the_closing(tmp_path: Path, how: str) -> None:
    with quidditch.connect(tmp_path) as database:
        index = database.create_index("books")
        for low in (0, 300):
            index.add_many(
                {
                    "_id": str(n),
                    "title": f"dune {n % 50} and {n}",
                    "year": n,
                    "price": n / 7 if n % 3 else [1.5, n],
                    "kind": "abc"[n % 3],
                }
                for n in range(low, low + 300)
            )
            index.flush()
        index.delete("5")
        index.add({"title": "in the buffer", "year": 1}, "7")
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", textwrap.dedent(KEEP_EVERYTHING), str(tmp_path), how],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "True 0 True"
