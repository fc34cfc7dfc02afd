"""Documents out of the formats people keep them in: one record for each, good or bad, in the input's order.

A record that is no document carries its reason and its text as it stood, so that the rest can go in and
nothing is lost. Every reader holds one record at a time.
"""

from __future__ import annotations

import csv
import io
import re
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import msgspec

from .failures import CommandError
from .streams import COMPRESSED_SUFFIXES, READ_ERRORS, BrokenInput, Input, broken

Format: TypeAlias = Literal["jsonl", "json", "csv", "tsv", "parquet"]
FORMATS: tuple[Format, ...] = get_args(Format)
SUFFIXES: dict[str, Format] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".parquet": "parquet",
    ".pq": "parquet",
}
LONGEST_RECORD_BYTES = 256 * 1024 * 1024
PARQUET_MAGIC = b"PAR1"

_PIECE_BYTES = 1 << 20
_PARQUET_BATCH = 1024


@dataclass(slots=True)
class Record:
    """One document of an input, or the reason why it is none.

    `line` counts from 1 (of a Parquet file it is the row); `raw` is the text as it stood, with no line end,
    or the JSON of a row that was no text.
    """

    line: int
    raw: bytes
    doc: dict[str, Any] | None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """How one input is read: its format, the line that its rejects need above them, and its records.

    `note` is a remark on what looks like a mistake.
    """

    format: Format
    header: bytes
    records: Iterator[Record]
    note: str | None = None


def read(source: Input, wanted: Format | None = None) -> Reading:
    """The records of an input, in the format wanted or else in the one its name and first bytes tell.

    raises: CommandError   at once, when the format cannot be told, or is not what the bytes are
            BrokenInput    from the iterator, when the input ends before it should
    """
    fmt = wanted or guess_format(source.name, source.head)
    if fmt != "parquet":
        _refuse_binary(source, fmt)
    header = b""
    if fmt == "json" and wanted is None and _is_lines(source.head):
        fmt = "jsonl"
    if fmt in ("csv", "tsv"):
        header, records = _delimited(source, "," if fmt == "csv" else "\t")
    else:
        readers: dict[str, Callable[[Input], Iterator[Record]]] = {
            "jsonl": _json_lines,
            "json": _json_values,
            "parquet": _parquet,
        }
        records = readers[fmt](source)
    return Reading(fmt, header, _guarded(source, records), _doubt(source.name, fmt, header))


def _doubt(name: str, fmt: Format, header: bytes) -> str | None:
    if fmt != "csv" or b";" not in header or b"," in header:
        return None
    return (
        f"{name}: the header has semicolons and no comma, so it is one column; "
        "give the file commas, or tabs and --format tsv"
    )


def guess_format(name: str, head: bytes) -> Format:
    """The format of an input: by its name, else by its first bytes.

    raises: CommandError   when neither tells
    """
    suffixes = [suffix.lower() for suffix in Path(name).suffixes]
    if suffixes and suffixes[-1] in COMPRESSED_SUFFIXES:
        suffixes.pop()
    if suffixes and suffixes[-1] in SUFFIXES:
        return SUFFIXES[suffixes[-1]]
    start = head.lstrip()
    if start.startswith(PARQUET_MAGIC):
        return "parquet"
    if not start or start[:1] in b"[{":
        return "json"
    first_line = start.split(b"\n", 1)[0]
    if b"\0" not in head and b"\t" in first_line:
        return "tsv"
    if b"\0" not in head and b"," in first_line:
        return "csv"
    raise CommandError(f"cannot tell the format of {name}; say it with --format {'|'.join(FORMATS)}")


def _refuse_binary(source: Input, fmt: Format) -> None:
    if source.head.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise CommandError(
            f"{source.name} is UTF-16; convert it with: iconv -f UTF-16 -t UTF-8 {source.name}"
        )
    if b"\0" in source.head:
        raise CommandError(f"{source.name} is binary (it starts with {source.head[:8].hex(' ')}), not {fmt}")


def _is_lines(head: bytes) -> bool:
    """Whether objects stand one on each line; those printed over several break after a bracket or comma."""
    line = head.lstrip().split(b"\n", 1)[0].rstrip()
    return line.startswith(b"{") and not line.endswith((b"{", b"[", b","))


def _guarded(source: Input, records: Iterator[Record]) -> Iterator[Record]:
    line = 0
    try:
        for record in records:
            line = record.line
            yield record
    except READ_ERRORS as error:
        raise BrokenInput(f"{source.name}: {broken(error)}; read up to line {line:,}") from error


# ------------------------------------------------------------------------------------------------- JSON

_decoder = msgspec.json.Decoder()
_LONE_SURROGATE = re.compile(
    rb"(?<!\\)(?:\\\\)*\\u[dD](?:[89abAB]..(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB]..\\u[dD])[c-fC-F]..)"
)
_KINDS = {list: "an array", str: "a string", int: "a number", float: "a number", bool: "a boolean"}


def _decoded(raw: bytes) -> tuple[Any, str | None]:
    try:
        return _decoder.decode(raw), None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return None, _reason(raw, error)


