"""`python -m benchmarks.peers`: Quidditch and others on the same documents and queries, in turns."""

from __future__ import annotations

import itertools
import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from benchmarks.corpora import (
    SHORT_DOCUMENTS,
    Doc,
    grouped,
    read_jsonl,
    repeated,
    short,
    synthetic,
    write_jsonl,
)
from benchmarks.peers.campaign import Campaign
from benchmarks.peers.engines import ENGINES
from benchmarks.peers.latency import Budget
from benchmarks.peers.report import TABLE_WIDTH, print_run
from benchmarks.questions import QueryClass

DOCUMENTS, FACTS = "docs.jsonl", "facts.json"
PARTS = ("threads", "opening", "queries", "processes", "adding")
FAMILIES = ("plain", "totals", "filters", "sizes")


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
    parts: Annotated[str, typer.Option(help="What to measure beside indexing, comma-separated.")] = ",".join(
        PARTS
    ),
    classes: Annotated[
        str, typer.Option(help='Families, or names of classes as "one word", comma-separated.')
    ] = ",".join(FAMILIES),
    queries: Annotated[int, typer.Option(min=1, help="Different queries of each class.")] = 200,
    rounds: Annotated[
        int, typer.Option(min=0, help="Warm turns through the queries, after the cold one.")
    ] = 3,
    index_rounds: Annotated[int, typer.Option(min=1, help="Turns of indexing; the best counts.")] = 1,
    budget_s: Annotated[
        float,
        typer.Option(help="Seconds an anchor may take for the cold turn of a class, and for all warm ones."),
    ] = 10.0,
    others_budget_s: Annotated[
        float, typer.Option(help="The same for the engines beside the anchors.")
    ] = 0.5,
    index_budget_s: Annotated[float, typer.Option(help="Seconds an engine may take for indexing.")] = 300.0,
    process_seconds: Annotated[
        float, typer.Option(help="Seconds of each load by one and two processes.")
    ] = 3.0,
    adds: Annotated[int, typer.Option(min=1, help="Documents added one by one to the full index.")] = 50,
    work: Annotated[
        Path | None, typer.Option(resolve_path=True, help="Folder to keep documents and indices in.")
    ] = None,
    reuse: Annotated[bool, typer.Option(help="Search what an earlier run left in --work.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON in place of tables.")] = False,
    save: Annotated[
        str | None, typer.Option(help="Name of a file to write under benchmarks/history.")
    ] = None,
) -> None:
    """Measure indexing, size, memory, opening and queries, and print them side by side."""
    names = chosen(engines, list(ENGINES), "engine")
    wanted = chosen(parts, PARTS, "part")
    if reuse and work is None:
        raise typer.BadParameter("--reuse needs the --work of the earlier run")
    with tempfile.TemporaryDirectory(prefix="quidditch-peers-") as scratch:
        folder = work or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        facts = known_documents(folder) if reuse else make_documents(folder, data, corpus, repeat, limit)
        campaign = Campaign(names, folder / DOCUMENTS, facts)
        if reuse:
            campaign.reuse()
        else:
            campaign.index(index_rounds, index_budget_s)
        if "threads" in wanted:
            campaign.index_with_two(index_rounds, index_budget_s)
        campaign.draw(queries, lambda found: chosen_classes(classes, found))
        if "opening" in wanted:
            campaign.open(budget_s)
        if "queries" in wanted:
            campaign.ask(rounds, Budget(budget_s, others_budget_s))
        if "processes" in wanted:
            campaign.load(process_seconds)
        if "adding" in wanted:
            campaign.add(adds)
    run = campaign.run
    if save:
        run.save(save)
    if as_json:
        print(json.dumps(asdict(run), indent=1))
    else:
        print_run(run, Console(width=max(Console().width, TABLE_WIDTH)))


def chosen(text: str, known: Sequence[str], what: str) -> list[str]:
    """The names in a list by commas. raises: typer.BadParameter for one that is not known"""
    names = [name.strip() for name in text.split(",")]
    if unknown := [name for name in names if name not in known]:
        raise typer.BadParameter(f"unknown {what} {unknown[0]!r}: there are {', '.join(known)}")
    return names


def chosen_classes(text: str, classes: Sequence[QueryClass]) -> list[QueryClass]:
    """Those of the families and names; names of variants hold commas, so they are chosen by their class."""
    names = chosen(text, [*FAMILIES, *(each.name for each in classes if each.family == "plain")], "class")
    families = [name for name in names if name in FAMILIES] or list(FAMILIES)
    bases = [name for name in names if name not in FAMILIES]
    return [
        each
        for each in classes
        if each.family in families and (not bases or (each.plain or each.name) in bases)
    ]


def make_documents(
    folder: Path, data: Path | None, corpus: Corpus, repeat: int, limit: int | None
) -> dict[str, Any]:
    """Writes the file that every engine reads; what it holds is returned, and kept beside it."""
    source: list[Doc] = list(read_jsonl(data) if data else synthetic(20_000))
    made = short(source, SHORT_DOCUMENTS) if corpus is Corpus.SHORT else repeated(source, repeat)
    facts = {
        "corpus": corpus.value,
        "data": data.parent.name if data else "synthetic",
        "repeat": repeat,
        "documents": write_jsonl(folder / DOCUMENTS, grouped(itertools.islice(made, limit))),
        "bytes": (folder / DOCUMENTS).stat().st_size,
    }
    (folder / FACTS).write_text(json.dumps(facts))
    return facts


def known_documents(folder: Path) -> dict[str, Any]:
    """The same, of an earlier run."""
    if not (folder / FACTS).exists():
        raise typer.BadParameter(f"there is no {folder / FACTS} from an earlier run")
    facts: dict[str, Any] = json.loads((folder / FACTS).read_text())
    return facts


if __name__ == "__main__":
    typer.run(main)
