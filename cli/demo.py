"""`quidditch demo`: a search over text that every machine has, Python's own documentation."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.text import Text

import quidditch
from quidditch.errors import CorruptIndex, FormatTooNew, FormatTooOld, IndexNotFound
from quidditch.interface import Database, Hit, SearchResult
from quidditch.version import __version__

from . import render, stdlib_corpus
from .failures import CommandError
from .opening import AsJson
from .searching import totals

INDEX = "stdlib"
DEFAULT_QUERY = "parse a date from a string"

_BUILDING = "-building-"
_MOST_WORDS = 64


def demo(
    query: Annotated[
        list[str] | None,
        typer.Argument(metavar="QUERY", help=f"What to look for. [default: {DEFAULT_QUERY}]"),
    ] = None,
    size: Annotated[int, typer.Option("--size", "-n", metavar="N", min=1, help="Hits to show.")] = 10,
    directory: Annotated[
        Path | None,
        typer.Option("--dir", metavar="DIR", help="Where to keep the index. [default: user's cache]"),
    ] = None,
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Index again even if an index is kept.")] = False,
    as_json: AsJson = False,
) -> None:
    """Search Python's standard library: modules, classes, functions, and what their documentation says.

    The first run indexes the library of the Python that runs Quidditch, in a few seconds; later runs answer
    from the index that was kept.
    """
    words = " ".join(query or []) or DEFAULT_QUERY
    kept = (directory or cache_directory()) / _key()
    if rebuild:
        shutil.rmtree(kept, ignore_errors=True)
    result, documents = _ask(kept, words, size)
    if as_json:
        render.print_json({**result.to_dict(), "directory": str(kept), "index": INDEX})
        return
    _print(result, words)
    where = f"{documents:,} definitions of Python {platform.python_version()}, index kept in {kept}"
    render.print_line(where, render.QUIET)


def cache_directory() -> Path:
    """Where this user's machine keeps what can be made again."""
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "quidditch"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "quidditch"
    given = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(given) if Path(given).is_absolute() else Path.home() / ".cache") / "quidditch"


def _key() -> str:
    """The name of the index's directory: another Python, release or corpus has another index."""
    return f"stdlib-{platform.python_version()}-{__version__}-{stdlib_corpus.CORPUS_VERSION}"


def _ask(kept: Path, words: str, size: int) -> tuple[SearchResult, int]:
    if kept.exists():
        try:
            return _search(kept, words, size)
        except (CorruptIndex, FormatTooOld, FormatTooNew, IndexNotFound) as error:
            render.print_note(f"the index kept in {kept} cannot be used ({error}); making it again")
            shutil.rmtree(kept)
    build(kept)
    return _search(kept, words, size)


def _search(kept: Path, words: str, size: int) -> tuple[SearchResult, int]:
    with quidditch.connect(kept, create=False, readonly=True) as db:
        index = db.index(INDEX)
        return index.search(ranking(words), size=size, highlight=HIGHLIGHT), len(index)


HIGHLIGHT: dict[str, Any] = {
    "fields": {
        "summary": {"number_of_fragments": 0},
        "doc": {"number_of_fragments": 1, "fragment_size": 120},
    },
    "pre_tags": [render.MARK_OPEN],
    "post_tags": [render.MARK_CLOSE],
}


def ranking(words: str) -> dict[str, Any]:
    """The query for what a person looks for.

    Each word counts where it counts most: in the first sentence, in the name, then elsewhere. What is public
    comes before what is not.
    """
    fields = ["summary^2", "words^1.5", "parameters", "doc"]
    each = [
        {"multi_match": {"query": word, "fields": fields, "type": "best_fields", "tie_breaker": 0.3}}
        for word in dict.fromkeys(words.split()[:_MOST_WORDS])
    ]
    public = {"term": {"public": {"value": True, "boost": 2}}}
    return {"bool": {"must": [{"bool": {"should": each}}] if each else [], "should": [public]}}


# --------------------------------------------------------------------------------------------- building


def build(kept: Path) -> None:
    """Makes the index and puts it in place whole: an interrupted run leaves nothing that looks finished.

    raises: CommandError   when the library's sources are not there
    """
    started = time.perf_counter()
    with _building_directory(kept) as (directory, progress):
        corpus = _read(progress)
        if not len(corpus):
            raise CommandError(
                "the sources of Python's standard library are not on this machine (is it zipped?)"
            )
        with quidditch.connect(directory) as db:
            _index(db, corpus, progress)
        _put_in_place(directory, kept)
    seconds = time.perf_counter() - started
    render.print_note(f"indexed {len(corpus):,} definitions in {seconds:.1f} s")


@contextmanager
def _building_directory(kept: Path) -> Iterator[tuple[Path, Progress]]:
    kept.parent.mkdir(parents=True, exist_ok=True)
    _sweep(kept.parent)
    directory = Path(tempfile.mkdtemp(prefix=f".{kept.name}{_BUILDING}", dir=kept.parent))
    to = render.console(sys.stderr)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    if not to.is_terminal:
        render.print_note(f"indexing the standard library of Python {platform.python_version()}, once")
    try:
        with Progress(*columns, console=to, transient=True, disable=not to.is_terminal) as progress:
            yield directory, progress
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _sweep(parent: Path) -> None:
    """Removes what runs that were killed have left behind; a run of today may still be building."""
    for left in parent.glob(f".stdlib-*{_BUILDING}*"):
        if time.time() - left.stat().st_mtime > 24 * 3600:
            shutil.rmtree(left, ignore_errors=True)


def _read(progress: Progress) -> stdlib_corpus.Corpus:
    corpus = stdlib_corpus.Corpus()
    for path in progress.track(stdlib_corpus.source_files(), description="reading modules"):
        corpus.add(path)
    return corpus


def _index(db: Database, corpus: stdlib_corpus.Corpus, progress: Progress) -> None:
    index = db.create_index(INDEX, stdlib_corpus.MAPPINGS)
    documents = progress.track(corpus.documents(), total=len(corpus), description="indexing definitions")
    result = index.add_many(documents)
    if result.errors:
        first = result.errors[0]
        raise CommandError(
            f"{len(result.errors)} definitions could not be indexed; {first.id}: {first.error}"
        )
    index.flush()


def _put_in_place(directory: Path, kept: Path) -> None:
    try:
        directory.rename(kept)
    except OSError:
        # Another run was faster; its index is as good.
        if not kept.exists():
            raise


# ---------------------------------------------------------------------------------------------- showing


def _print(result: SearchResult, words: str) -> None:
    if not result.hits:
        render.print_line(f"no hits for {words}")
        return
    columns = [
        ("#", "number"),
        ("score", "number"),
        ("definition", "name"),
        ("kind", "text"),
        ("says", "text"),
    ]
    rows: list[list[str | Text]] = [
        [str(rank), f"{hit.score or 0.0:.2f}", *_cells(hit)] for rank, hit in enumerate(result, 1)
    ]
    render.print_table(columns, rows)
    render.print_line(totals(result), render.QUIET)


def _cells(hit: Hit) -> tuple[Text, Text, Text]:
    says = hit.highlight.get("summary") or hit.highlight.get("doc")
    text = render.marked(says[0]) if says else render.plain(hit.get("summary") or hit.get("signature") or "")
    text.truncate(200, overflow="ellipsis")
    return render.plain(hit["name"]), render.plain(hit["kind"], render.QUIET), text