def _reason(raw: bytes, error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError) or "utf-8" in str(error).lower():
        return _invalid_utf8(raw)
    if isinstance(error, RecursionError):
        return "nested too deeply"
    if (lone := _LONE_SURROGATE.search(raw)) is not None:
        return f"{lone.group().decode()} is half a character, a lone surrogate"
    return "the JSON ends before it is complete" if "truncated" in str(error) else str(error)


def _invalid_utf8(raw: bytes) -> str:
    try:
        raw.decode()
    except UnicodeDecodeError as error:
        return f"not valid UTF-8: byte 0x{raw[error.start]:02x} at position {error.start}"
    return "not valid UTF-8"


def document_record(line: int, raw: bytes) -> Record:
    """The record of one JSON text: its object, or why it is none."""
    value, error = _decoded(raw)
    if error is not None:
        return Record(line, raw, None, error)
    if not isinstance(value, dict):
        kind = "null" if value is None else _KINDS.get(type(value), type(value).__name__)
        return Record(line, raw, None, f"a document must be a JSON object, this is {kind}")
    return Record(line, raw, value)


def _lines(stream: io.BufferedReader) -> Iterator[tuple[int, bytes | None]]:
    """Numbered lines without their ends; None for one that is longer than a record may be."""
    number = 0
    while line := stream.readline(LONGEST_RECORD_BYTES):
        number += 1
        whole = line.endswith(b"\n") or len(line) < LONGEST_RECORD_BYTES
        yield number, line.rstrip(b"\r\n") if whole else None
        while not whole:
            rest = stream.readline(_PIECE_BYTES)
            whole = not rest or rest.endswith(b"\n")


def _too_long(line: int) -> Record:
    size = LONGEST_RECORD_BYTES >> 20
    return Record(line, b"", None, f"longer than {size} MiB, and so not in the rejects file either")


def _json_lines(source: Input) -> Iterator[Record]:
    for number, line in _lines(source.stream):
        if line is None:
            yield _too_long(number)
        elif line.strip():
            yield document_record(number, line)


