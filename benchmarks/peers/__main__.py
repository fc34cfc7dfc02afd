"""`python -m benchmarks.peers`: Quidditch, tantivy-py and SQLite FTS5 on the same documents, in turns."""

from __future__ import annotations

import itertools
import json
import tempfile
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from benchmarks.corpora import SHORT_DOCUMENTS, Doc, read_jsonl, repeated, short, synthetic, write_jsonl
from benchmarks.machine import machine_facts
from benchmarks.peers.engines import ENGINES
from benchmarks.peers.measure import Indexing, measure_indexing, measure_opening, measure_queries
from benchmarks.peers.report import Run, print_run
from benchmarks.questions import query_classes

HISTORY = Path(__file__).parents[1] / "history"
QUERY_SOURCE_DOCUMENTS = 50_000
TABLE_WIDTH = 130


class Corpus(StrEnum):
    """What is made of the documents: they themselves, or half a million short ones cut out of them."""

    FULL = "full"
    SHORT = "short"


def main(
    data: Annotated[
        Path | None, typer.Option(help="JSONL with _id, title, text; made-up text without it.")
    ] = None,
    corpus: Annotated[
        Corpus, typer.Option(help="The documents, or 500,000 of ~20 words cut from them.")
    ] = Corpus.FULL,
    repeat: Annotated[int, typer.Option(min=1, help="Repeat the documents, words shuffled, for size.")] = 1,
    limit: Annotated[int | None, typer.Option(min=1, help="Stop after so many documents.")] = None,
    engines: Annotated[str, typer.Option(help="Comma-separated, the order they take turns in.")] = ",".join(
        ENGINES
    ),
    queries: Annotated[int, typer.Option(min=1, help="Queries of each class.")] = 50,
    rounds: Annotated[int, typer.Option(min=1, help="Measured turns through the queries.")] = 3,
    index_rounds: Annotated[int, typer.Option(min=1, help="Turns of indexing; the best counts.")] = 1,
    budget_s: Annotated[
        float, typer.Option(help="Seconds an engine may take for one class and turn.")
    ] = 20.0,
    totals: Annotated[bool, typer.Option(help="Ask for the number of all hits too.")] = False,
    work: Annotated[
        Path | None, typer.Option(resolve_path=True, help="Folder to keep documents and indices in.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON in place of tables.")] = False,
    save: Annotated[
        str | None, typer.Option(help="Name of a file to write under benchmarks/history.")
    ] = None,
) -> None:
    """Measure indexing, size, memory, opening and queries, and print them side by side."""
    names = [name.strip() for name in engines.split(",")]
    if unknown := [name for name in names if name not in ENGINES]:
        raise typer.BadParameter(f"unknown engine {unknown[0]!r}: there are {', '.join(ENGINES)}")
    versions = {name: ENGINES[name].version() for name in names}
    with tempfile.TemporaryDirectory(prefix="quidditch-peers-") as scratch:
        folder = work or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        docs_file, documents = make_documents(folder, data, corpus, repeat, limit)
        sample = list(itertools.islice(read_jsonl(docs_file), QUERY_SOURCE_DOCUMENTS))
        classes = query_classes(sample, queries)
        present = [name for name in names if versions[name]]
        indexing: dict[str, Indexing] = measure_indexing(present, docs_file, documents, folder, index_rounds)
        measure_opening(indexing, classes, folder, rounds)
        latencies = measure_queries(present, classes, folder, rounds, budget_s, totals)
        facts = {
            "corpus": corpus.value,
            "data": data.parent.name if data else "synthetic",
            "repeat": repeat,
            "documents": documents,
            "bytes": docs_file.stat().st_size,
            "totals": totals,
        }
    run = Run(facts, machine_facts(), versions, indexing, latencies)
    if as_json:
        print(json.dumps(run.to_dict(), indent=2))
    else:
        print_run(run, Console(width=max(Console().width, TABLE_WIDTH)))
    if save:
        HISTORY.mkdir(exist_ok=True)
        (HISTORY / f"{save}.json").write_text(json.dumps(run.to_dict(), indent=2) + "\n")


def make_documents(
    folder: Path, data: Path | None, corpus: Corpus, repeat: int, limit: int | None
) -> tuple[Path, int]:
    """The file that every engine reads, and how many documents it holds."""
    source: list[Doc] = list(read_jsonl(data) if data else synthetic(20_000))
    made = short(source, SHORT_DOCUMENTS) if corpus is Corpus.SHORT else repeated(source, repeat)
    docs_file = folder / "docs.jsonl"
    return docs_file, write_jsonl(docs_file, itertools.islice(made, limit))


if __name__ == "__main__":
    typer.run(main)
