"""`quidditch index`: documents from files into an index."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

import quidditch
from quidditch.interface import Database, Index

from . import render
from .failures import IN_PART, INTERRUPTED, REFUSED
from .ingest import DEFAULT_BATCH, Ingest, Problem, RejectsFile, check_inputs
from .opening import AsJson, Location, Name, json_object
from .readers import Format
from .streams import check_file


def index(
    location: Location,
    name: Name,
    files: Annotated[list[str], typer.Argument(metavar="FILE", help="Files to index; - is standard input.")],
    format: Annotated[
        Format | None,
        typer.Option("--format", help="Format of the files. [default: told by name or content]"),
    ] = None,
    id_field: Annotated[
        str, typer.Option("--id-field", metavar="FIELD", help="Field that holds a document's id.")
    ] = "_id",
    mappings: Annotated[
        str | None,
        typer.Option(
            "--mappings", metavar="FILE_OR_JSON", help="Mappings of the index, or new fields of one."
        ),
    ] = None,
    rejects: Annotated[
        Path | None,
        typer.Option(
            "--rejects", metavar="PATH", help="Rejected lines. [default: NAME.rejects.jsonl, or .csv]"
        ),
    ] = None,
    show_errors: Annotated[
        int,
        typer.Option("--show-errors", metavar="N", min=0, help="Rejections to show, the rest is counted."),
    ] = 20,
    chunk: Annotated[
        int, typer.Option("--chunk", metavar="N", min=1, help="Documents handed to the index at a time.")
    ] = DEFAULT_BATCH,
    workers: Annotated[
        int,
        typer.Option("--workers", metavar="N", min=1, max=64, help="Processes that analyse the documents."),
    ] = 1,
    as_json: AsJson = False,
) -> None:
    """Put documents from files into an index, making both as needed.

    Reads JSON Lines, JSON arrays, CSV and TSV with a header, and Parquet when pyarrow is installed, each also
    compressed with gzip or Zstandard. A line that is no document is shown with its number and kept in the
    rejects file; the rest goes in. Values of CSV and TSV are text unless --mappings says otherwise.
    """
    sizes = [check_file(given) for given in files]
    check_inputs(files, format)
    kept = RejectsFile(name, rejects, files)
    shown = _Shown(show_errors)
    started = time.perf_counter()
    with quidditch.connect(location) as db, _progress(sizes) as progress:
        into = _target(db, name, mappings)
        ingest = Ingest(
            kept, report=shown, progress=progress, remark=render.print_note, batch=chunk, workers=workers
        )
        try:
            ingest.run(into, files, format, id_field or None)
        except KeyboardInterrupt:
            render.print_note(f"interrupted: {render.counted(ingest.tally.documents, 'document')} in {name}")
            raise typer.Exit(INTERRUPTED) from None
        finally:
            kept.close()
    _summary(ingest, name, kept.path, shown, time.perf_counter() - started, as_json)


def _target(db: Database, name: str, mappings: str | None) -> Index:
    given: dict[str, Any] | None = json_object(mappings, "--mappings") if mappings else None
    if given and set(given) <= {"mappings", "settings"}:
        return _from_body(db, name, given)
    return _from_body(db, name, {"mappings": given} if given else {})


def _from_body(db: Database, name: str, body: dict[str, Any]) -> Index:
    """The index, made from a body as OpenSearch takes it; where it is there, its mappings are added to."""
    if name not in db:
        return db.create_index(name, body.get("mappings"), body.get("settings"))
    there = db.index(name)
    if body.get("mappings"):
        there.put_mappings(body["mappings"])
    return there


class _Shown:
    """Shows the first problems on standard error and counts the others."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.problems: list[Problem] = []
        self.more = 0

    def __call__(self, problem: Problem) -> None:
        if problem.line is not None and len(self.problems) >= self._most:
            self.more += 1
            return
        self.problems.append(problem)
        render.print_note(str(problem))


class _Progress:
    """Bytes read so far, drawn as a bar."""

    def __init__(self, bar: Progress, total: int | None) -> None:
        self._bar = bar
        self._total = total
        self._task = bar.add_task("indexing", total=total)

    def __call__(self, read_bytes: int) -> None:
        done = self._total is not None and read_bytes >= self._total
        self._bar.update(self._task, completed=read_bytes, description="writing" if done else "indexing")


@contextmanager
def _progress(sizes: list[int | None]) -> Iterator[Any]:
    """A function to tell the bytes read; it draws on a terminal and is silent elsewhere."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    known = [size for size in sizes if size is not None]
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=render.console(sys.stderr), transient=True) as bar:
        yield _Progress(bar, sum(known) if len(known) == len(sizes) else None)


def _summary(
    ingest: Ingest, name: str, rejects: Path | None, shown: _Shown, seconds: float, as_json: bool
) -> None:
    tally = ingest.tally
    kept = str(rejects) if rejects is not None and tally.rejected else None
    if as_json:
        render.print_json(
            {
                "index": name,
                "documents": tally.documents,
                "rejected": tally.rejected,
                "broken_inputs": tally.broken,
                "rejects_file": kept,
                "seconds": round(seconds, 3),
                "documents_per_second": round(tally.documents / max(seconds, 1e-9)),
                "errors": [
                    {"file": problem.source, "line": problem.line, "reason": problem.reason}
                    for problem in shown.problems
                ],
            }
        )
    else:
        _print_summary(ingest, name, kept, shown.more, seconds)
    if tally.rejected or tally.broken:
        raise typer.Exit(IN_PART if tally.documents else REFUSED)


def _print_summary(ingest: Ingest, name: str, kept: str | None, more: int, seconds: float) -> None:
    tally = ingest.tally
    if more:
        render.print_note(f"… and {render.counted(more, 'rejection')} more")
    words = [f"{render.counted(tally.documents, 'document')} in {name}"]
    if tally.rejected:
        words.append(f"{tally.rejected:,} rejected" + (f" (kept in {kept})" if kept else ""))
    if tally.broken:
        words.append(f"{render.counted(tally.broken, 'input')} broken off")
    rate = tally.documents / max(seconds, 1e-9)
    render.print_line(f"{', '.join(words)}; {seconds:.1f} s, {rate:,.0f} documents/s")