_TOKENS = re.compile(rb'"(?:[^"\\]++|\\.)*+"|["{}\[\]]', re.DOTALL)
_BETWEEN = re.compile(rb"[\s,]*")
_SCALAR = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[^\s,\[\]{}"]++', re.DOTALL)


class _ValueScanner:
    """Cuts the elements of an array, or values one after the other, out of a stream without decoding them.

    Only brackets and strings are looked at, so an element that is malformed inside stays one element, and the
    next is found. cost: one element and one piece of the stream in memory.
    """

    def __init__(self, stream: io.BufferedReader) -> None:
        self._stream = stream
        self._buffer = b""
        self._at = 0
        self._line = 1
        self._ended = False
        self._break: BaseException | None = None

    def values(self) -> Iterator[tuple[int, bytes]]:
        """Each element's line and text. raises: EOFError when the text ends inside an array or a value."""
        inside = self._next_byte() == b"["
        if inside:
            self._skip(1)
        while True:
            byte = self._next_byte()
            if not byte and inside:
                raise EOFError("the array has no end, a closing ] is missing")
            if not byte:
                return
            if inside and byte == b"]":
                self._skip(1)
                inside = False
                continue
            yield self._line, self._take(self._end_of_value(byte))

    def _next_byte(self) -> bytes:
        """The first byte of what comes next, behind white space and commas; b"" at the end."""
        while True:
            found = _BETWEEN.match(self._buffer, self._at)
            self._skip((found.end() if found else self._at) - self._at)
            if self._at < len(self._buffer):
                return self._buffer[self._at : self._at + 1]
            if not self._more():
                return b""

    def _end_of_value(self, byte: bytes) -> int:
        if byte in (b"}", b"]"):
            return self._at + 1
        return self._end_of_nested() if byte in (b"{", b"[") else self._end_of_scalar()

    def _end_of_nested(self) -> int:
        """Where the bracket that opens here closes."""
        depth, at = 0, 0
        while True:
            for token in _TOKENS.finditer(self._buffer, self._at + at):
                first = token.group()[:1]
                if first == b'"':
                    if token.end() - token.start() == 1:
                        break  # a string that goes on in the next piece
                elif first in b"{[":
                    depth += 1
                else:
                    depth -= 1
                at = token.end() - self._at
                if depth == 0:
                    return self._at + at
            if not self._more():
                raise EOFError(f"the value that begins on line {self._line:,} has no end")

    def _end_of_scalar(self) -> int:
        while True:
            found = _SCALAR.match(self._buffer, self._at)
            if found and found.end() < len(self._buffer):
                return found.end()
            if not self._more():
                return len(self._buffer)

    def _more(self) -> bool:
        """Adds the next piece of the stream to the buffer, and drops what was taken."""
        if self._break is not None:
            raise self._break
        if self._ended:
            return False
        kept = self._buffer[self._at :]
        if len(kept) > LONGEST_RECORD_BYTES:
            raise EOFError(f"the value that begins on line {self._line:,} is longer than a record may be")
        # Growing by what is held keeps the copying of one long value linear.
        pieces = list(self._pieces(max(_PIECE_BYTES, len(kept))))
        self._ended = not pieces and self._break is None
        self._buffer, self._at = b"".join([kept, *pieces]), 0
        return not self._ended

    def _pieces(self, size: int) -> Iterator[bytes]:
        """Up to `size` bytes of the stream; where it breaks, what came before, the break kept for later."""
        try:
            while size > 0 and (piece := self._stream.read1(size)):
                size -= len(piece)
                yield piece
        except READ_ERRORS as error:
            self._break = error

    def _skip(self, size: int) -> None:
        self._line += self._buffer.count(b"\n", self._at, self._at + size)
        self._at += size

    def _take(self, end: int) -> bytes:
        raw = self._buffer[self._at : end]
        self._skip(end - self._at)
        return raw


def _json_values(source: Input) -> Iterator[Record]:
    for line, raw in _ValueScanner(source.stream).values():
        yield document_record(line, raw)


# ------------------------------------------------------------------------------------------ CSV and TSV


class _RowLines:
    """The lines of a delimited file as text for `csv`, remembering the bytes of the row being read."""

    def __init__(self, stream: io.BufferedReader) -> None:
        self._lines = _lines(stream)
        self.number = 0
        self.pending: list[bytes] = []

    def __iter__(self) -> _RowLines:
        return self

    def __next__(self) -> str:
        self.number, line = next(self._lines)
        if line is None:
            raise csv.Error(_too_long(self.number).error)
        self.pending.append(line)
        return line.decode("utf-8", "surrogateescape") + "\n"

    def take(self) -> bytes:
        """The bytes of the row that was just read."""
        raw = b"\n".join(self.pending)
        self.pending.clear()
        return raw


def _delimited(source: Input, delimiter: str) -> tuple[bytes, Iterator[Record]]:
    csv.field_size_limit(LONGEST_RECORD_BYTES)
    lines = _RowLines(source.stream)
    rows = csv.reader(lines, delimiter=delimiter, strict=True)
    names: list[str] = []
    try:
        while not names:
            names = [name.strip() for name in next(rows)]
    except StopIteration:
        return b"", iter(())
    except csv.Error as error:
        raise CommandError(f"{source.name}: the header, line 1, is malformed: {error}") from error
    _check_header(source.name, names)
    return lines.take().lstrip(b"\n"), _rows(rows, lines, names)


def _check_header(name: str, names: list[str]) -> None:
    for position, field in enumerate(names, 1):
        if not field:
            raise CommandError(f"{name}: column {position} has no name in the header, line 1")
        if any("\ud800" <= char <= "\udfff" for char in field):
            raise CommandError(f"{name}: the header, line 1, is not valid UTF-8")
        if field in names[: position - 1]:
            raise CommandError(f"{name}: two columns have the name {field!r} in the header, line 1")


def _rows(rows: Any, lines: _RowLines, names: list[str]) -> Iterator[Record]:
    while True:
        first = lines.number + 1
        try:
            cells: list[str] = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            yield Record(first, lines.take(), None, f"malformed row: {error}")
            continue
        raw = lines.take()
        if cells:
            yield _row_record(first, raw, names, cells)


def _row_record(line: int, raw: bytes, names: list[str], cells: list[str]) -> Record:
    if len(cells) != len(names):
        many = "cell" if len(cells) == 1 else "cells"
        return Record(line, raw, None, f"{len(cells)} {many} where the header names {len(names)}")
    # Bytes that are not UTF-8 were decoded to lone surrogates, which no valid text holds.
    if not raw.isascii() and any("\udc80" <= char <= "\udcff" for cell in cells for char in cell):
        return Record(line, raw, None, _invalid_utf8(raw))
    return Record(line, raw, {name: cell for name, cell in zip(names, cells, strict=True) if cell})


# ---------------------------------------------------------------------------------------------- Parquet


def _parquet(source: Input) -> Iterator[Record]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise CommandError(
            f"{source.name} is Parquet, and reading it needs pyarrow: pip install pyarrow"
        ) from None
    return _parquet_rows(source, pyarrow)


def _parquet_rows(source: Input, pyarrow: Any) -> Iterator[Record]:
    with tempfile.TemporaryFile() as spooled:
        # Parquet is read from its end, so a stream is kept in a file first.
        while piece := source.stream.read(_PIECE_BYTES):
            spooled.write(piece)
        spooled.seek(0)
        number = 0
        try:
            for batch in pyarrow.parquet.ParquetFile(spooled).iter_batches(_PARQUET_BATCH):
                for row in batch.to_pylist():
                    number += 1
                    yield _parquet_record(number, row)
        except (pyarrow.ArrowException, OSError) as error:
            raise EOFError(f"no readable Parquet: {error}") from error


def _parquet_record(number: int, row: dict[str, Any]) -> Record:
    doc = {name: value for name, value in row.items() if value is not None}
    try:
        raw = msgspec.json.encode(doc)
    except (TypeError, ValueError, OverflowError):
        raw = msgspec.json.encode({name: str(value) for name, value in doc.items()})
    return Record(number, raw, doc)
