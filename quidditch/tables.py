"""Records as the tables of other libraries, imported when they are asked for, and back; as HTML for a notebook."""

from __future__ import annotations

import html
import importlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from quidditch.errors import MissingLibrary, RequestError

Record: TypeAlias = dict[str, Any]

MAX_CELL_CHARS = 200
"""Characters of a value that a notebook shows."""

PANDAS_ROWS = 1_000
"""Rows of a frame turned into documents at once."""


def arrow_table(records: Sequence[Record]) -> Any:
    """A pyarrow.Table with a column for every key of any record."""
    return _library("pyarrow").Table.from_pylist(_even(records))


def polars_frame(records: Sequence[Record]) -> Any:
    """A polars.DataFrame with a column for every key of any record."""
    return _library("polars").DataFrame(_even(records), infer_schema_length=None)


def pandas_frame(records: Sequence[Record]) -> Any:
    """A pandas.DataFrame with a column for every key of any record."""
    return _library("pandas").DataFrame.from_records(_even(records))


def html_table(records: Sequence[Record], caption: str) -> str:
    """An HTML table; values are text in it, whatever markup they hold."""
    columns = _columns(records)
    head = "".join(f"<th>{html.escape(name)}</th>" for name in columns)
    rows = "".join(
        "<tr>" + "".join(f"<td>{_cell(record.get(name))}</td>" for name in columns) + "</tr>"
        for record in records
    )
    return (
        f"<table><caption>{html.escape(caption)}</caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    )


def _library(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingLibrary(f"{name} is not installed: pip install {name}") from error


def _columns(records: Sequence[Record]) -> list[str]:
    return list(dict.fromkeys(name for record in records for name in record))


def _even(records: Sequence[Record]) -> list[Record]:
    """The records with all columns, absent values None: some libraries look at the first one alone."""
    columns = _columns(records)
    return [{name: record.get(name) for name in columns} for record in records]


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}"
    text = str(value)
    return html.escape(text if len(text) <= MAX_CELL_CHARS else text[: MAX_CELL_CHARS - 1] + "…")


def records(docs: Any) -> Iterator[Any]:
    """One dict a document from any iterable of dicts, a pyarrow table or reader, a Polars or pandas frame."""
    if hasattr(docs, "to_batches"):
        docs = docs.to_batches()
    if hasattr(docs, "iter_rows"):
        return (_present(row) for row in docs.iter_rows(named=True))
    if hasattr(docs, "itertuples") and hasattr(docs, "to_dict"):
        return _pandas_rows(docs)
    if isinstance(docs, str | bytes | Mapping) or not isinstance(docs, Iterable):
        raise RequestError(f"add_many: an iterable of documents expected, not {type(docs).__name__}")
    return _flattened(docs)


def _flattened(docs: Iterable[Any]) -> Iterator[Any]:
    for item in docs:
        if hasattr(item, "to_pylist"):
            yield from (_present(row) for row in item.to_pylist())
        else:
            yield item


def _pandas_rows(frame: Any) -> Iterator[dict[str, Any]]:
    for start in range(0, len(frame), PANDAS_ROWS):
        for row in frame.iloc[start : start + PANDAS_ROWS].to_dict("records"):
            # A frame has no other word for an absent number than NaN, and that is not equal to itself.
            yield {str(key): value for key, value in row.items() if value is not None and value == value}


def _present(row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if value is not None}
