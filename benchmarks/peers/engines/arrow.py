"""Documents as Arrow batches, which is how LanceDB and DuckDB take them in fastest."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

from benchmarks.corpora import Doc

BATCH_DOCUMENTS = 20_000


def schema() -> Any:
    import pyarrow

    text = pyarrow.string()
    return pyarrow.schema(
        [("_id", text), ("title", text), ("text", text), ("group", pyarrow.list_(pyarrow.string()))]
    )


def batches(docs: Iterable[Doc]) -> Iterator[Any]:
    """Record batches of 20,000 documents."""
    import pyarrow

    rows, columns = iter(docs), schema()
    while batch := list(itertools.islice(rows, BATCH_DOCUMENTS)):
        yield pyarrow.RecordBatch.from_pylist(batch, schema=columns)
