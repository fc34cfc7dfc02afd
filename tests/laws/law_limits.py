"""The engine with its limits made tiny, so that ten documents fill buffers, blocks, chunks and windows."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

import quidditch  # loads every module whose limits are changed
from quidditch.search.pruning import sums

TINY = {
    "BATCH_BYTES": 300,
    "BATCH_DOCS": 3,
    "BLOCK": 4,
    "BLOCK_BYTES": 100,
    "BLOCK_TERMS": 2,
    "BUFFER_DOCS": 4,
    "BULK_CHUNK": 5,
    "CHUNK": 8,
    "CHUNK_CHARS": 16,
    "COLUMN_CHUNK_DOCS": 4,
    "COPY_BLOCK_BYTES": 50,
    "FANOUT": 4,
    "FEW": 0,
    "FEW_ALLOWED": 0,
    "FEW_LISTS": 1,
    "FEW_ORDINALS": 1,
    "ID_CHUNK_DOCS": 2,
    "FIRST": 1,
    "LISTS_AT_ONCE": 2,
    "LONGEST_PLAIN_ID": 2,
    "MANY_SHARE": 0,
    "MERGE_FLOOR_BYTES": 1 << 20,
    "PIECE_BYTES": 400,
    "RARE": 1,
    "SCAN_BATCH": 2,
    "SHORT": 2,
    "SLICE_BYTES": 300,
    "SLICE_POSTINGS": 8,
    "SMALL": 4,
    "SMALL_SEGMENT": 0,
    "SPAN": 5,
    "SWEEP_ROWS": 5,
    "TIER_BASE_DOCS": 2,
    "WINDOW_DOCS": 8,
}
"""Module constants of `quidditch.index` and `quidditch.search` by name, and what they are changed to."""


@contextmanager
def limits(kind: str) -> Iterator[None]:
    """`as shipped`, or `tiny`: changed in every module that imported them, and changed back."""
    with pytest.MonkeyPatch.context() as patch:
        if kind == "tiny":
            # What a thread works in is as large as the limits were when it was made.
            patch.setattr(sums, "_local", threading.local())
            for name, module in list(sys.modules.items()):
                if name.startswith(f"{quidditch.__name__}."):
                    for limit, value in TINY.items():
                        if hasattr(module, limit):
                            patch.setattr(module, limit, value)
        yield
