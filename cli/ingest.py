"""Documents from files into an index: streamed in batches, with what was refused kept word for word."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

from quidditch.interface import Index

from .failures import CommandError
from .readers import Format, Reading, read
from .streams import BrokenInput, Input, open_input

BATCH_BYTES = 64 * 1024 * 1024
"""Text of documents remembered at once, so that what the engine refuses can be kept as it stood."""

DEFAULT_BATCH = 50_000

_PROGRESS_EVERY = 256


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that did not go in: where it stands, and why."""

    source: str
    line: int | None
    reason: str

    def __str__(self) -> str:
        where = f"{self.source}:{self.line}: " if self.line is not None else ""
        return where + self.reason


@dataclass(slots=True)
class Tally:
    """What has become of the inputs so far: documents in, documents rejected, inputs that broke off."""

    documents: int = 0
    rejected: int = 0
    broken: int = 0


@dataclass(frozen=True, slots=True)
class _Origin:
    """Where a record stood and how it read, which is all that a rejection needs."""

    source: str
    reading: Reading
    line: int
    raw: bytes


_Stream: TypeAlias = Iterator[tuple[_Origin, dict[str, Any]]]


class _Batch:
    """The next documents of a stream, as many as one hand-over holds, with the origin of each by position."""

    def __init__(self, stream: _Stream, most: int, most_bytes: int) -> None:
        self._stream = stream
        self._most = most
        self._most_bytes = most_bytes
        self.origins: list[_Origin] = []
        self.ended = False

    def documents(self) -> Iterator[dict[str, Any]]:
        size_bytes = 0
        for origin, doc in self._stream:
            self.origins.append(origin)
            yield doc
            size_bytes += len(origin.raw)
            if len(self.origins) >= self._most or size_bytes >= self._most_bytes:
                return
        self.ended = True


class RejectsFile:
    """Where the text of rejected documents is kept, made when the first one comes.

    Without a path of one's own it is NAME.rejects.EXT in the working directory, numbered rather than written
    over one that is there.
    """

    def __init__(self, name: str, path: Path | None, inputs: Sequence[str]) -> None:
        self._name = name
        self.path = path
        self._file: BinaryIO | None = None
        self._header = b""
        if path is not None and any(_same_file(path, given) for given in inputs):
            raise CommandError(f"--rejects {path} is one of the files to index")

    def keep(self, reading: Reading, text: bytes) -> None:
        if self._file is None:
            self.path = self.path or self._free_path(reading.format)
            self._file = self.path.open("wb")
        if reading.header != self._header:
            self._header = reading.header
            self._file.write(reading.header + b"\n")
        # Text of a JSON array may run over several lines; white space between tokens means nothing there.
        self._file.write((b" ".join(text.splitlines()) if reading.format == "json" else text) + b"\n")

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _free_path(self, fmt: Format) -> Path:
        suffix = fmt if fmt in ("csv", "tsv") else "jsonl"
        path, number = Path(f"{self._name}.rejects.{suffix}"), 1
        while path.exists():
            number += 1
            path = Path(f"{self._name}.rejects-{number}.{suffix}")
        return path


def _same_file(path: Path, given: str) -> bool:
    return path.exists() and Path(given).exists() and path.samefile(given)


class Ingest:
    """Runs documents from inputs into one index.

    `progress` is told the bytes read so far, `report` each problem as it is found, `remark` what looks like a
    mistake and is none for certain. memory: one batch of text, whatever the inputs' size.
    """

    def __init__(
        self,
        rejects: RejectsFile,
        *,
        report: Callable[[Problem], None],
        progress: Callable[[int], None] = lambda _: None,
        remark: Callable[[str], None] = lambda _: None,
        batch: int = DEFAULT_BATCH,
        batch_bytes: int = BATCH_BYTES,
        workers: int = 1,
    ) -> None:
        self.tally = Tally()
        self._rejects = rejects
        self._report = report
        self._progress = progress
        self._remark = remark
        self._batch = batch
        self._batch_bytes = batch_bytes
        self._workers = workers

    def run(self, index: Index, inputs: Sequence[str], fmt: Format | None, id_field: str | None) -> Tally:
        """Everything in the inputs that is a document, in the index; the tally also stays on `self`."""
        stream = self._stream(inputs, fmt)
        ended = False
        while not ended:
            batch = _Batch(stream, self._batch, self._batch_bytes)
            result = index.add_many(batch.documents(), id_field=id_field, workers=self._workers)
            self.tally.documents += result.ok
            for item in result.errors:
                self._reject(batch.origins[item.position], item.error or "refused")
            ended = batch.ended
        return self.tally

    def _stream(self, inputs: Sequence[str], fmt: Format | None) -> _Stream:
        before = 0
        for name in inputs:
            try:
                with open_input(name) as source:
                    reading = read(source, fmt)
                    if reading.note is not None:
                        self._remark(reading.note)
                    yield from self._records(source, reading, before)
                    before += source.read_bytes
            except BrokenInput as error:
                self.tally.broken += 1
                self._report(Problem(name, None, str(error)))

    def _records(self, source: Input, reading: Reading, before: int) -> _Stream:
        for number, record in enumerate(reading.records):
            if number % _PROGRESS_EVERY == 0:
                self._progress(before + source.read_bytes)
            origin = _Origin(source.name, reading, record.line, record.raw)
            if record.doc is None:
                self._reject(origin, record.error or "no document")
            else:
                yield origin, record.doc
        self._progress(before + source.read_bytes)

    def _reject(self, origin: _Origin, reason: str) -> None:
        self.tally.rejected += 1
        if origin.raw:
            self._rejects.keep(origin.reading, origin.raw)
        self._report(Problem(origin.source, origin.line, reason))


def check_inputs(inputs: Sequence[str], fmt: Format | None) -> None:
    """Nothing, when every input can be opened and its format told; standard input is left alone.

    raises: CommandError   naming the first that cannot, before anything is written
    """
    for name in inputs:
        if name != "-":
            with open_input(name) as source:
                read(source, fmt)
